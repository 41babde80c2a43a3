//! Bundles on their way to the chain: which key and nonce each has, what is signed and sent for it, and what came of
//! it. A pure state machine: events in, [`Action`]s out; no clock, no node, no keys. Time is told, in milliseconds of
//! chain time: patience is a time, however many blocks come in it.
//!
//! ```text
//!  place ──Sign──► signed ──Broadcast──► in flight ──nonce used──► Ask ──► settled ──Settled──► (kept, for reorgs)
//!                     ▲                     │ ▲                                                      │
//!                     └── dearer, or cancel ┘ └──────────────── Unmined: its nonce is free again ────┘
//! ```
//!
//! A nonce that was given out stays taken until the chain has used it: every transaction signed for an operation has
//! the one nonce, so that at most one of them is ever mined. An operation leaves its nonce only when that is settled.
//!
//! A bundle that no node took, or that others would wait for in vain, leaves its nonce to the next bundle. Its operations
//! are free, but bound: until the nonce is used they go under that nonce or none, whoever has their transaction.
//!
//! Actions are what must be written down before it is acted on: a transaction is signed before it is broadcast.

mod action;
mod ledger;
mod rework;
mod settled;
mod slot;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use alloy::primitives::B256;

pub(crate) use action::{Action, Mined, Outcome, Place};
pub(crate) use ledger::{End, Entry};
pub use ledger::{Ledger, LossCause};
pub(crate) use settled::Restored;
use settled::Settled;
use slot::{Next, Slot};

use crate::{
    Config,
    builder::Bundle,
    chain_time::millis,
    fees::FeeSuggestion,
    submitter::{Attempt, Fees},
};

/// Bounds of what the flow does by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Nonces of one key that may be in flight.
    pub(crate) per_key: usize,
    /// Milliseconds without being mined after which a transaction is made dearer, or sent again.
    pub(crate) patience: u64,
    /// Milliseconds after which a bundle that cannot be made dearer is cancelled.
    pub(crate) cancel_after: u64,
    /// Wei per gas that a cancellation may bid, which nobody pays us back.
    pub(crate) cancel_max_fee: u128,
    /// Blocks that may leave the chain: what was settled in them is remembered for as long. In blocks, because what is
    /// settled is known by its height, across restarts; how many they are follows from a time ([`Config::reorg_window`]).
    pub(crate) reorg_depth: u64,
}

impl Policy {
    /// As configured.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            per_key: config.nonces_per_key.min(config.chain.pending_per_sender),
            patience: millis(config.escalate_after),
            cancel_after: millis(config.cancel_after),
            cancel_max_fee: config.cancellation_max_fee,
            reorg_depth: config.reorg_blocks(),
        }
    }
}

/// A nonce that the next bundle may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) place: Place,
    /// Nodes may hold something under it, whose place the bundle takes: what it has to bid.
    pub(crate) least_bid: Option<Fees>,
    /// Whether nothing of this key is in flight.
    pub(crate) quiet: bool,
}

/// One key's nonces.
#[derive(Debug, Default)]
struct Lane {
    /// The chain's next nonce at the last head; unknown before the first.
    next: Option<u64>,
    /// It takes no new bundles.
    barred: bool,
    slots: BTreeMap<u64, Slot>,
    settled: BTreeMap<u64, Settled>,
}

impl Lane {
    /// Nonces that a bundle may have, in the order to try them: the lowest that was left, or that only what is in the way of
    /// others has; then the lowest that was given to none.
    fn openings(&self) -> impl Iterator<Item = u64> {
        let next = self.next;
        let left = next.and_then(|next| {
            let open = |(nonce, slot): &(&u64, &Slot)| slot.vacant || (**nonce == next && slot.is_in_the_way());
            self.slots.range(next..).find(open).map(|(nonce, _)| *nonce)
        });
        let fresh = next.and_then(|next| (next..).find(|nonce| !self.slots.contains_key(nonce)));
        // A gap before what was left is to be filled first.
        let (left, fresh) = if left > fresh { (None, fresh) } else { (left, fresh) };
        left.into_iter().chain(fresh)
    }

