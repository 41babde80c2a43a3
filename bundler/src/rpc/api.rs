//! The public methods.

use std::sync::Arc;

use alloy::{primitives::U256, rpc::types::state::StateOverride};
use erc4337::{EntryPointVersion, FieldError, UserOperation, UserOperationRequest, wire};
use jsonrpsee::{Extensions, RpcModule, server::RegisterMethodError, types::Params};
use serde_json::{Value, json, value::RawValue};

use super::params::Positional;
use crate::{Bundler, Rejection, admission::entry_point_version, estimation::Estimate, index::Event};

pub(super) fn module(bundler: Bundler) -> Result<RpcModule<Bundler>, RegisterMethodError> {
    let mut module = RpcModule::new(bundler);
    module.register_method("eth_chainId", |_, bundler, _| json!(U256::from(bundler.config.chain.chain_id)))?;
    module.register_method("eth_supportedEntryPoints", |_, bundler, _| {
        // ERC-7769: the preferred one comes first.
        let preferred = bundler.preferred_entry_point();
        let others = bundler.config.entry_points.keys().filter(|it| **it != preferred);
        json!(std::iter::once(&preferred).chain(others).collect::<Vec<_>>())
    })?;
    module.register_async_method("eth_sendUserOperation", send)?;
    module.register_async_method("eth_estimateUserOperationGas", estimate)?;
    module.register_async_method("eth_getUserOperationByHash", by_hash)?;
    module.register_async_method("eth_getUserOperationReceipt", receipt)?;
    module.register_async_method("fabstir_getUserOperationStatus", status)?;
    module.register_async_method("fabstir_explainUserOperation", super::explain::explain)?;
    Ok(module)
}

/// Reads `(userOperation, entryPoint, …)`.
pub(super) fn operation(
    params: &Positional,
    bundler: &Bundler,
) -> Result<(UserOperationRequest, alloy::primitives::Address, EntryPointVersion), Rejection> {
    let entry_point = params.address(1, "entryPoint")?;
    let version = entry_point_version(&bundler.config, entry_point)?;
    let request = UserOperationRequest::from_json(params.required(0, "userOperation")?, version)?;
    Ok((request, entry_point, version))
}

async fn send(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let (request, entry_point, version) = operation(&Positional::of(&params)?, &bundler)?;
    Ok(json!(bundler.send(request.complete(version)?, entry_point).await?))
}

async fn estimate(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let params = Positional::of(&params)?;
    let (request, entry_point, _) = operation(&params, &bundler)?;
    let overrides: StateOverride = match params.optional(2) {
        Some(value) => serde_json::from_value(value.clone()).map_err(|_| FieldError::Malformed {
            field: "stateOverride",
            expected: "{address: {balance?, nonce?, code?, state?, stateDiff?}}",
        })?,
        None => StateOverride::default(),
    };
    Ok(estimate_json(&bundler.estimate(request, entry_point, overrides).await?))
}

fn estimate_json(estimate: &Estimate) -> Value {
    let mut answer = json!({
        "preVerificationGas": U256::from(estimate.pre_verification_gas),
        "verificationGasLimit": U256::from(estimate.verification_gas_limit),
        "callGasLimit": U256::from(estimate.call_gas_limit),
    });
    if let Some(gas) = estimate.paymaster_verification_gas_limit {
        answer["paymasterVerificationGasLimit"] = json!(U256::from(gas));
    }
    if let Some(gas) = estimate.paymaster_post_op_gas_limit {
        answer["paymasterPostOpGasLimit"] = json!(U256::from(gas));
    }
    answer
}

async fn by_hash(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let hash = Positional::of(&params)?.hash(0, "userOpHash")?;
    let record = bundler.record(hash).await?;
    let event = bundler.executed(hash).await?;
    if let Some(record) = record
        && let (Some(op), Some(version)) = (&record.op, record.version)
    {
        return Ok(by_hash_json(op, version, record.entry_point, event.as_ref()));
    }
    let Some(event) = event else { return Ok(Value::Null) };
    Ok(match bundler.recover(&event).await? {
        Some((op, version)) => by_hash_json(&op, version, event.entry_point, Some(&event)),
        None => Value::Null,
    })
}

fn by_hash_json(
    op: &UserOperation,
    version: EntryPointVersion,
    entry_point: alloy::primitives::Address,
    event: Option<&Event>,
) -> Value {
    json!({
        "userOperation": wire::to_json(op, version),
        "entryPoint": entry_point,
        "blockNumber": event.map(|event| U256::from(event.block)),
        "blockHash": event.map(|event| event.block_hash),
        "transactionHash": event.map(|event| event.transaction),
    })
}

async fn receipt(
    params: Params<'static>,
    bundler: Arc<Bundler>,
    _: Extensions,
) -> Result<Option<Box<RawValue>>, Rejection> {
    let hash = Positional::of(&params)?.hash(0, "userOpHash")?;
    bundler.receipt(hash).await
}

async fn status(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    use crate::engine::Status;
    let hash = Positional::of(&params)?.hash(0, "userOpHash")?;
    let Some(record) = bundler.record(hash).await? else {
        // From before this process began, or another bundler's.
        let event = bundler.executed(hash).await?;
        let included =
            |event: Event| json!({ "userOpHash": hash, "status": "included", "transactionHash": event.transaction });
        return Ok(event.map_or(Value::Null, included));
    };
    let mut answer = json!({ "userOpHash": hash, "status": record.status.name() });
    if let Some(transaction) = record.status.transaction() {
        answer["transactionHash"] = json!(transaction);
    }
    if let Status::Dropped { reason } = &record.status {
        answer["reason"] = json!(reason);
    } else if let Some(waits_for) = &record.waits_for {
        answer["reason"] = json!(waits_for);
    }
    Ok(answer)
}
