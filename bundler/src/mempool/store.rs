//! Reputations in a file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::Reputation;

/// Why reputations could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read or written.
    #[error("{}: {error}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// As the system put it.
        error: io::Error,
    },
    /// The file holds something else.
    #[error("{}: not a file of reputations: {error}", file.display())]
    Malformed {
        /// Which.
        file: PathBuf,
        /// What did not fit.
        error: serde_json::Error,
    },
}

/// What was written last; nothing, if nothing was.
///
/// # Errors
/// If there is a file that cannot be read.
pub fn read(file: &Path) -> Result<Reputation, StoreError> {
    match fs::read(file) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|error| StoreError::Malformed { file: file.to_owned(), error })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Reputation::default()),
        Err(error) => Err(StoreError::File { file: file.to_owned(), error }),
    }
}

/// Writes it whole or not at all.
pub(crate) fn write(file: &Path, reputation: &Reputation) -> Result<(), StoreError> {
    let failed = |error| StoreError::File { file: file.to_owned(), error };
    let bytes =
        serde_json::to_vec(reputation).map_err(|error| StoreError::Malformed { file: file.to_owned(), error })?;
    let beside = file.with_extension("new");
    fs::write(&beside, bytes).map_err(failed)?;
    fs::rename(&beside, file).map_err(failed)
}
