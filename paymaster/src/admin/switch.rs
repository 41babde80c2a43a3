//! How it stands, and the switch.

use axum::{
    Json,
    extract::{Query, State},
    http::HeaderMap,
};
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Role, Shared};

/// Rows of one answer at most.
const MOST: usize = 500;

#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

pub(super) async fn status(State(admin): Shared, headers: HeaderMap) -> Answer {
    let actor = admin.keys.admit(&headers, Role::Viewer)?;
    let service = &admin.service;
    let policies: Vec<_> = service.policies().current().iter().map(|policy| policy.id.clone()).collect();
    Ok(Json(json!({
        "chainId": service.config().chain_id, "paused": service.is_paused(), "signers": service.signers(),
        "policies": policies, "counts": service.journal().counts(), "role": actor.role, "key": actor.name,
    })))
}

pub(super) async fn pause(admin: Shared, headers: HeaderMap) -> Answer {
    switch(admin, headers, true)
}

pub(super) async fn resume(admin: Shared, headers: HeaderMap) -> Answer {
    switch(admin, headers, false)
}

fn switch(State(admin): Shared, headers: HeaderMap, paused: bool) -> Answer {
    let actor = admin.keys.admit(&headers, Role::Operator)?;
    if paused {
        // Nobody is sponsored meanwhile, whatever becomes of the log.
        admin.service.set_paused(true);
    }
    admin.audit.append(&actor, if paused { "pause" } else { "resume" }, json!({}))?;
    admin.service.set_paused(paused);
    Ok(Json(json!({ "paused": paused })))
}

pub(super) async fn denials(State(admin): Shared, headers: HeaderMap, Query(page): Query<Page>) -> Answer {
    admin.keys.admit(&headers, Role::Viewer)?;
    let most = page.limit.unwrap_or(100).min(MOST);
    Ok(Json(json!(admin.service.journal().denials(page.after, most))))
}

pub(super) async fn audit(State(admin): Shared, headers: HeaderMap, Query(page): Query<Page>) -> Answer {
    admin.keys.admit(&headers, Role::Admin)?;
    Ok(Json(json!(admin.audit.recent(page.limit.unwrap_or(100).min(MOST)))))
}
