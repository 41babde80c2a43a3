//! EIP-5792: batches of calls by a session, in versions 1.0 and 2.0.0.

use alloy::primitives::{Address, B256, Bytes, U256, hex};
use erc4337::calls::{self, Call};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Backend, Caller, RpcError,
    hub::Hub,
    operation::{Asked, Signed},
    params::Positional,
};
use crate::{
    permission,
    vault::{Batch, Vault},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendCalls {
    version: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    from: Option<Address>,
    #[serde(default)]
    chain_id: Option<U256>,
    calls: Vec<OneCall>,
    #[serde(default)]
    capabilities: Map<String, Value>,
}

#[derive(Deserialize)]
struct OneCall {
    #[serde(default)]
    to: Option<Address>,
    #[serde(default)]
    value: Option<U256>,
    #[serde(default)]
    data: Option<Bytes>,
    #[serde(default)]
    capabilities: Map<String, Value>,
}

/// `wallet_getCapabilities [account, [chainId]?]`.
pub(super) async fn capabilities<B: Backend>(hub: &Hub<B>, params: Positional, _: Caller) -> Result<Value, RpcError> {
    let _: Address = params.required(0, "account")?;
    let chains: Option<Vec<U256>> = params.optional(1, "chainIds")?;
    let chain_id = U256::from(hub.config.chain_id);
    if chains.is_some_and(|chains| !chains.contains(&chain_id)) {
        return Ok(json!({}));
    }
    let types = permission::supported(hub.config.chain_id);
    let rules = [permission::EXPIRY, permission::PAYEE, permission::GAS_BUDGET];
    let mut answer = Map::new();
    answer.insert(format!("{chain_id:#x}"), json!({
        "atomic": { "status": "supported" },
        "atomicBatch": { "supported": true },
        "permissions": { "supported": true, "permissionTypes": types.keys().collect::<Vec<_>>(), "ruleTypes": rules },
    }));
    Ok(answer.into())
}

/// `wallet_sendCalls`: as one operation of the session that `capabilities.permissions.context` names, sponsored under
/// `capabilities.paymasterService.context`. `backend` asks on behalf of the caller.
pub(super) async fn send<B: Backend>(
    hub: &Hub<B>,
    backend: &B,
    params: Positional,
    caller: Caller,
) -> Result<Value, RpcError> {
    let client = caller.client()?;
    let request: SendCalls = params.required(0, "calls")?;
    let old = match request.version.as_str() {
        "1.0" | "1.0.0" | "1" => true,
        "2.0.0" | "2.0" => false,
        _ => return Err(RpcError::param("version", "1.0 or 2.0.0")),
    };
    let chain_id = U256::from(hub.config.chain_id);
    if let Some(given) = request.chain_id.filter(|given| *given != chain_id) {
        return Err(RpcError::Chain { given: format!("{given:#x}"), served: hub.config.chain_id });
    }
    let id = session(&request)?;
    let calls = read(&request.calls)?;
    let meta = hub.meta(id, client)?;
    let now = backend.time().await?;
    let _turn = hub.turn(id, now).await?;
    let account = hub.service().record(id).map(|record| record.account);
    if request.from.is_some() && request.from != account {
        return Err(RpcError::param("from", "the account of the permission"));
    }
    if let Some(name) = &request.id {
        let taken = name.clone();
        if name.is_empty() || name.len() > 4096 {
            return Err(RpcError::param("id", "at most 4096 characters"));
        }
        if blocking(hub, move |vault| vault.batch(&taken)).await?.is_some() {
            return Err(RpcError::DuplicateId(name.clone()));
        }
    }
    let context = request.capabilities.get("paymasterService").and_then(|service| service.get("context")).cloned();
    let (call_data, context) = (calls::encode(&calls), context.unwrap_or_default());
    let prepared = hub.prepare(backend, &Asked { id, account, call_data, context }, &meta.answer, now).await;
    // What was signed, or why not, is on disk before anybody sees it.
    hub.commit(id).await?;
    let signed = prepared?;
    let name = request.id.unwrap_or_else(|| identifier(signed.hash, hub.config.chain_id));
    let batch = Batch { session: id, user_op_hash: signed.hash, old };
    let saved = name.clone();
    blocking(hub, move |vault| vault.save_batch(&saved, &batch)).await?;
    hub.submit(backend, id, &signed, now).await?;
    Ok(if old { json!(name) } else { json!({ "id": name, "capabilities": { "permissions": { "context": id } } }) })
}

/// The session that is named, if every other capability can be done or left out.
fn session(request: &SendCalls) -> Result<B256, RpcError> {
    let optional = |value: &Value| value["optional"] == json!(true);
    let of_calls = request.calls.iter().flat_map(|call| &call.capabilities);
    for (name, value) in request.capabilities.iter().chain(of_calls) {
        // The policy says who pays: an own paymaster is not asked.
        let known = name == "permissions" || (name == "paymasterService" && value.get("url").is_none());
        if !known && !optional(value) {
            return Err(RpcError::Capability(name.clone()));
        }
    }
    let permissions = request.capabilities.get("permissions");
    let context = permissions.and_then(|permissions| permissions.get("context")).and_then(Value::as_str);
    let context = context.and_then(|text| text.parse().ok());
    context.ok_or_else(|| RpcError::param("capabilities.permissions.context", "the permission's context"))
}

fn read(calls: &[OneCall]) -> Result<Vec<Call>, RpcError> {
    if calls.is_empty() {
        return Err(RpcError::param("calls", "one at least"));
    }
    let read = |call: &OneCall| {
        let target = call.to.ok_or_else(|| RpcError::param("calls.to", "an address"))?;
        Ok(Call { target, value: call.value.unwrap_or_default(), data: call.data.clone().unwrap_or_default() })
    };
    calls.iter().map(read).collect()
}

/// 64 bytes: the operation's hash, and the chain it is on.
fn identifier(hash: B256, chain_id: u64) -> String {
    hex::encode_prefixed([hash.0, U256::from(chain_id).to_be_bytes()].concat())
}

async fn blocking<B: Backend, T: Send + 'static>(
    hub: &Hub<B>,
    work: impl FnOnce(&Vault) -> Result<T, crate::vault::VaultError> + Send + 'static,
) -> Result<T, RpcError> {
    let vault = hub.vault();
    Ok(tokio::task::spawn_blocking(move || work(&vault)).await.map_err(|_| RpcError::Stopped)??)
}

