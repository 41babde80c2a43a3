//! Nonces that were used, by what, and what is in flight again when their block leaves the chain; and how those of an earlier
//! process are taken up.

use std::sync::Arc;

use alloy::primitives::B256;

use super::{Action, Bound, Flow, Mined, Outcome, Place, slot::Slot};
use crate::{builder::Bundle, submitter::Attempt};

/// A nonce from before a restart.
#[derive(Clone, Debug)]
pub(crate) struct Restored {
    pub(crate) bundle: Option<Arc<Bundle>>,
    pub(crate) attempts: Vec<Attempt>,
    /// Those of them that carry no bundle.
    pub(crate) cancelled_by: Vec<B256>,
    /// Operations that earlier ones of them carry, and the bundle does not.
    pub(crate) earlier: Vec<B256>,
    /// The block it was used in, if it is known to be.
    pub(crate) settled: Option<u64>,
}

/// A used nonce.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub(super) slot: Slot,
    /// In which block, or at which head that was found out.
    pub(super) block: u64,
    /// Operations that transactions of it carry beside those of the slot's bundle: should it be free again, any of these
    /// transactions may be mined yet.
    pub(super) others: Vec<B256>,
}

impl Flow {
    /// Takes a nonce up again from before a restart. Of two with the same operation the one told first has it.
    pub(crate) fn restore(&mut self, place: Place, restored: Restored, now: u64) {
        let Restored { mut bundle, attempts, cancelled_by, earlier, settled } = restored;
        let Some(lane) = self.lanes.get_mut(place.key) else { return };
        if let Some(block) = settled {
            let slot = Slot::restored(bundle, attempts, cancelled_by);
            lane.settled.insert(place.nonce, Settled { slot, block, others: earlier });
            return;
        }
        let hashes = bundle.as_ref().map(|bundle| bundle.hashes()).unwrap_or_default();
        if hashes.iter().any(|hash| self.held.contains_key(hash)) {
            bundle = None;
            // A transaction of this nonce has them all the same.
            for hash in hashes {
                self.bound.entry(hash).or_insert(Bound { place, void: false });
            }
        } else {
            self.held.extend(hashes.into_iter().map(|hash| (hash, place)));
        }
        self.bound.extend(earlier.into_iter().map(|hash| (hash, Bound { place, void: false })));
        let mut slot = Slot::restored(bundle, attempts, cancelled_by);
        slot.since = now;
        lane.slots.insert(place.nonce, slot);
    }

    /// What the nonce was used by; `None` if by no transaction of ours.
    pub(crate) fn settle(&mut self, place: Place, mined: Option<Mined>, head: u64) -> Vec<Action> {
        let used = self.lanes[place.key].next.is_some_and(|next| next > place.nonce);
        let Some(slot) = self.slot(place) else { return Vec::new() };
        // The node may be ahead of the head we have handled, or tell of a block that has left the chain since.
        if !used || mined.is_some_and(|mined| mined.block > head) {
            return Vec::new();
        }
        // One such answer may come of two backends that disagree, or of an attempt made since it was asked for.
        if mined.is_none() && !std::mem::replace(&mut slot.unaccounted, true) {
            return vec![Action::Ask { place, transactions: slot.transactions(), again: true }];
        }
        // What had the nonce before, and had been given up, may be what was mined.
        let recalled = mined.and_then(|mined| slot.recall(mined.transaction));
        let outcome = match mined {
            None => Outcome::Lost,
            Some(mined) if slot.cancelled_by.contains(&mined.transaction) => Outcome::Cancelled(mined),
            Some(mined) if mined.success => Outcome::Executed(mined),
            Some(mined) => Outcome::Reverted(mined),
        };
        let lane = &mut self.lanes[place.key];
        let Some(mut slot) = lane.slots.remove(&place.nonce) else { return Vec::new() };
        let bundle = slot.bundle.clone();
        slot.bundle = bundle.as_ref().map(|bundle| Arc::new(bundle.summary()));
        slot.reduced = None;
        let block = outcome.mined().map_or(head, |mined| mined.block);
        for past in &mut slot.past {
            past.bundle = Arc::new(past.bundle.summary());
        }
        let others = slot.past.iter().flat_map(|past| past.bundle.hashes()).collect();
        lane.settled.insert(place.nonce, Settled { slot, block, others });
        self.held.retain(|_, held| *held != place);
        self.bound.retain(|_, bound| bound.place != place);
        let superseded = recalled.flatten();
        let superseded =
            superseded.map(|bundle| Action::Settled { place, bundle: Some(bundle), outcome: Outcome::Superseded });
        superseded.into_iter().chain([Action::Settled { place, bundle, outcome }]).collect()
    }

    /// Settled nonces that the chain has not used any more are in flight again, with the transactions they had. An operation
    /// that several of them carry, as it had been in the chain twice, goes with the one that it came to last.
    pub(super) fn unmine(&mut self, next: &[Option<u64>], now: u64, actions: &mut Vec<Action>) {
        let mut free = Vec::new();
        for (key, (lane, next)) in self.lanes.iter_mut().zip(next).enumerate() {
            let Some(next) = next else { continue };
            free.extend(lane.settled.split_off(next).into_iter().map(|(nonce, it)| (Place { key, nonce }, it)));
        }
        free.sort_by_key(|(_, settled)| std::cmp::Reverse(settled.slot.since));
        for (place, settled) in free {
            let mut slot = settled.slot;
            let bundle = slot.bundle.clone();
            let hashes = bundle.as_ref().map(|bundle| bundle.hashes()).unwrap_or_default();
            // Operations that have another nonce by now must not come back to this one.
            let elsewhere = hashes.iter().any(|hash| self.held.contains_key(hash));
            if elsewhere {
                slot.bundle = None;
                slot.cancelling = true;
            } else {
                self.held.extend(hashes.into_iter().map(|hash| (hash, place)));
            }
            slot.reopen(now);
            self.lanes[place.key].slots.insert(place.nonce, slot);
            let moved = bundle.iter().filter(|_| elsewhere).flat_map(|bundle| bundle.hashes());
            for hash in settled.others.into_iter().chain(moved) {
                self.bound.entry(hash).or_insert(Bound { place, void: false });
            }
            if let (Some(bundle), false) = (bundle, elsewhere) {
                actions.push(Action::Unmined { place, bundle });
            }
        }
    }

    /// What is too deep to leave the chain.
    pub(super) fn forget(&mut self, key: usize, head: u64) {
        let depth = self.policy.reorg_depth;
        self.lanes[key].settled.retain(|_, settled| settled.block + depth >= head);
    }
}
