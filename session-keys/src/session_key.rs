//! A session key of either curve, as the account checks it.

use alloy::primitives::{B256, Bytes};
use serde::{Deserialize, Serialize};

use crate::{KeyError, P256Key, PublicKey, SecretKey, secret::SecretBytes};

/// Which curve a key is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Curve {
    /// Ethereum's own.
    Secp256k1,
    /// That of passkeys and WebCrypto.
    P256,
}

/// A session's secret key. Shown by no formatting trait.
#[derive(Clone, Debug)]
pub enum SessionKey {
    /// On secp256k1.
    Secp256k1(SecretKey),
    /// On P-256.
    P256(P256Key),
}

impl SessionKey {
    /// A new key.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn generate(curve: Curve) -> Result<Self, KeyError> {
        match curve {
            Curve::Secp256k1 => Ok(Self::Secp256k1(SecretKey::generate())),
            Curve::P256 => P256Key::generate().map(Self::P256),
        }
    }

    /// Which curve it is on.
    pub fn curve(&self) -> Curve {
        match self {
            Self::Secp256k1(_) => Curve::Secp256k1,
            Self::P256(_) => Curve::P256,
        }
    }

    /// What the policy names.
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Secp256k1(key) => PublicKey::Address(key.address()),
            Self::P256(key) => key.public(),
        }
    }

    /// Signs a digest as the account checks it: 65 bytes `r ‖ s ‖ v`, or 64 bytes `r ‖ s`.
    ///
    /// # Errors
    /// If the algorithm fails.
    pub fn sign(&self, digest: B256) -> Result<Bytes, KeyError> {
        match self {
            Self::Secp256k1(key) => Ok(key.sign(digest)?.as_bytes().into()),
            Self::P256(key) => key.sign(digest),
        }
    }

    pub(crate) fn of(curve: Curve, secret: SecretBytes) -> Result<Self, KeyError> {
        match curve {
            Curve::Secp256k1 => SecretKey::of(secret).map(Self::Secp256k1),
            Curve::P256 => P256Key::of(secret).map(Self::P256),
        }
    }

    pub(crate) fn secret(&self) -> &SecretBytes {
        match self {
            Self::Secp256k1(key) => key.secret(),
            Self::P256(key) => key.secret(),
        }
    }
}
