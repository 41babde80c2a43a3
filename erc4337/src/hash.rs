//! `userOpHash`: what identifies an operation and what its account signs.
//!
//! v0.6 and v0.7 hash the packed fields, then the EntryPoint and the chain; v0.8 and v0.9 use EIP-712 with the
//! domain `("ERC4337", "1", chainId, entryPoint)`. v0.9 leaves a paymaster signature out. An EIP-7702 sender's
//! delegate stands in the place of its `initCode`.

use alloy::{
    primitives::{Address, B256, U256, b256, keccak256},
    sol_types::{SolValue, eip712_domain},
};

use crate::{EntryPointVersion, Initializer, UserOperation, pack::PAYMASTER_SIGNATURE_MAGIC};

/// `keccak("PackedUserOperation(address sender,uint256 nonce,bytes initCode,bytes callData,bytes32 accountGasLimits,uint256 preVerificationGas,bytes32 gasFees,bytes paymasterAndData)")`
const PACKED_USER_OPERATION_TYPE_HASH: B256 =
    b256!("0x29a0bca4af4be3421398da00295e58e6d7de38cb492214754cb6a47507dd6f8e");

/// Where an operation is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashContext {
    /// Which rules the contract follows.
    pub version: EntryPointVersion,
    /// The contract's address.
    pub entry_point: Address,
    /// EIP-155 chain id.
    pub chain_id: u64,
}

/// The sender is an EIP-7702 account, but neither its authorization nor its code told the delegate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the EIP-7702 delegate of {sender} is unknown: send `eip7702Auth` or delegate the account first")]
pub struct Eip7702DelegateUnknown {
    /// The account.
    pub sender: Address,
}

impl UserOperation {
    /// The hash that `EntryPoint.getUserOpHash` gives for this operation.
    ///
    /// `delegate` is the code that an EIP-7702 sender points to on chain; an authorization in the operation itself
    /// comes first, because it is what will be on chain when the operation runs.
    ///
    /// # Errors
    /// If the operation has an EIP-7702 sender and neither source names its delegate.
    pub fn hash(&self, context: &HashContext, delegate: Option<Address>) -> Result<B256, Eip7702DelegateUnknown> {
        Ok(match context.version {
            EntryPointVersion::V0_6 => outer_hash(self.v06_fields(), context),
            EntryPointVersion::V0_7 => outer_hash(keccak256(self.packed_fields(context.version, None)), context),
            EntryPointVersion::V0_8 | EntryPointVersion::V0_9 => {
                let delegate = self.delegate(delegate)?;
                let fields = self.packed_fields(context.version, delegate);
                let struct_hash = keccak256([PACKED_USER_OPERATION_TYPE_HASH.as_slice(), &fields].concat());
                let domain = eip712_domain! {
                    name: "ERC4337",
                    version: "1",
                    chain_id: context.chain_id,
                    verifying_contract: context.entry_point,
                };
                keccak256([b"\x19\x01".as_slice(), domain.separator().as_slice(), struct_hash.as_slice()].concat())
            }
        })
    }

    /// The delegate that the account will have when the operation runs; `None` if it is no EIP-7702 operation.
    fn delegate(&self, on_chain: Option<Address>) -> Result<Option<Address>, Eip7702DelegateUnknown> {
        if !matches!(self.initializer, Some(Initializer::Eip7702 { .. })) {
            return Ok(None);
        }
        self.eip7702_auth
            .as_ref()
            .map(|auth| auth.address)
            .or(on_chain)
            .map(Some)
            .ok_or(Eip7702DelegateUnknown { sender: self.sender })
    }

    fn v06_fields(&self) -> B256 {
        keccak256(
            (
                self.sender,
                self.nonce,
                keccak256(self.init_code()),
                keccak256(&self.call_data),
                U256::from(self.call_gas_limit),
                U256::from(self.verification_gas_limit),
                U256::from(self.pre_verification_gas),
                U256::from(self.max_fee_per_gas),
                U256::from(self.max_priority_fee_per_gas),
                keccak256(self.paymaster_and_data(EntryPointVersion::V0_6)),
            )
                .abi_encode_params(),
        )
    }

    /// The encoded fields of v0.7 and later, the same but for the type hash that v0.8 puts in front.
    fn packed_fields(&self, version: EntryPointVersion, delegate: Option<Address>) -> Vec<u8> {
        let packed = self.to_packed(version);
        let init_code_hash = match (delegate, &self.initializer) {
            (Some(delegate), Some(Initializer::Eip7702 { data })) => keccak256([delegate.as_slice(), data].concat()),
            _ => keccak256(&packed.initCode),
        };
        (
            packed.sender,
            packed.nonce,
            init_code_hash,
            keccak256(&packed.callData),
            packed.accountGasLimits,
            packed.preVerificationGas,
            packed.gasFees,
            self.paymaster_hash(version),
        )
            .abi_encode_params()
    }

    fn paymaster_hash(&self, version: EntryPointVersion) -> B256 {
        match &self.paymaster {
            // v0.9 drops the signature and its length, but keeps the magic.
            Some(paymaster) if !paymaster.signature.is_empty() => {
                keccak256([paymaster.to_signed_data(version).as_slice(), &PAYMASTER_SIGNATURE_MAGIC].concat())
            }
            _ => keccak256(self.paymaster_and_data(version)),
        }
    }
}

fn outer_hash(fields: B256, context: &HashContext) -> B256 {
    keccak256((fields, context.entry_point, U256::from(context.chain_id)).abi_encode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_hash_is_that_of_the_type_string() {
        let text = "PackedUserOperation(address sender,uint256 nonce,bytes initCode,bytes callData,\
                    bytes32 accountGasLimits,uint256 preVerificationGas,bytes32 gasFees,bytes paymasterAndData)";
        assert_eq!(PACKED_USER_OPERATION_TYPE_HASH, keccak256(text));
    }
}
