//! A P-256 secret key: what browsers and secure elements hold, here in software.

use std::fmt;

use alloy::primitives::{B256, Bytes};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};

use crate::{
    KeyError,
    public::PublicKey,
    secret::{SecretBytes, wiped},
};

/// A P-256 secret key. It is wiped from memory when dropped, and shown by no formatting trait.
#[derive(Clone)]
pub struct P256Key {
    secret: SecretBytes,
    public: PublicKey,
}

impl P256Key {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// If there is none.
    pub fn generate() -> Result<Self, KeyError> {
        loop {
            // A number outside of the curve's order comes once in 2^32.
            match Self::of(SecretBytes::random().map_err(|_| KeyError::NoRandomness)?) {
                Err(KeyError::OutOfRange) => {}
                made => return made,
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
        let public = wiped(|| {
            let key = SigningKey::from_slice(secret.as_ref()).map_err(|_| KeyError::OutOfRange)?;
            let point = key.verifying_key().to_encoded_point(false);
            let half = |half: Option<&p256::FieldBytes>| half.map(|half| B256::from_slice(half));
            match (half(point.x()), half(point.y())) {
                (Some(x), Some(y)) => Ok(PublicKey::P256 { x, y }),
                _ => Err(KeyError::OutOfRange),
            }
        })?;
        Ok(Self { secret, public })
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs the SHA-256 hash of these 32 bytes, as WebCrypto does: `r ‖ s`, with low `s`.
    ///
    /// # Errors
    /// If the algorithm fails.
    pub fn sign(&self, digest: B256) -> Result<Bytes, KeyError> {
        wiped(|| {
            let key = SigningKey::from_slice(self.secret.as_ref()).map_err(|_| KeyError::OutOfRange)?;
            let signature: Signature = key.try_sign(digest.as_slice()).map_err(|_| KeyError::NotSigned)?;
            Ok(signature.normalize_s().unwrap_or(signature).to_bytes().to_vec().into())
        })
    }

    pub(crate) fn secret(&self) -> &SecretBytes {
        &self.secret
    }
}

impl fmt::Debug for P256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P256Key({})", self.public)
    }
}
