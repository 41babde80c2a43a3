//! Figures that a restart must not change: how often each entity was seen, and how often included.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use serde_json::Value;

use super::Oracle;
use crate::chain::ExecutionLog;

/// Counted as this often, an entity is banned on purpose.
const BANNED: u64 = 10_000;

/// Operations of an entity: seen, and included.
pub type Counts = BTreeMap<Address, (u64, u64)>;

#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Operations that name each paymaster and were, or may have been, taken.
    named: BTreeMap<Address, Vec<B256>>,
    /// As they were when the node stopped in order.
    before: Option<(u64, Counts)>,
}

/// The answer of `debug_bundler_dumpReputation`.
fn read(answer: &Value) -> Option<Counts> {
    let number = |value: &Value| u64::from_str_radix(value.as_str()?.trim_start_matches("0x"), 16).ok();
    let all = answer["result"].as_array()?;
    all.iter()
        .map(|entry| {
            let address = entry["address"].as_str()?.parse().ok()?;
            Some((address, (number(&entry["opsSeen"])?, number(&entry["opsIncluded"])?)))
        })
        .collect()
}

impl Oracle {
    /// It was sent, and may have been taken.
    pub fn may_be_seen(&mut self, hash: B256, paymaster: Option<Address>) {
        let Some(paymaster) = paymaster else { return };
        // Each time: what it had taken before it died, it may have counted and lost.
        self.counts.named.entry(paymaster).or_default().push(hash);
    }

    /// It was refused, and not counted.
    pub fn is_not_seen(&mut self, hash: B256, paymaster: Option<Address>) {
        let named = paymaster.and_then(|paymaster| self.counts.named.get_mut(&paymaster));
        if let Some(named) = named
            && let Some(position) = named.iter().position(|other| *other == hash)
        {
            named.remove(position);
        }
    }

    /// What it counted when it had stopped in order.
    pub fn stopped_with(&mut self, at: u64, answer: &Value) {
        self.counts.before = read(answer).map(|counts| (at, counts));
    }

    /// It died, or did not start.
    pub fn forget_counts(&mut self) {
        self.counts.before = None;
    }

    /// What it counts now; `started` if it has just come back.
    pub fn counts(&mut self, at: u64, answer: &Value, started: bool, log: &ExecutionLog) {
        let Some(now) = read(answer) else { return };
        let left = |hash: &B256, since: u64| {
            log.gone.get(hash).map_or(0, |times| times.iter().filter(|time| **time >= since).count() as u64)
        };
        for (entity, (seen, _)) in &now {
            let named = self.counts.named.get(entity).map(Vec::as_slice).unwrap_or_default();
            let most: u64 = named.iter().map(|hash| 1 + left(hash, 0)).sum();
            if *seen > most && *seen < BANNED {
                self.wrong(at, format!("{entity} was seen in {seen} operations, says the node, and was in {most}"));
            }
        }
        let Some((when, before)) = self.counts.before.take().filter(|_| started) else { return };
        for (entity, (seen, included)) in before {
            let (seen_now, included_now) = now.get(&entity).copied().unwrap_or_default();
            let named = self.counts.named.get(&entity).map(Vec::as_slice).unwrap_or_default();
            let again: u64 = named.iter().map(|hash| left(hash, when)).sum();
            // One that was included while nobody watched is counted at the start.
            if seen_now < seen || seen_now > seen + again || included_now < included {
                self.wrong(
                    at,
                    format!("{entity} had {seen} operations and {included} included before a restart; {seen_now} and {included_now} after"),
                );
            }
        }
    }
}
