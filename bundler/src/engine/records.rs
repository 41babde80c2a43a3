//! What became of each operation, for those who ask and for those who watch.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use alloy::primitives::{Address, B256};
use erc4337::{EntryPointVersion, UserOperation};
use tokio::sync::{mpsc, watch};

use super::watchers::{Stage, Watchers};
use crate::{
    admission::Admitted,
    index::Event,
    journal::Entry as Noted,
    lives::{Lives, Milestone},
};

/// Operations remembered after they have come to an end; the oldest are forgotten first. What was included is in the
/// index all the same.
const KEPT: usize = 100_000;

/// Where an operation stands.
#[derive(Clone, Debug)]
pub enum Status {
    /// In the mempool.
    Pending,
    /// In a transaction that was sent.
    Submitted {
        /// The transaction.
        transaction: B256,
    },
    /// In the block that is being built.
    Preconfirmed {
        /// The transaction.
        transaction: B256,
    },
    /// Mined.
    Included(InclusionRecord),
    /// Will not be mined by us.
    Dropped {
        /// Why.
        reason: String,
    },
}

/// Where an operation was mined. Opaque outside of the crate; its receipt is in the index.
#[derive(Clone, Copy, Debug)]
pub struct InclusionRecord(pub(crate) Event);

impl Status {
    fn is_terminal(&self) -> bool {
        matches!(self, Self::Included(_) | Self::Dropped { .. })
    }

    /// The word for it in status answers.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Submitted { .. } => "submitted",
            Self::Preconfirmed { .. } => "preconfirmed",
            Self::Included(_) => "included",
            Self::Dropped { .. } => "dropped",
        }
    }

    /// The transaction it is in, if it is in one.
    pub fn transaction(&self) -> Option<B256> {
        match self {
            Self::Submitted { transaction } | Self::Preconfirmed { transaction } => Some(*transaction),
            Self::Included(InclusionRecord(event)) => Some(event.transaction),
            Self::Pending | Self::Dropped { .. } => None,
        }
    }

    fn stage(&self) -> Stage {
        match self {
            Self::Pending => Stage::Accepted,
            Self::Submitted { transaction } => Stage::Submitted { transaction: *transaction },
            Self::Preconfirmed { transaction } => Stage::Preconfirmed { transaction: *transaction },
            Self::Included(InclusionRecord(event)) => Stage::Included(*event),
            Self::Dropped { reason } => Stage::Dropped { reason: reason.clone() },
        }
    }
}

/// An operation and where it stands.
#[derive(Clone, Debug)]
pub struct Record {
    /// The operation; unknown if another bundler's.
    pub op: Option<Arc<UserOperation>>,
    /// Where it runs.
    pub entry_point: Address,
    /// The rules there; unknown if another bundler's.
    pub version: Option<EntryPointVersion>,
    /// Where it stands.
    pub status: Status,
    /// What it waits for, if it is pending and something is to be said about that.
    pub waits_for: Option<String>,
}

impl Record {
    pub(super) fn pending(admitted: &Admitted) -> Self {
        Self {
            op: Some(Arc::clone(&admitted.op)),
            entry_point: admitted.entry_point,
            version: Some(admitted.version),
            status: Status::Pending,
            waits_for: None,
        }
    }

    fn mined(event: Event) -> Self {
        let status = Status::Included(InclusionRecord(event));
        Self { op: None, entry_point: event.entry_point, version: None, status, waits_for: None }
    }
}

/// What the chain is to be asked for, beside its heads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    /// The block that is being built: something of ours may be in it.
    pub(crate) pending: bool,
    /// Which block is safe.
    pub(crate) safe: bool,
    /// What pending operations rest on, with each block.
    pub(crate) pool: bool,
}

/// All records, bounded.
#[derive(Debug)]
pub(crate) struct Records {
    by_hash: HashMap<B256, Record>,
    ended: VecDeque<B256>,
    /// Operations on their way, with every transaction they were sent in.
    sent: BTreeMap<B256, Vec<B256>>,
    /// Operations that a block being built had, with its number and the transaction.
    preconfirmed: BTreeMap<B256, (u64, B256)>,
    watchers: Watchers,
    interest: watch::Sender<Interest>,
    /// Something is in the mempool.
    pool: bool,
    /// What has to be remembered of all this, and was not taken yet.
    noted: Vec<Noted>,
    /// Operations that were dropped, and why, until that is durable: a restart may take them up again, so that nobody is told.
    untold: BTreeMap<B256, String>,
    lives: Arc<Lives>,
}

