//! What each new block, each second validation and each failed bundle does to the mempool.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use alloy::primitives::{Address, B256, U256};
use erc4337::storage::{DepositInfo, deposit_slots};

use super::{Counts, Entry, Mempool, Phase, ReputationStatus, Slot, accountable, cost, entities};
use crate::{
    Head, Rejection,
    admission::{Admitted, Misconduct, Validated, sequence_on_chain},
    chain_time::millis,
    evm::{NextBlock, StateView},
    rejection::Entity,
};

/// Why what its paymaster cannot pay for now is not bundled.
const OVERDRAWN: &str = "its paymaster's deposit does not cover it beside those before it (EREP-010)";
/// How long an operation waits, in chain time, for one to come that has to go before it.
const GAP: Duration = Duration::from_secs(10);

/// An operation that went out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its hash.
    pub hash: B256,
    /// Why, for whoever asks.
    pub reason: String,
}

/// Whose fault it is that an operation fails after it was accepted, and when that showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// This entity failed a validation after the first.
    Revalidation(Entity),
    /// This entity failed in a bundle of this operation alone, on the very state that its second validation had passed on
    /// (GREP-040): beside others it may fail for what they do.
    Bundle(Entity),
}

impl Mempool {
    /// Takes an operation out with a reason, and with the consequences for whoever is to blame.
    pub fn take_out(&mut self, hash: B256, reason: String, blame: Option<Blame>) -> Vec<Dropped> {
        let Some(Entry { admitted, counted, .. }) = self.remove_entry(hash) else { return Vec::new() };
        let mut dropped = vec![Dropped { hash, reason: reason.clone() }];
        let of_account = |entity| matches!(entity, Entity::Account | Entity::Factory);
        let paymaster = admitted.op.paymaster_address().filter(|paymaster| counted.contains(paymaster));
        match blame {
            // EREP-015: the paymaster is not to blame for account or factory.
            Some(Blame::Revalidation(entity) | Blame::Bundle(entity)) if of_account(entity) => {
                paymaster.into_iter().for_each(|paymaster| self.reputation.unseen(paymaster));
            }
            _ => {}
        }
        if let Some(Blame::Bundle(entity)) = blame {
            dropped.extend(self.ban(&admitted, entity, &reason));
        }
        dropped
    }

    /// Holds against paymasters and staked entities what they did in a bundle that need not have failed for it. `hash` is
    /// the operation that named them.
    pub(crate) fn reprove(&mut self, hash: B256, misconduct: Misconduct) -> Vec<Dropped> {
        let Some(admitted) = self.entries.get(&hash).map(|entry| entry.admitted.clone()) else { return Vec::new() };
        let config = std::sync::Arc::clone(&self.config);
        let Some(culprit) = admitted.evidence.parties.of(misconduct.entity()).map(|party| party.address) else {
            return Vec::new();
        };
        if config.allowed.contains(&culprit) {
            return Vec::new();
        }
        tracing::warn!(%culprit, user_op_hash = %hash, ?misconduct, "held against it");
        match misconduct {
            Misconduct::ContextResized => {
                self.reputation.failed_bundle(culprit, &config);
                self.take_out_banned(&[culprit])
            }
            Misconduct::LessGas(_) => {
                self.reputation.throttle(culprit, &config);
                Vec::new()
            }
        }
    }

    fn ban(&mut self, admitted: &Admitted, entity: Entity, reason: &str) -> Vec<Dropped> {
        let config = std::sync::Arc::clone(&self.config);
        let Some(culprit) = culprit(admitted, entity).filter(|culprit| !config.allowed.contains(culprit)) else {
            return Vec::new();
        };
        tracing::warn!(%culprit, %entity, reason, "banned: failed a bundle after its second validation");
        self.reputation.failed_bundle(culprit, &config);
        self.take_out_banned(&[culprit])
    }

