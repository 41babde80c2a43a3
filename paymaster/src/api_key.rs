//! API keys: only their hashes are known here.

use std::fmt;

use sha2::{Digest, Sha256};

/// SHA-256 of an API key. The key itself is never kept, nor shown; nor is the hash.
#[derive(Clone, Copy, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Of this key.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// From 64 hex digits.
    pub fn from_hex(digits: &str) -> Option<Self> {
        alloy::hex::decode(digits).ok()?.try_into().ok().map(Self)
    }

    /// As 64 hex digits, for a file of keys.
    pub fn to_hex(&self) -> String {
        alloy::hex::encode(self.0)
    }
}

/// Takes the same time wherever two differ.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(other.0).fold(0, |sum, (mine, theirs)| sum | (mine ^ theirs));
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_hash_and_neither_is_shown() {
        let hash = KeyHash::of("secret");
        let digits = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(KeyHash::from_hex(digits), Some(hash));
        assert_eq!(hash.to_hex(), digits);
        assert_ne!(KeyHash::of("secret2"), hash);
        assert_eq!(format!("{hash:?}"), "KeyHash");
        assert_eq!(KeyHash::from_hex("00"), None);
    }
}
