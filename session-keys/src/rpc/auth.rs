//! Who calls: whoever shows the token that a session's creation gave, and of which only the hash is kept.

use alloy::{
    hex,
    primitives::{B256, keccak256},
};
use zeroize::Zeroizing;

use super::RpcError;
use crate::secret::SecretBytes;

/// The hash of the token in an `Authorization: Bearer` header, if there was one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller(Option<B256>);

impl Caller {
    /// Reads the header's value.
    pub fn of_header(value: Option<&str>) -> Self {
        let token = value.and_then(|value| value.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        Self(token.map(keccak256))
    }

    /// The hash of what it showed.
    ///
    /// # Errors
    /// If it showed nothing.
    pub fn client(self) -> Result<B256, RpcError> {
        self.0.ok_or(RpcError::Unauthorized)
    }
}

/// A new token and its hash. The token has 256 bits of randomness: a hash without salt keeps it.
///
/// # Errors
/// If there is no randomness.
pub(super) fn new_token() -> Result<(Zeroizing<String>, B256), crate::KeyError> {
    let random = SecretBytes::random().map_err(|_| crate::KeyError::NoRandomness)?;
    let token = Zeroizing::new(hex::encode(random.as_ref()));
    let hash = keccak256(token.as_bytes());
    Ok((token, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_a_header_is_known_by_its_hash() {
        let (token, hash) = new_token().unwrap();
        for scheme in ["Bearer", "bearer"] {
            assert_eq!(Caller::of_header(Some(&format!("{scheme} {}", *token))).client().unwrap(), hash);
        }
        assert_ne!(Caller::of_header(Some("Bearer other")).client().unwrap(), hash);
        for other in [None, Some(""), Some(token.as_str()), Some("Basic abc")] {
            assert!(matches!(Caller::of_header(other).client(), Err(RpcError::Unauthorized)));
        }
    }
}
