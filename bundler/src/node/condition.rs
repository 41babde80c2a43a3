//! Transactions under a condition: by which method an endpoint takes them, and how each wants it said.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, U64, U256};
use jsonrpsee::{core::params::ArrayParams, rpc_params};
use serde_json::{Value, json};

use super::NodeError;

/// Slots that a sequencer of the OP stack looks up at most is 1,000, each account counted too.
const MOST_SLOTS: usize = 900;
/// Predicates that Base takes at most, with one for the block.
const MOST_PREDICATES: usize = 64;
/// OP stack: the transaction was rejected for its condition, or there is nobody to judge it.
const REJECTED: i32 = -32_003;

/// What must be so for a transaction to be included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition {
    /// Words that must be as they are.
    pub(crate) exactly: Vec<Word>,
    /// Those of `at_least` that come near it: for whoever can only compare for equality.
    pub(crate) scarce: Vec<Word>,
    /// Words that must not be less.
    pub(crate) at_least: Vec<Word>,
    /// Seconds since 1970 after which it is void.
    pub(crate) until: u64,
    /// Block after which it is void.
    pub(crate) until_block: u64,
}

/// A word of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) account: Address,
    pub(crate) slot: U256,
    /// The bits of it that are compared.
    pub(crate) mask: U256,
    pub(crate) value: U256,
}

/// How an endpoint takes a transaction under a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// `eth_sendRawTransactionConditional` (ERC-7796): words are compared for equality.
    Conditional,
    /// `base_sendRawTransactionValidity`: predicates, looked at when a block is built.
    Validity,
}

impl Method {
    /// The one that tells at once of a condition that does not hold is tried first.
    pub(super) const ALL: [Self; 2] = [Self::Conditional, Self::Validity];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Conditional => "eth_sendRawTransactionConditional",
            Self::Validity => "base_sendRawTransactionValidity",
        }
    }

    /// The transaction under this condition.
    pub(super) fn params(self, raw: &Bytes, condition: &Condition) -> ArrayParams {
        match self {
            Self::Conditional => rpc_params![raw, condition.known_accounts()],
            Self::Validity => rpc_params![raw, condition.predicates()],
        }
    }

    /// What no endpoint can take, to see whether it has the method: a transaction of no bytes.
    pub(super) fn probe(self) -> ArrayParams {
        self.params(&Bytes::new(), &Condition { until: u64::MAX, until_block: u64::MAX, ..Condition::default() })
    }
}

impl Condition {
    fn known_accounts(&self) -> Value {
        let mut accounts: BTreeMap<Address, BTreeMap<B256, B256>> = BTreeMap::new();
        for word in self.exactly.iter().chain(&self.scarce).take(MOST_SLOTS) {
            accounts.entry(word.account).or_default().insert(word.slot.into(), word.value.into());
        }
        json!({ "knownAccounts": accounts, "timestampMax": U64::from(self.until) })
    }

    fn predicates(&self) -> Value {
        let storage = |op: &'static str| {
            move |Word { account, slot, mask, value }: &Word| {
                let params = json!({ "address": account, "slot": slot, "mask": mask, "op": op, "value": value });
                json!({ "type": "storage", "params": params })
            }
        };
        let until = json!({ "op": "<=", "value": U256::from(self.until_block) });
        let mut predicates = vec![json!({ "type": "block_number", "params": until })];
        predicates.extend(self.exactly.iter().map(storage("=")));
        predicates.extend(self.at_least.iter().map(storage(">=")));
        predicates.truncate(MOST_PREDICATES);
        json!({ "validity": predicates })
    }
}

/// What a refusal of a transaction under a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such method, or not for us.
    Unserved,
    /// The condition does not hold.
    Overtaken,
    /// Something about the transaction.
    Other,
}

impl Refusal {
    /// What this error says, if it is a refusal.
    pub(super) fn of(error: &NodeError) -> Option<Self> {
        let NodeError::Refused { code, message, .. } = error else { return None };
        let message = message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
        // Of a header, a block or a kind of transaction the same is said, and nothing about the method.
        let missing = ["not found", "does not exist", "not available", "not supported", "unsupported", "unknown"];
        let unserved =
            ["not whitelisted", "disabled", "authenticat", "entrypoint", "validity_signature", "validity signature"];
        Some(match *code {
            // Method not found (JSON-RPC), method not supported (EIP-1474).
            -32_601 | -32_004 => Self::Unserved,
            // Whoever knows the method and cannot read the transaction says so; others cannot read the request.
            -32_602 | -32_600 if !is_about_transaction(&message) => Self::Unserved,
            _ if says(&unserved) || says(&["method"]) && says(&missing) => Self::Unserved,
            REJECTED => Self::Overtaken,
            _ => Self::Other,
        })
    }
}

