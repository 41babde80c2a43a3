//! What this chain's nodes do not take, or say that they take.

use alloy::{
    consensus::TxEnvelope,
    primitives::{Address, B256, Bytes},
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Rules {
    /// No transaction may name these anywhere.
    pub filtered: Vec<Address>,
    /// Transactions that name these are said to be taken, and go nowhere.
    pub swallowed: Vec<Address>,
    /// Bytes that a transaction may have.
    pub max_bytes: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { filtered: Vec::new(), swallowed: Vec::new(), max_bytes: 131_072 }
    }
}

impl Rules {
    /// The answer to a transaction that does not come into the pool.
    pub(super) fn judge(&self, raw: &Bytes, tx: &TxEnvelope) -> Option<Result<B256, (i32, String)>> {
        let names = |all: &[Address]| all.iter().any(|it| raw.windows(20).any(|window| window == it.as_slice()));
        if raw.len() > self.max_bytes {
            let why = format!("oversized data: transaction size {}, limit {}", raw.len(), self.max_bytes);
            return Some(Err((-32_000, why)));
        }
        if names(&self.filtered) {
            return Some(Err((-32_000, "E_7731".into())));
        }
        names(&self.swallowed).then(|| Ok(*tx.tx_hash()))
    }
}
