//! Positional parameters, with errors that name the one that is wrong.

use alloy::primitives::{Address, B256};
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

    pub(super) fn hash(&self, position: usize, field: &'static str) -> Result<B256, Rejection> {
        let text = self.required(position, field)?.as_str().unwrap_or_default();
        text.parse().map_err(|_| FieldError::Malformed { field, expected: "a hash of 32 bytes" }.into())
    }
}
