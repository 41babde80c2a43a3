//! What must outlive the process: accepted operations, every transaction signed for them, how they ended.
//!
//! ```text
//!  engine ──Entry──► Book ──rows──► queue ──one batch──► JournalStore (redb)
//!    ▲             (pure)            │ while one is being written, the next gathers: group commit
//!    └── acknowledge, broadcast ◄────┘ only when what they rest on is written
//!
//!  start: rows ──► Replay ──► flow (nonces in flight), mempool (to be validated again), records
//! ```
//!
//! An operation is acknowledged after its row is durable, and a transaction is broadcast after its row is. Batches are
//! written in order and each of them whole or not at all, so that what is found after a crash is always a moment that
//! there was: a prefix of what happened. Whether what was in flight then was mined is the chain's to say.
//!
//! Rows that are final (deeper in the chain than reorganisations reach) are deleted; reasons of operations that were
//! dropped are kept, the last 100,000.

mod book;
mod crash;
mod entry;
mod error;
mod file;
mod queue;
mod row;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use futures::future::BoxFuture;

pub(crate) use book::{Book, Kept, Replay};
pub(crate) use crash::crash_point;
pub(crate) use entry::Entry;
pub use error::JournalError;
pub(crate) use file::{FORMAT, File};
pub(crate) use queue::{Awaiting, Journal};

/// Rows to write, by key; without a value, to delete.
pub(crate) type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Rows as they were found, by key.
pub(crate) type Found = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keeps rows.
pub(crate) trait JournalStore: std::fmt::Debug + Send + Sync {
    /// Every row there is.
    ///
    /// # Errors
    /// If they cannot be read, or are not ours.
    fn load(&self) -> BoxFuture<'_, Result<Found, JournalError>>;

    /// Writes all of these or none of them; they outlive a power cut when it returns. To write the same again does no
    /// harm.
    ///
    /// # Errors
    /// If that failed or is not known.
    fn commit<'a>(&'a self, rows: &'a Rows) -> BoxFuture<'a, Result<(), JournalError>>;
}