    /// Whether a bundle may have this nonce while so many may be in flight.
    fn has_room_for(&self, nonce: u64, most: usize) -> bool {
        self.slots.contains_key(&nonce) || self.taken() < most
    }

    /// Nonces that something is in flight under.
    fn taken(&self) -> usize {
        self.slots.values().filter(|slot| !slot.vacant).count()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Flow {
    policy: Policy,
    lanes: Vec<Lane>,
    /// Where each operation in flight is.
    held: HashMap<B256, Place>,
    /// Where those were that left their nonce before it was used.
    bound: HashMap<B256, Bound>,
}

/// What binds an operation to a nonce that it has left.
#[derive(Clone, Copy, Debug)]
struct Bound {
    place: Place,
    /// No node took a transaction with it.
    void: bool,
}

impl Flow {
    /// With nothing in flight, for this many keys.
    pub(crate) fn new(keys: usize, policy: Policy) -> Self {
        Self {
            policy,
            lanes: (0..keys).map(|_| Lane::default()).collect(),
            held: HashMap::new(),
            bound: HashMap::new(),
        }
    }

    /// Bundles that can be placed now.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.lanes.iter().map(|lane| self.room_of(lane)).sum()
    }

    /// Whether no nonce is taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.taken() == 0)
    }

    /// The keys that the next bundle may be for, in the order to try them: those with a nonce that is to be taken again,
    /// then those with the fewest in flight.
    pub(crate) fn next_keys(&self) -> Vec<usize> {
        let left = |key: &usize| {
            let lane = &self.lanes[*key];
            lane.openings().next().is_some_and(|nonce| lane.slots.contains_key(&nonce))
        };
        let mut keys: Vec<_> = (0..self.lanes.len()).filter(|key| self.room_of(&self.lanes[*key]) > 0).collect();
        keys.sort_by_key(|key| (!left(key), self.lanes[*key].taken()));
        keys
    }

    /// The nonces of this key that a bundle may have, in the order to try them.
    pub(crate) fn openings(&self, key: usize) -> Vec<Opening> {
        let Some(lane) = self.lanes.get(key).filter(|lane| self.room_of(lane) > 0) else { return Vec::new() };
        let quiet = lane.taken() == 0;
        let opening = |nonce: u64| {
            let least_bid = lane.slots.get(&nonce).and_then(Slot::to_outbid);
            Opening { place: Place { key, nonce }, least_bid, quiet }
        };
        lane.openings().filter(|nonce| lane.has_room_for(*nonce, self.policy.per_key)).map(opening).collect()
    }

    /// Whether an operation may go under this nonce: it is bound to no other. What no node took may go under a nonce before
    /// that as well, or those that were refused at once would wait for one another.
    pub(crate) fn may_go(&self, hash: B256, place: Place) -> bool {
        self.bound.get(&hash).is_none_or(|Bound { place: bound, void }| {
            *bound == place || (*void && bound.key == place.key && place.nonce < bound.nonce)
        })
    }

    /// Whether a transaction that this operation has left may be mined yet.
    pub(crate) fn is_bound(&self, hash: B256) -> bool {
        self.bound.get(&hash).is_some_and(|bound| !bound.void)
    }

    /// Whether a key takes new bundles. What is in flight for it is looked after all the same.
    /// Whether that bars it anew.
    pub(crate) fn set_usable(&mut self, key: usize, usable: bool) -> bool {
        self.lanes.get_mut(key).is_some_and(|lane| !std::mem::replace(&mut lane.barred, !usable) && !usable)
    }

    /// Wei that the key's transactions in flight may cost.
    pub(crate) fn promised(&self, key: usize) -> u128 {
        let slots = self.lanes.get(key).into_iter().flat_map(|lane| lane.slots.values());
        slots.map(Slot::worst_cost).fold(0, u128::saturating_add)
    }

