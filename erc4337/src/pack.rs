//! From [`UserOperation`] to the structs that the contracts take.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::SolCall,
};

use crate::{
    EntryPointVersion, Initializer, Paymaster, UserOperation,
    abi::{entry_point_v06, entry_point_v08},
};

/// Marks a `paymasterSignature` at the end of `paymasterAndData` (v0.9): `keccak("PaymasterSignature")[..8]`.
pub const PAYMASTER_SIGNATURE_MAGIC: [u8; 8] = [0x22, 0xe3, 0x25, 0xa2, 0x97, 0x43, 0x96, 0x56];

/// The first 20 bytes of an `initCode` that names an EIP-7702 sender: `0x7702`, zero-padded.
pub const EIP7702_INIT_CODE_PREFIX: [u8; 20] = {
    let mut prefix = [0; 20];
    prefix[0] = 0x77;
    prefix[1] = 0x02;
    prefix
};

impl Initializer {
    /// The `initCode` field of the contracts.
    pub fn to_init_code(&self) -> Bytes {
        let (head, data) = match self {
            Self::Factory { address, data } => (address.0.0, data),
            Self::Eip7702 { data } => (EIP7702_INIT_CODE_PREFIX, data),
        };
        [head.as_slice(), data].concat().into()
    }

    /// The reverse of [`Self::to_init_code`]; `None` if it is too short to hold an address.
    pub fn from_init_code(init_code: &Bytes) -> Option<Self> {
        let (head, data) = init_code.split_first_chunk::<20>()?;
        let data = Bytes::copy_from_slice(data);
        Some(if *head == EIP7702_INIT_CODE_PREFIX {
            Self::Eip7702 { data }
        } else {
            Self::Factory { address: Address::from(*head), data }
        })
    }
}

impl Paymaster {
    /// The `paymasterAndData` field of the contracts.
    pub fn to_paymaster_and_data(&self, version: EntryPointVersion) -> Bytes {
        let mut packed = self.to_signed_data(version);
        if !self.signature.is_empty() {
            // The wire format refuses signatures that do not fit the contract's uint16.
            let length = u16::try_from(self.signature.len()).unwrap_or(u16::MAX);
            packed.extend_from_slice(&self.signature);
            packed.extend_from_slice(&length.to_be_bytes());
            packed.extend_from_slice(&PAYMASTER_SIGNATURE_MAGIC);
        }
        packed.into()
    }

    /// What the user signs of it: all but a v0.9 paymaster signature.
    pub(crate) fn to_signed_data(&self, version: EntryPointVersion) -> Vec<u8> {
        let mut packed = self.address.to_vec();
        if version.is_packed() {
            packed.extend_from_slice(&self.verification_gas_limit.to_be_bytes());
            packed.extend_from_slice(&self.post_op_gas_limit.to_be_bytes());
        }
        packed.extend_from_slice(&self.data);
        packed
    }
}

impl UserOperation {
    /// The `initCode` field, empty if the account exists already.
    pub fn init_code(&self) -> Bytes {
        self.initializer.as_ref().map(Initializer::to_init_code).unwrap_or_default()
    }

    /// The `paymasterAndData` field, empty if the account pays.
    pub fn paymaster_and_data(&self, version: EntryPointVersion) -> Bytes {
        self.paymaster.as_ref().map(|p| p.to_paymaster_and_data(version)).unwrap_or_default()
    }

    /// The struct of EntryPoint v0.7 and later.
    pub fn to_packed(&self, version: EntryPointVersion) -> entry_point_v08::PackedUserOperation {
        entry_point_v08::PackedUserOperation {
            sender: self.sender,
            nonce: self.nonce,
            initCode: self.init_code(),
            callData: self.call_data.clone(),
            accountGasLimits: pack_pair(self.verification_gas_limit, self.call_gas_limit),
            preVerificationGas: U256::from(self.pre_verification_gas),
            gasFees: pack_pair(self.max_priority_fee_per_gas, self.max_fee_per_gas),
            paymasterAndData: self.paymaster_and_data(version),
            signature: self.signature.clone(),
        }
    }

    /// The struct of EntryPoint v0.6.
    pub fn to_unpacked(&self) -> entry_point_v06::UserOperation {
        entry_point_v06::UserOperation {
            sender: self.sender,
            nonce: self.nonce,
            initCode: self.init_code(),
            callData: self.call_data.clone(),
            callGasLimit: U256::from(self.call_gas_limit),
            verificationGasLimit: U256::from(self.verification_gas_limit),
            preVerificationGas: U256::from(self.pre_verification_gas),
            maxFeePerGas: U256::from(self.max_fee_per_gas),
            maxPriorityFeePerGas: U256::from(self.max_priority_fee_per_gas),
            paymasterAndData: self.paymaster_and_data(EntryPointVersion::V0_6),
            signature: self.signature.clone(),
        }
    }
}

/// Calldata of `handleOps` for one bundle.
pub fn handle_ops<'a>(
    version: EntryPointVersion,
    operations: impl IntoIterator<Item = &'a UserOperation>,
    beneficiary: Address,
) -> Bytes {
    let operations = operations.into_iter();
    if version.is_packed() {
        let ops = operations.map(|op| op.to_packed(version)).collect();
        entry_point_v08::handleOpsCall { ops, beneficiary }.abi_encode().into()
    } else {
        let ops = operations.map(UserOperation::to_unpacked).collect();
        entry_point_v06::handleOpsCall { ops, beneficiary }.abi_encode().into()
    }
}

fn pack_pair(high: u128, low: u128) -> B256 {
    B256::from(U256::from(high) << 128 | U256::from(low))
}
