//! `fabstir_explainUserOperation`: the whole record of a validation, for whoever has to find out why.

use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};
use erc4337::{UserOperationRequest, wire};
use jsonrpsee::{Extensions, types::Params};
use serde_json::{Value, json};

use super::params::Positional;
use crate::{
    Bundler, Rejection,
    admission::entry_point_version,
    evm::{Act, Deed, Frame, Trace},
    rules::{Parties, Rule, Violation},
    service::Explanation,
};

/// Frames and acts shown at most; the record says how many there were.
const SHOWN: usize = 2_000;

pub(super) async fn explain(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let params = Positional::of(&params)?;
    let entry_point = params.address(1, "entryPoint")?;
    let version = entry_point_version(&bundler.config, entry_point)?;
    let op = UserOperationRequest::from_json(params.required(0, "userOperation")?, version)?.complete(version)?;
    Ok(to_json(&bundler.explain(op, entry_point).await?))
}

fn to_json(explanation: &Explanation) -> Value {
    let Explanation { op, version, screened, examination, block } = explanation;
    let trace = &examination.run.trace;
    let violations: Vec<_> = examination.violations.iter().map(|violation| violation.to_json()).collect();
    let of_rejection = |rejection: &Rejection| error_json(rejection.code(), &rejection.to_string(), rejection.data());
    let of_rule = |first: &Violation| error_json(first.code(), &first.to_string(), Some(first.to_json()));
    let error = match (screened, examination.violations.first(), &examination.verdict) {
        (Err(rejection), _, _) | (Ok(_), None, Err(rejection)) => Some(of_rejection(rejection)),
        (Ok(_), Some(first), _) => Some(of_rule(first)),
        (Ok(_), None, Ok(_)) => None,
    };
    json!({
        "accepted": error.is_none(),
        "error": error,
        "userOpHash": screened.as_ref().ok(),
        "userOperation": wire::to_json(op, *version),
        "block": { "number": U256::from(block.number), "hash": block.hash },
        "gasUsed": U256::from(examination.run.gas_used),
        "entities": entities(&examination.parties),
        "violations": violations,
        "rules": rules(explanation),
        "frames": trace.frames.iter().take(SHOWN).map(frame).collect::<Vec<_>>(),
        "frameCount": trace.frames.len(),
        "acts": trace.acts.iter().take(SHOWN).map(|act| self::act(act, trace)).collect::<Vec<_>>(),
        "actCount": trace.acts.len(),
        "preimages": trace
            .preimages
            .iter()
            .map(|(hash, words)| json!({ "slot": B256::from(*hash), "of": words.map(B256::from) }))
            .collect::<Vec<_>>(),
        "codeHashes": examination
            .code_hashes
            .iter()
            .map(|(address, hash)| json!({ "address": address, "codeHash": hash }))
            .collect::<Vec<_>>(),
        "roundTrips": examination.run.trips,
    })
}

fn error_json(code: i32, message: &str, data: Option<Value>) -> Value {
    json!({ "code": code, "message": message, "data": data })
}

/// Every rule with whether it held; none was asked about if the EntryPoint said no first.
fn rules(explanation: &Explanation) -> Vec<Value> {
    let judged = explanation.examination.verdict.is_ok();
    let broken = |rule: &Rule| explanation.examination.violations.iter().any(|it| it.rule == *rule);
    Rule::ALL
        .iter()
        .map(|rule| json!({ "rule": rule.id(), "held": judged.then(|| !broken(rule)), "remedy": rule.remedy() }))
        .collect()
}

fn entities(parties: &Parties) -> Value {
    let party = |party: &crate::rules::Party| json!({ "address": party.address, "stake": party.standing.name() });
    json!({
        "account": party(&parties.account),
        "factory": parties.factory.as_ref().map(party),
        "paymaster": parties.paymaster.as_ref().map(party),
        "accountExists": parties.account_exists,
    })
}

fn frame(frame: &Frame) -> Value {
    json!({
        "parent": frame.parent,
        "depth": frame.depth,
        "kind": format!("{:?}", frame.kind).to_uppercase(),
        "from": frame.caller,
        "to": frame.target,
        "code": frame.code,
        "value": frame.value,
        "selector": frame.selector.map(alloy::primitives::FixedBytes::<4>::from),
        "phase": frame.phase.map(|entity| entity.to_string()),
        "gasLimit": U256::from(frame.gas_limit),
        "gasUsed": U256::from(frame.gas_used),
        "native": frame.native,
        "success": frame.success,
        "outOfGas": frame.out_of_gas,
        "output": frame.output,
    })
}

fn act(act: &Act, trace: &Trace) -> Value {
    let mut answer = json!({
        "frame": act.frame,
        "pc": act.pc,
        "opcode": revm::bytecode::OpCode::new(act.opcode).map_or("unassigned", |opcode| opcode.as_str()),
        "entity": trace.frames.get(act.frame).and_then(|frame| frame.phase).map(|entity| entity.to_string()),
    });
    let about: Option<(&str, Address)> = match act.deed {
        Deed::Storage { contract, slot, write } => {
            answer["slot"] = json!(B256::from(slot));
            answer["write"] = json!(write);
            Some(("contract", contract))
        }
        Deed::Code { address, has_code, .. } => {
            answer["hasCode"] = json!(has_code);
            Some(("contract", address))
        }
        Deed::Create(by) => Some(("creator", by)),
        Deed::Create2(address) => Some(("creates", address)),
        Deed::Call(callee) => trace.frames.get(callee).map(|frame| ("calls", frame.code)),
        _ => None,
    };
    if let Some((name, address)) = about {
        answer[name] = json!(address);
    }
    answer
}
