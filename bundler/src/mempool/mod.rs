//! Operations that were accepted and are not yet mined. A pure state machine: no clock, no I/O.
//!
//! ```text
//!  Admitted ──gate──► waiting ──► bundled ──► (mined)
//!                       ▲ │ ▲        │
//!            refreshed ─┘ ▼ └────────┘ its bundle failed
//!                       stale: a new block changed what its validation read
//! ```
//!
//! What goes out, for whatever reason, goes with a [`Dropped`] that says why.

mod config;
mod eviction;
mod gate;
mod isolation;
mod reputation;
pub mod store;
mod upkeep;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use alloy::primitives::{Address, B256, U256};
use erc4337::UserOperation;

pub use config::MempoolConfig;
pub use reputation::{Counts, Reputation, ReputationStatus};
pub use upkeep::{Blame, Dropped};

use crate::{
    Rejection,
    admission::Admitted,
    evm::{BlockPin, NextBlock},
    rejection::Entity,
};
use eviction::{size, tip};
use gate::{cost, entities};
pub(crate) use isolation::{Class, Trouble};
use isolation::{Culprits, Suspicion};

/// Per cent by which both fees must rise for one operation to take another's place (ERC-4337 mempools: 10 %).
const REPLACEMENT_BUMP: u128 = 10;

/// What an operation occupies: two cannot share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// What its validation read has changed since.
    Stale,
    /// It offers less than the base fee, and so waits for that to fall: nothing is read for it meanwhile.
    Asleep,
    Bundled,
}

#[derive(Debug)]
struct Entry {
    admitted: Admitted,
    phase: Phase,
    arrival: u64,
    /// What bundles with it came to.
    suspicion: Suspicion,
    /// Its execution calls contracts that the chain's client executes itself.
    native: bool,
    /// Not at this head, for this reason.
    held: Option<String>,
    /// Chain time of the head when it came, in milliseconds.
    since: u64,
    /// Operations of its nonce key that go before it.
    ahead: u64,
    /// Chain time since when one of them is missing.
    gap_since: Option<u64>,
    bytes: usize,
    /// Wei per gas that it leaves us, at the base fee when it came.
    tip: u128,
    /// Entities that its sender and nonce have been counted for, each once while one operation after another has that
    /// place.
    counted: Vec<Address>,
}

/// How often an address is named by pending operations, part by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parts {
    account: usize,
    factory: usize,
    paymaster: usize,
}

impl Parts {
    fn total(self) -> usize {
        self.account + self.factory + self.paymaster
    }

    fn part(&mut self, entity: Entity) -> &mut usize {
        match entity {
            Entity::Account => &mut self.account,
            Entity::Factory => &mut self.factory,
            Entity::Paymaster => &mut self.paymaster,
        }
    }
}

/// What became of an insertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is new; these had to make room for it.
    New(Vec<Dropped>),
    /// The very same operation was there already.
    Known,
}

/// The mempool.
#[derive(Debug, Default)]
pub struct Mempool {
    config: Arc<MempoolConfig>,
    reputation: Reputation,
    entries: HashMap<B256, Entry>,
    slots: BTreeMap<Slot, B256>,
    arrivals: BTreeMap<u64, B256>,
    next_arrival: u64,
    /// By what they are worth, the worst first; none that is bundled.
    evictable: BTreeSet<(u128, std::cmp::Reverse<u64>)>,
    named: HashMap<Address, Parts>,
    /// Wei that pending operations may cost each paymaster, by EntryPoint.
    owed: HashMap<(Address, Address), U256>,
    bytes: usize,
    /// The block that bundles are made for, once it is known: what is not valid in it, or not yet, waits.
    next: Option<NextBlock>,
    /// Chain time of the head, in milliseconds.
    time: u64,
    /// The last number that was given to a group of operations which go together.
    groups: u64,
    /// Whose operations nodes would not take, and which.
    culprits: Culprits,
    /// One that has to wait was tried at this head, and not taken.
    probed: bool,
}

