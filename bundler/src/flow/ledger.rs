//! What bundles were to earn and what they did, and why money was lost.

use std::collections::BTreeMap;

/// Why a transaction cost more than it brought in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossCause {
    /// The bundle reverted on chain: its state changed after it was proven.
    Reverted,
    /// The nonce had to be filled without operations.
    Cancelled,
    /// It was mined, but not all of its operations paid us.
    Underpaid,
}

/// Sums since the start, in wei.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Transactions of ours that were mined.
    pub transactions: u64,
    /// Operations that these executed.
    pub operations: u64,
    /// What the operations paid us.
    pub revenue: u128,
    /// What the transactions cost, with what L1 took.
    pub cost: u128,
    /// Losses by cause: how many, and how much.
    pub losses: BTreeMap<LossCause, (u64, u128)>,
    /// Bundles that our EVM passed and the node did not.
    pub disagreements: u64,
}

impl Ledger {
    /// Books a mined transaction.
    pub(crate) fn book(&mut self, operations: u64, revenue: u128, cost: u128, cause: LossCause) {
        self.transactions += 1;
        self.operations += operations;
        self.revenue += revenue;
        self.cost += cost;
        if let Some(lost) = cost.checked_sub(revenue).filter(|lost| *lost > 0) {
            let entry = self.losses.entry(cause).or_default();
            entry.0 += 1;
            entry.1 += lost;
            tracing::warn!(?cause, lost, cost, revenue, "a transaction cost more than it brought in");
        }
    }
}
