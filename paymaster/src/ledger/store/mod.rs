//! Where records are kept: a redb file (or memory) for one process, Redis for many.

mod embedded;
mod shared;

use std::path::Path;

pub use embedded::Embedded;
pub use shared::Shared;

use super::overlay::Records;

/// Why the ledger cannot answer. Nothing is signed without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Not written, or not known to be: asking again does no harm.
    #[error("the ledger's store failed: {0}")]
    Unavailable(String),
    /// A record is not what we wrote.
    #[error("the ledger's record {0} cannot be read")]
    Corrupt(String),
    /// The store cannot be opened.
    #[error("the ledger's store cannot be opened: {0}")]
    Open(String),
    /// Blocks that do not follow on those taken in: read on from where the ledger stands.
    #[error("these blocks do not follow on the last ones")]
    Gap,
}

impl StoreError {
    /// Whether it may pass by itself.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Gap)
    }
}

/// Keeps records; writes many of them at once, or none.
#[derive(Debug)]
pub enum Store {
    /// Of this process alone.
    Embedded(Embedded),
    /// Of any number of processes.
    Shared(Shared),
}

/// What a commit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// Durable.
    Yes(u64),
    /// Another process has written since the records were read: nothing was.
    Outdated,
}

impl Store {
    /// In memory only: forgotten with the process.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        Embedded::on(redb::backends::InMemoryBackend::new()).map(Self::Embedded)
    }

    /// In this file, which is made if it is not there.
    ///
    /// # Errors
    /// If it is in use by another process or is none of ours.
    pub fn file(path: &Path) -> Result<Self, StoreError> {
        Embedded::file(path).map(Self::Embedded)
    }

    /// On the Redis at this URL, under keys that begin with `prefix`.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub async fn redis(url: &str, prefix: &str) -> Result<Self, StoreError> {
        Shared::connect(url, prefix).await.map(Self::Shared)
    }

    /// These records as they are, and the version of the whole that they are of.
    pub(super) async fn read(&self, keys: Vec<String>) -> Result<(u64, Vec<Option<Vec<u8>>>), StoreError> {
        match self {
            Self::Embedded(store) => store.read(keys).await,
            Self::Shared(store) => store.read(&keys).await,
        }
    }

    /// Writes these records, durably, if the whole is still at this version.
    pub(super) async fn commit(&self, version: u64, records: Records) -> Result<Committed, StoreError> {
        match self {
            Self::Embedded(store) => store.commit(records).await,
            Self::Shared(store) => store.commit(version, records).await,
        }
    }
}
