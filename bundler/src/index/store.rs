//! The index's tables, in redb: one file.
//!
//! ```text
//!  meta      "format", "chain", "coverage", "top"
//!  events    userOpHash ─► where it was executed
//!  blocks    (block, userOpHash): what a block executed, for removal
//!  receipts  transaction ─► its receipt as JSON, of our own transactions only
//!  heads     userOpHash ─► its receipt as JSON but for the transaction's, of our own transactions only
//! ```

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use alloy::primitives::{Address, B256};
use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use serde::{Deserialize, Serialize};

use super::coverage::Coverage;
use crate::world::Disk;

/// The layout of the tables. A file of another one is refused.
pub(super) const FORMAT: u64 = 1;

/// Bytes of the file that are held in memory. The system holds more.
const CACHE: usize = 8 * 1024 * 1024;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const EVENTS: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("events");
const BLOCKS: TableDefinition<(u64, [u8; 32]), ()> = TableDefinition::new("blocks");
const RECEIPTS: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("receipts");
const HEADS: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("heads");

/// Why the index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file is no index of ours, or is damaged.
    #[error("index {file} is damaged or no index ({reason}); move it away to have it built anew from the chain")]
    Corrupt {
        /// The file.
        file: String,
        /// What was found.
        reason: String,
    },
    /// Another release wrote it.
    #[error("index {file} has format {found}, this release reads {FORMAT}; move it away to have it built anew")]
    Format {
        /// The file.
        file: String,
        /// Its format.
        found: u64,
    },
    /// It is of another chain.
    #[error("index {file} is of chain {found}, this bundler is for chain {configured}")]
    Chain {
        /// The file.
        file: String,
        /// The chain it is of.
        found: u64,
        /// The chain that is configured.
        configured: u64,
    },
    /// Another process has it open.
    #[error("index {0} is open in another process")]
    InUse(String),
    /// Reading or writing failed.
    #[error("index: {0}")]
    Storage(String),
}

/// Where an operation was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) hash: B256,
    pub(crate) entry_point: Address,
    pub(crate) transaction: B256,
    pub(crate) block: u64,
    pub(crate) block_hash: B256,
    pub(crate) log_index: u64,
    pub(crate) success: bool,
}

/// What is kept of an operation in a transaction of ours, so that no node need be asked.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// The operation's receipt without the member `receipt`.
    pub(super) head: Vec<u8>,
    /// That member.
    pub(super) receipt: Vec<u8>,
}

/// The block up to which everything is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Top {
    pub(super) number: u64,
    pub(super) hash: B256,
}

/// The tables.
#[derive(Debug)]
pub(super) struct Store {
    disk: Arc<dyn Disk>,
    file: Option<PathBuf>,
    chain: u64,
    /// After a failure redb wants to be opened anew: closed until then.
    db: RwLock<Option<Arc<Database>>>,
}

impl Store {
    /// Opens or creates the file; without one, a temporary one that is gone with the process: in memory it would only
    /// grow.
    pub(super) fn open(disk: Arc<dyn Disk>, file: Option<&Path>, chain: u64) -> Result<Self, IndexError> {
        let store = Self { disk, file: file.map(Path::to_owned), chain, db: RwLock::default() };
        store.reopen()?;
        Ok(store)
    }

