//! Records as the core sees them: read before they are asked for, written together or not at all.

use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, de::DeserializeOwned};

use super::{Denied, StoreError};

/// Why the core did not come to an end.
#[derive(Debug)]
pub(super) enum Stop {
    /// These records have to be read first; then it is run again.
    Unread(Vec<String>),
    /// It came to this.
    Denied(Denied),
}

impl From<Denied> for Stop {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Denied(error.into())
    }
}

pub(super) type Records = BTreeMap<String, Option<Vec<u8>>>;

/// Records that were read, with the changes of requests that came to an end.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    pub(super) known: HashMap<String, Option<Vec<u8>>>,
    pub(super) changed: Records,
}

impl Overlay {
    pub(super) fn draft(&self) -> Draft<'_> {
        Draft { base: self, changed: Records::new() }
    }

    /// Takes the changes of one request over.
    pub(super) fn accept(&mut self, changed: Records) {
        for (key, value) in &changed {
            self.known.insert(key.clone(), value.clone());
        }
        self.changed.extend(changed);
    }
}

/// One request's view.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    base: &'a Overlay,
    pub(super) changed: Records,
}

impl Draft<'_> {
    /// Makes sure that these can be read.
    pub(super) fn want(&self, keys: impl IntoIterator<Item = String>) -> Result<(), Stop> {
        let known = |key: &String| self.changed.contains_key(key) || self.base.known.contains_key(key);
        let unread: Vec<String> = keys.into_iter().filter(|key| !known(key)).collect();
        if unread.is_empty() { Ok(()) } else { Err(Stop::Unread(unread)) }
    }

    pub(super) fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Stop> {
        let unread = || Stop::Unread(vec![key.to_owned()]);
        let value = self.changed.get(key).or_else(|| self.base.known.get(key)).ok_or_else(unread)?;
        let read = |bytes: &Vec<u8>| serde_json::from_slice(bytes).map_err(|_| StoreError::Corrupt(key.to_owned()));
        Ok(value.as_ref().map(read).transpose()?)
    }

    pub(super) fn get_or_default<T: DeserializeOwned + Default>(&self, key: &str) -> Result<T, Stop> {
        Ok(self.get(key)?.unwrap_or_default())
    }

    pub(super) fn put<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), Stop> {
        let bytes = serde_json::to_vec(value).map_err(|_| StoreError::Corrupt(key.to_owned()))?;
        self.changed.insert(key.to_owned(), Some(bytes));
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.changed.insert(key.to_owned(), None);
    }
}
