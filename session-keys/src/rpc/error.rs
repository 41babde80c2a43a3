//! What a caller is told.

use alloy::primitives::{Address, B256};
use erc4337::{FieldError, error_code};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::json;

use super::Failure;
use crate::{
    KeyError, permission::NotGrantable, policy::encode::EncodingError, service::Refusal, store::StoreError,
    vault::VaultError,
};

/// EIP-1193: not authorized.
const UNAUTHORIZED: i32 = 4100;
/// EIP-5792: a capability that is not optional is not supported.
const UNSUPPORTED_CAPABILITY: i32 = 5700;
/// EIP-5792: not on this chain.
const UNSUPPORTED_CHAIN: i32 = 5710;
/// EIP-5792: the id is taken.
const DUPLICATE_ID: i32 = 5720;
/// EIP-5792: no such batch.
const UNKNOWN_BATCH: i32 = 5730;

/// Why a call was not done.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's text says it")]
pub enum RpcError {
    #[error("{field}: expected {expected}")]
    Param { field: &'static str, expected: String },
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error(transparent)]
    NotGrantable(#[from] NotGrantable),
    #[error("Authorization: a session is used with the bearer token that its creation gave")]
    Unauthorized,
    #[error("permissionContext: {0} is not a session of this token")]
    UnknownContext(B256),
    #[error("to: {0} is not a new session key of this token")]
    UnknownKey(Address),
    #[error("signature: not of an owner of {0}")]
    NotAnOwner(Address),
    #[error("dependencies: {0}")]
    Dependency(&'static str),
    #[error("chainId: {given} is not {served}")]
    Chain { given: String, served: u64 },
    #[error("capabilities: {0} is not supported, and not optional")]
    Capability(String),
    #[error("id: {0} is taken")]
    DuplicateId(String),
    #[error("id: {0} is not known")]
    UnknownBatch(String),
    #[error("too many sessions wait for their owners")]
    TooManyWaiting,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Backend(#[from] Failure),
    #[error("the answer of {0} cannot be read")]
    Answer(&'static str),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    #[error("the service stopped while it worked on this")]
    Stopped,
}

impl RpcError {
    pub(super) fn param(field: &'static str, expected: impl ToString) -> Self {
        Self::Param { field, expected: expected.to_string() }
    }
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(error: RpcError) -> Self {
        use RpcError as E;
        let message = error.to_string();
        let field = |field: &str| Some(json!({ "field": field }));
        let (code, data) = match error {
            E::Param { field: name, .. } => (error_code::INVALID_FIELDS, field(name)),
            E::Field(error) => (error_code::INVALID_FIELDS, field(error.field())),
            E::NotGrantable(error) => (error_code::INVALID_FIELDS, field(error.field())),
            E::UnknownContext(_) => (UNAUTHORIZED, field("permissionContext")),
            E::UnknownKey(_) => (UNAUTHORIZED, field("to")),
            E::NotAnOwner(_) => (UNAUTHORIZED, field("signature")),
            E::Unauthorized => (UNAUTHORIZED, None),
            E::Dependency(_) => (error_code::INVALID_FIELDS, field("dependencies")),
            E::Chain { .. } => (UNSUPPORTED_CHAIN, field("chainId")),
            E::Capability(_) => (UNSUPPORTED_CAPABILITY, field("capabilities")),
            E::DuplicateId(_) => (DUPLICATE_ID, field("id")),
            E::UnknownBatch(_) => (UNKNOWN_BATCH, field("id")),
            E::TooManyWaiting => (error_code::LIMIT_EXCEEDED, None),
            // Not one of the codes that clients retry: the answer will be the same.
            E::Refused(refusal) => (error_code::POLICY_DENIED, Some(json!({ "reason": refusal.to_string() }))),
            E::Backend(failure) => (failure.code, failure.data),
            E::Answer(_) | E::Vault(_) | E::Store(_) | E::Key(_) | E::Encoding(_) | E::Stopped => {
                tracing::warn!(%message, "a session could not be served");
                (error_code::INTERNAL, None)
            }
        };
        Self::owned(code, message, data)
    }
}
