//! One level of `callData`: the ways in which accounts are asked to make calls.
//!
//! Read are `execute` and `executeBatch` of our account, SimpleAccount v0.8 and Coinbase Smart Wallet, `executeBatch` of
//! SimpleAccount v0.6 and v0.7, and `execute(mode, …)` of ERC-7579 and ERC-7821. Each only in its canonical form: bytes
//! that a contract and its reader may take differently are refused.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::{SolCall, SolValue, abi::AbiDecoderConfig},
};
use erc4337::{abi::smart_account, calls};

mod abi {
    #![allow(missing_docs, unreachable_pub, clippy::too_many_arguments, reason = "generated")]
    alloy::sol! {
        struct Execution { address target; uint256 value; bytes data; }
        function execute(bytes32 mode, bytes executionCalldata);
        interface SimpleV06 { function executeBatch(address[] dest, bytes[] func); }
        interface SimpleV07 { function executeBatch(address[] dest, uint256[] value, bytes[] func); }
    }
}
use abi::{Execution, SimpleV06, SimpleV07, executeCall};

/// One call, as its account was asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The contract called.
    pub target: Address,
    /// Wei sent along.
    pub value: U256,
    /// Its calldata.
    pub data: Bytes,
    /// Whether its code runs as the account's own.
    pub delegatecall: bool,
}

/// Why calls cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableCalls {
    /// Too short, or a function that makes no calls that we know.
    #[error("callData is no known way to make calls")]
    UnknownFunction,
    /// The right function, but its arguments do not decode, or not to exactly these bytes.
    #[error("callData does not encode its arguments canonically")]
    Malformed,
    /// A batch of nothing.
    #[error("callData is an empty batch")]
    EmptyBatch,
    /// An execution mode (ERC-7579) that is not read.
    #[error("callData has the unknown execution mode {0}")]
    Mode(B256),
    /// Signed over for the account alone (ERC-7821): it may mean anything.
    #[error("callData carries opData, which cannot be read")]
    OpData,
    /// Calls to itself within calls to itself.
    #[error("callData is nested too deeply")]
    TooDeep,
    /// More than are looked at.
    #[error("callData makes too many calls")]
    TooMany,
}

const MODE_BATCH: [u8; 4] = [0; 4];
const MODE_OP_DATA: [u8; 4] = [0x78, 0x21, 0x00, 0x01];
const MODE_BATCHES: [u8; 4] = [0x78, 0x21, 0x00, 0x02];

/// Reads the calls that `call_data` names itself; none is looked into.
///
/// # Errors
/// Unless the whole is one canonical encoding of one call at least.
pub(super) fn decode(call_data: &Bytes, sender: Address) -> Result<Vec<Asked>, UnreadableCalls> {
    let selector: [u8; 4] = call_data.first_chunk().copied().ok_or(UnreadableCalls::UnknownFunction)?;
    let asked = match selector {
        executeCall::SELECTOR => by_mode(canonical::<executeCall>(call_data)?, sender)?,
        SimpleV06::executeBatchCall::SELECTOR => {
            let batch = canonical::<SimpleV06::executeBatchCall>(call_data)?;
            zip(batch.dest, vec![], batch.func)?
        }
        SimpleV07::executeBatchCall::SELECTOR => {
            let batch = canonical::<SimpleV07::executeBatchCall>(call_data)?;
            zip(batch.dest, batch.value, batch.func)?
        }
        _ => calls::decode(call_data)
            .map_err(|error| match error {
                calls::UnreadableCalls::UnknownFunction => UnreadableCalls::UnknownFunction,
                calls::UnreadableCalls::Malformed => UnreadableCalls::Malformed,
                calls::UnreadableCalls::EmptyBatch => UnreadableCalls::EmptyBatch,
            })?
            .into_iter()
            .map(|calls::Call { target, value, data }| Asked { target, value, data, delegatecall: false })
            .collect(),
    };
    if asked.is_empty() { Err(UnreadableCalls::EmptyBatch) } else { Ok(asked) }
}

/// Whether a function of this selector makes calls: whoever allows it must have read them.
pub(super) fn makes_calls(selector: [u8; 4]) -> bool {
    [
        executeCall::SELECTOR,
        SimpleV06::executeBatchCall::SELECTOR,
        SimpleV07::executeBatchCall::SELECTOR,
        smart_account::executeCall::SELECTOR,
        smart_account::executeBatchCall::SELECTOR,
    ]
    .contains(&selector)
}

fn config(bytes: usize) -> AbiDecoderConfig {
    // What is canonical takes no more memory than it has bytes, but for a little in the head of each call.
    AbiDecoderConfig::new().validate(true).memory_limit(2 * bytes)
}

fn canonical<C: SolCall>(call_data: &[u8]) -> Result<C, UnreadableCalls> {
    let call = C::abi_decode_with_config(call_data, config(call_data.len())).map_err(|_| UnreadableCalls::Malformed)?;
    if call.abi_encode() == call_data { Ok(call) } else { Err(UnreadableCalls::Malformed) }
}