impl Mempool {
    /// An empty one, with what is known of entities from before.
    pub fn new(config: MempoolConfig, reputation: Reputation) -> Self {
        Self { config: Arc::new(config), reputation, ..Self::default() }
    }

    /// The head is of this chain time (milliseconds) until [`Self::advance`] says otherwise.
    pub(crate) fn begin_at(&mut self, time: u64) {
        self.time = time;
    }

    /// Takes an operation in at this head. If it was validated at another, it has to be again before it is bundled.
    ///
    /// # Errors
    /// If a limit, a reputation or another operation stands against it. Nothing has changed then.
    pub fn insert(&mut self, admitted: Admitted, head: &BlockPin) -> Result<Inserted, Rejection> {
        if self.entries.contains_key(&admitted.hash) {
            return Ok(Inserted::Known);
        }
        self.remembers(admitted.hash)?;
        self.screen(&admitted.op, admitted.entry_point)?;
        let slot = Slot::of(&admitted);
        let replaced = self.slots.get(&slot).copied();
        let standing = replaced.and_then(|hash| self.entries.get(&hash));
        self.check_limits(&admitted, standing.map(|entry| &entry.admitted))?;

        let mut dropped = self.make_room(&admitted, head, standing.map(|entry| (entry.admitted.hash, entry.bytes)))?;
        let before = standing_counts(replaced.and_then(|hash| self.entries.get(&hash)));
        if let Some(hash) = replaced {
            dropped.extend(self.take_out(hash, format!("replaced by {}", admitted.hash), None));
        }
        self.place(admitted, head, &before);
        Ok(Inserted::New(dropped))
    }

    /// Takes an operation again whose block has left the chain, whatever the limits: it was accepted once, and those
    /// that came after it in its line rest on it. Gives the one out that had its nonce meanwhile.
    pub fn take_back(&mut self, admitted: Admitted, head: &BlockPin) -> Vec<Dropped> {
        if self.entries.contains_key(&admitted.hash) {
            return Vec::new();
        }
        let replaced = self.slots.get(&Slot::of(&admitted)).copied();
        let why = format!("{}, mined before a reorganisation, has its nonce again", admitted.hash);
        let before = standing_counts(replaced.and_then(|hash| self.entries.get(&hash)));
        let dropped = replaced.map(|hash| self.take_out(hash, why, None)).unwrap_or_default();
        before.into_iter().for_each(|address| self.reputation.unseen(address));
        // It was seen when it came, and is included no more.
        let counted: Vec<_> = accountable(&admitted).collect();
        counted.iter().for_each(|address| self.reputation.not_included(*address));
        self.put(admitted, head, counted);
        dropped
    }

    /// Takes an operation again from before a restart, whatever the limits; it has been counted for whom it names. Gives
    /// the earlier one out that it had replaced, if it was not known yet what had become of that.
    pub(crate) fn restore(&mut self, admitted: Admitted, head: &BlockPin) -> Vec<Dropped> {
        if self.entries.contains_key(&admitted.hash) {
            return Vec::new();
        }
        let replaced = self.slots.get(&Slot::of(&admitted)).copied();
        let why = format!("replaced by {}", admitted.hash);
        let dropped = replaced.map(|hash| self.take_out(hash, why, None)).unwrap_or_default();
        let counted = accountable(&admitted).collect();
        self.put(admitted, head, counted);
        dropped
    }

    /// Counts it for whom it names. Of those `before`, for whom its sender and nonce have been counted, whom it names too
    /// is not counted again, and whom it does not name any more gets the count back (GREP-050): by replacing an operation
    /// that is never mined nobody comes to be banned.
    fn place(&mut self, admitted: Admitted, head: &BlockPin, before: &[Address]) {
        let counted: Vec<Address> = accountable(&admitted).collect();
        counted.iter().filter(|address| !before.contains(address)).for_each(|address| self.reputation.seen(*address));
        before.iter().filter(|address| !counted.contains(address)).for_each(|address| self.reputation.unseen(*address));
        self.put(admitted, head, counted);
    }

