//! A policy file as it is written. An unknown key is an error.

use serde::Deserialize;
use toml::{Spanned, value::Datetime};

use super::{job::Kind, job::Party, limits::Per};

/// A value that is checked after parsing, with its place for the error.
type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) id: Option<Text>,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) default: bool,
    pub(super) starts: Option<Spanned<Datetime>>,
    pub(super) ends: Option<Spanned<Datetime>>,
    #[serde(default)]
    pub(super) chains: Vec<u64>,
    #[serde(default)]
    pub(super) entry_points: Vec<Text>,
    #[serde(default)]
    pub(super) key: Vec<Key>,
    #[serde(default)]
    pub(super) senders: Senders,
    #[serde(default)]
    pub(super) account: Account,
    #[serde(default)]
    pub(super) calls: Calls,
    #[serde(default)]
    pub(super) call: Vec<Call>,
    #[serde(default)]
    pub(super) gas: Gas,
    #[serde(default)]
    pub(super) limit: Vec<Limit>,
    pub(super) price: Option<Price>,
    pub(super) webhook: Option<Webhook>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub(super) name: Text,
    pub(super) sha256: Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Senders {
    pub(super) allow: Vec<Text>,
    pub(super) block: Vec<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Account {
    pub(super) factories: Vec<Text>,
    pub(super) delegates: Vec<Text>,
    pub(super) code_hashes: Vec<Text>,
    pub(super) implementations: Vec<Text>,
    pub(super) existing: Existing,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Existing {
    #[default]
    Listed,
    Any,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Calls {
    pub(super) unreadable: Answer,
    pub(super) none: Answer,
    pub(super) to_itself: Itself,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Answer {
    #[default]
    Deny,
    Allow,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Itself {
    #[default]
    Deny,
    Read,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) name: Option<Text>,
    pub(super) to: Option<Vec<Text>>,
    pub(super) functions: Option<Vec<Text>>,
    #[serde(default)]
    pub(super) plain: bool,
    pub(super) value: Option<Text>,
    #[serde(default)]
    pub(super) delegatecall: bool,
    pub(super) bytes: Option<usize>,
    #[serde(default)]
    pub(super) arguments: Vec<Spanned<Argument>>,
    pub(super) job: Option<Job>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Argument {
    pub(super) word: usize,
    pub(super) eq: Option<Text>,
    pub(super) lt: Option<Text>,
    pub(super) gt: Option<Text>,
    #[serde(rename = "in")]
    pub(super) one_of: Option<Vec<Text>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Job {
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) word: usize,
    #[serde(default)]
    pub(super) states: Vec<Text>,
    #[serde(default)]
    pub(super) parties: Vec<Party>,
    pub(super) operations: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gas {
    pub(super) max_fee_per_gas: Option<Text>,
    pub(super) max_priority_fee_per_gas: Option<Text>,
    pub(super) pre_verification_gas: Option<u64>,
    pub(super) verification_gas_limit: Option<u64>,
    pub(super) call_gas_limit: Option<u64>,
    pub(super) times_simulated: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    pub(super) per: Per,
    pub(super) amount: Text,
    pub(super) every: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Price {
    pub(super) usd_per_ether: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Webhook {
    pub(super) url: Text,
    pub(super) timeout: Option<Text>,
    #[serde(default)]
    pub(super) on_failure: Answer,
}
