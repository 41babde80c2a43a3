//! Positional parameters, with errors that name the one that is wrong.

use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use erc4337::FieldError;
use jsonrpsee::types::Params;
use serde_json::Value;

use crate::Rejection;

/// Parameters of one call, by position.
pub(super) struct Positional(Vec<Value>);

impl Positional {
    pub(super) fn of(params: &Params<'_>) -> Result<Self, Rejection> {
        let malformed = FieldError::Malformed { field: "params", expected: "an array of positional parameters" };
        params.parse().map(Self).map_err(|_| malformed.into())
    }

    /// The parameter, if it is there and not null.
    pub(super) fn optional(&self, position: usize) -> Option<&Value> {
        self.0.get(position).filter(|value| !value.is_null())
    }

    pub(super) fn required(&self, position: usize, field: &'static str) -> Result<&Value, Rejection> {
        self.optional(position).ok_or_else(|| FieldError::Missing { field }.into())
    }

    pub(super) fn address(&self, position: usize, field: &'static str) -> Result<Address, Rejection> {
        let text = self.required(position, field)?.as_str().unwrap_or_default();
        text.parse().map_err(|_| FieldError::Malformed { field, expected: "an address of 20 bytes" }.into())
    }

    pub(super) fn quantity(&self, position: usize, field: &'static str) -> Result<U256, Rejection> {
        let text = self.required(position, field)?.as_str().unwrap_or_default();
        let value = text.strip_prefix("0x").and_then(|digits| U256::from_str_radix(digits, 16).ok());
        value.ok_or_else(|| FieldError::Malformed { field, expected: "a 0x-prefixed hex number" }.into())
    }

    /// A number of milliseconds, as a JSON number or in hex.
    pub(super) fn milliseconds(&self, position: usize, field: &'static str) -> Result<Option<Duration>, Rejection> {
        let malformed = FieldError::Malformed { field, expected: "a number of milliseconds" };
        let Some(value) = self.optional(position) else { return Ok(None) };
        let hex = || u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok();
        value.as_u64().or_else(hex).map(|millis| Some(Duration::from_millis(millis))).ok_or_else(|| malformed.into())
    }

    pub(super) fn hash(&self, position: usize, field: &'static str) -> Result<B256, Rejection> {
        let text = self.required(position, field)?.as_str().unwrap_or_default();
        text.parse().map_err(|_| FieldError::Malformed { field, expected: "a hash of 32 bytes" }.into())
    }
}
