//! redb: one file, one process, a commit is on disk when it returns.

use std::{fmt::Display, path::Path, sync::Arc};

use redb::{Database, Durability, ReadableDatabase, StorageBackend, TableDefinition};

use super::{Committed, StoreError};
use crate::ledger::overlay::Records;

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("ledger/1");
/// Bytes of the file that are kept in memory.
const CACHE: usize = 32 << 20;

/// See [`Store::file`](super::Store::file).
#[derive(Debug)]
pub struct Embedded {
    database: Arc<Database>,
}

fn failed(error: impl Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

impl Embedded {
    pub(super) fn file(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| StoreError::Open(error.to_string()))?;
        }
        let database = Database::builder().set_cache_size(CACHE).create(path);
        Self::with(database)
    }

    /// On storage of another kind than a file.
    ///
    /// # Errors
    /// If what is there is none of ours.
    pub fn on(backend: impl StorageBackend) -> Result<Self, StoreError> {
        Self::with(Database::builder().set_cache_size(CACHE).create_with_backend(backend))
    }

    fn with(database: Result<Database, redb::DatabaseError>) -> Result<Self, StoreError> {
        let database = database.map_err(|error| StoreError::Open(error.to_string()))?;
        // The table is there from the first read on.
        write(&database, Records::new()).map_err(|error| StoreError::Open(error.to_string()))?;
        Ok(Self { database: Arc::new(database) })
    }

    pub(super) async fn read(&self, keys: Vec<String>) -> Result<(u64, Vec<Option<Vec<u8>>>), StoreError> {
        let database = Arc::clone(&self.database);
        let read = move || {
            let table = database.begin_read().map_err(failed)?.open_table(RECORDS).map_err(failed)?;
            let get = |key: &String| Ok(table.get(key.as_str()).map_err(failed)?.map(|value| value.value().to_vec()));
            keys.iter().map(get).collect::<Result<Vec<_>, StoreError>>()
        };
        Ok((0, tokio::task::spawn_blocking(read).await.map_err(failed)??))
    }

    pub(super) async fn commit(&self, records: Records) -> Result<Committed, StoreError> {
        let database = Arc::clone(&self.database);
        let written = tokio::task::spawn_blocking(move || write(&database, records));
        written.await.map_err(failed)?.map_err(failed)?;
        Ok(Committed::Yes(0))
    }
}

fn write(database: &Database, records: Records) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut table = transaction.open_table(RECORDS)?;
        for (key, value) in &records {
            match value {
                Some(value) => table.insert(key.as_str(), value.as_slice())?,
                None => table.remove(key.as_str())?,
            };
        }
    }
    transaction.commit()?;
    Ok(())
}