    fn put(&mut self, admitted: Admitted, head: &BlockPin, counted: Vec<Address>) {
        let (slot, bytes) = (Slot::of(&admitted), size(&admitted));
        let arrival = self.next_arrival;
        self.next_arrival += 1;
        for (entity, address) in entities(&admitted.op) {
            *self.named.entry(address).or_default().part(entity) += 1;
        }
        if let Some(paymaster) = admitted.op.paymaster_address() {
            let owed = self.owed.entry((admitted.entry_point, paymaster)).or_default();
            *owed = owed.saturating_add(cost(&admitted));
        }
        self.bytes += bytes;
        self.slots.insert(slot, admitted.hash);
        self.arrivals.insert(arrival, admitted.hash);
        let (hash, ahead) = (admitted.hash, admitted.evidence.ahead);
        let phase = if admitted.evidence.block == head.hash { Phase::Waiting } else { Phase::Stale };
        let tip = tip(&admitted.op, head);
        let entry = Entry {
            admitted,
            phase,
            arrival,
            suspicion: Suspicion::default(),
            native: false,
            held: None,
            since: self.time,
            ahead,
            gap_since: None,
            bytes,
            tip,
            counted,
        };
        self.evictable.insert(entry.worth());
        self.entries.insert(hash, entry);
    }

    /// Takes an operation out, whatever its phase, with nothing said to anybody.
    pub fn remove(&mut self, hash: B256) -> Option<Admitted> {
        self.remove_entry(hash).map(|entry| entry.admitted)
    }

    fn remove_entry(&mut self, hash: B256) -> Option<Entry> {
        let entry = self.entries.remove(&hash)?;
        self.evictable.remove(&entry.worth());
        self.slots.remove(&Slot::of(&entry.admitted));
        self.arrivals.remove(&entry.arrival);
        self.bytes -= entry.bytes;
        for (entity, address) in entities(&entry.admitted.op) {
            if let Some(parts) = self.named.get_mut(&address) {
                *parts.part(entity) = parts.part(entity).saturating_sub(1);
                if parts.total() == 0 {
                    self.named.remove(&address);
                }
            }
        }
        if let Some(paymaster) = entry.admitted.op.paymaster_address() {
            let key = (entry.admitted.entry_point, paymaster);
            if let Some(owed) = self.owed.get_mut(&key) {
                *owed = owed.saturating_sub(cost(&entry.admitted));
                if owed.is_zero() {
                    self.owed.remove(&key);
                }
            }
        }
        Some(entry)
    }

    /// Takes out an operation that was mined, and counts it for whom it names.
    pub fn remove_included(&mut self, hash: B256) -> Option<Admitted> {
        let Entry { admitted, counted, .. } = self.remove_entry(hash)?;
        self.culprits.clear(admitted.op.sender, entities(&admitted.op).map(|(_, address)| address));
        counted.into_iter().for_each(|address| self.reputation.included(address));
        Some(admitted)
    }

    /// Time has passed: bundles are made for this block from now on.
    pub(crate) fn look_to(&mut self, next: NextBlock) {
        self.next = Some(next);
    }

    /// Whether an operation is only waiting until it is valid.
    pub(crate) fn waits_for_time(&self) -> bool {
        let early = |next: &NextBlock, it: &Admitted| it.validated.is_early(next, it.version);
        self.next.is_some_and(|next| {
            self.entries.values().any(|entry| entry.phase == Phase::Waiting && early(&next, &entry.admitted))
        })
    }

