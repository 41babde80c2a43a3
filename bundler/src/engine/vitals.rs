//! How the engine does, for those who watch over it.

use std::time::Duration;

use alloy::primitives::{Address, U256};

use super::Engine;
use crate::flow::Ledger;

/// How the engine does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// Operations in the mempool, those in flight among them.
    pub pool: usize,
    /// How many it holds at most.
    pub pool_limit: usize,
    /// The keys that bundles are sent from.
    pub keys: Vec<KeyVitals>,
    /// Wei below which a key runs low.
    pub key_low: U256,
    /// Whether there is a journal.
    pub journal_kept: bool,
    /// Why it cannot be written, if that is so.
    pub journal_failure: Option<String>,
    /// The operator wants no new bundles.
    pub bundling_paused: bool,
    /// No more operations are taken.
    pub stopping: bool,
    /// What bundles earned, cost and lost since the start.
    pub ledger: Ledger,
}

/// How a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyVitals {
    /// Its address.
    pub address: Address,
    /// Wei at the last head; unknown before the first.
    pub balance: Option<U256>,
    /// Nonces that are given out and not used on chain.
    pub open_nonces: usize,
    /// Chain time since the oldest of them was given out.
    pub oldest_open: Duration,
    /// Whether it is given bundles.
    pub usable: bool,
}

impl Engine {
    pub(super) fn vitals(&self) -> Vitals {
        let key = |(key, address): (usize, Address)| {
            let oldest = self.flow.oldest(key).map_or(0, |since| self.head.time.saturating_sub(since));
            KeyVitals {
                address,
                balance: self.keys.get(key).copied().flatten().map(|state| state.balance),
                open_nonces: self.flow.open(key),
                oldest_open: Duration::from_millis(oldest),
                usable: self.flow.is_usable(key),
            }
        };
        Vitals {
            pool: self.mempool.len(),
            pool_limit: self.config.mempool.max_operations,
            keys: self.submitter.addresses().into_iter().enumerate().map(key).collect(),
            key_low: self.config.keeping.low,
            journal_kept: self.journal.is_kept(),
            journal_failure: self.journal.failure().map(str::to_owned),
            bundling_paused: self.bundling_paused,
            stopping: self.closed,
            ledger: self.ledger.clone(),
        }
    }
}
