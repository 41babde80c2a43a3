//! What a session key may do: one type for the chain, the signing service, wallets and consoles.
//!
//! ```text
//!  JSON ◄─serde─► Policy ──encode──► Session (our account, on chain)     both ways
//!                   │  └──spend_permission──► SpendPermission (Coinbase)
//!                   ├──judge(counters, operation)──► what is spent, or the account's own revert
//!                   └──summary──► "up to 5 USDC a day on JobMarketplace until 3 December"
//! ```
//!
//! Invariant: [`judge`](Policy::judge) says what `SmartAccount.validateUserOp` says, revert data included. A test
//! executes both on random policies and operations.

pub mod calldata;
pub mod check;
pub mod encode;
pub mod judge;
pub mod marketplace;
pub(crate) mod quantity;
pub mod rules;
pub mod spend_permission;
pub mod summary;

use alloy::primitives::{Address, B256, FixedBytes, U256};
use serde::{Deserialize, Serialize};

use crate::public::PublicKey;

/// JSON schema of [`Policy`], draft 2020-12.
pub const SCHEMA: &str = include_str!("policy.schema.json");

/// All that a session key may do. The session's id is the hash of this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// The session key.
    pub key: PublicKey,
    /// First second of the session, and of its period 0 (Unix time).
    pub valid_after: u64,
    /// Last second of the session (Unix time).
    pub valid_until: u64,
    /// Length of a period in seconds; 0 makes the whole session one period.
    #[serde(default)]
    pub period: u64,
    /// Most operations; `None` is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u32>,
    /// Must be the account's session epoch.
    #[serde(default)]
    pub epoch: u64,
    /// Tells sessions of equal content apart.
    pub salt: U256,
    /// Who must pay for gas; `None`: the account pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paymaster: Option<Address>,
    /// Most wei of gas the operations may cost at their worst. With a paymaster, zero is no limit.
    #[serde(default, with = "quantity")]
    pub gas_budget: u128,
    /// What may be spent.
    #[serde(default)]
    pub limits: Vec<SpendLimit>,
    /// What may be called; everything else is denied.
    #[serde(default)]
    pub calls: Vec<CallRule>,
    /// What may be signed for the account.
    #[serde(default)]
    pub vouchers: Vec<VoucherRight>,
}

/// How much of a token may be spent. Both limits are inclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpendLimit {
    /// The token; zero is native currency.
    pub token: Address,
    /// Most base units in one period, below 2^104.
    #[serde(with = "quantity")]
    pub per_period: u128,
    /// Most base units in the session's life, below 2^104.
    #[serde(with = "quantity")]
    pub total: u128,
}

/// A call that may be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallRule {
    /// The contract.
    pub target: Address,
    /// The function; zero allows a plain transfer of native currency, without data.
    pub selector: FixedBytes<4>,
    /// Most bytes of calldata, selector included.
    pub max_length: u32,
    /// Number of the spend limit (from 1) that counts native currency sent; 0 allows none.
    #[serde(default)]
    pub value_limit: u8,
    /// Number of the spend limit (from 1) that counts an argument; 0 counts none.
    #[serde(default)]
    pub amount_limit: u8,
    /// Index of the counted argument's word.
    #[serde(default)]
    pub amount_word: u8,
    /// Rules that must all hold.
    #[serde(default)]
    pub arguments: Vec<ArgumentRule>,
}

/// What one argument must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArgumentRule {
    /// Index of the 32-byte word after the selector.
    pub word: u8,
    /// What it is compared with.
    pub must_be: Condition,
}

/// How an argument is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Condition {
    /// Equal to one of these words; of none, never.
    OneOf(Vec<B256>),
    /// At most this, as an unsigned integer.
    AtMost(B256),
    /// At least this, as an unsigned integer.
    AtLeast(B256),
    /// The account's own address.
    Account,
}

/// The right to sign one kind of EIP-712 message for the account through ERC-1271.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VoucherRight {
    /// EIP-712 domain of the contract that takes the message.
    pub domain_separator: B256,
    /// EIP-712 type of the message; its fields are all static.
    pub type_hash: B256,
    /// Index of the field that is limited.
    pub amount_field: u8,
    /// Most that field may say, inclusive.
    pub max_amount: U256,
}
