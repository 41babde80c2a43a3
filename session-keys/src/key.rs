//! A secp256k1 secret key.

use std::fmt;

use alloy::{
    hex,
    primitives::{Address, B256, Signature},
    signers::{SignerSync, local::PrivateKeySigner},
};
use zeroize::Zeroizing;

use crate::secret::{SecretBytes, wiped};

/// A secp256k1 secret key. It is wiped from memory when dropped, and shown by no formatting trait.
#[derive(Clone)]
pub struct SecretKey {
    secret: SecretBytes,
    address: Address,
}

/// Why a text is no key, or a key did not sign. Never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes of hex.
    #[error("a secret key is 32 bytes in hex")]
    Malformed,
    /// Zero, or not below the order of the curve.
    #[error("the secret key is outside of the curve's range")]
    OutOfRange,
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    NoRandomness,
    /// The signing algorithm failed, which a valid key does not do.
    #[error("the key did not sign")]
    NotSigned,
}

impl SecretKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Panics
    /// If there is none: nothing could be done without.
    pub fn generate() -> Self {
        loop {
            // A number outside of the curve's order comes once in 2^128.
            match SecretBytes::random().map_err(|_| KeyError::NoRandomness).and_then(Self::of) {
                Ok(key) => return key,
                Err(KeyError::OutOfRange) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads a key of 32 bytes in hex, with or without `0x`.
    ///
    /// # Errors
    /// If the text is no key; the error does not repeat it.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        Self::of(SecretBytes::from_hex(text).ok_or(KeyError::Malformed)?)
    }

    pub(crate) fn of(secret: SecretBytes) -> Result<Self, KeyError> {
        let address = wiped(|| PrivateKeySigner::from_slice(secret.as_ref()).map(|signer| signer.address()));
        Ok(Self { address: address.map_err(|_| KeyError::OutOfRange)?, secret })
    }

    /// The address of its public key.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest as it is; `s` is low.
    ///
    /// # Errors
    /// If the algorithm fails.
    pub fn sign(&self, digest: B256) -> Result<Signature, KeyError> {
        wiped(|| {
            let signer = PrivateKeySigner::from_slice(self.secret.as_ref()).map_err(|_| KeyError::OutOfRange)?;
            signer.sign_hash_sync(&digest).map_err(|_| KeyError::NotSigned)
        })
    }

    /// The key as the signer that transactions are signed with.
    #[allow(clippy::expect_used, reason = "it was one when it was made")]
    pub fn into_signer(self) -> PrivateKeySigner {
        wiped(|| PrivateKeySigner::from_slice(self.secret.as_ref()).expect("a valid key"))
    }

    /// The key itself, `0x`-prefixed. For handing a generated key to its owner, once.
    #[allow(clippy::expect_used, reason = "hex is ASCII, and the room is what it takes")]
    pub fn expose_hex(&self) -> Zeroizing<String> {
        // Straight into the text that is wiped: an encoder's own buffer would keep it.
        let mut text = vec![b'0'; 2 + 2 * 32];
        text[1] = b'x';
        wiped(|| hex::encode_to_slice(self.secret.as_ref(), &mut text[2..]).expect("room for it"));
        Zeroizing::new(String::from_utf8(text).expect("ASCII"))
    }

    pub(crate) fn secret(&self) -> &SecretBytes {
        &self.secret
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A well-known test key (the first of the "test test … junk" mnemonic).
    const TEXT: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    #[test]
    fn a_key_read_from_hex_has_its_known_address() {
        let expected: Address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266".parse().unwrap();
        assert_eq!(SecretKey::from_hex(TEXT).unwrap().address(), expected);
        assert_eq!(SecretKey::from_hex(&TEXT[2..]).unwrap().address(), expected);
    }

    #[test]
    fn debug_shows_the_address_and_no_part_of_the_key() {
        let key = SecretKey::from_hex(TEXT).unwrap();
        let shown = format!("{key:?} {key:#?}");
        assert!(shown.contains("0xf39F"));
        let secret = &TEXT[2..];
        for part in (0..secret.len() - 8).map(|at| &secret[at..at + 8]) {
            assert!(!shown.to_lowercase().contains(part), "{part}");
        }
    }

    #[test]
    fn errors_do_not_repeat_what_was_typed() {
        for text in ["0xdeadbeef", "nonsense", &format!("{TEXT}ff"), &"ff".repeat(32), &"00".repeat(32)] {
            let error = SecretKey::from_hex(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(text));
        }
        assert_eq!(SecretKey::from_hex(&"00".repeat(32)).unwrap_err(), KeyError::OutOfRange);
    }

    #[test]
    fn generated_keys_differ_and_survive_exposure() {
        let (one, other) = (SecretKey::generate(), SecretKey::generate());
        assert_ne!(one.address(), other.address());
        assert_eq!(SecretKey::from_hex(&one.expose_hex()).unwrap().address(), one.address());
    }
}
