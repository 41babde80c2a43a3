//! Parameters by position.

use jsonrpsee::types::Params;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::RpcError;

pub(super) struct Positional(Vec<Value>);

impl Positional {
    /// An array; a single object stands for the first of it, as some clients send it.
    pub(super) fn of(params: &Params<'_>) -> Result<Self, RpcError> {
        match params.parse::<Value>() {
            Ok(Value::Array(values)) => Ok(Self(values)),
            Ok(object @ Value::Object(_)) => Ok(Self(vec![object])),
            Ok(Value::Null) => Ok(Self(vec![])),
            _ => Err(RpcError::param("params", "an array")),
        }
    }

    pub(super) fn required<T: DeserializeOwned>(&self, index: usize, name: &'static str) -> Result<T, RpcError> {
        let value = self.0.get(index).ok_or_else(|| RpcError::param(name, "a value"))?;
        read(value, name)
    }

    pub(super) fn optional<T: DeserializeOwned>(
        &self,
        index: usize,
        name: &'static str,
    ) -> Result<Option<T>, RpcError> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value, name).map(Some),
        }
    }

    /// All of them, of one form.
    pub(super) fn all<T: DeserializeOwned>(&self, name: &'static str) -> Result<Vec<T>, RpcError> {
        self.0.iter().map(|value| read(value, name)).collect()
    }
}

fn read<T: DeserializeOwned>(value: &Value, name: &'static str) -> Result<T, RpcError> {
    T::deserialize(value).map_err(|error| RpcError::param(name, error))
}