    /// Opens it anew if it is closed; whether it was. Without a file it is empty then.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) fn reopen(&self) -> Result<bool, IndexError> {
        if self.database().is_ok() {
            return Ok(false);
        }
        let (database, name) = self.database_of_file()?;
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(database));
        let checked = self.check(&name, self.chain);
        if checked.is_err() {
            self.close();
        }
        checked.map(|()| true)
    }

    fn database(&self) -> Result<Arc<Database>, IndexError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.clone()
            .ok_or_else(|| IndexError::Storage("closed after a failure, to be opened anew with the next block".into()))
    }

    /// Nothing more is to be had of it before it is opened anew.
    pub(super) fn close(&self) {
        self.db.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// What a database says goes on to whoever asked; after a failure, no more is asked of it.
    fn told<T>(&self, result: Result<T, IndexError>) -> Result<T, IndexError> {
        if result.is_err() {
            self.close();
        }
        result
    }

    fn database_of_file(&self) -> Result<(Database, String), IndexError> {
        let file = self.file.as_deref();
        let mut builder = Database::builder();
        // Damage is told, not met later by a panic; the file is small enough to be read through.
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let name = file.map_or_else(|| "in the temporary folder".into(), |file| file.display().to_string());
        let db = match file {
            Some(file) => self.disk.database(&builder, file),
            None => self.disk.temporary(&builder),
        };
        let db = db.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => IndexError::InUse(name.clone()),
            DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() != std::io::ErrorKind::InvalidData
                    && error.kind() != std::io::ErrorKind::UnexpectedEof =>
            {
                IndexError::Storage(format!("{name}: {error}"))
            }
            other => IndexError::Corrupt { file: name.clone(), reason: other.to_string() },
        })?;
        Ok((db, name))
    }

    /// Writes the format into a new file, and holds an old one to it.
    fn check(&self, name: &str, chain: u64) -> Result<(), IndexError> {
        let database = self.database()?;
        let read = database.begin_read().map_err(storage)?;
        let foreign = |reason: &str| IndexError::Corrupt { file: name.to_owned(), reason: reason.to_owned() };
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
        let meta = match read.open_table(META) {
            Ok(meta) => meta,
            Err(TableError::TableDoesNotExist(_)) => {
                // Only an empty database is ours to write to.
                if read.list_tables().map_err(storage)?.next().is_some() {
                    return Err(foreign("tables of something else"));
                }
                return self.write(Durability::Immediate, |tables| {
                    tables.meta("format", &FORMAT.to_be_bytes())?;
                    tables.meta("chain", &chain.to_be_bytes())
                });
            }
            Err(error) => return Err(foreign(&error.to_string())),
        };
        let value = |key| {
            let value = meta.get(key).map_err(|error| foreign(&error.to_string()))?;
            value.and_then(|value| number(value.value())).ok_or_else(|| foreign("no format or chain"))
        };
        let (format, of) = (value("format")?, value("chain")?);
        if format != FORMAT {
            return Err(IndexError::Format { file: name.to_owned(), found: format });
        }
        if of != chain {
            return Err(IndexError::Chain { file: name.to_owned(), found: of, configured: chain });
        }
        Ok(())
    }

    /// One transaction: all of it or nothing.
    pub(super) fn write<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let database = self.database()?;
        let result = Self::write_to(&database, durability, work);
        drop(database);
        self.told(result)
    }

    fn write_to<T>(
        database: &Database,
        durability: Durability,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let mut transaction = database.begin_write().map_err(storage)?;
        transaction.set_durability(durability).map_err(storage)?;
        let mut tables = Tables {
            meta: transaction.open_table(META).map_err(storage)?,
            events: transaction.open_table(EVENTS).map_err(storage)?,
            blocks: transaction.open_table(BLOCKS).map_err(storage)?,
            receipts: transaction.open_table(RECEIPTS).map_err(storage)?,
            heads: transaction.open_table(HEADS).map_err(storage)?,
        };
        let result = work(&mut tables)?;
        drop(tables);
        transaction.commit().map_err(storage)?;
        Ok(result)
    }

    #[cfg(test)]
    pub(super) fn write_format(&self, format: u64) {
        self.write(Durability::Immediate, |tables| tables.meta("format", &format.to_be_bytes())).unwrap();
    }

    pub(super) fn event(&self, hash: B256) -> Result<Option<Event>, IndexError> {
        self.told(self.read_event(hash))
    }

    fn read_event(&self, hash: B256) -> Result<Option<Event>, IndexError> {
        let read = self.database()?.begin_read().map_err(storage)?;
        let Some(events) = missing_is_none(read.open_table(EVENTS))? else { return Ok(None) };
        let row = events.get(hash.0).map_err(storage)?;
        row.map(|row| decode(hash, row.value())).transpose()
    }

    pub(super) fn kept(&self, event: &Event) -> Result<Option<Kept>, IndexError> {
        self.told(self.read_kept(event))
    }

    fn read_kept(&self, event: &Event) -> Result<Option<Kept>, IndexError> {
        let read = self.database()?.begin_read().map_err(storage)?;
        let (Some(heads), Some(receipts)) =
            (missing_is_none(read.open_table(HEADS))?, missing_is_none(read.open_table(RECEIPTS))?)
        else {
            return Ok(None);
        };
        let head = heads.get(event.hash.0).map_err(storage)?;
        let receipt = receipts.get(event.transaction.0).map_err(storage)?;
        Ok(head
            .zip(receipt)
            .map(|(head, receipt)| Kept { head: head.value().to_vec(), receipt: receipt.value().to_vec() }))
    }

    /// What is covered, and the last block that was followed.
    pub(super) fn coverage(&self) -> Result<(Coverage, Option<Top>), IndexError> {
        let read = self.database()?.begin_read().map_err(storage)?;
        let Some(meta) = missing_is_none(read.open_table(META))? else { return Ok((Coverage::default(), None)) };
        let coverage = meta.get("coverage").map_err(storage)?;
        let top = meta.get("top").map_err(storage)?;
        Ok((
            coverage.map(|value| parse(value.value())).transpose()?.unwrap_or_default(),
            top.map(|value| parse(value.value())).transpose()?,
        ))
    }
}

