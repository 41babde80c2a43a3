//! What outlives the process: sessions and their encrypted keys in redb, and the audit log, a file that is only ever
//! appended to.
//!
//! Both are on disk when a call returns: what was counted before a signature went out is counted after a crash.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Seek, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use alloy::primitives::B256;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    service::{Entry, Record, entry_hash},
    store::StoredKey,
};

const SESSIONS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("sessions");
const BATCHES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("batches");

/// A session at rest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// What is known of it.
    pub record: Record,
    /// Its key, encrypted; none once it is over.
    pub key: Option<StoredKey>,
    /// Hash of the token that its user shows.
    pub client: B256,
    /// The request as it was answered.
    pub answer: serde_json::Value,
}

/// A batch of calls that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// The session that sent it.
    pub session: B256,
    /// The operation.
    pub user_op_hash: B256,
    /// Whether it was asked for in EIP-5792's version 1.0.
    pub old: bool,
}

/// Why something cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The database.
    #[error("session store: {0}")]
    Database(#[from] redb::Error),
    /// The log.
    #[error("audit log: {0}")]
    Log(#[from] std::io::Error),
    /// Not of this form.
    #[error("session store: {0}")]
    Form(#[from] serde_json::Error),
    /// Lines could not be written earlier.
    #[error("audit log: lines could not be written; nothing more is signed until it is opened anew")]
    Broken,
    /// Lines of the log were altered or taken out.
    #[error("audit log: line {0} does not follow from the one before: it was altered")]
    Altered(usize),
}

/// A folder of one chain.
#[derive(Debug)]
pub struct Vault {
    database: Database,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    file: File,
    /// Lines were lost: after them nothing may be appended, or the file would be taken for altered.
    broken: bool,
}

impl Vault {
    /// Opens the folder, or makes it; the log is checked from its first line on, and its last hash returned.
    ///
    /// # Errors
    /// If it cannot be read or written, another process has it, or the log was altered.
    pub fn open(folder: &Path, chain_id: u64) -> Result<(Self, B256), VaultError> {
        std::fs::create_dir_all(folder)?;
        let database = Database::create(folder.join(format!("sessions-{chain_id}.redb"))).map_err(redb::Error::from)?;
        let (log, last) = open_log(&folder.join(format!("audit-{chain_id}.jsonl")))?;
        let vault = Self { database, log: Mutex::new(Log { file: log, broken: false }) };
        vault.write(|transaction| {
            transaction.open_table(SESSIONS)?;
            transaction.open_table(BATCHES)?;
            Ok(())
        })?;
        Ok((vault, last))
    }

    /// Every session.
    ///
    /// # Errors
    /// If the database fails.
    pub fn sessions(&self) -> Result<Vec<(B256, Saved)>, VaultError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let table = transaction.open_table(SESSIONS).map_err(redb::Error::from)?;
        let mut sessions = Vec::new();
        for entry in table.iter().map_err(redb::Error::from)? {
            let (id, saved) = entry.map_err(redb::Error::from)?;
            sessions.push((B256::from(id.value()), serde_json::from_slice(saved.value())?));
        }
        Ok(sessions)
    }

    /// A session.
    ///
    /// # Errors
    /// If the database fails.
    pub fn session(&self, id: B256) -> Result<Option<Saved>, VaultError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let table = transaction.open_table(SESSIONS).map_err(redb::Error::from)?;
        read(table.get(&id.0))
    }

    /// A batch.
    ///
    /// # Errors
    /// If the database fails.
    pub fn batch(&self, id: &str) -> Result<Option<Batch>, VaultError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let table = transaction.open_table(BATCHES).map_err(redb::Error::from)?;
        read(table.get(id))
    }

    /// Writes a session.
    ///
    /// # Errors
    /// If it is not on disk.
    pub fn save(&self, id: B256, saved: &Saved) -> Result<(), VaultError> {
        let json = serde_json::to_vec(saved)?;
        self.write(|transaction| {
            transaction.open_table(SESSIONS)?.insert(&id.0, json.as_slice())?;
            Ok(())
        })
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// If it is not on disk.
    pub fn save_batch(&self, id: &str, batch: &Batch) -> Result<(), VaultError> {
        let json = serde_json::to_vec(batch)?;
        self.write(|transaction| {
            transaction.open_table(BATCHES)?.insert(id, json.as_slice())?;
            Ok(())
        })
    }

    /// Appends to the log what `take` gives, which is asked when it is this call's turn: lines stand in the order of
    /// their hashes.
    ///
    /// # Errors
    /// If it is not on disk; then nothing is appended until the file is opened anew.
    pub fn append(&self, take: impl FnOnce() -> Vec<Entry>) -> Result<(), VaultError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.broken {
            return Err(VaultError::Broken);
        }
        let mut lines = Vec::new();
        for entry in take() {
            serde_json::to_writer(&mut lines, &entry)?;
            lines.push(b'\n');
        }
        if lines.is_empty() {
            return Ok(());
        }
        let written = log.file.write_all(&lines).and_then(|()| log.file.sync_data());
        log.broken = written.is_err();
        Ok(written?)
    }

    fn write(&self, work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>) -> Result<(), VaultError> {
        let mut transaction = self.database.begin_write().map_err(redb::Error::from)?;
        transaction.set_durability(Durability::Immediate).map_err(redb::Error::from)?;
        work(&transaction)?;
        transaction.commit().map_err(redb::Error::from)?;
        Ok(())
    }
}

