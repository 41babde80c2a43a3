//! What the paymaster asks of the chain, and of an EVM: answered by whoever runs it.

use std::{fmt, future::Future, pin::Pin};

use alloy::primitives::{Address, B256, Bytes, U256};
use erc4337::UserOperationRequest;

use crate::policy::Simulated;

/// An answer that comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unanswered>> + Send + 'a>>;

/// One read of the chain's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The code at an address.
    Code(Address),
    /// A storage slot.
    Storage(Address, U256),
    /// What a contract answers.
    Call {
        /// The contract.
        to: Address,
        /// Calldata.
        data: Bytes,
    },
}

/// The chain did not say. What depends on it is not sponsored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chain cannot be read: {0}")]
pub struct Unanswered(pub String);

/// What was read, and of which block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Its hash.
    pub block: B256,
    /// In the order of the reads; `None` for a call that reverts.
    pub values: Vec<Option<Bytes>>,
}

/// Whoever knows the chain.
pub trait Chain: fmt::Debug + Send + Sync + 'static {
    /// The second, since 1970, that the next block has at the latest. Its own clock, not ours: what is signed has to hold
    /// in its blocks.
    fn time(&self) -> u64;

    /// Wei for each gas that nobody has to tip more than, however great the hurry; whoever bundles an operation is paid what it
    /// tips.
    fn most_tip(&self) -> u128 {
        u128::MAX
    }

    /// Seconds since 1970 by our clock: for periods of budgets, which people read.
    fn clock(&self) -> u64 {
        crate::service::unix_now()
    }

    /// The answers, all as of one block: the newest that operations are simulated on.
    fn read(&self, reads: Vec<Read>) -> Later<'_, Answers>;

    /// Whether reads are now of a block after this one. If the node has one that was not taken in yet, waits for it.
    fn after(&self, block: B256) -> Later<'_, bool>;

    /// What gas the operation needs on that block's state: all limits that it leaves open.
    fn simulate(&self, operation: UserOperationRequest, entry_point: Address) -> Later<'_, Simulated>;
}