    /// Sets counters as told; what is pending of whom that bans goes (GREP-010).
    pub fn set_reputation(&mut self, entries: Vec<(Address, Counts)>) -> Vec<Dropped> {
        let named: Vec<_> = entries.iter().map(|(address, _)| *address).collect();
        entries.into_iter().for_each(|(address, counts)| self.reputation.set(address, counts));
        self.take_out_banned(&named)
    }

    /// Takes out what names this address, in this part of an operation or in any; nothing that is in a transaction already.
    pub fn take_out_of(&mut self, address: Address, part: Option<Entity>, reason: &str) -> Vec<Dropped> {
        let names = |entry: &&Entry| {
            let as_part =
                |(entity, named): (Entity, Address)| named == address && part.is_none_or(|part| part == entity);
            entry.phase != Phase::Bundled && entities(&entry.admitted.op).any(as_part)
        };
        let pending = self.arrivals.values().filter_map(|hash| self.entries.get(hash));
        let out: Vec<_> = pending.filter(names).map(|entry| entry.admitted.hash).collect();
        out.into_iter().flat_map(|hash| self.take_out(hash, reason.to_owned(), None)).collect()
    }

    /// GREP-010: of these nothing stays of whom is banned.
    fn take_out_banned(&mut self, addresses: &[Address]) -> Vec<Dropped> {
        let banned: Vec<Address> = addresses
            .iter()
            .copied()
            .filter(|address| self.reputation.status(*address, &self.config) == ReputationStatus::Banned)
            .collect();
        if banned.is_empty() {
            return Vec::new();
        }
        let out: Vec<_> = self
            .arrivals
            .values()
            .filter_map(|hash| self.entries.get(hash))
            // What is in a transaction already is out of our hands.
            .filter(|entry| entry.phase != Phase::Bundled)
            .filter_map(|entry| {
                let named = entities(&entry.admitted.op).find(|(_, address)| banned.contains(address))?;
                Some((entry.admitted.hash, named.0, named.1))
            })
            .collect();
        out.into_iter()
            .flat_map(|(hash, entity, address)| {
                self.take_out(hash, format!("{entity} {address} is banned (GREP-010)"), None)
            })
            .collect()
    }