impl Records {
    pub(crate) fn new(interest: watch::Sender<Interest>, lives: Arc<Lives>) -> Self {
        Self {
            by_hash: HashMap::new(),
            ended: VecDeque::new(),
            sent: BTreeMap::new(),
            preconfirmed: BTreeMap::new(),
            watchers: Watchers::default(),
            interest,
            pool: false,
            noted: Vec::new(),
            untold: BTreeMap::new(),
            lives,
        }
    }

    /// What has to be remembered, since the last time this was asked.
    pub(crate) fn take_noted(&mut self) -> Vec<Noted> {
        std::mem::take(&mut self.noted)
    }

    /// An operation that was dropped before a restart.
    pub(crate) fn restore_dropped(&mut self, hash: B256, entry_point: Address, reason: String) {
        let record =
            Record { op: None, entry_point, version: None, status: Status::Dropped { reason }, waits_for: None };
        self.by_hash.insert(hash, record);
        self.end(hash);
    }

    pub(crate) fn get(&self, hash: B256) -> Option<Record> {
        self.by_hash.get(&hash).cloned()
    }

    /// That this operation was dropped is durable now.
    pub(crate) fn tell_dropped(&mut self, hash: B256) {
        if let Some(reason) = self.untold.remove(&hash) {
            self.lives.note(hash, Milestone::Dropped, None, Some(&reason));
            self.watchers.tell(hash, &Stage::Dropped { reason });
        }
    }

    pub(crate) fn insert(&mut self, hash: B256, record: Record) {
        self.untold.remove(&hash);
        self.watchers.tell(hash, &record.status.stage());
        self.lives.note(hash, Milestone::Pooled, None, None);
        self.by_hash.insert(hash, record);
    }

    /// These are being put into a bundle: news for those who watch, and no more than that.
    pub(crate) fn bundled(&mut self, hashes: &[B256]) {
        hashes.iter().for_each(|hash| self.watchers.tell(*hash, &Stage::Bundled));
        self.lives.note_all(hashes, Milestone::Bundled);
    }

    pub(crate) fn set(&mut self, hash: B256, status: Status) {
        let Some(record) = self.by_hash.get_mut(&hash) else { return };
        // A reorganisation may have it included elsewhere, but nothing else comes after inclusion.
        if matches!(record.status, Status::Included(_)) && !matches!(status, Status::Included(_)) {
            return;
        }
        match &status {
            Status::Submitted { transaction } => self.sent.entry(hash).or_default().push(*transaction),
            Status::Preconfirmed { .. } => {}
            _ => drop(self.sent.remove(&hash)),
        }
        match &status {
            Status::Included(InclusionRecord(event)) => self.noted.push(Noted::Included { hash, block: event.block }),
            Status::Dropped { reason } => self.noted.push(Noted::Dropped { hash, reason: reason.clone() }),
            _ => {}
        }
        match &status {
            Status::Submitted { transaction } => self.lives.note(hash, Milestone::Signed, Some(*transaction), None),
            Status::Included(InclusionRecord(event)) => {
                self.lives.note(hash, Milestone::Mined, Some(event.transaction), None);
            }
            Status::Pending | Status::Preconfirmed { .. } | Status::Dropped { .. } => {}
        }
        let ends = status.is_terminal() && !record.status.is_terminal();
        if let Status::Dropped { reason } = &status {
            self.untold.insert(hash, reason.clone());
        } else {
            self.untold.remove(&hash);
            self.watchers.tell(hash, &status.stage());
        }
        record.status = status;
        if ends {
            self.end(hash);
        }
        self.tell_interest();
    }

    /// Back to pending, unless it has come to an end.
    pub(crate) fn unsubmit(&mut self, hash: B256) {
        if let Some(record) = self.by_hash.get_mut(&hash)
            && matches!(record.status, Status::Submitted { .. } | Status::Preconfirmed { .. })
        {
            record.status = Status::Pending;
            self.sent.remove(&hash);
            self.lives.note(hash, Milestone::Returned, None, None);
            self.watchers.tell(hash, &Stage::Pending);
            self.tell_interest();
        }
    }

