//! What clients of other bundlers ask for, under their names and in their words: thin faces of what is served anyway.

use std::sync::Arc;

use alloy::primitives::U256;
use erc4337::wire;
use jsonrpsee::{Extensions, RpcModule, server::RegisterMethodError, types::Params};
use serde_json::{Value, json};

use super::{api::operation, params::Positional, push};
use crate::{
    Bundler, Rejection,
    engine::Status,
    estimation::{Asset, AssetChange},
    fees::FeeSuggestion,
    service::inclusion_of,
};

pub(super) fn register(module: &mut RpcModule<Bundler>) -> Result<(), RegisterMethodError> {
    let fees = |bundler: &Bundler| {
        // Whoever asks is about to send something.
        bundler.stir();
        bundler.head().fees
    };
    for name in ["pimlico_getUserOperationGasPrice", "zd_getUserOperationGasPrice"] {
        module.register_method(name, move |_, bundler, _| tiers(fees(bundler), hex))?;
    }
    module.register_method("biconomy_getGasFeeValues", move |_, bundler, _| {
        let tiers = tiers(fees(bundler), decimal);
        let mut answer = tiers["standard"].clone();
        for (tier, values) in tiers.as_object().into_iter().flatten() {
            answer[tier] = values.clone();
        }
        answer
    })?;
    module.register_method("skandha_getGasPrice", move |_, bundler, _| tiers(fees(bundler), hex)["standard"].take())?;
    module.register_method("rundler_maxPriorityFeePerGas", move |_, bundler, _| {
        hex(U256::from(fees(bundler).priority_fee.max(1)))
    })?;
    module.register_method("rundler_getUserOperationGasPrice", move |_, bundler, _| {
        let suggestion = fees(bundler);
        json!({
            "currentPriorityFee": U256::from(suggestion.priority_fee.max(1)),
            "baseFee": U256::from(suggestion.base_fee),
            "blockNumber": U256::from(bundler.head().block.number),
            "suggested": tiers(suggestion, hex)["standard"],
        })
    })?;
    module.register_async_method("pimlico_getUserOperationStatus", pimlico_status)?;
    module.register_async_method("rundler_getUserOperationStatus", rundler_status)?;
    module.register_async_method("rundler_getPendingUserOperationBySenderNonce", pending)?;
    module.register_async_method("pimlico_sendUserOperationNow", push::send_sync)?;
    for name in ["pimlico_simulateAssetChange", "pimlico_simulateAssetChanges"] {
        module.register_async_method(name, asset_changes)?;
    }
    Ok(())
}

fn hex(value: U256) -> Value {
    json!(value)
}

fn decimal(value: U256) -> Value {
    json!(value.to_string())
}

/// Fees to bid: for when there is no hurry, for the next block, and for the next block if the base fee doubles.
fn tiers(fees: FeeSuggestion, quantity: fn(U256) -> Value) -> Value {
    let bid = |base_fee_per_cent: u128, priority: u128| {
        let priority = U256::from(priority.max(1));
        let base_fee = (U256::from(fees.base_fee) * U256::from(base_fee_per_cent)).div_ceil(U256::from(100));
        json!({ "maxFeePerGas": quantity(base_fee + priority), "maxPriorityFeePerGas": quantity(priority) })
    };
    json!({ "slow": bid(110, fees.slow_priority_fee),
        "standard": bid(150, fees.priority_fee),
        "fast": bid(200, fees.fast_priority_fee),
    })
}

async fn pimlico_status(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let hash = Positional::of(&params)?.hash(0, "userOpHash")?;
    let status = bundler.record(hash).await?.map(|record| record.status);
    let (status, transaction) = match &status {
        None => match bundler.executed(hash).await? {
            Some(event) => ("included", Some(event.transaction)),
            None => ("not_found", None),
        },
        Some(Status::Pending) => ("not_submitted", None),
        Some(Status::Submitted { transaction } | Status::Preconfirmed { transaction }) => {
            ("submitted", Some(*transaction))
        }
        Some(included @ Status::Included(_)) => ("included", inclusion_of(included).map(|event| event.transaction)),
        Some(Status::Dropped { .. }) => ("rejected", None),
    };
    Ok(json!({ "status": status, "transactionHash": transaction }))
}

async fn rundler_status(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let hash = Positional::of(&params)?.hash(0, "userOpHash")?;
    let record = bundler.record(hash).await?;
    let operation = record.as_ref().and_then(|record| Some(wire::to_json(record.op.as_deref()?, record.version?)));
    let status = match record.as_ref().map(|record| &record.status) {
        Some(Status::Pending) => "pending",
        Some(Status::Submitted { .. }) => "pendingBundle",
        Some(Status::Preconfirmed { .. }) => "preconfirmed",
        Some(Status::Dropped { .. }) => "unknown",
        Some(Status::Included(_)) => "mined",
        None if bundler.executed(hash).await?.is_some() => "mined",
        None => "unknown",
    };
    let receipt = if status == "mined" { bundler.receipt(hash).await? } else { None };
    let bundle = match record.as_ref().map(|record| &record.status) {
        Some(Status::Submitted { transaction }) => json!({ "txHash": transaction }),
        _ => Value::Null,
    };
    Ok(json!({ "status": status, "receipt": receipt, "userOperation": operation, "pendingBundle": bundle }))
}

/// `(sender, nonce)`.
async fn pending(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let params = Positional::of(&params)?;
    let (sender, nonce) = (params.address(0, "sender")?, params.quantity(1, "nonce")?);
    let op = bundler.pending_of(sender, nonce).await?;
    Ok(op.map_or(Value::Null, |(op, version)| wire::to_json(&op, version)))
}

/// `(userOperation, entryPoint, …)`: at the head, whatever block is named.
async fn asset_changes(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let (request, entry_point, _) = operation(&Positional::of(&params)?, &bundler)?;
    let changes = bundler.asset_changes(request, entry_point).await?;
    Ok(json!({ "assetChanges": changes.iter().map(change).collect::<Vec<_>>() }))
}

fn change(change: &AssetChange) -> Value {
    let token = match change.asset {
        Asset::Ether => json!({ "tokenType": "NATIVE" }),
        Asset::Erc20(address) => json!({ "tokenType": "ERC-20", "address": address }),
        Asset::Erc721(address, id) => json!({ "tokenType": "ERC-721", "address": address, "tokenId": id }),
        Asset::Erc1155(address, id) => json!({ "tokenType": "ERC-1155", "address": address, "tokenId": id }),
    };
    let diff = match change.received.checked_sub(change.sent) {
        Some(more) => format!("{more:#x}"),
        None => format!("-{:#x}", change.sent - change.received),
    };
    json!({ "token": token, "value": { "diff": diff } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dearer_bids_hold_for_higher_base_fees() {
        let price = tiers(FeeSuggestion::flat(1_000, 100), hex);
        assert_eq!(price["slow"], json!({ "maxFeePerGas": "0x4b0", "maxPriorityFeePerGas": "0x64" }));
        assert_eq!(price["fast"], json!({ "maxFeePerGas": "0x84d", "maxPriorityFeePerGas": "0x7d" }));
        let free = tiers(FeeSuggestion::flat(0, 0), decimal);
        assert_eq!(free["standard"]["maxPriorityFeePerGas"], "1", "nothing at all would not be taken");
    }
}
