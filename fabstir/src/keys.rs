//! Where secret keys come from: a file or the environment, never the command line, which others can read.

use std::path::Path;

use anyhow::{Context, Result, bail};
use session_keys::SecretKey;
use zeroize::Zeroizing;

/// What this environment variable says; one that is empty counts as one that is not set.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The keys in these files, or else those in this environment variable, a comma between them.
pub fn read_all(files: &[std::path::PathBuf], variable: &str) -> Result<Vec<SecretKey>> {
    if !files.is_empty() {
        return files.iter().map(|file| read(Some(file), variable)).collect();
    }
    let text = self::variable(variable).with_context(|| format!("no key: give a key file, or set {variable}"))?;
    let each = text.split(',').map(str::trim);
    each.map(|key| SecretKey::from_hex(key).with_context(|| format!("environment variable {variable}"))).collect()
}

/// The key in this file, or else in this environment variable.
pub fn read(file: Option<&Path>, variable: &str) -> Result<SecretKey> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).with_context(|| format!("key file {}", path.display()))?;
        return SecretKey::from_hex(&text).with_context(|| format!("key file {}", path.display()));
    }
    match self::variable(variable) {
        Some(text) => SecretKey::from_hex(&text).with_context(|| format!("environment variable {variable}")),
        None => bail!("no key: give a key file, or set {variable}"),
    }
}

/// The password in this file, without the line's end, or else in this environment variable.
pub fn password(file: Option<&Path>, variable: &str) -> Result<Zeroizing<String>> {
    if let Some(path) = file {
        let text =
            Zeroizing::new(std::fs::read_to_string(path).with_context(|| format!("password file {}", path.display()))?);
        return Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    self::variable(variable)
        .map(Zeroizing::new)
        .with_context(|| format!("no password: give a password file, or set {variable}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody sets it.
    const NOWHERE: &str = "FABSTIR_NO_SUCH_VARIABLE";

    #[test]
    fn a_password_is_what_its_file_says_but_for_the_end_of_the_line() {
        let file = std::env::temp_dir().join(format!("fabstir-password-{}", std::process::id()));
        for (text, password) in [("p w\n", "p w"), ("p w \r\n", "p w "), ("p w", "p w")] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(&*super::password(Some(&file), NOWHERE).unwrap(), password);
        }
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn what_is_missing_is_named() {
        let named = |error: anyhow::Error| assert!(format!("{error:#}").contains(NOWHERE), "{error:#}");
        named(read(None, NOWHERE).unwrap_err());
        named(read_all(&[], NOWHERE).unwrap_err());
        named(password(None, NOWHERE).unwrap_err());
        let missing = Path::new("/nowhere/key");
        assert!(format!("{:#}", read(Some(missing), NOWHERE).unwrap_err()).contains("/nowhere/key"));
        assert!(format!("{:#}", password(Some(missing), NOWHERE).unwrap_err()).contains("/nowhere/key"));
    }
}
