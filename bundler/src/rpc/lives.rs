//! `fabstir_getUserOperationTrace`: every step that an operation took here, and when.

use alloy::primitives::{Address, B256, U256};
use erc4337::ValidationData;
use jsonrpsee::{RpcModule, server::RegisterMethodError};
use serde_json::{Value, json};

use super::params::Positional;
use crate::{Bundler, Checked, Life, Rejection, rules::Parties};

pub(super) fn register(module: &mut RpcModule<Bundler>) -> Result<(), RegisterMethodError> {
    module.register_async_method("fabstir_getUserOperationTrace", |params, bundler, _| async move {
        let hash = Positional::of(&params)?.hash(0, "userOpHash")?;
        Ok::<_, Rejection>(bundler.lives().get(hash).map_or(Value::Null, |life| to_json(&life)))
    })?;
    Ok(())
}

/// `at` is in milliseconds since 1970; `tookMs` counts from the last step that this one waited for. `traceId` is what collectors know it by.
pub(crate) fn to_json(life: &Life) -> Value {
    let begun = life.steps.first().map(|step| step.at).unwrap_or_default();
    let step = |(number, step): (usize, &crate::Step)| {
        let took = step.at.saturating_sub(life.began(number));
        json!({
            "stage": step.milestone.name(),
            "work": step.milestone.work(),
            "at": millis(step.at),
            "sinceMs": millis(step.at.saturating_sub(begun)),
            "tookMs": millis(took),
            "blockNumber": U256::from(step.block),
            "transactionHash": step.transaction,
            "reason": step.reason.as_deref(),
        })
    };
    let steps: Vec<_> = life.steps.iter().enumerate().map(step).collect();
    let ended = life.steps.last().map(|step| step.at).unwrap_or_default();
    json!({
        "userOpHash": life.hash,
        "traceId": alloy::hex::encode(&life.hash[..16]),
        "sender": life.sender,
        "entryPoint": life.entry_point,
        "totalMs": millis(ended.saturating_sub(begun)),
        "steps": steps,
        "validation": life.checked.as_deref().map(checked),
    })
}

/// How it was validated when it came.
fn checked(checked: &Checked) -> Value {
    let window = |data: &ValidationData| {
        let until = Some(data.valid_until).filter(|until| *until != u64::MAX);
        json!({ "validAfter": U256::from(data.valid_after), "validUntil": until.map(U256::from) })
    };
    let Parties { account, factory, paymaster, .. } = &checked.parties;
    let parties = [("account", Some(account)), ("factory", factory.as_ref()), ("paymaster", paymaster.as_ref())];
    let entities: Vec<_> = parties
        .into_iter()
        .filter_map(|(entity, party)| {
            let party = party?;
            Some(json!({ "entity": entity, "address": party.address, "stake": party.standing.name() }))
        })
        .collect();
    let code = |(address, hash): &(Address, B256)| json!({ "address": address, "codeHash": hash });
    json!({
        "blockHash": checked.block,
        "gasUsed": U256::from(checked.validated.gas_used),
        "account": window(&checked.validated.account),
        "paymaster": checked.validated.paymaster.as_ref().map(window),
        "slots": checked.slots,
        "accounts": checked.accounts,
        "codeHashes": checked.code_hashes.iter().map(code).collect::<Vec<_>>(),
        "entities": entities,
    })
}

fn millis(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
