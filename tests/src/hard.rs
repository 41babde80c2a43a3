//! A chain that does not take everything: of what is sent to it, a [`crate::Proxy`] refuses what these rules name.

use alloy::{
    consensus::{Transaction, TxEnvelope},
    eips::{Typed2718, eip2718::Decodable2718},
    primitives::{Address, Bytes, keccak256},
};
use serde_json::{Value, json};

/// What is refused, and in which words.
#[derive(Clone, Debug)]
pub struct Hard {
    /// Wei per gas that a transaction must offer above the base fee.
    pub tip_floor: u128,
    /// Bytes that it may have.
    pub max_bytes: usize,
    /// Types that are not taken.
    pub types: Vec<u8>,
    /// Addresses that no transaction may name anywhere in its data.
    pub filtered: Vec<Address>,
    /// Addresses whose transactions are said to be taken, and go nowhere.
    pub swallowed: Vec<Address>,
    /// Whether nothing is taken at all.
    pub closed: bool,
    /// What is said, but for tips and sizes.
    pub words: String,
    /// Transactions that were not let through.
    pub refused: u64,
}

impl Default for Hard {
    fn default() -> Self {
        Self {
            tip_floor: 0,
            max_bytes: 131_072,
            types: Vec::new(),
            filtered: Vec::new(),
            swallowed: Vec::new(),
            closed: false,
            words: "rejected".into(),
            refused: 0,
        }
    }
}

impl Hard {
    /// The answer to a transaction that is not let through.
    pub(crate) fn judge(&mut self, asked: &Value) -> Option<Value> {
        let raw: Bytes = serde_json::from_value(asked["params"][0].clone()).ok()?;
        let transaction = TxEnvelope::decode_2718(&mut raw.as_ref()).ok()?;
        let names = |addresses: &[Address]| {
            addresses.iter().any(|address| raw.windows(20).any(|window| window == address.as_slice()))
        };
        let tip = transaction.max_priority_fee_per_gas().unwrap_or_default();
        let why = if self.closed {
            Some(self.words.clone())
        } else if raw.len() > self.max_bytes {
            Some(format!("oversized data: transaction size {}, limit {}", raw.len(), self.max_bytes))
        } else if tip < self.tip_floor {
            Some(format!("transaction underpriced: gas tip cap {tip}, minimum needed {}", self.tip_floor))
        } else if self.types.contains(&transaction.ty()) || names(&self.filtered) {
            Some(self.words.clone())
        } else {
            None
        };
        let swallowed = why.is_none() && names(&self.swallowed);
        self.refused += u64::from(why.is_some() || swallowed);
        if swallowed {
            return Some(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": keccak256(&raw) }));
        }
        let why = why?;
        Some(json!({ "jsonrpc": "2.0", "id": asked["id"], "error": { "code": -32_000, "message": why } }))
    }
}
