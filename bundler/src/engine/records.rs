//! What became of each operation, for those who ask.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use alloy::primitives::{Address, B256};
use erc4337::{EntryPointVersion, UserOperation};

use crate::{admission::Admitted, follower::Inclusion};

/// Operations remembered after they have come to an end; the oldest are forgotten first.
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
    /// Mined.
    Included(Arc<InclusionRecord>),
    /// Will not be mined by us.
    Dropped {
        /// Why.
        reason: String,
    },
}

/// A mined operation. Opaque outside of the crate but for its JSON.
#[derive(Debug)]
pub struct InclusionRecord(pub(crate) Inclusion);

impl Status {
    fn is_terminal(&self) -> bool {
        matches!(self, Self::Included(_) | Self::Dropped { .. })
    }

    /// The word for it in status answers.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Submitted { .. } => "submitted",
            Self::Included(_) => "included",
            Self::Dropped { .. } => "dropped",
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
}

impl Record {
    pub(super) fn pending(admitted: &Admitted) -> Self {
        Self {
            op: Some(Arc::clone(&admitted.op)),
            entry_point: admitted.entry_point,
            version: Some(admitted.version),
            status: Status::Pending,
        }
    }
}

/// All records, bounded.
#[derive(Debug, Default)]
pub(super) struct Records {
    by_hash: HashMap<B256, Record>,
    ended: VecDeque<B256>,
}

impl Records {
    pub(super) fn get(&self, hash: B256) -> Option<Record> {
        self.by_hash.get(&hash).cloned()
    }

    pub(super) fn insert(&mut self, hash: B256, record: Record) {
        self.by_hash.insert(hash, record);
    }

    pub(super) fn set(&mut self, hash: B256, status: Status) {
        if let Some(record) = self.by_hash.get_mut(&hash) {
            // A reorganisation may have it included elsewhere, but nothing else comes after inclusion.
            if matches!(record.status, Status::Included(_)) && !matches!(status, Status::Included(_)) {
                return;
            }
            let ends = status.is_terminal() && !record.status.is_terminal();
            record.status = status;
            if ends {
                self.end(hash);
            }
        }
    }

    /// Back to pending, unless it has come to an end.
    pub(super) fn unsubmit(&mut self, hash: B256) {
        if let Some(record) = self.by_hash.get_mut(&hash)
            && matches!(record.status, Status::Submitted { .. })
        {
            record.status = Status::Pending;
        }
    }

    /// Takes back what was final: its block has left the chain.
    pub(super) fn reopen(&mut self, hash: B256, status: Status) {
        if let Some(record) = self.by_hash.get_mut(&hash) {
            record.status = status;
            self.ended.retain(|ended| *ended != hash);
        }
    }

    pub(super) fn include(&mut self, inclusion: Inclusion) {
        let (hash, entry_point) = (inclusion.hash, inclusion.entry_point);
        let status = Status::Included(Arc::new(InclusionRecord(inclusion)));
        if let std::collections::hash_map::Entry::Vacant(e) = self.by_hash.entry(hash) {
            e.insert(Record { op: None, entry_point, version: None, status });
            self.end(hash);
        } else {
            self.set(hash, status);
        }
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
