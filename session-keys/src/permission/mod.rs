//! ERC-7715 permission requests: parsed, attenuated, made a [`Policy`], answered.
//!
//! ```text
//!  {chainId, from, to, permission: {type, isAdjustmentAllowed, data}, rules} ──► Policy ──► the same, as it is granted,
//!                                                                              with context, summary and typed data
//! ```
//!
//! What a wallet may change it makes smaller, and only if `isAdjustmentAllowed`; else it refuses. A permission never
//! allows more than was asked for.

mod terms;
mod typed_data;

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use terms::{Asked, Grantable};
pub use typed_data::typed_data;

/// What is asked for, and what is answered: the answer says what was made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PermissionRequest {
    /// EIP-155 chain id.
    pub chain_id: U256,
    /// The account.
    pub from: Address,
    /// The session key's address, or for a P-256 key what stands for it.
    pub to: Address,
    /// What is to be allowed.
    pub permission: Permission,
    /// Restrictions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// How the account is created, if it is not yet. ERC-7715 has it in answers only; here it is told by whoever knows.
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
    /// Ours: the permission that this one takes the place of; both are good until that one is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<B256>,
}

/// A kind of right, and how much of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// Which kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether less may be granted.
    #[serde(default)]
    pub is_adjustment_allowed: bool,
    /// How much.
    pub data: Value,
}

/// A restriction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Which kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// What exactly.
    pub data: Value,
}

/// A call that creates the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Who creates it.
    pub factory: Address,
    /// The call.
    pub factory_data: Bytes,
}

/// Why a request cannot be granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGrantable {
    /// Another kind of permission than those served.
    #[error("permission.type: {0} is not supported")]
    Type(String),
    /// A rule that would not be kept.
    #[error("rules: {0} is not supported")]
    Rule(String),
    /// A field is missing or malformed.
    #[error("{field}: {problem}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Less could be granted, if that were allowed.
    #[error("{field}: {most} is the most, and isAdjustmentAllowed is false")]
    TooMuch {
        /// Which field.
        field: &'static str,
        /// The most.
        most: String,
    },
}

impl NotGrantable {
    /// The field that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Type(_) => "permission.type",
            Self::Rule(_) => "rules",
            Self::Field { field, .. } | Self::TooMuch { field, .. } => field,
        }
    }
}

/// One token may be sent, so much a period.
pub const ERC20_PERIODIC: &str = "erc20-token-periodic";
/// One token may be sent, so much in all.
pub const ERC20_ALLOWANCE: &str = "erc20-token-allowance";
/// Native currency may be sent, so much a period.
pub const NATIVE_PERIODIC: &str = "native-token-periodic";
/// Native currency may be sent, so much in all.
pub const NATIVE_ALLOWANCE: &str = "native-token-allowance";
/// Ours: jobs and streaming sessions on the marketplace, so much a period and in all.
pub const MARKETPLACE: &str = "fabstir-marketplace";

/// Ends at `timestamp`.
pub const EXPIRY: &str = "expiry";
/// Pays only these `addresses`. Native currency needs it: an account's session names whom it calls.
pub const PAYEE: &str = "payee";
/// Ours: the account pays for gas, at most `limit` wei in all; without it, the paymaster of this service pays.
pub const GAS_BUDGET: &str = "gas-budget";

/// What is served, by type, as `wallet_getSupportedExecutionPermissions` answers it.
pub fn supported(chain_id: u64) -> BTreeMap<&'static str, Value> {
    let rules = |kind| match kind {
        MARKETPLACE => vec![EXPIRY, GAS_BUDGET],
        _ => vec![EXPIRY, PAYEE, GAS_BUDGET],
    };
    let kinds = [ERC20_PERIODIC, ERC20_ALLOWANCE, NATIVE_PERIODIC, NATIVE_ALLOWANCE, MARKETPLACE];
    let describe = |kind| serde_json::json!({ "chainIds": [U256::from(chain_id)], "ruleTypes": rules(kind) });
    kinds.into_iter().map(|kind| (kind, describe(kind))).collect()
}