    /// Nonces of this key that are given out and not used.
    pub(crate) fn open(&self, key: usize) -> usize {
        self.lanes.get(key).map_or(0, Lane::taken)
    }

    /// Chain time of the head at which the oldest of them was given out, or taken up after a restart.
    pub(crate) fn oldest(&self, key: usize) -> Option<u64> {
        self.lanes.get(key)?.slots.values().filter(|slot| !slot.vacant).map(|slot| slot.since).min()
    }

    /// Whether a key is given bundles.
    pub(crate) fn is_usable(&self, key: usize) -> bool {
        self.lanes.get(key).is_some_and(|lane| !lane.barred)
    }

    /// Transactions that were signed for this nonce.
    pub(crate) fn attempts(&self, place: Place) -> usize {
        self.lanes.get(place.key).and_then(|lane| lane.slots.get(&place.nonce)).map_or(0, |slot| slot.attempts.len())
    }

    /// Operations that are bound to this nonce.
    pub(crate) fn hashes_at(&self, place: Place) -> Vec<B256> {
        let slot = self.lanes.get(place.key).and_then(|lane| lane.slots.get(&place.nonce));
        slot.and_then(|slot| slot.bundle.as_ref()).map(|bundle| bundle.hashes()).unwrap_or_default()
    }

    fn room_of(&self, lane: &Lane) -> usize {
        let open = lane.next.is_some() && !lane.barred;
        let left = lane.openings().any(|nonce| lane.slots.contains_key(&nonce));
        let room = self.policy.per_key.saturating_sub(lane.taken());
        if open { room.max(usize::from(left)) } else { 0 }
    }

    /// Whether the operation is in flight.
    pub(crate) fn holds(&self, hash: B256) -> bool {
        self.held.contains_key(&hash)
    }

    /// The last transaction of the operation's nonce, if it is in flight.
    pub(crate) fn transaction_of(&self, hash: B256) -> Option<B256> {
        let place = self.held.get(&hash)?;
        Some(self.lanes[place.key].slots.get(&place.nonce)?.attempts.last()?.transaction)
    }

    /// Gives a bundle this nonce, which was open for it when it was chosen; nothing if it is no more, if the bundle cannot
    /// outbid what nodes may hold under it, or if an operation of it has another nonce or is bound to one.
    pub(crate) fn place(&mut self, bundle: Arc<Bundle>, place: Place, fees: FeeSuggestion, now: u64) -> Vec<Action> {
        let hashes = bundle.hashes();
        let Some(opening) = self.openings(place.key).into_iter().find(|opening| opening.place == place) else {
            return Vec::new();
        };
        if hashes.iter().any(|hash| self.held.contains_key(hash) || !self.may_go(*hash, place)) {
            return Vec::new();
        }
        let (mut bid, ceiling) = (Fees::first(&bundle, fees), Fees::ceiling(&bundle, fees));
        if let Some(least) = opening.least_bid {
            bid = bid.at_least(least);
            if !bid.is_within(ceiling) {
                return Vec::new();
            }
        }
        let Place { key, nonce } = place;
        let lane = &mut self.lanes[key];
        lane.settled.remove(&nonce);
        let mut actions = Vec::new();
        match lane.slots.get_mut(&nonce) {
            None => drop(lane.slots.insert(nonce, Slot::new(Some(Arc::clone(&bundle)), now))),
            Some(slot) => {
                let displaced = slot.vacate();
                slot.take_in(Arc::clone(&bundle), now);
                actions.extend(displaced.map(|displaced| Action::Settled {
                    place,
                    bundle: Some(displaced),
                    outcome: Outcome::Displaced,
                }));
            }
        }
        for action in &actions {
            if let Action::Settled { bundle: Some(displaced), .. } = action {
                self.release(displaced, Bound { place, void: false });
            }
        }
        for hash in hashes {
            self.bound.remove(&hash);
            self.held.insert(hash, place);
        }
        actions.push(Action::Sign { place, bundle: Some(bundle), fees: bid });
        actions
    }

