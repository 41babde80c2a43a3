//! What is sponsored: pure decisions over an operation, its calls and what the chain says about both.
//!
//! ```text
//!  file ─► compile ─► Policy ─┬─ questions(op) ─► (asked of one block) ─► Facts
//!                             └─ decide(op, facts) ─► Decision: each call's rule, what is charged, or why not
//! ```
//!
//! - `encodings`, `batch`: from `callData` to every call that the account makes, or an error.
//! - `call_rule`, `job`, `account`, `gas`, `limits`: one kind of rule each.
//! - `decide`: all of them, in the order of what is cheapest to say no by.
//! - `file`, `json`, `units`, `compile`, `error`: from TOML or JSON to a [`Policy`]; errors name file, line and field.
//!
//! Deny by default: what no rule allows, and what cannot be read, is not sponsored.

mod account;
mod batch;
mod call_rule;
mod compile;
mod decide;
mod denial;
mod encodings;
mod error;
mod file;
mod gas;
mod job;
mod json;
mod limits;
mod units;

use std::collections::BTreeSet;

use alloy::primitives::{Address, U256};
use erc4337::EntryPointVersion;

pub use account::{AccountRules, IMPLEMENTATION_SLOT, OnChain};
pub use batch::{Step, Unreadable, steps};
pub use call_rule::{Argument, CallRule, Condition, Targets};
pub use compile::{Names, compile};
pub use decide::{Asker, CallReport, Decision, Facts, Question};
pub use denial::{CallDenial, Denial};
pub(crate) use denial::{owner, unit_name};
pub use encodings::{Asked, UnreadableCalls};
pub use error::PolicyError;
pub use gas::{GasRules, Simulated};
pub use job::{Job, JobDenial, JobKey, JobRule, Jobs, Kind, Party};
pub(crate) use json::is_json;
pub use limits::{JobCount, Limit, Payer, Per, job_usage, policy_usage};

use crate::api_key::KeyHash;

/// What is sponsored where nobody says otherwise: the marketplace's own calls.
pub const MARKETPLACE: &str = include_str!("marketplace.toml");

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Named in URLs, in answers and in the names of budgets.
    pub id: String,
    /// For people.
    pub description: String,
    /// Whether it is taken where nothing chooses one.
    pub is_default: bool,
    /// Names and hashes of API keys; if there are any, one is needed.
    pub keys: Vec<(String, KeyHash)>,
    /// Seconds since 1970 before which nothing is sponsored.
    pub starts: Option<u64>,
    /// Seconds since 1970 from which on nothing is.
    pub ends: Option<u64>,
    /// EIP-155 ids; empty: any that is served.
    pub chains: BTreeSet<u64>,
    /// Empty: any that is served.
    pub entry_points: BTreeSet<EntryPointVersion>,
    /// Accounts that alone are sponsored, if there are any.
    pub allowed: BTreeSet<Address>,
    /// Accounts that are not.
    pub blocked: BTreeSet<Address>,
    /// Whose code reads the calls.
    pub account: AccountRules,
    /// Whether calls of the account to itself that make calls stand for these.
    pub into_itself: bool,
    /// Whether an operation that makes no calls is sponsored.
    pub no_calls: bool,
    /// Whether calls that cannot be read are sponsored. Then anything is.
    pub unreadable: bool,
    /// Calls that are sponsored.
    pub calls: Vec<CallRule>,
    /// Ceilings on gas and its price.
    pub gas: GasRules,
    /// How much.
    pub limits: Vec<Limit>,
    /// Millionths of a US dollar for one ether.
    pub price: Option<U256>,
    /// Who is asked besides.
    pub webhook: Option<Webhook>,
    /// The text it was made from.
    pub source: String,
}

/// Somebody who has a word in each sponsorship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// `http://` or `https://`.
    pub url: String,
    /// How long is waited, in milliseconds.
    pub timeout: u64,
    /// Whether what it does not answer is sponsored.
    pub sponsors_on_failure: bool,
}