/// Whether a method that is served has said this to a transaction of no bytes.
pub(super) fn knows_the_method(error: &NodeError) -> bool {
    let NodeError::Refused { message, .. } = error else { return false };
    Refusal::of(error) == Some(Refusal::Other) && is_about_transaction(&message.to_ascii_lowercase())
}

fn is_about_transaction(message: &str) -> bool {
    ["transaction", "rlp", "decod", "too short", "empty", "eof"].iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i32, message: &str) -> Option<Refusal> {
        Refusal::of(&NodeError::Refused { method: "m", code, message: message.into(), data: None })
    }

    #[test]
    fn a_refusal_tells_that_there_is_no_such_method_from_a_condition_that_does_not_hold() {
        assert_eq!(refused(-32_601, "Method not found"), Some(Refusal::Unserved));
        assert_eq!(refused(-32_000, "the method x does not exist/is not available"), Some(Refusal::Unserved));
        for words in ["endpoint disabled", "missing authentication", "only 4337 Entrypoint contract support"] {
            assert_eq!(refused(-32_003, words), Some(Refusal::Unserved), "{words}");
        }
        assert_eq!(refused(-32_003, "failed storage slot constraint"), Some(Refusal::Overtaken));
        // A transaction of no bytes, where the method is served.
        assert_eq!(refused(-32_000, "typed transaction too short"), Some(Refusal::Other));
        assert_eq!(refused(-32_602, "failed to decode transaction: empty"), Some(Refusal::Other));
        // As anvil has it over WebSocket, and others who look for no method first.
        let odd = "data did not match any variant of untagged enum EthRpcCall";
        assert_eq!(refused(-32_602, odd), Some(Refusal::Unserved));
        for (code, words, known) in [
            (-32_000, "typed transaction too short", true),
            (-32_602, "failed to decode transaction: empty", true),
            (-32_602, odd, false),
            (-32_603, "internal error", false),
            (-32_601, "no transaction method of this name", false),
        ] {
            let error = NodeError::Refused { method: "m", code, message: words.into(), data: None };
            assert_eq!(knows_the_method(&error), known, "{words}");
        }
        // What is wrong with one transaction, or passes by itself, is nothing about the method.
        for words in [
            "header not found",
            "transaction type not supported",
            "block not found: 0x12",
            "account 0x01 does not exist",
            "state is not available",
            "over rate limit",
        ] {
            assert_eq!(refused(-32_000, words), Some(Refusal::Other), "{words}");
        }
        assert_eq!(Refusal::of(&NodeError::Transport { method: "m", reason: "timed out".into() }), None);
    }

    #[test]
    fn a_condition_is_said_as_each_method_wants_it() {
        let word = |slot: u64, value: u64| Word {
            account: Address::repeat_byte(1),
            slot: U256::from(slot),
            mask: U256::MAX,
            value: U256::from(value),
        };
        let condition = Condition {
            exactly: vec![word(1, 7)],
            scarce: vec![word(2, 50)],
            at_least: vec![word(2, 40), word(3, 30)],
            until: 99,
            until_block: 12,
        };
        let known = condition.known_accounts();
        let slots = &known["knownAccounts"][Address::repeat_byte(1).to_string().to_lowercase()];
        assert_eq!(slots.as_object().unwrap().len(), 2);
        assert_eq!(slots[B256::with_last_byte(1).to_string()], json!(B256::with_last_byte(7)));
        assert_eq!(known["timestampMax"], "0x63");
        let predicates = condition.predicates();
        let predicates = predicates["validity"].as_array().unwrap();
        assert_eq!(predicates[0], json!({ "type": "block_number", "params": { "op": "<=", "value": "0xc" } }));
        let ops: Vec<_> = predicates.iter().map(|it| it["params"]["op"].as_str().unwrap()).collect();
        assert_eq!(ops, ["<=", "=", ">=", ">="]);
        assert_eq!(predicates[1]["params"]["value"], "0x7");
    }

    #[test]
    fn no_more_is_asked_than_is_taken() {
        let word = Word { account: Address::ZERO, slot: U256::ZERO, mask: U256::MAX, value: U256::ZERO };
        let exactly = (0..2_000_u64).map(|slot| Word { slot: U256::from(slot), ..word }).collect();
        let condition = Condition { exactly, ..Condition::default() };
        assert_eq!(condition.predicates()["validity"].as_array().unwrap().len(), MOST_PREDICATES);
        let known = condition.known_accounts();
        let slots = known["knownAccounts"].as_object().unwrap().values().next().unwrap();
        assert_eq!(slots.as_object().unwrap().len(), MOST_SLOTS);
    }
}