/// `wallet_getCallsStatus [id]`, in the version that the batch was sent in.
pub(super) async fn status<B: Backend>(hub: &Hub<B>, params: Positional, caller: Caller) -> Result<Value, RpcError> {
    let client = caller.client()?;
    let name: String = params.required(0, "id")?;
    let asked = name.clone();
    let batch = blocking(hub, move |vault| vault.batch(&asked)).await?;
    let batch = batch.filter(|batch| hub.meta(batch.session, client).is_ok());
    let Some(Batch { session, user_op_hash, old }) = batch else { return Err(RpcError::UnknownBatch(name)) };
    let hash = json!(user_op_hash);
    let receipt = hub.backend.request("eth_getUserOperationReceipt", vec![hash.clone()]).await?;
    let (code, receipts) = if receipt.is_null() {
        let status = hub.backend.request("fabstir_getUserOperationStatus", vec![hash]).await?;
        let lost = status["status"] == json!("dropped") || (status.is_null() && is_over(hub, session).await?);
        (if lost { 400 } else { 100 }, Value::Null)
    } else {
        let code = if receipt["success"] == json!(true) { 200 } else { 500 };
        (code, json!([of_batch(&receipt)]))
    };
    if old {
        let word = if code == 100 { "PENDING" } else { "CONFIRMED" };
        return Ok(json!({ "status": word, "receipts": receipts }));
    }
    Ok(json!({
        "version": "2.0.0", "id": name, "chainId": U256::from(hub.config.chain_id), "status": code, "atomic": true,
        "receipts": receipts, "capabilities": { "permissions": { "context": session } },
    }))
}

/// Whether an operation that nobody knows of cannot come any more.
async fn is_over<B: Backend>(hub: &Hub<B>, session: B256) -> Result<bool, RpcError> {
    let now = hub.backend.time().await?;
    Ok(hub.service().record(session).is_none_or(|record| record.state.is_over() || record.policy.valid_until < now))
}

/// The part of an operation's receipt that is the batch's: its own logs, and its own success.
fn of_batch(receipt: &Value) -> Value {
    let logs = receipt["logs"].as_array().into_iter().flatten();
    let logs = logs.map(|log| json!({ "address": log["address"], "topics": log["topics"], "data": log["data"] }));
    let transaction = &receipt["receipt"];
    json!({
        "logs": logs.collect::<Vec<_>>(),
        "status": if receipt["success"] == json!(true) { "0x1" } else { "0x0" },
        "blockHash": transaction["blockHash"],
        "blockNumber": transaction["blockNumber"],
        "gasUsed": transaction["gasUsed"],
        "transactionHash": transaction["transactionHash"],
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SignOperation {
    permission_context: B256,
    user_operation: Value,
}

/// `fabstir_signUserOperation [{permissionContext, userOperation}]` → `{signature, userOpHash}`, for clients that send
/// it themselves: of exactly this operation, if the policy allows its calls.
pub(super) async fn sign<B: Backend>(hub: &Hub<B>, params: Positional, caller: Caller) -> Result<Value, RpcError> {
    let client = caller.client()?;
    let SignOperation { permission_context: id, user_operation } = params.required(0, "request")?;
    hub.meta(id, client)?;
    let now = hub.backend.time().await?;
    let _turn = hub.turn(id, now).await?;
    let signed = hub.sign(id, user_operation, now);
    hub.commit(id).await?;
    let Signed { op, hash, .. } = signed?;
    Ok(json!({ "signature": op["signature"], "userOpHash": hash }))
}
