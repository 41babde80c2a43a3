//! What an attack came to, and what of that is wrong.

use std::collections::BTreeMap;

use alloy::primitives::B256;

/// Blocks that the median of honest operations may be later beside an attacker, and the slowest of twenty.
pub(super) const LATER: [u64; 2] = [1, 3];

/// What an attack came to.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Wei that the bundler has spent and was not paid back, all in all; less than nothing if it has earned.
    pub(super) net: i128,
    /// Wei that transactions of its cost beyond what their operations paid, each by itself.
    pub(super) loss: u128,
    /// Its transactions, and those of them that cost more than they brought in.
    pub(super) sent: usize,
    pub(super) losing: usize,
    pub(super) reverted: usize,
    pub(super) cancelled: usize,
    pub(super) honest: usize,
    /// Honest operations that were dropped, or not executed in the end; and why.
    pub(super) lost: BTreeMap<B256, String>,
    /// Blocks from sent to executed, in order.
    pub(super) latency: Vec<u64>,
    /// Transactions that nodes did not let through.
    pub(super) refused: u64,
    /// Wei that operations of others than honest users paid, and those of them that were executed.
    pub(super) paid: u128,
    pub(super) executed: usize,
    /// What the attacker says that did not hold.
    pub(super) broken: Vec<String>,
}

/// What an attacker is allowed by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    /// Transactions that may cost more than they bring in.
    pub(super) transactions: usize,
    /// Blocks that half of the honest operations may be later, and the slowest of twenty.
    pub(super) later: [u64; 2],
    /// Of what.
    pub(super) why: &'static str,
}

impl Report {
    pub(super) const HEAD: &'static str = "attacker              net of bundler (wei)     losing  reverted  cancelled  refused  \
                                           honest: sent  lost  median  p95 (blocks)  attacker: executed  paid (wei)";

    pub(super) fn row(&self, name: &str) -> String {
        let [median, p95] = self.percentiles();
        let Self { net, losing, reverted, cancelled, refused, honest, executed, paid, .. } = self;
        let (lost, net) = (self.lost.len(), -net);
        format!(
            "{name:<22}{net:<25}{losing:<8}{reverted:<10}{cancelled:<11}{refused:<9}{honest:<14}{lost:<6}{median:<8}\
             {p95:<14}{executed:<20}{paid}"
        )
    }

    /// Blocks in which half of the honest operations were executed, and 95 of 100.
    pub(super) fn percentiles(&self) -> [u64; 2] {
        [50, 95].map(|share| {
            let at = (self.latency.len() * share / 100).min(self.latency.len().saturating_sub(1));
            self.latency.get(at).copied().unwrap_or_default()
        })
    }

    /// What is wrong, compared with how it is without anybody who attacks; where nobody can be served, latency is not.
    pub(super) fn verdict(&self, calm: Option<&Self>, named: Option<Named>) -> Vec<String> {
        let mut wrong = self.broken.clone();
        if !self.lost.is_empty() {
            wrong.push(format!("{} of {} honest operations: {:?}", self.lost.len(), self.honest, self.lost));
        }
        let allowed = named.map_or(0, |named| named.transactions);
        if self.losing > allowed {
            let why = named.map_or("none", |named| named.why);
            wrong.push(format!(
                "{} transactions cost {} wei more than they brought in ({} reverted, {} cancelled): {allowed} may ({why})",
                self.losing, self.loss, self.reverted, self.cancelled
            ));
        }
        if self.net > 0 && allowed == 0 {
            wrong.push(format!("{} wei lost in all", self.net));
        }
        if let Some(calm) = calm {
            let most = [0, 1].map(|it| calm.percentiles()[it] + named.map_or(LATER, |named| named.later)[it]);
            let is = self.percentiles();
            if is[0] > most[0] || is[1] > most[1] {
                wrong.push(format!("median and p95 of {is:?} blocks, {:?} without him", calm.percentiles()));
            }
        }
        wrong
    }
}
