//! Keys and roles.

use axum::http::{HeaderMap, header};
use serde::Deserialize;

use super::Problem;
use crate::{Caller, api_key::KeyHash};

/// What a key may do; each role may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks, and tries policies out.
    Viewer,
    /// Pauses and resumes; drops operations.
    Operator,
    /// Changes policies and reputations, cancels nonces, reads the audit log.
    Admin,
}

/// Who may use the admin API.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<(String, Role, KeyHash)>);

/// A file of keys that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeysError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    key: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    name: String,
    role: Role,
    sha256: String,
}

/// Whose key was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Actor {
    pub(super) name: String,
    pub(super) role: Role,
}

impl Keys {
    /// From the text of a file: `[[key]]` with `name`, `role` and the `sha256` of the key.
    ///
    /// # Errors
    /// If it is none, or two keys share a name.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text.get(..span.start).unwrap_or(text).matches('\n').count() + 1);
            KeysError(format!("line {line}: {}", error.message()))
        })?;
        let mut keys: Vec<(String, Role, KeyHash)> = Vec::new();
        for Key { name, role, sha256 } in file.key {
            let hash = KeyHash::from_hex(&sha256)
                .ok_or_else(|| KeysError(format!("key {name}: sha256 is not 64 hex digits")))?;
            if keys.iter().any(|(other, ..)| *other == name) {
                return Err(KeysError(format!("two keys are named {name}")));
            }
            keys.push((name, role, hash));
        }
        if keys.is_empty() { Err(KeysError("no key is in it".into())) } else { Ok(Self(keys)) }
    }

    /// Who asks, if that one may do what `needed` may.
    pub(super) fn admit(&self, headers: &HeaderMap, needed: Role) -> Result<Actor, Problem> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let given = Caller::of("/", text(header::AUTHORIZATION.as_str()), text("x-api-key")).key;
        let given = given.ok_or(Problem::NoKey)?;
        // Hashes are compared in constant time.
        let known = self.0.iter().rfind(|(.., hash)| *hash == given);
        let (name, role, _) = known.ok_or(Problem::NoKey)?;
        if *role < needed {
            return Err(Problem::Role { given: *role, needed });
        }
        Ok(Actor { name: name.clone(), role: *role })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_what_is_no_file_of_keys_is_refused_without_telling_them() {
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let key = |name: &str| format!("[[key]]\nname = \"{name}\"\nrole = \"viewer\"\nsha256 = \"{hash}\"\n");
        let keys = Keys::parse(&key("a")).unwrap();
        let with = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(keys.admit(&with("Bearer secret"), Role::Viewer).unwrap().name, "a");
        assert!(matches!(keys.admit(&with("Bearer secret"), Role::Operator), Err(Problem::Role { .. })));
        assert!(matches!(keys.admit(&with("Bearer other"), Role::Viewer), Err(Problem::NoKey)));
        assert!(matches!(keys.admit(&HeaderMap::new(), Role::Viewer), Err(Problem::NoKey)));
        for wrong in
            [String::new(), key("a") + &key("a"), key("a").replace("viewer", "root"), key("a").replace("2b", "zz")]
        {
            let error = Keys::parse(&wrong).unwrap_err().to_string();
            assert!(!error.contains(hash), "{error}");
        }
    }
}
