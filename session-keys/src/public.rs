//! The public half of a session key, as the account knows it.

use std::{fmt, str::FromStr};

use alloy::{
    hex,
    primitives::{Address, B256, Bytes},
    sol_types::SolValue,
};
use p256::{EncodedPoint, elliptic_curve::sec1::FromEncodedPoint};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A session key: an address, or a P-256 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// A secp256k1 key, by its address.
    Address(Address),
    /// A P-256 key, by its affine coordinates.
    P256 {
        /// First half.
        x: B256,
        /// Second half.
        y: B256,
    },
}

/// The bytes are no session key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key: expected an address (20 bytes, or 32 with zeros before it) or a P-256 public key (64 bytes)")]
pub struct NotAPublicKey;

impl PublicKey {
    /// As the contract writes it: 32 bytes are an address, 64 a P-256 public key.
    pub fn to_contract_bytes(self) -> Bytes {
        match self {
            Self::Address(address) => address.abi_encode().into(),
            Self::P256 { x, y } => [x.0, y.0].concat().into(),
        }
    }

    /// Reads what the contract writes.
    ///
    /// # Errors
    /// If the length is neither, or an address has dirty upper bytes.
    pub fn from_contract_bytes(bytes: &[u8]) -> Result<Self, NotAPublicKey> {
        match bytes.len() {
            32 if bytes[..12] == [0; 12] => Ok(Self::Address(Address::from_slice(&bytes[12..]))),
            64 => Ok(Self::P256 { x: B256::from_slice(&bytes[..32]), y: B256::from_slice(&bytes[32..]) }),
            _ => Err(NotAPublicKey),
        }
    }

    /// Whether the account would take it: not zero, and on its curve.
    pub fn is_valid(self) -> bool {
        match self {
            Self::Address(address) => !address.is_zero(),
            Self::P256 { x, y } => {
                let point = EncodedPoint::from_affine_coordinates(&x.0.into(), &y.0.into(), false);
                p256::PublicKey::from_encoded_point(&point).is_some().into()
            }
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::P256 { x, y } => write!(f, "0x{}{}", hex::encode(x), hex::encode(y)),
        }
    }
}

impl FromStr for PublicKey {
    type Err = NotAPublicKey;

    fn from_str(text: &str) -> Result<Self, NotAPublicKey> {
        let bytes = hex::decode(text.strip_prefix("0x").ok_or(NotAPublicKey)?).map_err(|_| NotAPublicKey)?;
        if bytes.len() == 20 {
            Ok(Self::Address(Address::from_slice(&bytes)))
        } else {
            Self::from_contract_bytes(&bytes)
        }
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