    /// Follows a new head, after which `next` comes: what is over goes, what rests on changed state is marked stale. `busy`
    /// are accounts whose balance and nonce every bundle changes.
    pub fn advance(&mut self, head: &Head, previous: &StateView, busy: &[Address], next: NextBlock) -> Vec<Dropped> {
        self.time = head.time;
        self.probed = false;
        self.culprits.forget(head.time);
        self.look_to(next);
        let mut out: Vec<(B256, String, Option<Blame>)> = Vec::new();
        let mut standing: HashMap<Address, ReputationStatus> = HashMap::new();
        // An account's own doing, for which its paymaster does not answer (EREP-015).
        let of_account = Some(Blame::Revalidation(Entity::Account));
        // Balances of EntryPoints change with every bundle, as the bundler's and the block builder's do.
        let entry_points = self.entries.values().map(|entry| entry.admitted.entry_point);
        let busy: HashSet<Address> = busy.iter().copied().chain(entry_points).collect();
        // In their order: what takes others with it does so with the same reasons each time.
        for hash in self.arrivals.values() {
            let Some(entry) = self.entries.get_mut(hash) else { continue };
            entry.held = None;
            let (op, evidence) = (&entry.admitted.op, &entry.admitted.evidence);
            if entry.phase == Phase::Bundled {
                continue;
            }
            let sequence = op.nonce_sequence();
            match sequence_on_chain(op, entry.admitted.entry_point, &head.view) {
                Some(expected) if expected > sequence => {
                    out.push((entry.admitted.hash, "its nonce was used by another operation".into(), of_account));
                    continue;
                }
                Some(expected) => entry.ahead = sequence - expected,
                // The second validation will tell.
                None => (entry.phase, entry.ahead) = (Phase::Stale, 0),
            }
            if entry.admitted.validated.is_over(&next) {
                // An account that says for how long it holds lets it run out by itself.
                let own = Validated { paymaster: None, ..entry.admitted.validated };
                out.push((
                    entry.admitted.hash,
                    "its validity is over".into(),
                    of_account.filter(|_| own.is_over(&next)),
                ));
                continue;
            }
            let mut limited = false;
            let mut banned = None;
            for (entity, address) in entities(op) {
                let status = || self.reputation.status(address, &self.config);
                match *standing.entry(address).or_insert_with(status) {
                    ReputationStatus::Banned => banned = Some((entity, address)),
                    ReputationStatus::Throttled => limited = true,
                    ReputationStatus::Ok => {}
                }
            }
            if let Some((entity, address)) = banned {
                out.push((entry.admitted.hash, format!("{entity} {address} is banned (GREP-010)"), None));
                continue;
            }
            if let Some((entity, address)) = entities(op).find(|(_, address)| self.config.blocked.contains(address)) {
                let why = format!("{entity} {address} is on this bundler's block list");
                out.push((entry.admitted.hash, why, None));
                continue;
            }
            if limited && head.time > entry.since.saturating_add(millis(self.config.throttled_live)) {
                let why = "an entity of it is throttled, and its time is over (GREP-020)";
                out.push((entry.admitted.hash, why.into(), None));
                continue;
            }
            if op.max_fee_per_gas < head.block.next_base_fee {
                entry.phase = Phase::Asleep;
                continue;
            }
            let fresh = evidence.block == head.block.hash
                || (entry.phase == Phase::Waiting && head.view.agrees_with(previous, &evidence.reads, &busy));
            entry.phase = if fresh { Phase::Waiting } else { Phase::Stale };
        }
        let mut dropped: Vec<_> =
            out.into_iter().flat_map(|(hash, why, blame)| self.take_out(hash, why, blame)).collect();
        self.hold_overdrawn(&head.view);
        dropped.extend(self.take_out_orphans());
        dropped
    }

    /// EREP-010 on a new block: what a paymaster's deposit no longer covers beside those before it waits until it does.
    fn hold_overdrawn(&mut self, view: &StateView) {
        let mut left: HashMap<(Address, Address), Option<U256>> = HashMap::new();
        for hash in self.arrivals.values() {
            let Some(entry) = self.entries.get_mut(hash) else { continue };
            let (admitted, Some(paymaster)) = (&entry.admitted, entry.admitted.op.paymaster_address()) else {
                continue;
            };
            let entry_point = admitted.entry_point;
            let left = left.entry((entry_point, paymaster)).or_insert_with(|| {
                let [first, second] = deposit_slots(paymaster);
                // What is not known is told by the second validation, which its operations are then due.
                let words = [view.slot(entry_point, first)?, view.slot(entry_point, second)?];
                Some(DepositInfo::read(admitted.version, words).deposit)
            });
            let Some(left) = left else { continue };
            match left.checked_sub(cost(admitted)) {
                Some(rest) => *left = rest,
                None if entry.phase == Phase::Bundled => *left = U256::ZERO,
                None => entry.held = Some(OVERDRAWN.into()),
            }
        }
    }

