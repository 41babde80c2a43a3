//! What was done by whom: a file of one JSON object a line, each with the hash of the one before.
//!
//! A line that is changed, taken out or put in breaks the chain from there on; lines cut off at the end do not, so that
//! the last hash is worth noting elsewhere.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::auth::Actor;
use crate::service::unix_now;

/// Entries kept in memory, for those who look.
const RECENT: usize = 200;

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counted from 1.
    pub number: u64,
    /// Seconds since 1970.
    pub at: u64,
    /// Name of the key.
    pub actor: String,
    /// What was done: `pause`, `resume`, `policy.replace`.
    pub action: String,
    /// To what, and how.
    pub detail: Value,
    /// Hash of the entry before; zero for the first.
    pub previous: B256,
    /// SHA-256 of the entry's JSON with this field zero.
    pub hash: B256,
}

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be read or written.
    #[error("audit log: {0}")]
    File(#[from] std::io::Error),
    /// It was changed by somebody else.
    #[error("audit log: line {0} is not what was written")]
    Broken(usize),
}

/// The log.
#[derive(Debug)]
pub struct Audit(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    number: u64,
    last: B256,
    /// The number of the newest entry of each action.
    newest: HashMap<String, u64>,
    recent: Vec<Entry>,
    /// A line may have been written by half: nothing more is.
    spoilt: bool,
}

impl Entry {
    fn sealed(mut self) -> Self {
        self.hash = B256::ZERO;
        // Of these types, and in this order, JSON is always the same.
        let text = serde_json::to_vec(&self).unwrap_or_default();
        self.hash = B256::new(Sha256::digest(text).into());
        self
    }
}

impl Inner {
    fn take(&mut self, entry: Entry) {
        self.newest.insert(entry.action.clone(), entry.number);
        (self.number, self.last) = (entry.number, entry.hash);
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        self.recent.push(entry);
    }
}

impl Audit {
    /// Opens the log, or begins one.
    ///
    /// # Errors
    /// If it cannot be read or written, or its chain is broken.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let lines = BufReader::new(file.try_clone()?).lines();
        let mut inner =
            Inner { file, number: 0, last: B256::ZERO, newest: HashMap::new(), recent: Vec::new(), spoilt: false };
        for (index, line) in lines.enumerate() {
            let broken = || AuditError::Broken(index + 1);
            let entry: Entry = serde_json::from_str(&line?).map_err(|_| broken())?;
            if entry.previous != inner.last || entry.clone().sealed() != entry {
                return Err(broken());
            }
            inner.take(entry);
        }
        Ok(Self(Mutex::new(inner)))
    }

    /// Writes that this is being done; it is on disk when this returns.
    pub(super) fn append(&self, actor: &Actor, action: &str, detail: Value) -> Result<(), AuditError> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.spoilt {
            return Err(std::io::Error::other("an earlier line could not be written whole").into());
        }
        let entry = Entry {
            number: inner.number + 1,
            at: unix_now(),
            actor: actor.name.clone(),
            action: action.to_owned(),
            detail,
            previous: inner.last,
            hash: B256::ZERO,
        };
        let entry = entry.sealed();
        let line = serde_json::to_string(&entry).map_err(std::io::Error::other)? + "\n";
        let written = inner.file.write_all(line.as_bytes()).and_then(|()| inner.file.sync_data());
        if let Err(error) = written {
            inner.spoilt = true;
            return Err(error.into());
        }
        inner.take(entry);
        Ok(())
    }

    /// The newest entries, newest first.
    pub(super) fn recent(&self, most: usize) -> Vec<Entry> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.recent.iter().rev().take(most).cloned().collect()
    }

    /// Whether sponsorship was paused last.
    pub fn was_paused(&self) -> bool {
        self.newest_of(&["pause", "resume"]) == Some("pause")
    }

    /// Which of these actions was written last, if any was.
    pub fn newest_of<'a>(&self, actions: &[&'a str]) -> Option<&'a str> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let numbered = actions.iter().filter_map(|action| Some((inner.newest.get(*action)?, *action)));
        numbered.max().map(|(_, action)| action)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::auth::Role, *};

    #[test]
    fn it_goes_on_where_it_was_and_a_changed_line_is_found() {
        let path = std::env::temp_dir().join(format!("fabstir-audit-{}.jsonl", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let actor = Actor { name: "ops".into(), role: Role::Operator };
        let write = |action: &str| Audit::open(&path).unwrap().append(&actor, action, json!({ "z": 1, "a": [2] }));
        write("pause").unwrap();
        write("policy.replace").unwrap();
        let log = Audit::open(&path).unwrap();
        let recent = log.recent(10);
        assert!(log.was_paused());
        assert_eq!(recent.iter().map(|entry| entry.number).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(recent[0].previous, recent[1].hash);

        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("pause", "blink", 1)).unwrap();
        assert!(matches!(Audit::open(&path), Err(AuditError::Broken(1))));
        std::fs::write(&path, text.lines().nth(1).unwrap()).unwrap();
        assert!(matches!(Audit::open(&path), Err(AuditError::Broken(1))));
        let _ = std::fs::remove_file(&path);
    }
}
