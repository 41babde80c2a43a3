//! What the paymaster asks of the chain, and of an EVM: answered by whoever runs it.

use std::{fmt, future::Future, pin::Pin};

use alloy::primitives::{Address, Bytes, U256};
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

/// Whoever knows the chain.
pub trait Chain: fmt::Debug + Send + Sync + 'static {
    /// The answers, all as of the newest block; `None` for a call that reverts.
    fn read(&self, reads: Vec<Read>) -> Later<'_, Vec<Option<Bytes>>>;

    /// What gas the operation needs on the newest state: all limits that it leaves open.
    fn simulate(&self, operation: UserOperationRequest, entry_point: Address) -> Later<'_, Simulated>;
}
