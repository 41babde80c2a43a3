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

use std::{collections::BTreeMap, net::IpAddr};

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

/// Of what all may be sponsored, those without an API key may be 3 in 4 together.
const KEYLESS: (u64, u64) = (3, 4);
/// Each of them by its network address, 1 in 10.
const CALLER: (u64, u64) = (1, 10);
/// Those for accounts that they have not asked for successfully before, 1 in 2; and of what one account may be, as much.
const STRANGERS: (u64, u64) = (1, 2);

fn part(of: U256, (share, whole): (u64, u64)) -> U256 {
    of / U256::from(whole) * U256::from(share)
}

/// Seconds that [`Limits`] are for.
pub const DAY: u64 = 86_400;

fn daily(bucket: String, limit: U256) -> ledger::Charge {
    ledger::Charge { bucket, unit: ledger::Unit::Wei, limit, period: DAY }
}

impl Limits {
    /// The buckets that an operation of this sender is charged to.
    pub fn charges(&self, sender: Address) -> Vec<ledger::Charge> {
        vec![daily("all".into(), self.total), daily(format!("sender/{sender}"), self.per_sender)]
    }

    /// The buckets that whoever has no API key is charged to besides, by network address; so that keys' holders have room
    /// however many others ask.
    pub fn of_keyless(&self, address: IpAddr) -> Vec<ledger::Charge> {
        vec![
            daily("keyless".into(), part(self.total, KEYLESS)),
            daily(format!("caller/{address}"), part(self.total, CALLER)),
        ]
    }

    /// The buckets of requests for this account by those who have not asked for it successfully before: its own owner has the
    /// rest, however many others name it.
    pub fn of_strangers(&self, sender: Address) -> Vec<ledger::Charge> {
        vec![
            daily("strangers".into(), part(self.total, STRANGERS)),
            daily(format!("for/{sender}"), part(self.per_sender, STRANGERS)),
        ]
    }
}
