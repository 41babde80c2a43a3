//! Our own index of what the served EntryPoints executed: any operation's receipt in one look, at any age.
//!
//! ```text
//!  follower ── each head ──► advance ──┐
//!                                      ├─► store (redb) ──► find ──► rpc
//!  backfill ── older blocks ──► fill ──┘
//! ```
//!
//! What is written is always a whole range of blocks, and which ranges are known is written with it: a crash leaves a
//! range unknown, never half known. It is all had from the chain and can be had again, so that heads are not flushed
//! to the disk one by one.

mod backfill;
mod coverage;
mod ranges;
mod store;

use std::{
    collections::BTreeSet,
    ops::RangeInclusive,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::primitives::{Address, B256};
use redb::Durability;
use serde_json::value::RawValue;
use tokio::time::Instant;

pub(crate) use backfill::{Logs, event_of, run as backfill};
use coverage::Coverage;
pub(crate) use store::Event;
pub use store::IndexError;
use store::{Kept, Store, Top};

use crate::{
    Config,
    follower::Inclusion,
    node::{NodeClient, NodeError},
    world::Disk,
};

/// Between two flushes to the disk while operations are executed.
const FLUSH: Duration = Duration::from_secs(1);
/// The same while none is.
const IDLE_FLUSH: Duration = Duration::from_secs(30);

/// Which blocks are wanted, by their heights: what is asked in time is so many blocks of this chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The first.
    pub(crate) start: Option<u64>,
    /// Where there is none: blocks before the first head.
    pub(crate) lookback: u64,
    /// Blocks that are kept behind the head.
    pub(crate) retention: Option<u64>,
}

impl Wanted {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            start: config.index_start,
            lookback: config.blocks_in(config.index_lookback),
            retention: config.index_retention.map(|time| config.blocks_in(time)),
        }
    }
}

/// The index.
#[derive(Debug)]
pub(crate) struct Index {
    store: Store,
    wanted: Wanted,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    coverage: Coverage,
    top: Option<Top>,
    /// Rises with each reorganisation: what was fetched before it is not to be written after it.
    generation: u64,
    flushed: Instant,
    /// First block of which something was written that may not be on the disk yet.
    unflushed: Option<u64>,
    /// Which blocks are known is not written yet. They executed nothing: a crash costs no more than to ask for them again.
    unwritten: bool,
}

/// Blocks that are to be had from the chain yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    pub(crate) from: u64,
    pub(crate) to: u64,
    generation: u64,
}