fn zip(targets: Vec<Address>, values: Vec<U256>, datas: Vec<Bytes>) -> Result<Vec<Asked>, UnreadableCalls> {
    if targets.len() != datas.len() || !values.is_empty() && values.len() != datas.len() {
        return Err(UnreadableCalls::Malformed);
    }
    let values = values.into_iter().chain(std::iter::repeat(U256::ZERO));
    let calls = targets.into_iter().zip(values).zip(datas);
    Ok(calls.map(|((target, value), data)| Asked { target, value, data, delegatecall: false }).collect())
}

fn by_mode(call: executeCall, sender: Address) -> Result<Vec<Asked>, UnreadableCalls> {
    let (mode, data) = (call.mode, call.executionCalldata);
    let unknown = Err(UnreadableCalls::Mode(mode));
    let [kind, on_failure, unused @ ..] = mode.0;
    let selector = mode.0.get(6..10).unwrap_or_default();
    let rest_is_zero = unused.iter().take(4).chain(unused.iter().skip(8)).all(|byte| *byte == 0);
    // Whether the account goes on after a call that reverts changes nothing about which calls it makes.
    if on_failure > 1 || !rest_is_zero {
        return unknown;
    }
    match (kind, selector) {
        (0x00, s) if s == MODE_BATCH => single(&data, true),
        (0xff, s) if s == MODE_BATCH => single(&data, false),
        (0x01, s) if s == MODE_BATCH => batch(&data, sender),
        (0x01, s) if s == MODE_OP_DATA => with_op_data(&data, sender),
        (0x01, s) if s == MODE_BATCHES => {
            let batches: Vec<Bytes> = value(&data)?;
            let mut calls = Vec::new();
            for batch in batches {
                calls.extend(with_op_data(&batch, sender)?);
            }
            Ok(calls)
        }
        _ => unknown,
    }
}

/// `target ‖ value ‖ calldata`, or for a delegatecall `target ‖ calldata`.
fn single(packed: &Bytes, has_value: bool) -> Result<Vec<Asked>, UnreadableCalls> {
    let head = if has_value { 52 } else { 20 };
    if packed.len() < head {
        return Err(UnreadableCalls::Malformed);
    }
    let value = if has_value { U256::from_be_slice(&packed[20..52]) } else { U256::ZERO };
    let (target, data) = (Address::from_slice(&packed[..20]), packed.slice(head..));
    Ok(vec![Asked { target, value, data, delegatecall: !has_value }])
}

fn value<T: SolValue + From<<T::SolType as alloy::sol_types::SolType>::RustType>>(
    data: &[u8],
) -> Result<T, UnreadableCalls> {
    let value = T::abi_decode_with_config(data, config(data.len())).map_err(|_| UnreadableCalls::Malformed)?;
    if value.abi_encode() == data { Ok(value) } else { Err(UnreadableCalls::Malformed) }
}

fn batch(data: &[u8], sender: Address) -> Result<Vec<Asked>, UnreadableCalls> {
    let executions: Vec<Execution> = value(data)?;
    // In ERC-7821, no address is the account's own.
    let target = |target: Address| if target.is_zero() { sender } else { target };
    let asked = |call: Execution| Asked {
        target: target(call.target),
        value: call.value,
        data: call.data,
        delegatecall: false,
    };
    Ok(executions.into_iter().map(asked).collect())
}