    /// A transaction was signed, with this bundle or none, and with that it may be mined under the nonce. If the nonce
    /// has gone to another bundle meanwhile, nobody sees the transaction.
    pub(crate) fn signed(&mut self, place: Place, attempt: Attempt, bundle: Option<&Arc<Bundle>>) -> Vec<Action> {
        let Some(slot) = self.slot(place).filter(|slot| slot.is_to_carry(bundle)) else { return Vec::new() };
        slot.signing = false;
        slot.refused = 0;
        slot.unheard += 1;
        if bundle.is_none() {
            slot.cancelled_by.push(attempt.transaction);
        }
        slot.attempts.push(attempt.clone());
        vec![Action::Broadcast { place, attempt }]
    }

    /// It could not be signed. What was never signed goes back, unless later nonces wait for this one.
    pub(crate) fn not_signed(&mut self, place: Place, bundle: Option<&Arc<Bundle>>) -> Vec<Action> {
        let Some(slot) = self.slot(place).filter(|slot| slot.is_to_carry(bundle)) else { return Vec::new() };
        slot.signing = false;
        if !slot.attempts.is_empty() {
            return Vec::new();
        }
        let lane = &self.lanes[place.key];
        let last = lane.slots.range(place.nonce + 1..).all(|(_, slot)| slot.vacant);
        self.let_go(place, last)
    }

    /// A node took this transaction, or may have.
    pub(crate) fn taken(&mut self, place: Place, transaction: B256) {
        if let Some(slot) = self.heard(place, transaction) {
            slot.maybe_taken = true;
        }
    }

    /// Nodes take nothing at the moment: it is sent again at the next head.
    pub(crate) fn not_now(&mut self, place: Place, transaction: B256) {
        if let Some(slot) = self.heard(place, transaction) {
            slot.sent_at = 0;
        }
    }

    /// Every node said no to this transaction. If that is all that was ever heard of its bundle, the nonce is free again:
    /// the bundle, which leaves it. Else they may have it all the same: the nonce tells.
    pub(crate) fn refused(&mut self, place: Place, transaction: B256) -> Option<Arc<Bundle>> {
        let slot = self.heard(place, transaction)?;
        if slot.attempts.last().is_none_or(|last| last.transaction != transaction) {
            return None;
        }
        if !slot.is_void() {
            slot.refused += 1;
            return None;
        }
        let bundle = slot.vacate()?;
        self.release(&bundle, Bound { place, void: true });
        Some(bundle)
    }

    /// Whether the nonce was left to the next bundle.
    pub(crate) fn is_left(&self, place: Place) -> bool {
        self.lanes.get(place.key).and_then(|lane| lane.slots.get(&place.nonce)).is_some_and(|slot| slot.vacant)
    }

    /// Whether it may turn out in a moment that no node takes what goes before this nonce: what was behind it would then have
    /// to wait for somebody to fill the gap.
    pub(crate) fn is_unsure(&self, place: Place) -> bool {
        self.before(place).any(Slot::is_unsure)
    }

    /// Nonces before this one that were left.
    pub(crate) fn left_before(&self, place: Place) -> usize {
        self.before(place).filter(|slot| slot.vacant).count()
    }

    fn before(&self, place: Place) -> impl Iterator<Item = &Slot> {
        let lane = self.lanes.get(place.key);
        lane.into_iter().flat_map(move |lane| lane.slots.range(..place.nonce)).map(|(_, slot)| slot)
    }

    /// What this transaction of the nonce bids.
    pub(crate) fn bid_of(&self, place: Place, transaction: B256) -> Option<Fees> {
        let slot = self.lanes.get(place.key)?.slots.get(&place.nonce)?;
        slot.attempts.iter().find(|attempt| attempt.transaction == transaction).map(|attempt| attempt.fees)
    }