    /// Operations that could go into a bundle now, oldest first, each with how many of its nonce key go before it. None
    /// of a sender that is in a bundle: what that does to its account is not known yet. None that is not valid in
    /// whichever second the next block has. Of a paymaster that may revert a bundle one at a time.
    pub fn candidates(&self) -> impl Iterator<Item = (&Admitted, u64)> {
        let in_bundles = || self.entries.values().filter(|it| it.phase == Phase::Bundled).map(|it| &it.admitted);
        let bundled: HashSet<Address> = in_bundles().map(|it| it.op.sender).collect();
        let uncontained: HashSet<Address> =
            in_bundles().filter(|it| self.is_uncontained(it)).filter_map(Admitted::uncontained).collect();
        // Of those whose transactions have reverted one is risked at a time.
        let named = |op| entities(op).map(|(_, address)| address);
        let tried: HashSet<Address> =
            in_bundles().flat_map(|it| named(&it.op)).filter(|address| self.culprits.has_reverted(*address)).collect();
        let probe = self.probe();
        self.arrivals
            .values()
            .filter_map(|hash| self.entries.get(hash))
            .filter(move |entry| {
                let admitted = &entry.admitted;
                entry.phase == Phase::Waiting
                    && entry.held.is_none()
                    && (entry.suspicion.not_before <= self.time || probe == Some(admitted.hash))
                    && !self.rests(admitted)
                    && !named(&admitted.op).any(|address| tried.contains(&address))
                    && !bundled.contains(&admitted.op.sender)
                    && admitted.uncontained().is_none_or(|paymaster| !uncontained.contains(&paymaster))
                    && self.next.is_none_or(|next| admitted.validated.is_open(&next, admitted.version))
            })
            .map(|entry| (&entry.admitted, entry.ahead))
    }

    /// Operations that could go into a bundle now and wait for no other, oldest first.
    #[cfg(test)]
    pub fn waiting(&self) -> impl Iterator<Item = &Admitted> {
        self.candidates().filter(|(_, ahead)| *ahead == 0).map(|(admitted, _)| admitted)
    }

    /// Whether the operation may revert whatever bundle it is in, and its paymaster is not one that is trusted.
    pub fn is_uncontained(&self, admitted: &Admitted) -> bool {
        admitted.uncontained().is_some_and(|paymaster| !self.config.allowed.contains(&paymaster))
    }

    /// Takes note that only the node can tell what the execution of these does.
    pub fn set_native(&mut self, hashes: &[B256]) {
        for hash in hashes {
            if let Some(entry) = self.entries.get_mut(hash) {
                entry.native = true;
            }
        }
    }

    /// Whether only the node can tell what its execution does, as far as that is known.
    pub fn is_native(&self, hash: B256) -> bool {
        self.entries.get(&hash).is_some_and(|entry| entry.native)
    }

