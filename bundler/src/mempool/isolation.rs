//! Bundles that fail without a culprit: they are halved until he is alone.
//!
//! ```text
//!  bundle of n fails ──► two halves, each a bundle of its own ──► the innocent half goes, the other is halved again
//!                                                                   │
//!        one alone fails ──► it waits, longer each time ◄───────────┘
//!          └─ three times, though others went at no higher bid in between ──► dropped, and remembered
//! ```
//!
//! That others go is what tells a culprit from a node in trouble: while a node takes nothing, nothing is dropped. One of
//! those that wait is tried with each head then, and when that is taken the others wait no longer.

use std::collections::{BTreeSet, HashMap};

use alloy::primitives::{Address, B256};

use super::{Blame, Dropped, Mempool, entities};
use crate::{Rejection, rejection::Entity, submitter::Fees};

/// First pause before a lone operation is tried again, in milliseconds of chain time; it doubles each time.
const PAUSE: u64 = 1_000;
/// Longest such pause.
const LONGEST_PAUSE: u64 = 15_000;
/// Senders of whom nodes took nothing at a time, after which that says nothing of any of them.
const SILENT: usize = 4;
/// Transactions that may revert, with nothing executed between them, before a factory's or paymaster's operations rest.
const BORNE: u32 = 4;
/// Longest that a sender's operations rest whose transactions revert.
const LONGEST_REST: u64 = 512_000;
/// How long it is remembered, in milliseconds of chain time, which operations nodes would not take, and whose.
const REMEMBERED: u64 = 600_000;
/// Operations and entities that are remembered at most.
const MOST: usize = 4_096;
/// Senders whose operations nodes would not take before the paymaster or factory that they have in common is looked at.
const SENDERS: usize = 2;
/// Times that an operation fails alone, others having gone in between, before it is given up.
const STRIKES: u32 = 3;
/// Times that a bundle of one operation is mined and reverts, at our cost, before it is given up, or if it has a paymaster,
/// whose deposit others may spend and fill up again, is tried more and more seldom.
const REVERTS: u32 = 2;
/// How long such a one waits first, in milliseconds of chain time; it doubles each time, up to [`LONGEST_REST`].
const FIRST_REST: u64 = 32_000;

/// What an operation goes into bundles with: only its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Any other that nothing is known against.
    Usual,
    /// What was in the same part of a bundle that failed.
    Group(u64),
    /// What names an entity whose operations nodes would not take.
    Entity(Address),
}

/// Why a bundle came to nothing without anybody being named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No node took its transaction, at this bid; `passing` if its words are about the node, our key or the fees.
    Refused { bid: Fees, passing: bool },
    /// The node did not execute it as we did.
    Disagreed,
    /// Its proof passes what one may take, or cannot be made.
    Unprovable { for_good: bool },
    /// It was mined in this block, and reverted.
    Reverted { block: u64 },
    /// It could not be signed.
    Unsigned,
    /// Nodes had it and it was not mined, though it bid what others do.
    Unmined,
}

/// What is held against an operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspicion {
    /// It goes with these only.
    pub(super) group: Option<u64>,
    /// It is not tried before this chain time (milliseconds).
    pub(super) not_before: u64,
    /// Why it waits.
    pub(super) why: Option<String>,
    /// Times that it failed alone.
    failures: u32,
    /// Of these, those with another that went since the one before.
    strikes: u32,
    reverts: u32,
    /// Nodes took it alone, and nobody mined it.
    unmined: bool,
    /// Its bundle could not be proven, and it was why.
    slow: bool,
    /// What was bid when it was last refused, and whether another was taken at no more than that since.
    refused: Option<(Fees, bool)>,
    /// It failed again and nothing had been taken meanwhile: it may be the node.
    unheard: bool,
    /// Whether the node disagreed about it alone, and agreed about another since.
    disagreed: Option<bool>,
}

/// Which operations nodes would not take, and whose.
#[derive(Debug, Default)]
pub(super) struct Culprits {
    /// Until when, and why.
    operations: HashMap<B256, (u64, String)>,
    /// Until when, and of which senders.
    entities: HashMap<Address, (u64, BTreeSet<Address>)>,
    /// Transactions with one operation alone that named them and reverted, more than were executed; and until when its
    /// operations rest.
    reverting: HashMap<Address, Reverting>,
}