fn read<T: DeserializeOwned>(
    found: Result<Option<redb::AccessGuard<'_, &'static [u8]>>, redb::StorageError>,
) -> Result<Option<T>, VaultError> {
    let found = found.map_err(redb::Error::from)?;
    Ok(found.map(|json| serde_json::from_slice(json.value())).transpose()?)
}

/// Checks the log and opens it for appending. A last line without its end was never told to anybody: a crash cut it.
fn open_log(path: &PathBuf) -> Result<(File, B256), VaultError> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let (mut last, mut whole) = (B256::ZERO, 0);
    let mut reader = BufReader::new(&file);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            break;
        }
        let entry: Entry = serde_json::from_slice(&line).map_err(|_| VaultError::Altered(number))?;
        if entry.hash != entry_hash(last, entry.time, entry.id, &entry.event) {
            return Err(VaultError::Altered(number));
        }
        last = entry.hash;
        whole += length as u64;
    }
    file.set_len(whole)?;
    file.seek(std::io::SeekFrom::End(0))?;
    Ok((file, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Event;

    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("fabstir-vault-{name}-{}", std::process::id()))
    }

    #[test]
    fn the_log_goes_on_after_a_restart_and_is_refused_when_it_was_altered() {
        let folder = folder("log");
        let (vault, mut last) = Vault::open(&folder, 1).unwrap();
        assert_eq!(last, B256::ZERO);
        for time in 1..4 {
            let entry =
                Entry::after(last, time, B256::repeat_byte(1), Event::Refused { reason: format!("number {time}") });
            last = entry.hash;
            vault.append(|| vec![entry]).unwrap();
        }
        drop(vault);
        assert_eq!(Vault::open(&folder, 1).unwrap().1, last);

        let path = folder.join("audit-1.jsonl");
        let whole = std::fs::read_to_string(&path).unwrap();
        // A line that a crash cut was never told to anybody.
        std::fs::write(&path, format!("{whole}{{\"time\":4")).unwrap();
        assert_eq!(Vault::open(&folder, 1).unwrap().1, last);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
        let lines: Vec<_> = whole.lines().collect();
        let altered = [
            (whole.replace("number 2", "number 3"), 2),
            (format!("{}\n{}\n", lines[0], lines[2]), 2),
            (format!("{}\n{}\n", lines[1], lines[2]), 1),
        ];
        for (text, line) in altered {
            std::fs::write(&path, text).unwrap();
            let refused = Vault::open(&folder, 1).unwrap_err();
            assert!(matches!(refused, VaultError::Altered(at) if at == line), "{refused}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
