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
    /// It does not come as far as its calls: its validation fails, or our own bundler would not take it.
    #[error(
        "the operation cannot be run as it is, and what was not run is not sponsored: {0}. Its signature must have the form \
         that the account reads, its nonce be the next"
    )]
    Invalid(String),
    /// It could not be run: nothing is known about it, and nothing is signed.
    #[error("the operation could not be simulated: {0}")]
    Unknown(String),
}

/// What an operation that was run needs, in gas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The most that pays for what the EntryPoint does not meter, in a bundle of one.
    pub pre_verification_gas: u128,
    /// Account creation and validation.
    pub verification_gas_limit: u128,
    /// The account's call.
    pub call_gas_limit: u128,
    /// Paymaster validation, v0.7 and later.
    pub paymaster_verification_gas_limit: u128,
    /// Paymaster postOp, v0.7 and later.
    pub paymaster_post_op_gas_limit: u128,
}

/// Whether an operation's signatures are its real ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// Not yet: one that does not fit counts as if it did.
    Awaited,
    /// They are, and must be good.
    Given,
}

/// What a [`Rehearsal`] answers, in time.
pub type Rehearsed<'a> = Pin<Box<dyn Future<Output = Result<Needs, Unrehearsed>> + Send + 'a>>;

/// Runs whole operations on the pending state.
pub trait Rehearsal: Debug + Send + Sync {
    /// Runs this one with exactly its limits.
    fn rehearse(&self, op: UserOperation, entry_point: Address, signatures: Signatures) -> Rehearsed<'_>;
}
