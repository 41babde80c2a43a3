//! Bundler, paymaster and chain, as the service needs them.

use alloy::primitives::{Address, Bytes};
use jsonrpsee::Extensions;
use serde_json::Value;

/// A request that was refused or not answered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// JSON-RPC error code, handed on as it is.
    pub code: i32,
    /// Why.
    pub message: String,
    /// More of it.
    pub data: Option<Value>,
}

/// What the service asks of others.
pub trait Backend: Send + Sync + 'static {
    /// The same, on behalf of whoever made the request with these extensions: who sponsors it may depend on that.
    #[must_use]
    fn on_behalf_of(&self, request: &Extensions) -> Self
    where
        Self: Sized;

    /// A method of the bundler (ERC-7769), the paymaster (ERC-7677), or of both in one
    /// (`fabstir_prepareSponsoredUserOperation`).
    ///
    /// # Errors
    /// What it answers.
    fn request(&self, method: &'static str, params: Vec<Value>) -> impl Future<Output = Result<Value, Failure>> + Send;

    /// What a view function answers at the latest block.
    ///
    /// # Errors
    /// If it reverts, or the node does not answer.
    fn call(&self, to: Address, data: Bytes) -> impl Future<Output = Result<Bytes, Failure>> + Send;

    /// Whether there is a contract at the latest block.
    ///
    /// # Errors
    /// If the node does not answer.
    fn has_code(&self, account: Address) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// Unix time of the latest block.
    ///
    /// # Errors
    /// If the node does not answer.
    fn time(&self) -> impl Future<Output = Result<u64, Failure>> + Send;

    /// `maxFeePerGas` and `maxPriorityFeePerGas` for an operation now, in wei.
    ///
    /// # Errors
    /// If the node does not answer.
    fn fees(&self) -> impl Future<Output = Result<(u128, u128), Failure>> + Send;
}
