//! Sponsorship over ERC-7677: who is paid for is decided here, and nowhere else.
//!
//! ```text
//!  pm_getPaymasterStubData ─┐                                              ┌─ refused ──► -32050, with rule, call and reason
//!                           ├─► policies ─► policy ─► rehearsal ─► ledger ─┤
//!  pm_getPaymasterData ─────┘                                              └─ granted ──► sign ─► paymasterData
//! ```
//!
//! - [`rpc`]: the methods; parameters in, JSON out. - [`service`]: what they do, for others to call too.
//! - [`policies`]: which policy a request is under: by URL path, API key or context; read from files, anew when they change.
//! - [`policy`]: a pure decision over the decoded calls of an operation. [`chain`]: what it asks of the chain.
//!   `webhook`: somebody else's word on it.
//! - [`rehearsal`]: the operation is run before it is signed for, by somebody who has an EVM.
//! - [`ledger`]: how much is promised, to everybody and to each, until the chain says what it cost.
//! - [`admin`]: the operator's side: policies, budgets, usage, pause, audit log.
//! - [`token`]: gas that the account pays for in a token.
//! - [`sign`]: the EIP-712 signature that the VerifyingPaymaster contract checks.
//!
//! Invariants: deny by default, at the stub already; what is signed is every field of the operation; the same
//! operation asked for twice within a minute gets the same answer; no signature is given whose worst case is not set aside.

pub mod admin;
pub mod api_key;
pub mod chain;
pub mod ledger;
pub mod policies;
pub mod policy;
mod refusal;
pub mod rehearsal;
pub mod rpc;
pub mod service;
pub mod sign;
pub mod token;
mod webhook;

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use erc4337::EntryPointVersion;

pub use chain::Chain;
pub use ledger::Ledger;
pub use policies::{Caller, Policies, PolicySet, Scope};
pub use policy::{Denial, Policy};
pub use refusal::Refusal;
pub use rehearsal::Rehearsal;
pub use service::{Ask, Service, Terms};
pub use sign::Sponsor;

/// Settings of the paymaster service.
#[derive(Clone, Debug)]
pub struct Config {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Paymaster contracts by the EntryPoint they are deposited with.
    pub paymasters: BTreeMap<Address, Deployed>,
    /// How much is sponsored in a day, under all policies together.
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