    /// Takes back what was final: its block has left the chain.
    pub(crate) fn reopen(&mut self, hash: B256, status: Status) {
        let Some(record) = self.by_hash.get_mut(&hash) else { return };
        let stage = match &status {
            Status::Pending => Stage::Pending,
            other => other.stage(),
        };
        if let Status::Submitted { transaction } = &status {
            self.sent.entry(hash).or_default().push(*transaction);
        }
        self.noted.push(Noted::Reopened { hash });
        record.status = status;
        self.lives.note(hash, Milestone::Returned, None, None);
        self.ended.retain(|ended| *ended != hash);
        self.watchers.tell(hash, &stage);
        self.tell_interest();
    }

    /// What was mined was not ours, and is not mined any more: nothing is known of it.
    pub(crate) fn forget(&mut self, hash: B256) {
        if self.by_hash.remove(&hash).is_some() {
            self.ended.retain(|ended| *ended != hash);
            self.watchers.tell(hash, &Stage::Pending);
        }
    }

    /// These transactions are in the block of this number, which is being built.
    pub(crate) fn preconfirm(&mut self, block: u64, transactions: &BTreeSet<B256>) {
        self.withdraw(|at, transaction| at == block && !transactions.contains(transaction));
        let seen =
            |(hash, sent): (&B256, &Vec<B256>)| Some((*hash, *sent.iter().find(|it| transactions.contains(*it))?));
        let seen: Vec<(B256, B256)> = self.sent.iter().filter_map(seen).collect();
        for (hash, transaction) in seen {
            if self.preconfirmed.insert(hash, (block, transaction)).is_none_or(|(_, before)| before != transaction) {
                self.set(hash, Status::Preconfirmed { transaction });
            }
        }
    }

    /// The chain has come to this height, and what it has was told: what a block was to have and has not is only sent.
    pub(crate) fn confirm(&mut self, head: u64) {
        self.withdraw(|at, _| at <= head);
    }

    fn withdraw(&mut self, gone: impl Fn(u64, &B256) -> bool) {
        let back: Vec<(B256, B256)> = self
            .preconfirmed
            .extract_if(.., |_, (block, transaction)| gone(*block, transaction))
            .map(|(hash, (_, transaction))| (hash, transaction))
            .collect();
        for (hash, transaction) in back {
            let Some(record) = self.by_hash.get_mut(&hash) else { continue };
            if matches!(record.status, Status::Preconfirmed { .. }) {
                record.status = Status::Submitted { transaction };
                self.watchers.tell(hash, &Stage::Submitted { transaction });
                self.tell_interest();
            }
        }
    }

    pub(crate) fn include(&mut self, event: Event) {
        let hash = event.hash;
        let Entry::Vacant(unknown) = self.by_hash.entry(hash) else {
            return self.set(hash, Status::Included(InclusionRecord(event)));
        };
        unknown.insert(Record::mined(event));
        self.end(hash);
        self.watchers.tell(hash, &Stage::Included(event));
        self.tell_interest();
    }

    /// Tells this subscriber how the operation stands, `known` being what the index says, and all that follows.
    pub(crate) fn watch(&mut self, hash: B256, known: Option<Event>, sender: mpsc::Sender<Stage>) -> bool {
        let now = self.by_hash.get(&hash).map(|record| record.status.stage()).or(known.map(Stage::Included));
        let now = now.filter(|_| !self.untold.contains_key(&hash));
        let room = self.watchers.watch(hash, now, sender);
        self.tell_interest();
        room
    }

    /// A subscriber has gone; whether another is left.
    pub(crate) fn unwatch(&mut self, hash: B256) -> bool {
        let left = self.watchers.unwatch(hash);
        self.tell_interest();
        left
    }

    /// This block and those before it are safe.
    pub(crate) fn safe(&mut self, block: u64) {
        self.watchers.safe(block);
        self.tell_interest();
    }

    /// Whether something is in the mempool.
    pub(super) fn rest_on_the_head(&mut self, pool: bool) {
        if std::mem::replace(&mut self.pool, pool) != pool {
            self.tell_interest();
        }
    }

    fn tell_interest(&self) {
        let (pending, safe) = (!self.sent.is_empty(), self.watchers.wait_for_safety());
        let now = Interest { pending, safe, pool: self.pool };
        self.interest.send_if_modified(|told| std::mem::replace(told, now) != now);
    }

    fn end(&mut self, hash: B256) {
        self.ended.push_back(hash);
        if self.ended.len() > KEPT
            && let Some(oldest) = self.ended.pop_front()
        {
            self.by_hash.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
