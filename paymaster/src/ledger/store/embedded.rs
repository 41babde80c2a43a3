//! redb: one file, one process, a commit is on disk when it returns.

use std::{
    fmt::{self, Display},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use redb::{Builder, Database, DatabaseError, Durability, ReadableDatabase, StorageBackend, TableDefinition};

use super::{Committed, StoreError};
use crate::ledger::overlay::Records;

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("ledger/1");
/// Bytes of the file that are kept in memory.
const CACHE: usize = 32 << 20;

/// Opens the database, as often as that is needed.
type Open = Arc<dyn Fn(&Builder) -> Result<Database, DatabaseError> + Send + Sync>;

/// See [`Store::file`](super::Store::file).
#[derive(Clone)]
pub struct Embedded {
    /// After a failure to write redb wants to be opened anew: closed until then.
    database: Arc<Mutex<Option<Database>>>,
    /// None if it cannot be: what was in memory is gone then.
    open: Option<Open>,
    /// Whether the work is done on the thread that asks for it.
    here: bool,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("here", &self.here).finish_non_exhaustive()
    }
}

fn failed(error: impl Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

impl Embedded {
    pub(super) fn file(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| StoreError::Open(error.to_string()))?;
        }
        let path = path.to_owned();
        Self::opened_by(Arc::new(move |builder| builder.create(&path)), false)
    }

    /// On storage of another kind than a file.
    ///
    /// # Errors
    /// If what is there is none of ours.
    pub fn on(backend: impl StorageBackend) -> Result<Self, StoreError> {
        Self::with(builder().create_with_backend(backend), None, false)
    }

    /// Opened so, and anew after each failure to write; all work is done on the thread that asks for it. For a simulated
    /// disk, where nothing is to depend on other threads.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn simulated(
        open: impl Fn(&Builder) -> Result<Database, DatabaseError> + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        Self::opened_by(Arc::new(open), true)
    }

    fn opened_by(open: Open, here: bool) -> Result<Self, StoreError> {
        Self::with(open(&builder()), Some(open), here)
    }

    fn with(database: Result<Database, DatabaseError>, open: Option<Open>, here: bool) -> Result<Self, StoreError> {
        let database = database.map_err(|error| StoreError::Open(error.to_string()))?;
        // The table is there from the first read on.
        write(&database, &Records::new()).map_err(|error| StoreError::Open(error.to_string()))?;
        Ok(Self { database: Arc::new(Mutex::new(Some(database))), open, here })
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let this = self.clone();
        let work = move || this.run(work);
        if self.here { work() } else { tokio::task::spawn_blocking(work).await.map_err(failed)? }
    }

    fn run<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut standing = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        // Out of the way first: two handles of one process to one file are refused.
        let database = match (standing.take(), &self.open) {
            (Some(database), _) => database,
            (None, Some(open)) => {
                let database = open(&builder()).map_err(failed)?;
                write(&database, &Records::new()).map_err(failed)?;
                database
            }
            (None, None) => return Err(failed("closed after a failure")),
        };
        let result = work(&database);
        if result.is_ok() || self.open.is_none() {
            *standing = Some(database);
        }
        result
    }

    pub(super) async fn read(&self, keys: Vec<String>) -> Result<(u64, Vec<Option<Vec<u8>>>), StoreError> {
        let read = move |database: &Database| {
            let table = database.begin_read().map_err(failed)?.open_table(RECORDS).map_err(failed)?;
            let get = |key: &String| Ok(table.get(key.as_str()).map_err(failed)?.map(|value| value.value().to_vec()));
            keys.iter().map(get).collect::<Result<Vec<_>, StoreError>>()
        };
        Ok((0, self.work(read).await?))
    }

    pub(super) async fn commit(&self, records: Records) -> Result<Committed, StoreError> {
        self.work(move |database| write(database, &records).map_err(failed)).await?;
        Ok(Committed::Yes(0))
    }
}

fn write(database: &Database, records: &Records) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut table = transaction.open_table(RECORDS)?;
        for (key, value) in records {
            match value {
                Some(value) => table.insert(key.as_str(), value.as_slice())?,
                None => table.remove(key.as_str())?,
            };
        }
    }
    transaction.commit()?;
    Ok(())
}
