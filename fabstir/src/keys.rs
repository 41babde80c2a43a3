//! Where secret keys come from: a file or the environment, never the command line, which others can read.

use std::path::Path;

use anyhow::{Context, Result, bail};
use session_keys::SecretKey;

/// The key in this file, or else in this environment variable.
pub fn read(file: Option<&Path>, variable: &str) -> Result<SecretKey> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).with_context(|| format!("key file {}", path.display()))?;
        return SecretKey::from_hex(&text).with_context(|| format!("key file {}", path.display()));
    }
    match std::env::var(variable) {
        Ok(text) => SecretKey::from_hex(&text).with_context(|| format!("environment variable {variable}")),
        Err(_) => bail!("no key: give a key file, or set {variable}"),
    }
}
