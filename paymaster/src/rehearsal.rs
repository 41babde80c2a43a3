//! An operation is run before it is signed for, by whoever has an EVM: this crate has none.

use std::{fmt::Debug, future::Future, pin::Pin};

use alloy::primitives::Address;
use erc4337::UserOperation;

/// Why an operation is not signed for after it was run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrehearsed {
    /// The account's calls, or the paymaster's `postOp`, fail on the state as it is with what is pending.
    #[error("the operation's execution would revert: {0}")]
    Reverts(String),
    /// It could not be run: nothing is known about it, and nothing is signed.
    #[error("the operation could not be simulated: {0}")]
    Unknown(String),
}

/// What a [`Rehearsal`] answers, in time.
pub type Rehearsed<'a> = Pin<Box<dyn Future<Output = Result<(), Unrehearsed>> + Send + 'a>>;

/// Runs whole operations on the pending state.
pub trait Rehearsal: Debug + Send + Sync {
    /// Runs this one as if its signatures were good. A validation that fails is not for us to judge: such an operation
    /// is never included and costs nothing, and clients need not send a signature that an account can read.
    fn rehearse(&self, op: UserOperation, entry_point: Address) -> Rehearsed<'_>;
}
