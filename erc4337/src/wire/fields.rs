//! Reading one field of a JSON object, with errors that name it.

use alloy::{
    eips::eip7702::{Authorization, SignedAuthorization},
    hex,
    primitives::{Address, Bytes, U256},
};
use serde_json::{Map, Value};

/// Bytes in one field: nodes take no larger transactions (128 KiB).
const MAX_BYTES: usize = 128 * 1024;

/// Why an operation's JSON was refused. The text begins with the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The operation is no JSON object.
    #[error("userOperation: expected an object")]
    NotAnObject,
    /// A required field is absent or null.
    #[error("{field}: missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// The value cannot be read.
    #[error("{field}: expected {expected}")]
    Malformed {
        /// The field.
        field: &'static str,
        /// What would have been right.
        expected: &'static str,
    },
    /// The value does not fit what the contract can hold.
    #[error("{field}: larger than {max}")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// The largest value, named.
        max: &'static str,
    },
    /// A field stands without the one it needs.
    #[error("{field}: needs `{needs}` beside it")]
    Incomplete {
        /// The field that was given.
        field: &'static str,
        /// The field that was not.
        needs: &'static str,
    },
    /// The field does not exist in the operations of this EntryPoint.
    #[error("{field}: not a field of EntryPoint {version}; use {instead}")]
    WrongVersion {
        /// The field.
        field: &'static str,
        /// The version of the EntryPoint the request named.
        version: crate::EntryPointVersion,
        /// What this version has in its place.
        instead: &'static str,
    },
}

impl FieldError {
    /// The field that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::NotAnObject => "userOperation",
            Self::Missing { field }
            | Self::Malformed { field, .. }
            | Self::TooLarge { field, .. }
            | Self::Incomplete { field, .. }
            | Self::WrongVersion { field, .. } => field,
        }
    }
}

/// The fields of a JSON object, read by name.
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value) -> Result<Self, FieldError> {
        value.as_object().map(Self).ok_or(FieldError::NotAnObject)
    }

    /// The value if it is there and not null.
    fn get(&self, field: &str) -> Option<&'a Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// Whether the field says anything: clients send `"0x"` for bytes they do not use.
    pub(super) fn is_set(&self, field: &str) -> bool {
        self.get(field).is_some_and(|value| value.as_str() != Some("0x"))
    }

    pub(super) fn address(&self, field: &'static str) -> Result<Option<Address>, FieldError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match decode_hex(value) {
            Some(bytes) if bytes.is_empty() => Ok(None),
            Some(bytes) if bytes.len() == 20 => Ok(Some(Address::from_slice(&bytes))),
            _ => Err(FieldError::Malformed { field, expected: "an address of 20 bytes" }),
        }
    }

    pub(super) fn bytes(&self, field: &'static str) -> Result<Option<Bytes>, FieldError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let bytes = decode_hex(value).ok_or(FieldError::Malformed { field, expected: "0x-prefixed hex bytes" })?;
        if bytes.len() > MAX_BYTES {
            return Err(FieldError::TooLarge { field, max: "131072 bytes, what a transaction may be" });
        }
        Ok(Some(bytes.into()))
    }

    pub(super) fn quantity(&self, field: &'static str) -> Result<Option<U256>, FieldError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let malformed = FieldError::Malformed { field, expected: "a 0x-prefixed hex number" };
        let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).ok_or_else(|| malformed.clone())?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(malformed);
        }
        match digits.trim_start_matches('0') {
            "" => Ok(Some(U256::ZERO)),
            significant if significant.len() > 64 => Err(FieldError::TooLarge { field, max: "2^256 - 1" }),
            significant => U256::from_str_radix(significant, 16).map(Some).map_err(|_| malformed),
        }
    }

    /// A quantity that every EntryPoint bounds by `uint120` (AA94).
    pub(super) fn gas(&self, field: &'static str) -> Result<Option<u128>, FieldError> {
        let Some(value) = self.quantity(field)? else { return Ok(None) };
        u128::try_from(value)
            .ok()
            .filter(|value| *value < 1 << 120)
            .map(Some)
            .ok_or(FieldError::TooLarge { field, max: "2^120 - 1" })
    }

    /// An EIP-7702 authorization tuple, under either of the names that clients use; under both only if it is the same
    /// (AUTH-010).
    pub(super) fn authorization(&self) -> Result<Option<SignedAuthorization>, FieldError> {
        let mut given =
            ["eip7702Auth", "authorization"].into_iter().filter_map(|field| Some((field, self.get(field)?)));
        let Some((field, value)) = given.next() else { return Ok(None) };
        let malformed = || FieldError::Malformed { field, expected: "{chainId, address, nonce, yParity, r, s}" };
        if given.any(|(_, other)| other != value) {
            return Err(FieldError::Malformed { field: "authorization", expected: "the same as eip7702Auth" });
        }
        let tuple = value.as_object().map(Self).ok_or_else(malformed)?;
        tuple.authorization_tuple().ok_or_else(malformed).map(Some)
    }

    fn authorization_tuple(&self) -> Option<SignedAuthorization> {
        let number = |field| self.quantity(field).ok().flatten();
        // viem names the delegate `contractAddress` in some shapes and gives `v` beside or instead of `yParity`.
        let address = self.address("address").ok().flatten().or(self.address("contractAddress").ok().flatten())?;
        let inner = Authorization { chain_id: number("chainId")?, address, nonce: number("nonce")?.try_into().ok()? };
        // Not signed yet, as estimation takes it: a signature of zeros recovers to nobody.
        if ["yParity", "v", "r", "s"].into_iter().all(|part| self.get(part).is_none()) {
            return Some(SignedAuthorization::new_unchecked(inner, 0, U256::ZERO, U256::ZERO));
        }
        let y_parity = match number("yParity") {
            Some(parity) => parity,
            None => number("v")?.checked_sub(U256::from(27))?,
        };
        Some(SignedAuthorization::new_unchecked(inner, y_parity.try_into().ok()?, number("r")?, number("s")?))
    }
}

fn decode_hex(value: &Value) -> Option<Vec<u8>> {
    hex::decode(value.as_str()?.strip_prefix("0x")?).ok()
}
