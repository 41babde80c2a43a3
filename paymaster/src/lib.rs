//! Sponsorship over ERC-7677: who is paid for is decided here, and nowhere else.
//!
//! ```text
//!  pm_getPaymasterStubData ─┐                                       ┌─ refused ──► -32050, with the reason
//!                           ├─► policy ─► rehearsal ─► ledger ──────┤
//!  pm_getPaymasterData ─────┘                                       └─ granted ──► sign ─► paymasterData
//! ```
//!
//! - [`rpc`]: the methods; parameters in, JSON out. - [`service`]: what they do, for others to call too.
//! - [`policy`]: a pure decision over the decoded calls of an operation.
//! - [`rehearsal`]: the operation is run before it is signed for, by somebody who has an EVM.
//! - [`ledger`]: how much is promised, to everybody and to each, until the chain says what it cost.
//! - [`token`]: gas that the account pays for in a token.
//! - [`sign`]: the EIP-712 signature that the VerifyingPaymaster contract checks.
//!
//! Invariants: deny by default, at the stub already; what is signed is every field of the operation; the same
//! operation asked for twice within a minute gets the same answer; no signature is given whose worst case is not set aside.

pub mod ledger;
pub mod policy;
pub mod rehearsal;
pub mod rpc;
pub mod service;
pub mod sign;
pub mod token;

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use erc4337::EntryPointVersion;

pub use ledger::Ledger;
pub use policy::{Denial, Policy};
pub use rehearsal::Rehearsal;
pub use service::Service;
pub use sign::Sponsor;

/// Settings of the paymaster service.
#[derive(Clone, Debug)]
pub struct Config {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Paymaster contracts by the EntryPoint they are deposited with.
    pub paymasters: BTreeMap<Address, Deployed>,
    /// What is sponsored.
    pub policy: Policy,
    /// How much of it in a day.
    pub limits: Limits,
}

/// A paymaster contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Of the EntryPoint.
    pub version: EntryPointVersion,
    /// Of the paymaster.
    pub paymaster: Address,
}

/// What may be promised in a day, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To all senders together.
    pub total: U256,
    /// To one of them.
    pub per_sender: U256,
}

/// Seconds that [`Limits`] are for.
pub const DAY: u64 = 86_400;

impl Limits {
    /// The buckets that an operation of this sender is charged to.
    pub fn charges(&self, sender: Address) -> Vec<ledger::Charge> {
        let of = |bucket: String, limit| ledger::Charge { bucket, unit: ledger::Unit::Wei, limit, period: DAY };
        vec![of("all".into(), self.total), of(format!("sender/{sender}"), self.per_sender)]
    }
}
