//! ERC-7562's reputations: who sends operations that come to be included. Pure; time is told.

use std::collections::BTreeMap;

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use super::MempoolConfig;

const HOUR: u64 = 3_600;

/// How an entity stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReputationStatus {
    /// Unlimited, if staked.
    Ok,
    /// A few at a time (GREP-020).
    Throttled,
    /// None at all (GREP-010).
    Banned,
}

impl ReputationStatus {
    /// The word for it in `debug_bundler_dumpReputation`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Throttled => "throttled",
            Self::Banned => "banned",
        }
    }
}

/// One entity's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Operations that were taken.
    pub ops_seen: u64,
    /// Of those, mined.
    pub ops_included: u64,
}

/// All counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reputation {
    entities: BTreeMap<Address, Counts>,
    /// Seconds since 1970 of the last decay; 0 if there was none.
    #[serde(default)]
    decayed_at: u64,
}

impl Reputation {
    /// Counts an operation that was taken.
    pub fn seen(&mut self, entity: Address) {
        self.counts_mut(entity, |counts| counts.ops_seen = counts.ops_seen.saturating_add(1));
    }

    /// Takes such a count back (EREP-015, GREP-050).
    pub fn unseen(&mut self, entity: Address) {
        self.counts_mut(entity, |counts| counts.ops_seen = counts.ops_seen.saturating_sub(1));
    }

    /// Counts an operation that was mined.
    pub fn included(&mut self, entity: Address) {
        self.counts_mut(entity, |counts| counts.ops_included = counts.ops_included.saturating_add(1));
    }

    /// What was mined has left the chain.
    pub(super) fn not_included(&mut self, entity: Address) {
        self.counts_mut(entity, |counts| counts.ops_included = counts.ops_included.saturating_sub(1));
    }

    /// An entity that is not even throttled comes to be (EREP-070).
    pub(super) fn throttle(&mut self, entity: Address, config: &MempoolConfig) {
        let least = |counts: &Counts| {
            let missing = counts.ops_included.saturating_add(config.throttling_slack).saturating_add(1);
            missing.saturating_mul(config.inclusion_rate_denominator.max(1))
        };
        self.counts_mut(entity, |counts| counts.ops_seen = counts.ops_seen.max(least(counts)));
    }

    /// An entity made a bundle fail after it had passed its second validation (GREP-040).
    pub fn failed_bundle(&mut self, entity: Address, config: &MempoolConfig) {
        self.set(entity, Counts { ops_seen: config.ban_penalty, ops_included: 0 });
    }

    /// Sets counters as told.
    pub fn set(&mut self, entity: Address, counts: Counts) {
        self.counts_mut(entity, |standing| *standing = counts);
    }

    /// What is counted of an entity.
    pub fn counts(&self, entity: Address) -> Counts {
        self.entities.get(&entity).copied().unwrap_or_default()
    }

    /// How an entity stands.
    pub fn status(&self, entity: Address, config: &MempoolConfig) -> ReputationStatus {
        let Counts { ops_seen, ops_included } = self.counts(entity);
        let due = ops_seen / config.inclusion_rate_denominator.max(1);
        if config.allowed.contains(&entity) {
            ReputationStatus::Ok
        } else if due > ops_included.saturating_add(config.ban_slack) {
            ReputationStatus::Banned
        } else if due > ops_included.saturating_add(config.throttling_slack) {
            ReputationStatus::Throttled
        } else {
            ReputationStatus::Ok
        }
    }

    /// How many operations an unstaked paymaster may have pending (UREP-020).
    pub fn allowed_unstaked(&self, entity: Address, config: &MempoolConfig) -> usize {
        let Counts { ops_seen, ops_included } = self.counts(entity);
        let counted = ops_included.min(config.max_counted_inclusions);
        // `inclusionRate` is at most one, unless operations were mined that came by others.
        let earned = (u128::from(ops_included) * u128::from(counted)).checked_div(u128::from(ops_seen)).unwrap_or(0);
        config.same_unstaked_entity + usize::try_from(earned).unwrap_or(usize::MAX).min(usize::MAX / 2)
    }

    /// Decays all counters by a 24th for each full hour of chain time since the last time; whether any hour was full.
    /// `now` is in seconds. While the chain stands still nothing can be included, and so nothing decays.
    pub fn decay(&mut self, now: u64) -> bool {
        // A chain whose time went back, as one made anew for a test, is not waited for.
        if self.decayed_at == 0 || now.saturating_add(HOUR) < self.decayed_at {
            self.decayed_at = now;
        }
        let hours = now.saturating_sub(self.decayed_at) / HOUR;
        self.decayed_at += hours * HOUR;
        // After so many hours nothing is left of any counter.
        for _ in 0..hours.min(1_500) {
            self.entities.retain(|_, counts| {
                counts.ops_seen = counts.ops_seen * 23 / 24;
                counts.ops_included = counts.ops_included * 23 / 24;
                *counts != Counts::default()
            });
        }
        hours > 0
    }

    /// Every entity with a counter.
    pub fn all(&self) -> impl Iterator<Item = (Address, Counts)> {
        self.entities.iter().map(|(address, counts)| (*address, *counts))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entities.clear();
    }

    fn counts_mut(&mut self, entity: Address, change: impl FnOnce(&mut Counts)) {
        let counts = self.entities.entry(entity).or_default();
        change(counts);
        if *counts == Counts::default() {
            self.entities.remove(&entity);
        }
    }
}