/// Of one entity.
#[derive(Clone, Copy, Debug, Default)]
struct Reverting {
    count: u32,
    /// Chain time, in milliseconds.
    until: u64,
    /// The last block that counts.
    block: u64,
}

impl Culprits {
    pub(super) fn forget(&mut self, now: u64) {
        self.operations.retain(|_, (until, _)| *until > now);
        self.entities.retain(|_, (until, _)| *until > now);
        self.reverting.retain(|_, it| it.until.saturating_add(REMEMBERED) > now);
    }

    /// One of this sender's was mined, which named these.
    pub(super) fn clear(&mut self, sender: Address, named: impl Iterator<Item = Address>) {
        self.entities.remove(&sender);
        named.for_each(|address| _ = self.reverting.remove(&address));
    }

    /// A transaction with one operation alone, which names these, has reverted at our cost. Who is to blame is not known; but
    /// one of whom nothing else was executed meanwhile is tried more and more seldom: first what is the sender's alone.
    ///
    /// Those of one block count once, and so do those of earlier ones that are heard of late: none of them was sent in spite of
    /// another. After a reorganisation what went in one order before may come in another.
    fn reverted(&mut self, named: impl Iterator<Item = (Entity, Address)>, block: u64, now: u64) {
        for (entity, address) in named {
            if self.reverting.len() >= MOST && !self.reverting.contains_key(&address) {
                continue;
            }
            let it = self.reverting.entry(address).or_default();
            if block <= it.block {
                continue;
            }
            (it.count, it.block) = (it.count.saturating_add(1), block);
            // Others' operations wait with those of a factory or paymaster.
            let (borne, most) =
                if entity == Entity::Account { (REVERTS, LONGEST_REST) } else { (BORNE, LONGEST_PAUSE) };
            let pause = it.count.checked_sub(borne).map(|more| PAUSE.saturating_mul(1 << more.min(16)).min(most));
            it.until = now.saturating_add(pause.unwrap_or(0));
        }
    }

    /// Whether transactions that named it have reverted, and nothing of it was executed since.
    pub(super) fn has_reverted(&self, address: Address) -> bool {
        self.reverting.contains_key(&address)
    }

    /// Whether an operation that names these rests at this chain time.
    pub(super) fn rests(&self, mut named: impl Iterator<Item = Address>, now: u64) -> bool {
        named.any(|address| self.reverting.get(&address).is_some_and(|it| it.until > now))
    }

    /// One of this sender's, which names this address, is what nodes would not take.
    fn suspect(&mut self, address: Address, sender: Address, until: u64) {
        if self.entities.len() < MOST || self.entities.contains_key(&address) {
            let known = self.entities.entry(address).or_default();
            known.0 = until;
            if known.1.len() < SENDERS {
                known.1.insert(sender);
            }
        }
    }

    fn is_suspect(&self, address: Address) -> bool {
        self.entities.get(&address).is_some_and(|(_, senders)| senders.contains(&address) || senders.len() >= SENDERS)
    }
}

impl Mempool {
    /// Takes operations back whose bundle came to nothing: several go in halves from now on, and one alone waits, or goes
    /// for good if that is what it deserves.
    pub(crate) fn set_back(&mut self, hashes: &[B256], trouble: Trouble, why: &str) -> Vec<Dropped> {
        let hashes: Vec<B256> = hashes.iter().copied().filter(|hash| self.contains(*hash)).collect();
        self.give_back(&hashes);
        match hashes[..] {
            [] => Vec::new(),
            [hash] => self.set_back_one(hash, trouble, why),
            _ => {
                self.halve(&hashes);
                Vec::new()
            }
        }
    }

    /// Has each of these go into a bundle of its own from now on.
    pub(crate) fn set_apart(&mut self, hashes: &[B256]) {
        for hash in hashes {
            self.group(std::slice::from_ref(hash));
        }
    }

    /// Has each of these go by itself, and when it is in nobody's way: the proof of a bundle with it takes more than one may.
    pub(crate) fn put_last(&mut self, hashes: &[B256], why: &str) {
        self.give_back(hashes);
        self.set_apart(hashes);
        for hash in hashes {
            if let Some(entry) = self.entries.get_mut(hash) {
                (entry.suspicion.slow, entry.suspicion.why) = (true, Some(why.to_owned()));
            }
        }
    }

