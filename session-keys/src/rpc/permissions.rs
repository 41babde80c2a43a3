//! ERC-7715, with the two steps that it leaves to the wallet: making a key, and taking the owner's signature.

use std::time::{Duration, Instant};

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::SolCall,
};
use erc4337::abi::smart_account;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Backend, Caller, RpcError,
    auth::new_token,
    hub::{Hub, Meta, Waiting, lock},
    owner,
    params::Positional,
};
use crate::{
    PublicKey, SessionKey,
    permission::{self, Asked, PermissionRequest, typed_data},
    secret::SecretBytes,
    service::{Refusal, Request},
    session_key::Curve,
};

/// How long a key waits for a request, and a request for its owner.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Keys and requests that wait at the same time.
const MOST_WAITING: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    #[serde(default = "secp256k1")]
    curve: Curve,
}

fn secp256k1() -> Curve {
    Curve::Secp256k1
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Grant {
    permission_context: B256,
    signature: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Context {
    permission_context: B256,
}

/// `fabstir_createSession [{curve?}]` → `{to, publicKey, token?}`: a key in this process. Without a token of before, a
/// new one is given; only its hash stays here.
pub(super) async fn create<B: Backend>(hub: &Hub<B>, params: Positional, caller: Caller) -> Result<Value, RpcError> {
    let Create { curve } = params.optional(0, "options")?.unwrap_or(Create { curve: Curve::Secp256k1 });
    let key = SessionKey::generate(curve)?;
    let (public, to) = (key.public(), handle(key.public()));
    let mut answer = json!({ "to": to, "publicKey": public });
    let client = match caller.client() {
        Ok(client) => client,
        Err(_) => {
            let (token, hash) = new_token()?;
            answer["token"] = json!(*token);
            hash
        }
    };
    let mut waiting = lock(&hub.waiting);
    waiting.retain(|_, key| key.since.elapsed() < PATIENCE);
    if waiting.len() >= MOST_WAITING {
        return Err(RpcError::TooManyWaiting);
    }
    waiting.insert(to, Waiting { key, client, since: Instant::now() });
    Ok(answer)
}

/// A key's address: of secp256k1 its own, of P-256 what its public key hashes to.
fn handle(key: PublicKey) -> Address {
    match key {
        PublicKey::Address(address) => address,
        PublicKey::P256 { x, y } => Address::from_word(keccak256([x.0, y.0].concat())),
    }
}

/// `wallet_requestExecutionPermissions [request, …]` → the same as they would be granted, each with its context, its
/// summary and what the owner must sign.
pub(super) async fn request<B: Backend>(hub: &Hub<B>, params: Positional, caller: Caller) -> Result<Value, RpcError> {
    let client = caller.client()?;
    let requests: Vec<PermissionRequest> = params.all("permissionRequest")?;
    if requests.is_empty() {
        return Err(RpcError::param("permissionRequest", "one at least"));
    }
    let mut answers = Vec::new();
    for request in &requests {
        answers.push(request_one(hub, request, client).await?);
    }
    Ok(answers.into())
}

async fn request_one<B: Backend>(hub: &Hub<B>, request: &PermissionRequest, client: B256) -> Result<Value, RpcError> {
    let config = &hub.config;
    if request.chain_id != U256::from(config.chain_id) {
        return Err(RpcError::Chain { given: format!("{:#x}", request.chain_id), served: config.chain_id });
    }
    let account = request.from;
    let epoch = if hub.backend.has_code(account).await? {
        hub.epoch(account).await?
    } else {
        owner::owners_of(&hub.backend, config.factory, account, &request.dependencies).await?;
        0
    };
    let now = hub.backend.time().await?;
    if let Some(old) = request.replaces {
        hub.meta(old, client)?;
    }
    expire(hub);
    let salt = SecretBytes::random().map_err(|_| crate::KeyError::NoRandomness)?;
    let public = lock(&hub.waiting)
        .get(&request.to)
        .filter(|waiting| waiting.client == client)
        .map(|waiting| waiting.key.public())
        .ok_or(RpcError::UnknownKey(request.to))?;
    let asked = Asked {
        key: public,
        epoch,
        salt: U256::from_be_bytes(*salt.as_ref()),
        now,
        max_lifetime: config.max_lifetime,
        paymaster: config.paymaster,
        marketplace: config.marketplace,
    };
    let granted = request.grantable(&asked)?;
    let summary = granted.policy.summary(&config.names, now);
    let to_sign = typed_data(&granted.policy, config.chain_id, account)?;
    let replaces = request.replaces;
    let asked_for = Request { account, policy: granted.policy.clone(), vouchers: granted.vouchers, replaces };
    let waiting = lock(&hub.waiting).remove(&request.to).ok_or(RpcError::UnknownKey(request.to))?;
    let id = hub.service().request(asked_for, waiting.key, &config.names, now)?;
    lock(&hub.requested).insert(id, Instant::now());
    let mut answer = json!(granted.request);
    answer["context"] = json!(id);
    // Sessions are checked by the account itself; nothing delegates (ERC-7710).
    answer["delegationManager"] = json!(account);
    answer["summary"] = json!(summary);
    answer["policy"] = json!(granted.policy);
    hub.remember(id, Meta { client, answer: answer.clone() });
    hub.commit(id).await?;
    tracing::info!(%account, session = %id, "asked for: {summary}");
    answer["status"] = json!(hub.service().state(id));
    answer["typedData"] = to_sign;
    Ok(answer)
}

/// Requests that no owner answered in time make room.
fn expire<B: Backend>(hub: &Hub<B>) {
    let mut old = Vec::new();
    lock(&hub.requested).retain(|id, since| {
        let stays = since.elapsed() < PATIENCE;
        if !stays {
            old.push(*id);
        }
        stays
    });
    old.into_iter().for_each(|id| hub.forget(id));
}

/// `fabstir_grantPermission [{permissionContext, signature}]` → the granted permission. The signature is an owner's, of
/// the request's typed data.
pub(super) async fn grant<B: Backend>(hub: &Hub<B>, params: Positional, caller: Caller) -> Result<Value, RpcError> {
    let client = caller.client()?;
    let Grant { permission_context: id, signature } = params.required(0, "grant")?;
    let meta = hub.meta(id, client)?;
    let now = hub.backend.time().await?;
    let _turn = hub.wait(id).await;
    hub.observe(id, now).await?;
    let record = hub.service().record(id).cloned().ok_or(Refusal::Unknown(id))?;
    let account = record.account;
    let created = if hub.backend.has_code(account).await? {
        None
    } else {
        let request: PermissionRequest = serde_json::from_value(meta.answer.clone())
            .map_err(|_| RpcError::Answer("wallet_requestExecutionPermissions"))?;
        Some(owner::owners_of(&hub.backend, hub.config.factory, account, &request.dependencies).await?)
    };
    let digest = record.policy.digest(hub.config.chain_id, account)?;
    owner::check(&hub.backend, account, created.as_deref(), digest, &signature).await?;
    hub.service().grant(id, signature, now)?;
    let key = hub.service().key(id).cloned().ok_or(Refusal::Locked)?;
    hub.seal(id, key).await?;
    lock(&hub.requested).remove(&id);
    if let Some(old) = record.replaces {
        hub.commit(old).await?;
    }
    tracing::info!(%account, session = %id, "granted: {}", record.policy.summary(&hub.config.names, now));
    let mut answer = meta.answer;
    answer["status"] = json!(hub.service().state(id));
    Ok(answer)
}

/// `wallet_revokeExecutionPermission {permissionContext}` → what the owner sends next, so that the chain knows it too.
/// Nothing is signed for it from here on, and the key is gone.
pub(super) async fn revoke<B: Backend>(hub: &Hub<B>, params: Positional, caller: Caller) -> Result<Value, RpcError> {
    let client = caller.client()?;
    let Context { permission_context: id } = params.required(0, "permissionContext")?;
    hub.meta(id, client)?;
    let now = hub.backend.time().await?;
    // Without waiting for a turn: who is signing now has been judged, and the next is refused.
    hub.service().revoke(id, now)?;
    hub.commit(id).await?;
    let account = hub.service().record(id).map(|record| record.account).ok_or(Refusal::Unknown(id))?;
    tracing::info!(%account, session = %id, "revoked here; the chain is to be told");
    let data = Bytes::from(smart_account::revokeSessionCall { id }.abi_encode());
    Ok(json!({ "onChain": { "to": account, "value": "0x0", "data": data } }))
}

/// `wallet_getSupportedExecutionPermissions` → by type, chains and rules.
pub(super) async fn supported<B: Backend>(hub: &Hub<B>, _: Positional, _: Caller) -> Result<Value, RpcError> {
    Ok(json!(permission::supported(hub.config.chain_id)))
}

/// `wallet_getGrantedExecutionPermissions` → those of this token that are granted and not over, as the chain has them
/// now.
pub(super) async fn granted<B: Backend>(hub: &Hub<B>, _: Positional, caller: Caller) -> Result<Value, RpcError> {
    use crate::service::State;
    let client = caller.client()?;
    let now = hub.backend.time().await?;
    let mut granted = Vec::new();
    for id in hub.sessions_of(client) {
        let _turn = hub.wait(id).await;
        hub.observe(id, now).await?;
        let Ok(Meta { mut answer, .. }) = hub.meta(id, client) else { continue };
        let Some(record) = hub.service().record(id).cloned() else { continue };
        if record.state.is_over() || record.state == State::Requested {
            continue;
        }
        answer["status"] = json!(record.state);
        answer["spent"] = json!(record.chain);
        granted.push(answer);
    }
    Ok(granted.into())
}