    /// The nonce whose transaction this is; something was heard of it.
    fn heard(&mut self, place: Place, transaction: B256) -> Option<&mut Slot> {
        let is_its = |slot: &&mut Slot| slot.attempts.iter().any(|attempt| attempt.transaction == transaction);
        let slot = self.slot(place).filter(is_its)?;
        slot.unheard = slot.unheard.saturating_sub(1);
        Some(slot)
    }

    /// These operations have left their nonce, and are bound to it.
    fn release(&mut self, bundle: &Bundle, bound: Bound) {
        self.held.retain(|_, held| *held != bound.place);
        self.bound.extend(bundle.hashes().into_iter().map(|hash| (hash, bound)));
    }

    /// The node refused this transaction because its condition does not hold any more. Its operations are free. Its nonce is
    /// the next bundle's, or is filled otherwise if an earlier transaction of it was taken.
    pub(crate) fn overtaken(&mut self, place: Place, transaction: B256) -> Vec<Action> {
        let is_last = |slot: &&mut Slot| slot.attempts.last().is_some_and(|last| last.transaction == transaction);
        let Some(slot) = self.heard(place, transaction).filter(is_last).filter(|slot| !slot.signing) else {
            return Vec::new();
        };
        if slot.is_void() {
            let Some(bundle) = slot.vacate() else { return Vec::new() };
            self.release(&bundle, Bound { place, void: true });
            return vec![Action::Settled { place, bundle: Some(bundle), outcome: Outcome::Overtaken }];
        }
        let Some(bundle) = slot.bundle.take() else { return Vec::new() };
        slot.reduced = None;
        slot.overdue = true;
        slot.cancel();
        self.held.retain(|_, held| *held != place);
        vec![Action::Settled { place, bundle: Some(bundle), outcome: Outcome::Overtaken }]
    }

    /// Where an operation is in flight.
    pub(crate) fn place_of(&self, hash: B256) -> Option<Place> {
        self.held.get(&hash).copied()
    }

    /// The bundle that this transaction, the last of its nonce, carries.
    pub(crate) fn carried(&self, place: Place, transaction: B256) -> Option<&Arc<Bundle>> {
        let slot = self.lanes.get(place.key)?.slots.get(&place.nonce)?;
        slot.carried().filter(|_| !slot.cancelled_by.contains(&transaction))
    }

    /// The chain's next nonce of each key, at the head of this height and time; `None` where it could not be read.
    pub(crate) fn advance(&mut self, next: &[Option<u64>], head: u64, now: u64, fees: FeeSuggestion) -> Vec<Action> {
        let mut actions = Vec::new();
        for (lane, next) in self.lanes.iter_mut().zip(next) {
            lane.next = next.or(lane.next);
        }
        self.unmine(next, now, &mut actions);
        for (key, next) in next.iter().enumerate().take(self.lanes.len()) {
            let Some(next) = *next else { continue };
            self.forget(key, head);
            self.close_gaps(key, now);
            let lane = &mut self.lanes[key];
            for (nonce, slot) in lane.slots.range(..next) {
                let transactions = slot.transactions();
                actions.push(Action::Ask { place: Place { key, nonce: *nonce }, transactions, again: false });
            }
            // Who could not be mined at this base fee anyway waits for that, and not for those before it.
            let waiting = lane.slots.iter().filter(|(_, slot)| !slot.vacant && slot.pays(fees.base_fee));
            let waiting: Vec<(u64, Fees)> = waiting.map(|(nonce, slot)| (*nonce, slot.bid())).collect();
            let behind = |nonce: u64| {
                waiting.iter().filter(|(later, _)| *later > nonce).map(|(_, bid)| *bid).reduce(Fees::at_least)
            };
            let mut given_up = Vec::new();
            for (nonce, slot) in lane.slots.range_mut(next..) {
                // A later one cannot be mined before the first: only that is worth a higher fee.
                let order = (*nonce == next, behind(*nonce));
                match slot.next(&self.policy, order, now, fees) {
                    Next::Wait => {}
                    Next::Again(attempt) => {
                        slot.unheard += 1;
                        actions.push(Action::Broadcast { place: Place { key, nonce: *nonce }, attempt });
                    }
                    Next::GiveUp => given_up.extend(slot.vacate().map(|bundle| (*nonce, bundle))),
                    Next::Sign(bundle, fees) => {
                        slot.signing = true;
                        let place = Place { key, nonce: *nonce };
                        actions.push(match bundle {
                            Some(bundle) => Action::SignAgain { place, bundle, fees },
                            None => Action::Sign { place, bundle, fees },
                        });
                    }
                }
            }
            for (nonce, bundle) in given_up {
                let place = Place { key, nonce };
                self.release(&bundle, Bound { place, void: false });
                actions.push(Action::Settled { place, bundle: Some(bundle), outcome: Outcome::Displaced });
            }
        }
        actions
    }