    /// A bundle with these was taken by a node, at this bid, or was executed by it as by us. Whether others need not wait any
    /// longer for nodes to take anything.
    pub(crate) fn went(&mut self, hashes: &[B256], bid: Option<Fees>) -> bool {
        let mut freed = false;
        let unheard = self.entries.values().filter(|entry| entry.suspicion.unheard);
        let silent = unheard.map(|entry| entry.admitted.op.sender).collect::<BTreeSet<_>>().len() >= SILENT;
        for entry in self.entries.values_mut() {
            let suspicion = &mut entry.suspicion;
            // The node takes transactions again.
            if bid.is_some() && std::mem::take(&mut suspicion.unheard) {
                (suspicion.not_before, freed) = (0, true);
                // They go together again.
                if silent && suspicion.reverts == 0 && !suspicion.unmined {
                    *suspicion = Suspicion::default();
                }
            }
            match (bid, &mut suspicion.refused) {
                (Some(bid), Some((refused, others))) => *others |= bid.is_within(*refused),
                (None, _) => suspicion.disagreed = suspicion.disagreed.map(|_| true),
                _ => {}
            }
        }
        for hash in hashes {
            let Some(entry) = self.entries.get_mut(hash) else { continue };
            match bid {
                // What reverted, or was not mined, is suspect until it is mined.
                Some(_) if entry.suspicion.reverts == 0 && !entry.suspicion.unmined => {
                    entry.suspicion = Suspicion::default();
                }
                Some(_) => {}
                None => entry.suspicion.disagreed = None,
            }
        }
        freed
    }

    /// The one that is tried although it has to wait: that nodes take nothing of several senders is seen to be over as soon as
    /// it is.
    pub(super) fn probe(&self) -> Option<B256> {
        if self.probed {
            return None;
        }
        let unheard = || self.entries.iter().filter(|(_, entry)| entry.suspicion.unheard);
        let first = unheard().min_by_key(|(hash, entry)| (entry.suspicion.not_before, **hash))?;
        let sender = first.1.admitted.op.sender;
        unheard().any(|(_, entry)| entry.admitted.op.sender != sender).then_some(*first.0)
    }

    /// What an operation goes with.
    pub(crate) fn class(&self, hash: B256) -> Class {
        let Some(entry) = self.entries.get(&hash) else { return Class::Usual };
        if let Some(group) = entry.suspicion.group {
            return Class::Group(group);
        }
        let mut named = entities(&entry.admitted.op).map(|(_, address)| address);
        named.find(|address| self.culprits.is_suspect(*address)).map_or(Class::Usual, Class::Entity)
    }

    /// Whether an operation goes only when it is in nobody's way: it was sent alone and not mined, or takes long to prove, or
    /// nodes would not take another of its sender's.
    pub(crate) fn is_shy(&self, hash: B256) -> bool {
        let Some(entry) = self.entries.get(&hash) else { return false };
        let sender = entry.admitted.op.sender;
        let of_culprit = self.culprits.entities.get(&sender).is_some_and(|(_, senders)| senders.contains(&sender));
        entry.suspicion.unmined || entry.suspicion.slow || of_culprit
    }

    /// What a bundle with this operation is to bid at least: more than it was refused at alone.
    pub(crate) fn least_bid(&self, hash: B256) -> Fees {
        let alone = self.entries.get(&hash).filter(|entry| entry.suspicion.failures > 0);
        let refused = alone.and_then(|entry| entry.suspicion.refused);
        let more = |fee: u128| fee.saturating_mul(2);
        refused.map_or(Fees::default(), |(bid, _)| Fees {
            max_fee: more(bid.max_fee),
            priority_fee: more(bid.priority_fee),
        })
    }

