//! Operations that were accepted and are not yet mined. A pure state machine: no clock, no I/O.

use std::collections::{BTreeMap, HashMap};

use alloy::primitives::{Address, B256, U256};

use crate::{Rejection, admission::Admitted};

/// Per cent by which both fees must rise for one operation to take another's place (ERC-4337 mempools: 10 %).
const REPLACEMENT_BUMP: u128 = 10;
/// Bundles an operation may fail in before it is given up.
const MAX_FAILURES: u32 = 3;

/// What an operation occupies: two cannot share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Slot {
    entry_point: Address,
    sender: Address,
    nonce: U256,
}

impl Slot {
    fn of(admitted: &Admitted) -> Self {
        Self { entry_point: admitted.entry_point, sender: admitted.op.sender, nonce: admitted.op.nonce }
    }
}

/// Where an accepted operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Bundled,
}

#[derive(Debug)]
struct Entry {
    admitted: Admitted,
    phase: Phase,
    arrival: u64,
    failures: u32,
}

/// What became of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is new.
    New,
    /// The very same operation was there already.
    Known,
    /// It took the place of this one.
    Replaced(B256),
}

/// The mempool.
#[derive(Debug, Default)]
pub struct Mempool {
    entries: HashMap<B256, Entry>,
    slots: HashMap<Slot, B256>,
    arrivals: BTreeMap<u64, B256>,
    next_arrival: u64,
}

impl Mempool {
    /// Takes an operation in.
    ///
    /// # Errors
    /// If another operation of the same sender and nonce pays as much or nearly, or is in a bundle already.
    pub fn insert(&mut self, admitted: Admitted) -> Result<Inserted, Rejection> {
        if self.entries.contains_key(&admitted.hash) {
            return Ok(Inserted::Known);
        }
        let slot = Slot::of(&admitted);
        let replaced = self.slots.get(&slot).copied();
        if let Some(entry) = replaced.and_then(|hash| self.entries.get(&hash)) {
            may_replace(entry, &admitted)?;
        }
        if let Some(replaced) = replaced {
            self.remove(replaced);
        }
        let arrival = self.next_arrival;
        self.next_arrival += 1;
        self.slots.insert(slot, admitted.hash);
        self.arrivals.insert(arrival, admitted.hash);
        self.entries.insert(admitted.hash, Entry { admitted, phase: Phase::Waiting, arrival, failures: 0 });
        Ok(replaced.map_or(Inserted::New, Inserted::Replaced))
    }

    /// Takes an operation out, whatever its phase.
    pub fn remove(&mut self, hash: B256) -> Option<Admitted> {
        let entry = self.entries.remove(&hash)?;
        self.slots.remove(&Slot::of(&entry.admitted));
        self.arrivals.remove(&entry.arrival);
        Some(entry.admitted)
    }

    /// Operations that wait for a bundle, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = &Admitted> {
        self.arrivals
            .values()
            .filter_map(|hash| self.entries.get(hash))
            .filter(|entry| entry.phase == Phase::Waiting)
            .map(|entry| &entry.admitted)
    }

    /// All operations, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Admitted> {
        self.arrivals.values().filter_map(|hash| self.entries.get(hash)).map(|entry| &entry.admitted)
    }

    /// Marks operations as part of a bundle: they are not chosen again until returned.
    pub fn mark_bundled(&mut self, hashes: &[B256]) {
        self.set_phase(hashes, Phase::Bundled);
    }

    /// Returns operations whose bundle will not be mined through no fault of theirs.
    pub fn return_to_waiting(&mut self, hashes: &[B256]) {
        self.set_phase(hashes, Phase::Waiting);
    }

    /// Returns operations whose bundle was mined and reverted; gives back those that have had their chances.
    pub fn return_failed(&mut self, hashes: &[B256]) -> Vec<B256> {
        self.return_to_waiting(hashes);
        let mut given_up = Vec::new();
        for hash in hashes {
            if let Some(entry) = self.entries.get_mut(hash) {
                entry.failures += 1;
                if entry.failures >= MAX_FAILURES {
                    given_up.push(*hash);
                }
            }
        }
        for hash in &given_up {
            self.remove(*hash);
        }
        given_up
    }

    fn set_phase(&mut self, hashes: &[B256], phase: Phase) {
        for hash in hashes {
            if let Some(entry) = self.entries.get_mut(hash) {
                entry.phase = phase;
            }
        }
    }

    /// Whether this operation is held.
    pub fn contains(&self, hash: B256) -> bool {
        self.entries.contains_key(&hash)
    }

    /// Number of operations held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn may_replace(standing: &Entry, newcomer: &Admitted) -> Result<(), Rejection> {
    let nonce = newcomer.op.nonce;
    if standing.phase == Phase::Bundled {
        return Err(Rejection::AlreadyBundled { nonce });
    }
    let old = &standing.admitted.op;
    for (field, old, new) in [
        ("maxFeePerGas", old.max_fee_per_gas, newcomer.op.max_fee_per_gas),
        ("maxPriorityFeePerGas", old.max_priority_fee_per_gas, newcomer.op.max_priority_fee_per_gas),
    ] {
        let required = old + (old * REPLACEMENT_BUMP).div_ceil(100);
        if new < required {
            return Err(Rejection::ReplacementUnderpriced { field, nonce, required });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