    /// All operations, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Admitted> {
        self.arrivals.values().filter_map(|hash| self.entries.get(hash)).map(|entry| &entry.admitted)
    }

    /// Operations pending under this nonce's key, lowest first.
    pub fn lane(&self, entry_point: Address, sender: Address, nonce: U256) -> Vec<Arc<UserOperation>> {
        let first = (nonce >> 64) << 64;
        let last = first | U256::from(u64::MAX);
        let slot = |nonce| Slot { entry_point, sender, nonce };
        let pending = self.slots.range(slot(first)..=slot(last)).filter_map(|(_, hash)| self.entries.get(hash));
        pending.map(|entry| Arc::clone(&entry.admitted.op)).collect()
    }

    /// Marks operations as part of a bundle: they are not chosen again until returned.
    pub fn mark_bundled(&mut self, hashes: &[B256]) {
        self.set_phase(hashes, Phase::Bundled);
    }

    /// Gives back operations whose bundle will not be mined through no fault of theirs. Blocks that came meanwhile may
    /// have changed what they rest on.
    pub fn give_back(&mut self, hashes: &[B256]) {
        self.set_phase(hashes, Phase::Stale);
    }

    /// Gives back operations that are not to go into a bundle before the next head, for this reason.
    pub fn hold(&mut self, hashes: &[B256], why: &str) {
        self.give_back(hashes);
        for hash in hashes {
            if let Some(entry) = self.entries.get_mut(hash) {
                entry.held = Some(why.to_owned());
            }
        }
    }

    /// What an operation waits for that may go into a bundle and is in none: the others before it, or its time.
    pub(crate) fn waits_behind(&self, hash: B256) -> Option<&'static str> {
        let entry = self.entries.get(&hash).filter(|entry| entry.phase == Phase::Waiting)?;
        let admitted = &entry.admitted;
        let in_bundle = |it: &Entry| it.phase == Phase::Bundled && it.admitted.op.sender == admitted.op.sender;
        if self.next.is_some_and(|next| !admitted.validated.is_open(&next, admitted.version)) {
            Some("it is not valid yet, or not in every second that the next block may have")
        } else if self.entries.values().any(in_bundle) {
            Some("another operation of its sender's is on its way")
        } else if entry.ahead > 0 {
            Some("an earlier nonce of its sender's goes first")
        } else {
            None
        }
    }

    /// Why an operation is not in a bundle, if something is to be said about that.
    pub(crate) fn waits_for(&self, hash: B256) -> Option<&str> {
        let entry = self.entries.get(&hash).filter(|entry| entry.phase != Phase::Bundled)?;
        let rests =
            self.rests(&entry.admitted).then_some("transactions with its sender, factory or paymaster reverted");
        entry.held.as_deref().or(entry.suspicion.why.as_deref()).or(rests)
    }

    fn rests(&self, admitted: &Admitted) -> bool {
        self.culprits.rests(entities(&admitted.op).map(|(_, address)| address), self.time)
    }

    fn set_phase(&mut self, hashes: &[B256], phase: Phase) {
        for hash in hashes {
            if let Some(entry) = self.entries.get_mut(hash) {
                entry.phase = phase;
                if phase == Phase::Bundled {
                    self.evictable.remove(&entry.worth());
                } else {
                    self.evictable.insert(entry.worth());
                }
            }
        }
    }

    /// Whether this operation is in a bundle.
    pub(crate) fn is_bundled(&self, hash: B256) -> bool {
        self.entries.get(&hash).is_some_and(|entry| entry.phase == Phase::Bundled)
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

    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reputations.
    pub fn reputation(&self) -> &Reputation {
        &self.reputation
    }

    /// Reputations, to change.
    pub fn reputation_mut(&mut self) -> &mut Reputation {
        &mut self.reputation
    }

    /// Limits.
    pub fn config(&self) -> &Arc<MempoolConfig> {
        &self.config
    }

    fn parts(&self, address: Address) -> Parts {
        self.named.get(&address).copied().unwrap_or_default()
    }
}

/// Entities whose reputation an operation counts for: paymasters, and others if staked (ERC-7562).
fn accountable(admitted: &Admitted) -> impl Iterator<Item = Address> {
    let parties = &admitted.evidence.parties;
    let staked = [Some(parties.account), parties.factory].into_iter().flatten().filter(|party| party.is_staked());
    staked.chain(parties.paymaster).map(|party| party.address)
}

/// For whom the sender and nonce of an operation have been counted.
fn standing_counts(standing: Option<&Entry>) -> Vec<Address> {
    standing.map(|entry| entry.counted.clone()).unwrap_or_default()
}

fn may_replace(standing: &Entry, newcomer: &UserOperation) -> Result<(), Rejection> {
    let nonce = newcomer.nonce;
    if standing.phase == Phase::Bundled {
        return Err(Rejection::AlreadyBundled { nonce });
    }
    let old = &standing.admitted.op;
    for (field, old, new) in [
        ("maxFeePerGas", old.max_fee_per_gas, newcomer.max_fee_per_gas),
        ("maxPriorityFeePerGas", old.max_priority_fee_per_gas, newcomer.max_priority_fee_per_gas),
    ] {
        let required = old + (old * REPLACEMENT_BUMP).div_ceil(100);
        if new < required {
            return Err(Rejection::ReplacementUnderpriced { field, nonce, required });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