    /// Refuses an operation that nodes would not take not long ago.
    ///
    /// # Errors
    /// With the words of then.
    pub(crate) fn remembers(&self, hash: B256) -> Result<(), Rejection> {
        match self.culprits.operations.get(&hash) {
            Some((_, reason)) => Err(Rejection::NotTaken { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn halve(&mut self, hashes: &[B256]) {
        // Operations of one line stay together if they can: the second waits for the first anyway.
        let line =
            |hash: &B256| self.entries.get(hash).map(|entry| (entry.admitted.op.sender, entry.admitted.op.nonce_key()));
        let middle = hashes.len() / 2;
        let is_between = |at: &usize| line(&hashes[*at - 1]) != line(&hashes[*at]);
        let near = (0..middle).flat_map(|off| [middle - off, middle + off]);
        let at = near.filter(|at| (1..hashes.len()).contains(at)).find(is_between).unwrap_or(middle);
        let (first, second) = hashes.split_at(at);
        self.group(first);
        self.group(second);
    }

    fn group(&mut self, hashes: &[B256]) {
        self.groups += 1;
        for hash in hashes {
            if let Some(entry) = self.entries.get_mut(hash) {
                entry.suspicion.group = Some(self.groups);
            }
        }
    }

    fn set_back_one(&mut self, hash: B256, trouble: Trouble, why: &str) -> Vec<Dropped> {
        self.group(&[hash]);
        let now = self.time;
        let Some(entry) = self.entries.get_mut(&hash) else { return Vec::new() };
        let suspicion = &mut entry.suspicion;
        suspicion.failures = suspicion.failures.saturating_add(1);
        let strikes = &mut suspicion.strikes;
        let mut strike = |others_go: bool| {
            *strikes += u32::from(*strikes == 0 || others_go);
            *strikes >= STRIKES && others_go
        };
        let verdict = match trouble {
            Trouble::Refused { bid, passing } => {
                let others_go = suspicion.refused.is_some_and(|(_, others)| others);
                suspicion.unheard = suspicion.refused.is_some() && !others_go;
                self.probed |= suspicion.unheard;
                let verdict = !passing && strike(others_go);
                // At a higher bid it may be another matter.
                let bid = suspicion.refused.map_or(bid, |(before, _)| before.at_least(bid));
                suspicion.refused = Some((bid, false));
                verdict
            }
            Trouble::Disagreed => strike(suspicion.disagreed.replace(false) == Some(true)),
            Trouble::Reverted { block } => {
                suspicion.reverts += 1;
                let named = entities(&entry.admitted.op).filter(|(_, address)| !self.config.allowed.contains(address));
                self.culprits.reverted(named, block, now);
                let more = suspicion.reverts.checked_sub(REVERTS);
                if let Some(more) = more.filter(|_| entry.admitted.op.paymaster.is_some()) {
                    let pause = FIRST_REST.saturating_mul(1 << more.min(16)).min(LONGEST_REST);
                    (suspicion.not_before, suspicion.why) = (now.saturating_add(pause), Some(why.to_owned()));
                    return Vec::new();
                }
                more.is_some()
            }
            Trouble::Unprovable { for_good } => for_good,
            Trouble::Unmined => {
                suspicion.unmined = true;
                false
            }
            Trouble::Unsigned => false,
        };
        if verdict {
            return self.convict(hash, why);
        }
        if suspicion.unmined {
            let until = now.saturating_add(REMEMBERED);
            self.culprits.suspect(entry.admitted.op.sender, entry.admitted.op.sender, until);
        }
        let pause = PAUSE.saturating_mul(1 << (suspicion.failures - 1).min(16)).min(LONGEST_PAUSE);
        // A first failure waits for no more than the next head.
        suspicion.not_before = if suspicion.failures == 1 { now.saturating_add(1) } else { now.saturating_add(pause) };
        suspicion.why = Some(why.to_owned());
        Vec::new()
    }

    /// It alone is what fails.
    fn convict(&mut self, hash: B256, why: &str) -> Vec<Dropped> {
        let Some(entry) = self.entries.get(&hash) else { return Vec::new() };
        let until = self.time.saturating_add(REMEMBERED);
        let culprits = &mut self.culprits;
        if culprits.operations.len() < MOST {
            culprits.operations.insert(hash, (until, why.to_owned()));
        }
        let sender = entry.admitted.op.sender;
        for (_, address) in entities(&entry.admitted.op) {
            if !self.config.allowed.contains(&address) {
                culprits.suspect(address, sender, until);
            }
        }
        // That it failed says nothing of its paymaster (EREP-015): or a stranger has one banned by what is never executed.
        self.take_out(hash, why.to_owned(), Some(Blame::Revalidation(Entity::Account)))
    }
}

#[cfg(test)]
mod tests;
