//! `debug_bundler_*`: for tests and test suites; off unless asked for.

use std::sync::Arc;

use alloy::primitives::U256;
use erc4337::{FieldError, UserOperationRequest, wire};
use jsonrpsee::{Extensions, RpcModule, server::RegisterMethodError, types::Params};
use serde_json::{Value, json};

use super::params::Positional;
use crate::{
    Bundler, Rejection,
    admission::entry_point_version,
    config::BundlingMode,
    mempool::Counts,
    rules::{Minimum, Standing},
};

pub(super) fn register(module: &mut RpcModule<Bundler>) -> Result<(), RegisterMethodError> {
    tracing::warn!("debug_bundler_* is served: anyone who reaches this port can steer the bundler");
    module.register_async_method("debug_bundler_dumpMempool", dump_mempool)?;
    module.register_async_method("debug_bundler_sendBundleNow", send_bundle_now)?;
    module.register_async_method("debug_bundler_setBundlingMode", set_bundling_mode)?;
    module.register_async_method("debug_bundler_addUserOps", add_user_ops)?;
    module.register_async_method("debug_bundler_setReputation", set_reputation)?;
    module.register_async_method("debug_bundler_dumpReputation", dump_reputation)?;
    module.register_async_method("debug_bundler_getStakeStatus", stake_status)?;
    for (name, operations, reputations) in [
        ("debug_bundler_clearState", true, true),
        ("debug_bundler_clearMempool", true, false),
        ("debug_bundler_clearReputation", false, true),
    ] {
        module.register_async_method(name, move |_, bundler, _| async move {
            bundler.clear(operations, reputations).await?;
            Ok::<_, Rejection>(json!("ok"))
        })?;
    }
    Ok(())
}

async fn dump_mempool(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let entry_point = Positional::of(&params)?.address(0, "entryPoint")?;
    let mempool = bundler.mempool().await?;
    let here = mempool.iter().filter(|admitted| admitted.entry_point == entry_point);
    Ok(here.map(|admitted| wire::to_json(&admitted.op, admitted.version)).collect())
}

async fn send_bundle_now(_: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    Ok(json!(bundler.bundle_now().await?))
}

async fn set_bundling_mode(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let params = Positional::of(&params)?;
    let mode = match params.required(0, "mode")?.as_str() {
        Some("auto") => BundlingMode::Auto,
        Some("manual") => BundlingMode::Manual,
        _ => return Err(FieldError::Malformed { field: "mode", expected: "`auto` or `manual`" }.into()),
    };
    bundler.set_mode(mode).await?;
    Ok(json!("ok"))
}

async fn add_user_ops(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let params = Positional::of(&params)?;
    let entry_point = match params.optional(1) {
        Some(_) => params.address(1, "entryPoint")?,
        None => bundler.preferred_entry_point(),
    };
    let version = entry_point_version(&bundler.config, entry_point)?;
    for op in array(&params, "userOperations")? {
        let op = UserOperationRequest::from_json(op, version)?.complete(version)?;
        bundler.add_unchecked(op, entry_point).await?;
    }
    Ok(json!("ok"))
}

async fn set_reputation(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let params = Positional::of(&params)?;
    let malformed = || FieldError::Malformed { field: "reputations", expected: "[{address, opsSeen, opsIncluded}]" };
    let entries = array(&params, "reputations")?
        .iter()
        .map(|entry| {
            let count = |field: &str| count(entry.get(field)?);
            let address = entry.get("address")?.as_str()?.parse().ok()?;
            Some((address, Counts { ops_seen: count("opsSeen")?, ops_included: count("opsIncluded")? }))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(malformed)?;
    bundler.set_reputation(entries).await?;
    Ok(json!("ok"))
}

async fn dump_reputation(_: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let reputations = bundler.reputations().await?;
    Ok(reputations
        .into_iter()
        .map(|(address, counts, status)| {
            json!({
                "address": address,
                "opsSeen": U256::from(counts.ops_seen),
                "opsIncluded": U256::from(counts.ops_included),
                "status": status.name(),
            })
        })
        .collect())
}

async fn stake_status(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let params = Positional::of(&params)?;
    let address = params.address(0, "address")?;
    let info = bundler.stake(address, params.address(1, "entryPoint")?).await?;
    Ok(json!({
        "stakeInfo": {
            "addr": address,
            "stake": info.stake.to_string(),
            "unstakeDelaySec": info.unstake_delay.to_string(),
        },
        "isStaked": Standing::of(&info, Minimum::of(&bundler.config.chain)) == Standing::Staked,
    }))
}

fn array<'a>(params: &'a Positional, field: &'static str) -> Result<&'a Vec<Value>, Rejection> {
    let value = params.required(0, field)?;
    value.as_array().ok_or_else(|| FieldError::Malformed { field, expected: "an array" }.into())
}

/// A number as JSON or as hex, leading zeros or not.
fn count(value: &Value) -> Option<u64> {
    match value.as_str() {
        Some(text) => u64::from_str_radix(text.strip_prefix("0x")?, 16).ok(),
        None => value.as_u64(),
    }
}
