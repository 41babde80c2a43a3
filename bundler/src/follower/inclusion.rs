//! One operation in one mined transaction.

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    rpc::types::{Log, TransactionReceipt},
    sol_types::SolEvent,
};
use erc4337::abi::entry_point_v08::{BeforeExecution, UserOperationEvent, UserOperationRevertReason};
use serde_json::{Value, json};

use crate::index::Event;

/// An executed operation, as its EntryPoint reported it.
#[derive(Clone, Debug)]
pub(crate) struct Inclusion {
    pub(crate) hash: B256,
    pub(crate) entry_point: Address,
    pub(crate) event: UserOperationEvent,
    pub(crate) receipt: Arc<TransactionReceipt>,
    /// Position of the event among the receipt's logs.
    position: usize,
}

impl Inclusion {
    /// Reads a `UserOperationEvent` with the receipt of its transaction.
    pub(crate) fn new(log: &Log, receipt: Arc<TransactionReceipt>) -> Option<Self> {
        let event = UserOperationEvent::decode_log(&log.inner).ok()?;
        let position = receipt.inner.logs().iter().position(|other| other.log_index == log.log_index)?;
        Some(Self { hash: event.userOpHash, entry_point: log.address(), event: event.data, receipt, position })
    }

    /// Reads it from the receipt of the transaction that the index names.
    pub(crate) fn of(event: &Event, receipt: Arc<TransactionReceipt>) -> Option<Self> {
        if receipt.block_hash != Some(event.block_hash) {
            return None;
        }
        let log = receipt.inner.logs().iter().find(|log| log.log_index == Some(event.log_index))?.clone();
        Self::new(&log, receipt).filter(|inclusion| inclusion.hash == event.hash)
    }

    /// Where it was executed, for the index.
    pub(crate) fn event(&self) -> Event {
        Event {
            hash: self.hash,
            entry_point: self.entry_point,
            transaction: self.receipt.transaction_hash,
            block: self.receipt.block_number.unwrap_or_default(),
            block_hash: self.receipt.block_hash.unwrap_or_default(),
            log_index: self.receipt.inner.logs()[self.position].log_index.unwrap_or_default(),
            success: self.event.success,
        }
    }

    /// The transaction that executed it.
    pub(crate) fn transaction(&self) -> B256 {
        self.receipt.transaction_hash
    }

    /// Logs of this operation alone: after the one before it, or after validation, up to its own event.
    fn logs(&self) -> &[Log] {
        let logs = self.receipt.inner.logs();
        let ends_another = |log: &Log| {
            log.address() == self.entry_point
                && log.topics().first().is_some_and(|topic| {
                    *topic == UserOperationEvent::SIGNATURE_HASH || *topic == BeforeExecution::SIGNATURE_HASH
                })
        };
        let start = logs[..self.position].iter().rposition(ends_another).map_or(0, |position| position + 1);
        &logs[start..self.position]
    }

    /// What the account reverted with, if it did.
    fn revert_reason(&self) -> Option<Bytes> {
        self.logs()
            .iter()
            .filter(|log| log.address() == self.entry_point)
            .find_map(|log| UserOperationRevertReason::decode_log(&log.inner).ok())
            .filter(|event| event.userOpHash == self.hash)
            .map(|event| event.data.revertReason)
    }

    /// The answer of `eth_getUserOperationReceipt`.
    pub(crate) fn to_json(&self) -> Value {
        let mut answer = self.head_json();
        answer["receipt"] = json!(&*self.receipt);
        answer
    }

    /// The same without the member `receipt`, which all operations of a bundle share.
    pub(crate) fn head_json(&self) -> Value {
        let event = &self.event;
        let mut answer = json!({
            "userOpHash": self.hash,
            "entryPoint": self.entry_point,
            "sender": event.sender,
            "nonce": event.nonce,
            "paymaster": event.paymaster,
            "actualGasCost": event.actualGasCost,
            "actualGasUsed": U256::from(event.actualGasUsed),
            "success": event.success,
            "logs": self.logs(),
        });
        if let Some(reason) = self.revert_reason() {
            answer["reason"] = json!(reason);
        }
        answer
    }
}
