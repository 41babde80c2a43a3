//! How it stands, and the switch.

use axum::{
    Json,
    extract::{Query, State},
    http::HeaderMap,
};
use serde_json::json;

use super::{Answer, Asked, Role, Shared, events::Page};

pub(super) async fn status(State(admin): Shared, headers: HeaderMap) -> Answer {
    let actor = admin.keys.admit(&headers, Role::Viewer)?;
    let service = &admin.service;
    let policies: Vec<_> = service.policies().current().iter().map(|policy| policy.id.clone()).collect();
    let paymasters = service.config().paymasters.iter().map(|(entry_point, deployed)| {
        json!({
            "entryPoint": entry_point, "version": deployed.version.to_string(), "paymaster": deployed.paymaster,
        })
    });
    Ok(Json(json!({
        "chainId": service.config().chain_id, "paused": service.is_paused(), "signers": service.signers(),
        "policies": policies, "editable": admin.source.is_some(), "paymasters": paymasters.collect::<Vec<_>>(),
        "counts": service.journal().counts(), "role": actor.role, "key": actor.name,
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

pub(super) async fn audit(State(admin): Shared, headers: HeaderMap, page: Asked<Page>) -> Answer {
    admin.keys.admit(&headers, Role::Admin)?;
    let Query(page) = page?;
    Ok(Json(json!(admin.audit.recent(page.most()))))
}
