//! What bundles were to earn and what they did, and why money was lost.

use std::collections::BTreeMap;

use crate::builder::Expected;

/// Why a transaction cost more than it brought in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossCause {
    /// The bundle reverted on chain: its state changed after it was proven.
    Reverted,
    /// The nonce had to be filled without operations.
    Cancelled,
    /// Its operations paid less than they had in the proof: some were mined elsewhere, or used less gas.
    Underpaid,
    /// It was mined at a higher price than its first bid, or used more gas than in the proof.
    Dearer,
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
    /// What the transactions cost, with what L1 and the operator of the chain took.
    pub cost: u128,
    /// What the proofs of these transactions said that the operations would pay.
    pub expected_revenue: u128,
    /// What they said that the transactions would cost at the first bid.
    pub expected_cost: u128,
    /// Losses by cause: how many, and how much.
    pub losses: BTreeMap<LossCause, (u64, u128)>,
    /// Bundles that our EVM passed and the node did not.
    pub disagreements: u64,
    /// Times that an operation was held back because it did not pay for itself.
    pub held: u64,
}

/// How a mined transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The bundle went through.
    Executed,
    /// The bundle reverted.
    Reverted,
    /// It carried none.
    Cancelled,
}

/// A mined transaction, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) end: End,
    pub(crate) operations: u64,
    pub(crate) revenue: u128,
    pub(crate) cost: u128,
    pub(crate) expected: Expected,
}

impl Ledger {
    /// Books a mined transaction.
    pub(crate) fn book(&mut self, entry: Entry) {
        let Entry { end, operations, revenue, cost, expected } = entry;
        self.transactions += 1;
        self.operations += operations;
        self.revenue += revenue;
        self.cost += cost;
        self.expected_revenue += expected.revenue;
        self.expected_cost += expected.cost();
        if let Some(lost) = cost.checked_sub(revenue).filter(|lost| *lost > 0) {
            let cause = match end {
                End::Reverted => LossCause::Reverted,
                End::Cancelled => LossCause::Cancelled,
                End::Executed if revenue < expected.revenue => LossCause::Underpaid,
                End::Executed => LossCause::Dearer,
            };
            let sum = self.losses.entry(cause).or_default();
            sum.0 += 1;
            sum.1 += lost;
            tracing::warn!(?cause, lost, cost, revenue, ?expected, "a transaction cost more than it brought in");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: Expected = Expected { gas_used: 100, revenue: 1_000, execution: 800, l1: 70, operator: 30 };

    fn booked(end: End, revenue: u128, cost: u128) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.book(Entry { end, operations: 1, revenue, cost, expected: EXPECTED });
        ledger
    }

    #[test]
    fn what_was_expected_stands_beside_what_came() {
        let ledger = booked(End::Executed, 1_010, 890);
        assert_eq!((ledger.expected_revenue, ledger.expected_cost), (1_000, 900));
        assert_eq!((ledger.revenue, ledger.cost), (1_010, 890));
        assert!(ledger.losses.is_empty());
    }

    #[test]
    fn every_loss_has_its_cause() {
        for (end, revenue, cost, cause) in [
            (End::Reverted, 0, 700, LossCause::Reverted),
            (End::Cancelled, 0, 21, LossCause::Cancelled),
            (End::Executed, 600, 880, LossCause::Underpaid),
            (End::Executed, 1_000, 1_200, LossCause::Dearer),
        ] {
            let losses = booked(end, revenue, cost).losses;
            assert_eq!(losses.into_iter().collect::<Vec<_>>(), [(cause, (1, cost - revenue))]);
        }
    }
}
