//! Policies: read, tried, replaced.

use std::sync::Arc;

use alloy::primitives::{Address, hex};
use axum::{
    Json,
    extract::{Path as Param, State},
    http::HeaderMap,
};
use erc4337::UserOperationRequest;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Admin, Answer, Problem, Role, Shared};
use crate::{
    PolicySet, Scope,
    policies::Source,
    policy::{Policy, compile},
};

pub(super) async fn list(State(admin): Shared, headers: HeaderMap) -> Answer {
    admin.keys.admit(&headers, Role::Viewer)?;
    let policies = admin.service.policies().current();
    Ok(Json(policies.iter().map(|policy| summary(policy)).collect()))
}

pub(super) async fn show(State(admin): Shared, headers: HeaderMap, Param(id): Param<String>) -> Answer {
    admin.keys.admit(&headers, Role::Viewer)?;
    let policy = find(&admin, &id)?;
    let mut shown = summary(&policy);
    shown["source"] = json!(policy.source);
    Ok(Json(shown))
}

fn summary(policy: &Policy) -> Value {
    json!({
        "id": policy.id, "description": policy.description, "default": policy.is_default,
        "keys": policy.keys.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "calls": policy.calls.iter().map(|call| &call.name).collect::<Vec<_>>(),
        "starts": policy.starts, "ends": policy.ends, "sha256": hex::encode(Sha256::digest(&policy.source)),
    })
}

fn find(admin: &Admin, id: &str) -> Result<Arc<Policy>, Problem> {
    admin.service.policies().current().get(id).cloned().ok_or_else(|| Problem::NoPolicy(id.to_owned()))
}

/// The policy that this text is, under the name that it is to have.
fn read(source: &Source, id: &str, text: &str) -> Result<Policy, Problem> {
    let policy = compile(text, id, &source.names)?;
    if policy.id != id {
        return Err(Problem::Field(format!("id: the policy calls itself {}, not {id}", policy.id)));
    }
    Ok(policy)
}

fn source(admin: &Admin) -> Result<&Source, Problem> {
    admin.source.as_ref().ok_or(Problem::BuiltIn)
}

pub(super) async fn check(State(admin): Shared, headers: HeaderMap, Param(id): Param<String>, text: String) -> Answer {
    admin.keys.admit(&headers, Role::Viewer)?;
    Ok(Json(summary(&read(source(&admin)?, &id, &text)?)))
}

pub(super) async fn replace(
    State(admin): Shared,
    headers: HeaderMap,
    Param(id): Param<String>,
    text: String,
) -> Answer {
    let actor = admin.keys.admit(&headers, Role::Admin)?;
    let source = source(&admin)?;
    let policy = read(source, &id, &text)?;
    if !source.path.is_dir() && admin.service.policies().current().get(&id).is_none() {
        return Err(Problem::NoPolicy(id));
    }
    // All of them together must be right, or none is changed.
    let others = admin.service.policies().current().iter().filter(|other| other.id != id).cloned().collect::<Vec<_>>();
    let all = others.iter().map(|other| Policy::clone(other)).chain([policy.clone()]);
    let set = PolicySet::new(all)?;
    let before = admin.service.policies().current().get(&id).map(|old| hex::encode(Sha256::digest(&old.source)));
    let detail = json!({ "policy": id, "before": before, "after": hex::encode(Sha256::digest(&text)), "source": text });
    admin.audit.append(&actor, "policy.replace", detail)?;
    source.write(&id, &text).map_err(Problem::Write)?;
    admin.service.policies().replace(set);
    Ok(Json(summary(&policy)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DryRun {
    user_operation: Value,
    entry_point: Address,
    /// Another text than what is in force.
    source: Option<String>,
    /// Name of the API key that would be used.
    key: Option<String>,
}

pub(super) async fn dry_run(
    State(admin): Shared,
    headers: HeaderMap,
    Param(id): Param<String>,
    body: Result<Json<DryRun>, axum::extract::rejection::JsonRejection>,
) -> Answer {
    admin.keys.admit(&headers, Role::Viewer)?;
    let Json(asked) = body.map_err(|error| Problem::Field(error.body_text()))?;
    let policy = match &asked.source {
        Some(text) => Arc::new(read(source(&admin)?, &id, text)?),
        None => find(&admin, &id)?,
    };
    let version = admin.service.deployed(asked.entry_point)?.version;
    let operation = UserOperationRequest::from_json(&asked.user_operation, version)
        .map_err(|error| Problem::Field(error.to_string()))?;
    let scope = Scope { policy, key: asked.key };
    Ok(Json(json!(admin.service.explain(&scope, &operation, asked.entry_point).await?)))
}
