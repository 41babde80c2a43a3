//! What an operation's `callData` asks its account to do.
//!
//! The encodings read are those of our account, SimpleAccount v0.8 and Coinbase Smart Wallet, which share selectors:
//! `execute(address,uint256,bytes)` and `executeBatch((address,uint256,bytes)[])`. Anything else is an error, so that
//! whoever decides about an operation decides about all of it or refuses.

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::{SolCall, abi::AbiDecoderConfig},
};

use crate::abi::smart_account::{self, ISmartAccount};

/// One call that the account makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The contract called.
    pub target: Address,
    /// Wei sent along.
    pub value: U256,
    /// Its calldata.
    pub data: Bytes,
}

impl Call {
    /// The function selector; `None` for a plain transfer or a call too short to have one.
    pub fn selector(&self) -> Option<[u8; 4]> {
        self.data.first_chunk().copied()
    }
}

/// The calldata is no known way to make calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableCalls {
    /// Too short, or a function that is neither `execute` nor `executeBatch`.
    #[error("callData is neither execute nor executeBatch")]
    UnknownFunction,
    /// The right function, but its arguments do not decode, or not to exactly these bytes.
    #[error("callData does not encode its arguments canonically")]
    Malformed,
    /// A batch of nothing.
    #[error("callData is an empty batch")]
    EmptyBatch,
}

/// Reads every call of `call_data`.
///
/// # Errors
/// Unless the whole is exactly one canonical `execute` or non-empty `executeBatch`: trailing or overlapping bytes,
/// which a contract and its reader may take differently, are refused.
pub fn decode(call_data: &Bytes) -> Result<Vec<Call>, UnreadableCalls> {
    let selector: [u8; 4] = call_data.first_chunk().copied().ok_or(UnreadableCalls::UnknownFunction)?;
    let malformed = |_| UnreadableCalls::Malformed;
    // What is canonical takes no more memory than it has bytes, but for a little in the head of each call.
    let config = AbiDecoderConfig::new().validate(true).memory_limit(2 * call_data.len());
    let (calls, canonical) = if selector == smart_account::executeCall::SELECTOR {
        let call = smart_account::executeCall::abi_decode_with_config(call_data, config).map_err(malformed)?;
        let canonical = call.abi_encode();
        (vec![Call { target: call.target, value: call.value, data: call.data }], canonical)
    } else if selector == smart_account::executeBatchCall::SELECTOR {
        let batch = smart_account::executeBatchCall::abi_decode_with_config(call_data, config).map_err(malformed)?;
        let canonical = batch.abi_encode();
        let calls =
            batch.calls.into_iter().map(|call| Call { target: call.target, value: call.value, data: call.data });
        (calls.collect::<Vec<_>>(), canonical)
    } else {
        return Err(UnreadableCalls::UnknownFunction);
    };
    if canonical != call_data[..] {
        return Err(UnreadableCalls::Malformed);
    }
    if calls.is_empty() { Err(UnreadableCalls::EmptyBatch) } else { Ok(calls) }
}

/// The calldata that makes these calls: `execute` for one, `executeBatch` for any other number.
pub fn encode(calls: &[Call]) -> Bytes {
    if let [call] = calls {
        let Call { target, value, data } = call.clone();
        return smart_account::executeCall { target, value, data }.abi_encode().into();
    }
    let calls =
        calls.iter().cloned().map(|Call { target, value, data }| ISmartAccount::Call { target, value, data }).collect();
    smart_account::executeBatchCall { calls }.abi_encode().into()
}
