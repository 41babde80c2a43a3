//! `fabstir_getUserOperationTrace`: every step that an operation took here, and when.

use alloy::primitives::U256;
use jsonrpsee::{RpcModule, server::RegisterMethodError};
use serde_json::{Value, json};

use super::params::Positional;
use crate::{Bundler, Life, Rejection};

pub(super) fn register(module: &mut RpcModule<Bundler>) -> Result<(), RegisterMethodError> {
    module.register_async_method("fabstir_getUserOperationTrace", |params, bundler, _| async move {
        let hash = Positional::of(&params)?.hash(0, "userOpHash")?;
        Ok::<_, Rejection>(bundler.lives().get(hash).map_or(Value::Null, |life| to_json(&life)))
    })?;
    Ok(())
}

/// Times are milliseconds since 1970, with microseconds behind the point; `traceId` is what collectors know it by.
pub(crate) fn to_json(life: &Life) -> Value {
    let begun = life.steps.first().map(|step| step.at).unwrap_or_default();
    let mut before = begun;
    let step = |step: &crate::Step| {
        let took = step.at.saturating_sub(std::mem::replace(&mut before, step.at));
        json!({
            "stage": step.milestone.name(),
            "work": step.milestone.work(),
            "at": millis(step.at),
            "tookMs": millis(took),
            "blockNumber": U256::from(step.block),
            "transactionHash": step.transaction,
            "reason": step.reason.as_deref(),
        })
    };
    let steps: Vec<_> = life.steps.iter().map(step).collect();
    let ended = life.steps.last().map(|step| step.at).unwrap_or_default();
    json!({
        "userOpHash": life.hash,
        "traceId": alloy::hex::encode(&life.hash[..16]),
        "sender": life.sender,
        "entryPoint": life.entry_point,
        "totalMs": millis(ended.saturating_sub(begun)),
        "steps": steps,
    })
}

fn millis(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
