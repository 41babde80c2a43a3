//! What was done with sessions, in a chain of hashes: none can be taken out unseen.

use alloy::primitives::{B256, U256, keccak256};
use serde::{Deserialize, Serialize};

use super::State;

/// Something that was done to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "each says it")]
pub enum Event {
    /// Asked for; `summary` is the policy in words.
    Requested { summary: String },
    /// An owner agreed.
    Granted,
    /// It stands elsewhere now.
    StateChanged { state: State },
    /// An operation was signed.
    Signed { user_op_hash: B256, nonce: U256 },
    /// A signed operation was taken back before anybody else saw it.
    Released { nonce: U256 },
    /// A voucher was signed; `session` is the conversation.
    VoucherSigned { session: B256, amount: U256 },
    /// Nothing was signed.
    Refused { reason: String },
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Unix time.
    pub time: u64,
    /// The session.
    pub id: B256,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// Hash of this entry and of the one before.
    pub hash: B256,
}

impl Entry {
    /// The entry after the one with hash `before`.
    pub(crate) fn after(before: B256, time: u64, id: B256, event: Event) -> Self {
        Self { time, id, hash: entry_hash(before, time, id, &event), event }
    }
}

/// What an entry's hash must be after the one with hash `before`.
pub fn entry_hash(before: B256, time: u64, id: B256, event: &Event) -> B256 {
    let event = serde_json::to_vec(event).unwrap_or_default();
    keccak256([before.as_slice(), &time.to_be_bytes(), id.as_slice(), &event].concat())
}