/// `abi.encode(calls)`, or `abi.encode(calls, opData)` with nothing in it.
fn with_op_data(data: &[u8], sender: Address) -> Result<Vec<Asked>, UnreadableCalls> {
    if let Ok(calls) = batch(data, sender) {
        return Ok(calls);
    }
    type Both = (Vec<Execution>, Bytes);
    let (calls, op_data) = <Both as SolValue>::abi_decode_params_with_config(data, config(data.len()))
        .map_err(|_| UnreadableCalls::Malformed)?;
    if (calls.clone(), op_data.clone()).abi_encode_params() != data {
        return Err(UnreadableCalls::Malformed);
    }
    if !op_data.is_empty() {
        return Err(UnreadableCalls::OpData);
    }
    batch(&calls.abi_encode(), sender)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::policy) const SENDER: Address = Address::repeat_byte(7);

    /// Every way to ask for these calls.
    pub(in crate::policy) fn every_encoding(calls: &[Asked]) -> Vec<Bytes> {
        let executions: Vec<Execution> = calls
            .iter()
            .map(|call| Execution { target: call.target, value: call.value, data: call.data.clone() })
            .collect();
        let list = |op_data: bool| match op_data {
            true => (executions.clone(), Bytes::new()).abi_encode_params(),
            false => executions.abi_encode(),
        };
        let mut all = vec![
            calls::encode(&calls.iter().map(plain).collect::<Vec<_>>()),
            SimpleV07::executeBatchCall {
                dest: calls.iter().map(|call| call.target).collect(),
                value: calls.iter().map(|call| call.value).collect(),
                func: calls.iter().map(|call| call.data.clone()).collect(),
            }
            .abi_encode()
            .into(),
            by(0x01, MODE_BATCH, list(false)),
            by(0x01, MODE_OP_DATA, list(false)),
            by(0x01, MODE_OP_DATA, list(true)),
            by(0x01, MODE_BATCHES, vec![Bytes::from(list(false)), Bytes::from(list(true))].abi_encode()),
        ];
        if calls.iter().all(|call| call.value.is_zero()) {
            let (dest, func) = calls.iter().map(|call| (call.target, call.data.clone())).unzip();
            all.push(SimpleV06::executeBatchCall { dest, func }.abi_encode().into());
        }
        if let [call] = calls {
            let packed = [call.target.as_slice(), &call.value.to_be_bytes::<32>(), &call.data].concat();
            all.push(by(0x00, MODE_BATCH, packed));
        }
        all
    }

    fn plain(call: &Asked) -> calls::Call {
        calls::Call { target: call.target, value: call.value, data: call.data.clone() }
    }

    pub(in crate::policy) fn by(kind: u8, selector: [u8; 4], data: Vec<u8>) -> Bytes {
        let mut mode = B256::ZERO;
        mode[0] = kind;
        mode[6..10].copy_from_slice(&selector);
        executeCall { mode, executionCalldata: data.into() }.abi_encode().into()
    }

    fn call(byte: u8, value: u64) -> Asked {
        let data = vec![byte; 5].into();
        Asked { target: Address::repeat_byte(byte), value: U256::from(value), data, delegatecall: false }
    }

    #[test]
    fn every_encoding_says_the_same_calls() {
        for calls in [vec![call(1, 0)], vec![call(1, 5)], vec![call(1, 0), call(2, 0), call(3, 9)]] {
            for encoded in every_encoding(&calls) {
                let read = decode(&encoded, SENDER).unwrap();
                // Batches of batches say them twice in this test.
                assert!(read == calls || read == [calls.clone(), calls.clone()].concat(), "{encoded}: {read:?}");
            }
        }
    }

    #[test]
    fn a_byte_more_or_less_is_unreadable() {
        for encoded in every_encoding(&[call(1, 0)]) {
            let is_packed = encoded[4] == 0 && encoded.starts_with(&executeCall::SELECTOR);
            let more = Bytes::from([&encoded[..], &[0]].concat());
            let less = Bytes::copy_from_slice(&encoded[..encoded.len() - 1]);
            assert!(decode(&more, SENDER).is_err() && decode(&less, SENDER).is_err(), "{encoded} {is_packed}");
        }
    }

    #[test]
    fn a_delegatecall_is_told_apart_and_unknown_modes_and_op_data_are_unreadable() {
        let packed = [&[9; 20][..], &[1, 2, 3, 4]].concat();
        let read = decode(&by(0xff, MODE_BATCH, packed.clone()), SENDER).unwrap();
        assert!(read[0].delegatecall && read[0].target == Address::repeat_byte(9));
        for (kind, selector) in [(0xfe, MODE_BATCH), (0x02, MODE_BATCH), (0x01, [1, 2, 3, 4]), (0x00, MODE_OP_DATA)] {
            assert!(matches!(decode(&by(kind, selector, packed.clone()), SENDER), Err(UnreadableCalls::Mode(_))));
        }
        let mut signed = B256::ZERO;
        signed[31] = 1;
        let odd = executeCall { mode: signed, executionCalldata: packed.into() }.abi_encode();
        assert_eq!(decode(&odd.into(), SENDER), Err(UnreadableCalls::Mode(signed)));
        let list = vec![Execution { target: SENDER, value: U256::ZERO, data: Bytes::new() }];
        let with_data = (list, Bytes::from_static(&[1])).abi_encode_params();
        assert_eq!(decode(&by(0x01, MODE_OP_DATA, with_data), SENDER), Err(UnreadableCalls::OpData));
    }

    #[test]
    fn no_address_is_the_account_itself_in_a_batch_by_mode() {
        let list = vec![Execution { target: Address::ZERO, value: U256::ZERO, data: Bytes::new() }];
        let read = decode(&by(0x01, MODE_BATCH, list.abi_encode()), SENDER).unwrap();
        assert_eq!(read[0].target, SENDER);
    }

    #[test]
    fn lists_of_different_lengths_are_unreadable() {
        let odd = SimpleV06::executeBatchCall { dest: vec![SENDER], func: vec![] };
        assert_eq!(decode(&odd.abi_encode().into(), SENDER), Err(UnreadableCalls::Malformed));
        let odd =
            SimpleV07::executeBatchCall { dest: vec![SENDER; 2], value: vec![U256::ZERO], func: vec![Bytes::new(); 2] };
        assert_eq!(decode(&odd.abi_encode().into(), SENDER), Err(UnreadableCalls::Malformed));
    }
}