impl Index {
    /// Opens the index of this chain; for the life of the process alone without a file.
    ///
    /// # Errors
    /// If the file is damaged, of another format or chain, or in use. Nothing is written to it then.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        file: Option<&Path>,
        chain: u64,
        wanted: Wanted,
    ) -> Result<Self, IndexError> {
        let store = Store::open(disk, file, chain)?;
        let (coverage, top) = store.coverage()?;
        let state = Mutex::new(State {
            coverage,
            top,
            generation: 0,
            flushed: Instant::now(),
            unflushed: None,
            unwritten: false,
        });
        Ok(Self { store, wanted, state })
    }

    /// Forgets what a reorganisation undid while nobody watched. One question to the node if there was none.
    ///
    /// # Errors
    /// If the node does not answer, or the file cannot be written.
    pub(crate) async fn resume(&self, node: &NodeClient, depth: u64) -> Result<(), ResumeError> {
        let top = self.state().top;
        let Some(top) = top else { return Ok(()) };
        if node.has_block(top.number, top.hash).await? {
            return Ok(());
        }
        tracing::warn!(block = top.number, "the indexed chain was reorganised while we were away");
        self.cut(top.number.saturating_sub(depth))?;
        Ok(())
    }

    /// After a failure, opens the file anew. What was not on the disk is gone with it, and what the disk says of these
    /// blocks may be of before a reorganisation: they are not known any more.
    fn revive(&self, state: &mut State) -> Result<(), IndexError> {
        if !self.store.reopen()? {
            return Ok(());
        }
        let (mut coverage, top) = self.store.coverage()?;
        if let Some(from) = state.unflushed {
            coverage.cut(from);
            self.store.write(Durability::Immediate, |tables| {
                tables.remove(from..=u64::MAX)?;
                tables.set_coverage(&coverage)
            })?;
        }
        tracing::info!("the index is open again");
        // The head goes on as it is known; what is missing below it is a gap, and filled as such.
        state.top = state.top.or(top);
        (state.coverage, state.unwritten) = (coverage, false);
        state.generation += 1;
        Ok(())
    }

    fn cut(&self, from: u64) -> Result<(), IndexError> {
        let mut state = self.state();
        let mut coverage = state.coverage.clone();
        coverage.cut(from);
        self.store.write(Durability::Immediate, |tables| {
            tables.remove(from..=u64::MAX)?;
            tables.set_coverage(&coverage)?;
            tables.set_top(None)
        })?;
        (state.coverage, state.top) = (coverage, None);
        state.generation += 1;
        Ok(())
    }

    /// Takes in a new head: all that was executed from block `from` up to it; what was known of these blocks before
    /// is forgotten. Receipts of transactions from `own` are kept whole.
    ///
    /// # Errors
    /// If the file cannot be written: the blocks then stay unknown and are fetched again.
    pub(crate) fn advance(
        &self,
        head: (u64, B256),
        from: u64,
        inclusions: &[Inclusion],
        own: &BTreeSet<Address>,
    ) -> Result<(), IndexError> {
        let (number, hash) = head;
        let mut state = self.state();
        if let Err(error) = self.revive(&mut state) {
            // What it has of these blocks may be of another branch by the time that it is open again.
            state.unflushed = Some(state.unflushed.map_or(from, |first| first.min(from)));
            return Err(error);
        }
        let reorganised = state.top.is_some_and(|top| top.number >= from);
        let mut coverage = state.coverage.clone();
        coverage.cut(from);
        coverage.add(from..=number);
        let oldest = self.wanted.retention.map(|blocks| number.saturating_sub(blocks)).filter(|oldest| *oldest > 0);
        let quiet = inclusions.is_empty() && !reorganised && state.unflushed.is_none();
        let flush = state.flushed.elapsed() >= if quiet { IDLE_FLUSH } else { FLUSH };
        let durability = if flush { Durability::Immediate } else { Durability::None };
        let top = Top { number, hash };
        // Most blocks of a fast chain: they are written down together.
        if inclusions.is_empty() && !reorganised && !flush {
            (state.coverage, state.top, state.unwritten) = (coverage, Some(top), true);
            return Ok(());
        }
        // Whether or not this comes to be written.
        state.unflushed = Some(state.unflushed.map_or(from, |first| first.min(from)));
        self.store.write(durability, |tables| {
            tables.remove(from..=u64::MAX)?;
            for inclusion in inclusions {
                let event = inclusion.event();
                tables.insert(&event)?;
                if own.contains(&inclusion.receipt.from) {
                    let head = serde_json::to_vec(&inclusion.head_json()).map_err(unserialisable)?;
                    let receipt = serde_json::to_vec(&*inclusion.receipt).map_err(unserialisable)?;
                    tables.keep(&event, &Kept { head, receipt })?;
                }
            }
            if let Some(oldest) = oldest {
                tables.remove(0..=oldest - 1)?;
                coverage.forget_before(oldest);
            }
            tables.set_coverage(&coverage)?;
            tables.set_top(Some(top))
        })?;
        (state.coverage, state.top, state.unwritten) = (coverage, Some(top), false);
        state.generation += u64::from(reorganised);
        if flush {
            state.unflushed = None;
            state.flushed = Instant::now();
        }
        Ok(())
    }

    /// The newest blocks that are wanted and not known.
    pub(crate) fn gap(&self) -> Option<Gap> {
        let state = self.state();
        let top = state.top?.number;
        let kept = self.wanted.retention.map_or(0, |blocks| top.saturating_sub(blocks));
        let start = self.wanted.start.unwrap_or_else(|| top.saturating_sub(self.wanted.lookback)).max(kept);
        let (from, to) = state.coverage.newest_gap(start..=top)?;
        Some(Gap { from, to, generation: state.generation })
    }

    /// Takes in what these older blocks executed, unless the chain has been reorganised since `gap` was told.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn fill(&self, gap: &Gap, blocks: RangeInclusive<u64>, events: &[Event]) -> Result<(), IndexError> {
        let mut state = self.state();
        self.revive(&mut state)?;
        if state.generation != gap.generation {
            return Ok(());
        }
        let mut coverage = state.coverage.clone();
        coverage.add(blocks.clone());
        self.store.write(Durability::Immediate, |tables| {
            tables.remove(blocks)?;
            events.iter().try_for_each(|event| tables.insert(event))?;
            tables.set_coverage(&coverage)?;
            // Whoever reads this coverage has to know up to which block of which chain it goes.
            tables.set_top(state.top)
        })?;
        (state.coverage, state.unwritten) = (coverage, false);
        Ok(())
    }

    /// Where the operation was executed, unless that is longer ago than events are kept.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn find(&self, hash: B256) -> Result<Option<Event>, IndexError> {
        // The file is rid of what is older only when there is something else to write.
        let top = self.state().top.map_or(0, |top| top.number);
        let oldest = self.wanted.retention.map_or(0, |blocks| top.saturating_sub(blocks));
        Ok(self.store.event(hash)?.filter(|event| event.block >= oldest))
    }

    /// The answer of `eth_getUserOperationReceipt`, if it is kept.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn receipt(&self, event: &Event) -> Result<Option<Box<RawValue>>, IndexError> {
        let Some(Kept { head, receipt }) = self.store.kept(event)? else { return Ok(None) };
        // Both are JSON objects of our own making: put together as they are, nothing is parsed.
        let mut text = head;
        text.pop();
        text.extend_from_slice(b",\"receipt\":");
        text.extend_from_slice(&receipt);
        text.push(b'}');
        let text = String::from_utf8(text).map_err(unserialisable)?;
        RawValue::from_string(text).map(Some).map_err(unserialisable)
    }

    /// Writes what is not on the disk yet.
    pub(crate) fn flush(&self) {
        let state = self.state();
        let written = self.store.write(Durability::Immediate, |tables| {
            if state.unwritten {
                tables.set_coverage(&state.coverage)?;
                tables.set_top(state.top)?;
            }
            Ok(())
        });
        if let Err(error) = written {
            tracing::error!(%error, "the index could not be flushed");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Why the index could not be brought to the chain.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResumeError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Index(#[from] IndexError),
}

fn unserialisable(error: impl std::fmt::Display) -> IndexError {
    IndexError::Storage(error.to_string())
}

#[cfg(test)]
mod tests;