    /// A nonce that nobody has a transaction for keeps all later ones from being mined.
    fn close_gaps(&mut self, key: usize, now: u64) {
        let lane = &mut self.lanes[key];
        let (Some(next), Some(last)) = (lane.next, lane.slots.keys().next_back().copied()) else { return };
        // What only waits to be left behind needs nothing before it.
        let last = lane.slots.range(..=last).rev().find(|(_, slot)| !slot.vacant).map_or(next, |(nonce, _)| *nonce);
        for nonce in next..last {
            lane.slots.entry(nonce).or_insert_with(|| Slot::new_filler(now));
        }
    }

    fn let_go(&mut self, place: Place, last: bool) -> Vec<Action> {
        let lane = &mut self.lanes[place.key];
        let Some(mut slot) = lane.slots.remove(&place.nonce) else { return Vec::new() };
        self.held.retain(|_, held| *held != place);
        let bundle = slot.bundle.take();
        if !slot.past.is_empty() {
            // Others that had it before may be mined under it yet.
            slot.vacant = true;
            let hashes = bundle.iter().flat_map(|bundle| bundle.hashes());
            self.bound.extend(hashes.map(|hash| (hash, Bound { place, void: false })));
            lane.slots.insert(place.nonce, slot);
        } else if !last {
            lane.slots.insert(place.nonce, Slot::new_filler(slot.sent_at));
        }
        bundle
            .map(|bundle| Action::Settled { place, bundle: Some(bundle), outcome: Outcome::Unsigned })
            .into_iter()
            .collect()
    }

    /// Operations bound to a nonce, with their transaction.
    pub(crate) fn in_flight(&self) -> Vec<(B256, B256)> {
        let held: BTreeSet<B256> = self.held.keys().copied().collect();
        held.into_iter().filter_map(|hash| Some((hash, self.transaction_of(hash)?))).collect()
    }

    fn slot(&mut self, place: Place) -> Option<&mut Slot> {
        self.lanes.get_mut(place.key)?.slots.get_mut(&place.nonce)
    }
}

#[cfg(test)]
impl Flow {
    /// Operations bound to a nonce.
    fn held(&self) -> impl Iterator<Item = (B256, Place)> {
        self.held.iter().map(|(hash, place)| (*hash, *place))
    }

    /// Whether something is done about this nonce.
    fn looks_after(&self, place: Place) -> bool {
        self.lanes[place.key].slots.contains_key(&place.nonce)
    }

    /// Bundles in flight, by place.
    fn placed(&self) -> impl Iterator<Item = (Place, &Arc<Bundle>)> {
        self.lanes.iter().enumerate().flat_map(|(key, lane)| {
            lane.slots
                .iter()
                .filter_map(move |(nonce, slot)| Some((Place { key, nonce: *nonce }, slot.bundle.as_ref()?)))
        })
    }
}