/// All tables, open for writing.
pub(super) struct Tables<'t> {
    meta: redb::Table<'t, &'static str, &'static [u8]>,
    events: redb::Table<'t, [u8; 32], &'static [u8]>,
    blocks: redb::Table<'t, (u64, [u8; 32]), ()>,
    receipts: redb::Table<'t, [u8; 32], &'static [u8]>,
    heads: redb::Table<'t, [u8; 32], &'static [u8]>,
}

impl Tables<'_> {
    fn meta(&mut self, key: &str, value: &[u8]) -> Result<(), IndexError> {
        self.meta.insert(key, value).map(drop).map_err(storage)
    }

    pub(super) fn set_coverage(&mut self, coverage: &Coverage) -> Result<(), IndexError> {
        self.meta("coverage", &serde_json::to_vec(coverage).map_err(storage)?)
    }

    pub(super) fn set_top(&mut self, top: Option<Top>) -> Result<(), IndexError> {
        match top {
            Some(top) => self.meta("top", &serde_json::to_vec(&top).map_err(storage)?),
            None => self.meta.remove("top").map(drop).map_err(storage),
        }
    }

    pub(super) fn insert(&mut self, event: &Event) -> Result<(), IndexError> {
        // Executed elsewhere before a reorganisation that nobody told us of: it is in one block only.
        let before = self.events.get(event.hash.0).map_err(storage)?.map(|row| decode(event.hash, row.value()));
        if let Some(before) = before.transpose()?
            && before.block_hash != event.block_hash
        {
            self.blocks.remove((before.block, event.hash.0)).map_err(storage)?;
            self.heads.remove(event.hash.0).map_err(storage)?;
        }
        self.events.insert(event.hash.0, encode(event).as_slice()).map_err(storage)?;
        self.blocks.insert((event.block, event.hash.0), ()).map(drop).map_err(storage)
    }

    pub(super) fn keep(&mut self, event: &Event, kept: &Kept) -> Result<(), IndexError> {
        self.heads.insert(event.hash.0, kept.head.as_slice()).map_err(storage)?;
        self.receipts.insert(event.transaction.0, kept.receipt.as_slice()).map(drop).map_err(storage)
    }

    /// Forgets what these blocks executed; the operations.
    pub(super) fn remove(&mut self, blocks: RangeInclusive<u64>) -> Result<Vec<B256>, IndexError> {
        let (from, to) = blocks.into_inner();
        let keys = (from, [0; 32])..=(to, [0xff; 32]);
        let mut gone = Vec::new();
        for row in self.blocks.range(keys.clone()).map_err(storage)? {
            gone.push(row.map_err(storage)?.0.value());
        }
        for key in &gone {
            self.blocks.remove(key).map_err(storage)?;
            let row = self.events.remove(key.1).map_err(storage)?.map(|row| row.value().to_vec());
            self.heads.remove(key.1).map_err(storage)?;
            if let Some(row) = row {
                let transaction = decode(B256::from(key.1), &row)?.transaction;
                self.receipts.remove(transaction.0).map_err(storage)?;
            }
        }
        Ok(gone.into_iter().map(|(_, hash)| B256::from(hash)).collect())
    }
}

const ROW: usize = 8 + 32 + 32 + 8 + 20 + 1;

fn encode(event: &Event) -> [u8; ROW] {
    let mut row = [0; ROW];
    row[..8].copy_from_slice(&event.block.to_be_bytes());
    row[8..40].copy_from_slice(event.block_hash.as_slice());
    row[40..72].copy_from_slice(event.transaction.as_slice());
    row[72..80].copy_from_slice(&event.log_index.to_be_bytes());
    row[80..100].copy_from_slice(event.entry_point.as_slice());
    row[100] = event.success.into();
    row
}

fn decode(hash: B256, row: &[u8]) -> Result<Event, IndexError> {
    let row: &[u8; ROW] = row.try_into().map_err(|_| IndexError::Storage("a row of another length".into()))?;
    let number = |at: usize| row[at..at + 8].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    Ok(Event {
        hash,
        block: number(0),
        block_hash: B256::from_slice(&row[8..40]),
        transaction: B256::from_slice(&row[40..72]),
        log_index: number(72),
        entry_point: Address::from_slice(&row[80..100]),
        success: row[100] != 0,
    })
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, IndexError> {
    serde_json::from_slice(bytes).map_err(storage)
}

fn missing_is_none<T>(table: Result<T, TableError>) -> Result<Option<T>, IndexError> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(storage(error)),
    }
}

fn storage(error: impl std::fmt::Display) -> IndexError {
    IndexError::Storage(error.to_string())
}