    /// What waits for an operation that is not there, and does not come in [`GAP`], goes.
    pub fn take_out_orphans(&mut self) -> Vec<Dropped> {
        let mut orphans = Vec::new();
        let mut lane: Option<(Slot, u64)> = None;
        for (slot, hash) in &self.slots {
            let Some(entry) = self.entries.get_mut(hash) else { continue };
            // In order of sequence: each has as many ahead of it as there are before it in its lane.
            let same = |other: &Slot| {
                other.entry_point == slot.entry_point
                    && other.sender == slot.sender
                    && other.nonce >> 64 == slot.nonce >> 64
            };
            let before = lane.filter(|(other, _)| same(other)).map_or(0, |(_, count)| count);
            // Of what is stale or in a bundle, what goes before it is not known at this head.
            if entry.phase == Phase::Waiting && entry.ahead > before {
                orphans.push(*hash);
            } else if entry.phase != Phase::Stale {
                entry.gap_since = None;
            }
            lane = Some((*slot, before + 1));
        }
        let mut dropped = Vec::new();
        for hash in orphans {
            let Some(entry) = self.entries.get_mut(&hash) else { continue };
            let since = *entry.gap_since.get_or_insert(self.time);
            if self.time.saturating_sub(since) >= millis(GAP) {
                let (why, blame) = ("no operation came that has to go before it", Blame::Revalidation(Entity::Account));
                dropped.extend(self.take_out(hash, why.into(), Some(blame)));
            } else {
                entry.held = Some("an operation that has to go before it is missing".into());
            }
        }
        dropped
    }

    /// Operations whose validation has to be made again, oldest first.
    pub fn stale(&self, most: usize) -> Vec<Admitted> {
        self.arrivals
            .values()
            .filter_map(|hash| self.entries.get(hash))
            .filter(|entry| entry.phase == Phase::Stale)
            .map(|entry| entry.admitted.clone())
            .take(most)
            .collect()
    }

    /// Takes note of a second validation.
    pub fn refresh(&mut self, hash: B256, result: Result<Admitted, Rejection>) -> Vec<Dropped> {
        let Some(entry) = self.entries.get_mut(&hash) else { return Vec::new() };
        if entry.phase != Phase::Stale {
            return Vec::new();
        }
        let rejection = match result {
            Ok(again) => match changed_code(&entry.admitted, &again) {
                None => {
                    entry.ahead = again.evidence.ahead;
                    entry.admitted.validated = again.validated;
                    entry.admitted.evidence = again.evidence;
                    entry.phase = Phase::Waiting;
                    return Vec::new();
                }
                Some(address) => {
                    let reason = format!("the code of {address} has changed since it was accepted (COD-010)");
                    return self.take_out(hash, reason, Some(Blame::Revalidation(Entity::Account)));
                }
            },
            Err(rejection) => rejection,
        };
        // State that cannot be read now says nothing about the operation.
        if !rejection.is_verdict() {
            return Vec::new();
        }
        let blame = rejection.culprit().map(Blame::Revalidation);
        self.take_out(hash, rejection.to_string(), blame)
    }

    /// Whether a bundle may take only a few operations of this entity (GREP-020).
    pub fn is_throttled(&self, address: Address) -> bool {
        self.reputation.status(address, &self.config) == ReputationStatus::Throttled
    }

    /// Forgets all operations; their hashes.
    pub fn clear(&mut self) -> Vec<B256> {
        let hashes: Vec<_> = self.arrivals.values().copied().collect();
        for hash in &hashes {
            self.remove(*hash);
        }
        hashes
    }
}

/// An account whose code is not what the first validation saw (COD-010); not the sender's own, whose creation or new
/// delegation has had the operation validated afresh.
fn changed_code(first: &Admitted, second: &Admitted) -> Option<Address> {
    first.evidence.code_hashes.iter().find_map(|(address, hash)| {
        let now = second.evidence.code_hashes.iter().find(|(other, _)| other == address)?;
        (now.1 != *hash && *address != first.op.sender).then_some(*address)
    })
}

/// Who is made to answer (EREP-020, EREP-030): a staked account for everyone, a staked factory for the account it
/// makes; an unstaked account or factory has no reputation to lose.
fn culprit(admitted: &Admitted, entity: Entity) -> Option<Address> {
    let parties = &admitted.evidence.parties;
    if parties.account.is_staked() {
        return Some(parties.account.address);
    }
    let named = match entity {
        Entity::Account | Entity::Factory => parties.factory.filter(|factory| factory.is_staked()),
        Entity::Paymaster => parties.paymaster,
    }?;
    accountable(admitted).find(|address| *address == named.address)
}
