//! The journal in a file of its own: redb.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt, future::BoxFuture};
use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::{Found, JournalError, JournalStore, Rows, crash_point};
use crate::world::{self, Disk};

/// The layout of the rows. A file of another one is refused.
pub(crate) const FORMAT: u64 = 1;

/// Bytes of the file that are held in memory.
const CACHE: usize = 8 * 1024 * 1024;

/// A file of so many bytes is packed at the start: most of it may be free.
const PACKED_FROM: u64 = 64 * 1024 * 1024;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("journal");

/// See [`File::open`].
#[derive(Debug, Clone)]
pub(crate) struct File {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    chain: u64,
    /// After a failure to write redb wants to be opened anew: closed until then.
    database: Arc<Mutex<Option<Database>>>,
}

impl File {
    /// Opens or makes the journal of this chain.
    ///
    /// # Errors
    /// If it is damaged, of another format or chain, or in use. It is not made anew then.
    pub(crate) fn open(disk: Arc<dyn Disk>, path: &Path, chain: u64) -> Result<Self, JournalError> {
        let mut database = open(&*disk, path, chain)?;
        if disk.length(path) >= PACKED_FROM {
            database.compact().map_err(storage)?;
        }
        Ok(Self { disk, path: path.to_owned(), chain, database: Arc::new(Mutex::new(Some(database))) })
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, JournalError>) -> Result<T, JournalError> {
        let mut standing = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        // Out of the way first: two handles of one process to one file are refused.
        let database = match standing.take() {
            Some(database) => database,
            None => open(&*self.disk, &self.path, self.chain)?,
        };
        let result = work(&database);
        if result.is_ok() {
            *standing = Some(database);
        }
        result
    }

    fn read(&self) -> Result<Found, JournalError> {
        self.with(|database| {
            let read = database.begin_read().map_err(storage)?;
            let table = match read.open_table(ROWS) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(Found::new()),
                Err(error) => return Err(storage(error)),
            };
            let mut rows = Found::new();
            for row in table.iter().map_err(storage)? {
                let (key, value) = row.map_err(storage)?;
                rows.insert(key.value().to_vec(), value.value().to_vec());
            }
            Ok(rows)
        })
    }

    fn write(&self, rows: &Rows) -> Result<(), JournalError> {
        crash_point("before commit");
        self.with(|database| {
            let mut transaction = database.begin_write().map_err(storage)?;
            transaction.set_durability(Durability::Immediate).map_err(storage)?;
            {
                let mut table = transaction.open_table(ROWS).map_err(storage)?;
                for (key, value) in rows {
                    match value {
                        Some(value) => table.insert(key.as_slice(), value.as_slice()).map_err(storage)?,
                        None => table.remove(key.as_slice()).map_err(storage)?,
                    };
                }
            }
            crash_point("amid commit");
            transaction.commit().map_err(storage)
        })?;
        crash_point("after commit");
        Ok(())
    }
}

impl JournalStore for File {
    fn load(&self) -> BoxFuture<'_, Result<Found, JournalError>> {
        let file = self.clone();
        blocking(move || file.read()).boxed()
    }

    fn commit<'a>(&'a self, rows: &'a Rows) -> BoxFuture<'a, Result<(), JournalError>> {
        let (file, rows) = (self.clone(), rows.clone());
        blocking(move || file.write(&rows)).boxed()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    world::blocking(work).await.map_err(storage)?
}

fn open(disk: &dyn Disk, path: &Path, chain: u64) -> Result<Database, JournalError> {
    let place = path.display().to_string();
    let mut builder = Database::builder();
    // Damage is told, not met later by a panic; the file is small enough to be read through.
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    let database = disk.database(&builder, path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => JournalError::InUse(place.clone()),
        DatabaseError::Storage(redb::StorageError::Io(error))
            if error.kind() != std::io::ErrorKind::InvalidData && error.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            JournalError::Storage(format!("{place}: {error}"))
        }
        other => JournalError::Corrupt { place: place.clone(), reason: other.to_string() },
    })?;
    check(&database, &place, chain)?;
    Ok(database)
}

/// Writes the format into a new file, and holds an old one to it.
fn check(database: &Database, place: &str, chain: u64) -> Result<(), JournalError> {
    let corrupt = |reason: String| JournalError::Corrupt { place: place.to_owned(), reason };
    let read = database.begin_read().map_err(storage)?;
    let meta = match read.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            // Only an empty database is ours to write to.
            if read.list_tables().map_err(storage)?.next().is_some() {
                return Err(corrupt("tables of something else".into()));
            }
            return stamp(database, chain).map_err(storage);
        }
        Err(error) => return Err(corrupt(error.to_string())),
    };
    let number = |key: &str| {
        let value = meta.get(key).map_err(|error| corrupt(error.to_string()))?;
        value.map(|value| value.value()).ok_or_else(|| corrupt(format!("no {key}")))
    };
    let (found, of) = (number("format")?, number("chain")?);
    if found != FORMAT {
        return Err(JournalError::Format { place: place.to_owned(), found, reads: FORMAT });
    }
    if of != chain {
        return Err(JournalError::Chain { place: place.to_owned(), found: of, configured: chain });
    }
    Ok(())
}

fn stamp(database: &Database, chain: u64) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("chain", chain)?;
    }
    transaction.open_table(ROWS)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
pub(super) fn tests_only_set_format(path: &Path, format: u64) {
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", format).unwrap();
    transaction.commit().unwrap();
}

fn storage(error: impl std::fmt::Display) -> JournalError {
    JournalError::Storage(error.to_string())
}
