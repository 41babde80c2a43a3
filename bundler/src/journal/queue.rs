//! What waits to be written, and what waits for that.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use alloy::primitives::B256;
use tokio::sync::oneshot;

use super::{Book, Entry, JournalError, JournalStore, Replay, Rows};
use crate::{
    Rejection,
    engine::{Answer, Left, Record, Screened},
    flow::Place,
    submitter::Attempt,
};

/// Rows that may wait to be written before no more operations are taken.
const MOST: usize = 8_192;

/// What is done once all that was noted before it is durable.
#[derive(Debug)]
pub(crate) enum Awaiting {
    /// Tell the sender of this operation that it is accepted.
    Acknowledge(B256, oneshot::Sender<Result<B256, Rejection>>),
    /// Tell the sender of one that is there already.
    Known(oneshot::Sender<Result<Screened, Rejection>>),
    /// Send this transaction.
    Broadcast(Place, Attempt),
    /// Tell what has become of this operation.
    Tell(B256, Answer<Option<Record>>),
    /// Tell those who watch this operation that it was dropped.
    TellDropped(B256),
    /// Let the process end.
    Left(Vec<Left>, oneshot::Sender<Vec<Left>>),
}

/// The engine's side of the journal. Without a store nothing is kept, and nothing waits.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    store: Option<Arc<dyn JournalStore>>,
    book: Book,
    queued: Rows,
    /// Number of the last entry; that up to which the batch being written goes; that up to which all is durable.
    noted: u64,
    writing: Option<u64>,
    written: u64,
    waiting: VecDeque<(u64, Awaiting)>,
    /// Signed transactions, and operations that were dropped, of which that is not durable yet.
    unwritten: HashMap<B256, u64>,
    failure: Option<String>,
    /// After a failure, for a while.
    resting: bool,
}

impl Journal {
    /// On this store, and what it holds.
    ///
    /// # Errors
    /// If it cannot be read, or a row is not as we write them.
    pub(crate) async fn open(store: Arc<dyn JournalStore>, place: &str) -> Result<(Self, Replay), JournalError> {
        let rows = store.load().await?;
        let corrupt = |reason| JournalError::Corrupt { place: place.to_owned(), reason };
        let (book, replay) = Book::open(&rows).map_err(corrupt)?;
        Ok((Self { store: Some(store), book, ..Self::default() }, replay))
    }

    /// Whether anything is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.store.is_some()
    }

    /// Takes note of an entry.
    pub(crate) fn note(&mut self, entry: Entry) {
        if self.store.is_none() {
            return;
        }
        self.noted += 1;
        if let Entry::Signed { attempt: Attempt { transaction: what, .. }, .. } | Entry::Dropped { hash: what, .. } =
            &entry
        {
            self.unwritten.insert(*what, self.noted);
        }
        self.book.apply(entry, &mut self.queued);
    }

    /// Why no operation is to be taken now, if that is so.
    pub(crate) fn refusal(&self) -> Option<Rejection> {
        if self.failure.is_some() {
            return Some(Rejection::Unwritable);
        }
        (self.queued.len() >= MOST).then_some(Rejection::Busy("too many operations wait to be stored"))
    }

    /// What the store said last, if it failed.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Whether everything is durable.
    pub(crate) fn is_written(&self) -> bool {
        self.written == self.noted
    }

    /// After a failure: it may be tried again.
    pub(crate) fn rested(&mut self) {
        self.resting = false;
    }

    /// Has this done when all that was noted is durable; gives it back if it can be done now.
    pub(crate) fn when_written(&mut self, then: Awaiting) -> Option<Awaiting> {
        self.when(self.noted, then)
    }

    /// The same for what rests on this transaction, or on the end of this operation, alone.
    pub(crate) fn when_kept(&mut self, what: B256, then: Awaiting) -> Option<Awaiting> {
        self.when(self.unwritten.get(&what).copied().unwrap_or(0), then)
    }

    fn when(&mut self, number: u64, then: Awaiting) -> Option<Awaiting> {
        if number <= self.written {
            return Some(then);
        }
        self.waiting.push_back((number, then));
        None
    }

    /// What is to be written now: all that waits, if nothing is being written.
    pub(crate) fn batch(&mut self) -> Option<(Arc<dyn JournalStore>, Rows)> {
        let store = self.store.as_ref().filter(|_| self.writing.is_none() && !self.resting && !self.is_written())?;
        self.writing = Some(self.noted);
        Some((Arc::clone(store), std::mem::take(&mut self.queued)))
    }

    /// The batch is durable; what waited for it.
    pub(crate) fn written(&mut self) -> Vec<Awaiting> {
        if let Some(number) = self.writing.take() {
            self.written = number;
        }
        self.failure = None;
        let written = self.written;
        self.unwritten.retain(|_, number| *number > written);
        let (due, rest): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(number, _)| *number <= written);
        self.waiting = rest;
        due.into_iter().map(|(_, then)| then).collect()
    }

    /// The batch is not known to be durable: it is written again with what came meanwhile. Whoever waits to hear that
    /// an operation was taken is to be told that it was not, and whoever waits to hear of its end that it is not known;
    /// the rest waits on.
    pub(crate) fn failed(&mut self, rows: Rows, error: &JournalError) -> Vec<Awaiting> {
        self.writing = None;
        self.resting = true;
        self.failure = Some(error.to_string());
        for (key, value) in rows {
            // What came later counts.
            self.queued.entry(key).or_insert(value);
        }
        let senders = |awaiting: &Awaiting| {
            matches!(awaiting, Awaiting::Acknowledge(..) | Awaiting::Known(_) | Awaiting::Tell(..))
        };
        let (refused, rest): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, then)| senders(then));
        self.waiting = rest;
        refused.into_iter().map(|(_, then)| then).collect()
    }
}
