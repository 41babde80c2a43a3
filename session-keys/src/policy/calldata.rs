//! The calls in an operation's call data, read as the account reads them (`CallDataLib.sol`): only the one encoding
//! that an ABI encoder makes.

use alloy::{
    primitives::{Address, FixedBytes, U256},
    sol_types::SolCall,
};
use erc4337::abi::smart_account::{executeBatchCall, executeCall};

/// A selector.
const SELECTOR: usize = 4;
/// Offset of a call's data from its start.
const DATA_OFFSET: u64 = 0x60;

/// One call, its data in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallView<'a> {
    /// The contract.
    pub target: Address,
    /// Wei sent.
    pub value: U256,
    /// What it sends.
    pub data: &'a [u8],
}

/// Why calldata cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Neither `execute` nor `executeBatch`.
    #[error("callData: calls {0}, neither execute nor executeBatch")]
    Function(FixedBytes<4>),
    /// Not what an ABI encoder makes.
    #[error("callData: not in its one canonical encoding")]
    Malformed,
    /// A batch of nothing.
    #[error("callData: an empty batch")]
    EmptyBatch,
}

/// Reads call after call, so that what an earlier call breaks is told before what a later one does.
#[derive(Clone, Debug)]
pub struct Calls<'a> {
    call_data: &'a [u8],
    count: usize,
    next: usize,
    cursor: usize,
}

impl<'a> Calls<'a> {
    /// Starts reading.
    ///
    /// # Errors
    /// If it is no call or its head is not canonical.
    pub fn open(call_data: &'a [u8]) -> Result<Self, Unreadable> {
        let selector = super::rules::selector(call_data);
        if selector == executeCall::SELECTOR {
            return Ok(Self { call_data, count: 1, next: 0, cursor: SELECTOR });
        }
        if selector != executeBatchCall::SELECTOR {
            return Err(Unreadable::Function(selector.into()));
        }
        if word(call_data, SELECTOR)? != U256::from(0x20) {
            return Err(Unreadable::Malformed);
        }
        let count = word(call_data, SELECTOR + 0x20)?;
        if count.is_zero() {
            return Err(Unreadable::EmptyBatch);
        }
        let count = bounded(count, call_data)?;
        let offsets = SELECTOR + 0x40;
        if word(call_data, offsets)? != U256::from(count * 0x20) {
            return Err(Unreadable::Malformed);
        }
        Ok(Self { call_data, count, next: 0, cursor: offsets + count * 0x20 })
    }

    /// How many calls there are.
    pub fn count(&self) -> usize {
        self.count
    }

    fn read(&mut self) -> Result<CallView<'a>, Unreadable> {
        let (data, cursor) = (self.call_data, self.cursor);
        let target = word(data, cursor)?;
        if target >> 160 != U256::ZERO {
            return Err(Unreadable::Malformed);
        }
        let value = word(data, cursor + 0x20)?;
        if word(data, cursor + 0x40)? != U256::from(DATA_OFFSET) {
            return Err(Unreadable::Malformed);
        }
        let length = bounded(word(data, cursor + 0x60)?, data)?;
        let start = cursor + 0x80;
        let end = start + length.div_ceil(32) * 32;
        let padding = data.get(start + length..end).ok_or(Unreadable::Malformed)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(Unreadable::Malformed);
        }
        self.next += 1;
        if self.next == self.count {
            if end != data.len() {
                return Err(Unreadable::Malformed);
            }
        } else {
            let offsets = SELECTOR + 0x40;
            if word(data, offsets + self.next * 0x20)? != U256::from(end - offsets) {
                return Err(Unreadable::Malformed);
            }
        }
        self.cursor = end;
        Ok(CallView { target: Address::from_word(target.into()), value, data: &data[start..start + length] })
    }
}

impl<'a> Iterator for Calls<'a> {
    type Item = Result<CallView<'a>, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.count {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.next = self.count;
        }
        Some(read)
    }
}

fn word(data: &[u8], at: usize) -> Result<U256, Unreadable> {
    data.get(at..at + 0x20).map(U256::from_be_slice).ok_or(Unreadable::Malformed)
}

/// A count or length, which cannot honestly be larger than the data it is in.
fn bounded(value: U256, data: &[u8]) -> Result<usize, Unreadable> {
    usize::try_from(value).ok().filter(|value| *value <= data.len()).ok_or(Unreadable::Malformed)
}
