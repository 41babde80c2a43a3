//! From a bundle transaction's calldata back to its operations.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::{SolCall, abi::AbiDecoderConfig},
};

use crate::{
    EntryPointVersion, Initializer, Paymaster, UserOperation,
    abi::{entry_point_v06, entry_point_v08},
    pack::PAYMASTER_SIGNATURE_MAGIC,
};

/// Times its own size that calldata may unfold to: many offsets may name the same bytes.
const UNFOLDED: usize = 2;

/// The operations of a `handleOps` call; `None` if it is no such call.
///
/// An authorization list is part of the transaction, not of the call: `eip7702_auth` is unset in all of them.
pub fn handle_ops(version: EntryPointVersion, calldata: &Bytes) -> Option<Vec<UserOperation>> {
    let config = AbiDecoderConfig::new().memory_limit(UNFOLDED * calldata.len());
    if version.is_packed() {
        let call = entry_point_v08::handleOpsCall::abi_decode_with_config(calldata, config).ok()?;
        call.ops.iter().map(|op| from_packed(op, version)).collect()
    } else {
        let call = entry_point_v06::handleOpsCall::abi_decode_with_config(calldata, config).ok()?;
        call.ops.iter().map(from_unpacked).collect()
    }
}

fn from_packed(op: &entry_point_v08::PackedUserOperation, version: EntryPointVersion) -> Option<UserOperation> {
    let (verification_gas_limit, call_gas_limit) = unpack_pair(op.accountGasLimits);
    let (max_priority_fee_per_gas, max_fee_per_gas) = unpack_pair(op.gasFees);
    Some(UserOperation {
        sender: op.sender,
        nonce: op.nonce,
        initializer: initializer(&op.initCode)?,
        call_data: op.callData.clone(),
        call_gas_limit,
        verification_gas_limit,
        pre_verification_gas: op.preVerificationGas.try_into().ok()?,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        paymaster: packed_paymaster(&op.paymasterAndData, version)?,
        signature: op.signature.clone(),
        eip7702_auth: None,
    })
}

fn from_unpacked(op: &entry_point_v06::UserOperation) -> Option<UserOperation> {
    let gas = |value: U256| u128::try_from(value).ok();
    let paymaster = match op.paymasterAndData.split_first_chunk::<20>() {
        Some((address, data)) => Some(Paymaster {
            address: Address::from(*address),
            verification_gas_limit: 0,
            post_op_gas_limit: 0,
            data: Bytes::copy_from_slice(data),
            signature: Bytes::new(),
        }),
        None if op.paymasterAndData.is_empty() => None,
        None => return None,
    };
    Some(UserOperation {
        sender: op.sender,
        nonce: op.nonce,
        initializer: initializer(&op.initCode)?,
        call_data: op.callData.clone(),
        call_gas_limit: gas(op.callGasLimit)?,
        verification_gas_limit: gas(op.verificationGasLimit)?,
        pre_verification_gas: gas(op.preVerificationGas)?,
        max_fee_per_gas: gas(op.maxFeePerGas)?,
        max_priority_fee_per_gas: gas(op.maxPriorityFeePerGas)?,
        paymaster,
        signature: op.signature.clone(),
        eip7702_auth: None,
    })
}

fn initializer(init_code: &Bytes) -> Option<Option<Initializer>> {
    if init_code.is_empty() { Some(None) } else { Initializer::from_init_code(init_code).map(Some) }
}

fn packed_paymaster(packed: &Bytes, version: EntryPointVersion) -> Option<Option<Paymaster>> {
    if packed.is_empty() {
        return Some(None);
    }
    let (address, rest) = packed.split_first_chunk::<20>()?;
    let (verification_gas_limit, rest) = rest.split_first_chunk::<16>()?;
    let (post_op_gas_limit, rest) = rest.split_first_chunk::<16>()?;
    let (data, signature) = split_signature(rest, version);
    Some(Some(Paymaster {
        address: Address::from(*address),
        verification_gas_limit: u128::from_be_bytes(*verification_gas_limit),
        post_op_gas_limit: u128::from_be_bytes(*post_op_gas_limit),
        data: Bytes::copy_from_slice(data),
        signature: Bytes::copy_from_slice(signature),
    }))
}

/// Parts v0.9's `data ‖ signature ‖ uint16 length ‖ magic`; without the magic all of it is data. So it is if the length
/// is zero: the contract then hashes length and magic as data.
pub(crate) fn split_signature(rest: &[u8], version: EntryPointVersion) -> (&[u8], &[u8]) {
    let whole = (rest, [].as_slice());
    if !version.supports_paymaster_signature() {
        return whole;
    }
    let Some(rest) = rest.strip_suffix(&PAYMASTER_SIGNATURE_MAGIC) else { return whole };
    let Some((rest, length)) = rest.split_last_chunk::<2>() else { return whole };
    let length = usize::from(u16::from_be_bytes(*length));
    if length == 0 { whole } else { rest.len().checked_sub(length).map_or(whole, |at| rest.split_at(at)) }
}

fn unpack_pair(pair: B256) -> (u128, u128) {
    let (high, low) = pair.0.split_at(16);
    let half = |bytes: &[u8]| bytes.iter().fold(0, |value, byte| value << 8 | u128::from(*byte));
    (half(high), half(low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack;

    #[test]
    fn packing_and_unpacking_are_inverse() {
        for version in EntryPointVersion::ALL {
            let limits = if version.is_packed() { (7, 8) } else { (0, 0) };
            let signature = if version.supports_paymaster_signature() { vec![5; 65] } else { vec![] };
            let op = UserOperation {
                sender: Address::repeat_byte(1),
                nonce: U256::from(3) << 64,
                initializer: Some(Initializer::Factory {
                    address: Address::repeat_byte(2),
                    data: vec![1, 2, 3].into(),
                }),
                call_data: vec![4; 40].into(),
                call_gas_limit: 10,
                verification_gas_limit: 20,
                pre_verification_gas: 30,
                max_fee_per_gas: 40,
                max_priority_fee_per_gas: 5,
                paymaster: Some(Paymaster {
                    address: Address::repeat_byte(9),
                    verification_gas_limit: limits.0,
                    post_op_gas_limit: limits.1,
                    data: vec![6; 12].into(),
                    signature: signature.into(),
                }),
                signature: vec![7; 65].into(),
                eip7702_auth: None,
            };
            let calldata = pack::handle_ops(version, [&op], Address::ZERO);
            assert_eq!(handle_ops(version, &calldata), Some(vec![op]), "{version}");
        }
    }
}
