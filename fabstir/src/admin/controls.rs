//! `admin_*`: what an operator has the bundler do by hand.

use std::time::Duration;

use alloy::primitives::{Address, B256, U64, U256};
use bundler::{Bundler, Entity, Rejection, mempool::Counts};
use erc4337::error_code;
use futures::{FutureExt, future::BoxFuture};
use paymaster::admin::{Audit, Controls, Fault, Needs, Role};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Within which time the engine answers, or does not do well.
const PATIENCE: Duration = Duration::from_secs(3);
/// Why an operation goes that is cleared, if the operator does not say.
pub(super) const CLEARED: &str = "dropped by the operator";

/// What each method needs.
const METHODS: [(&str, Role, bool); 12] = [
    ("admin_status", Role::Viewer, false),
    ("admin_reputation", Role::Viewer, false),
    ("admin_pauseIntake", Role::Operator, true),
    ("admin_resumeIntake", Role::Operator, true),
    ("admin_pauseBundling", Role::Operator, true),
    ("admin_resumeBundling", Role::Operator, true),
    ("admin_drain", Role::Operator, true),
    ("admin_dropOperation", Role::Operator, true),
    ("admin_clearSender", Role::Operator, true),
    ("admin_clearEntity", Role::Operator, true),
    ("admin_cancelNonce", Role::Admin, true),
    ("admin_setReputation", Role::Admin, true),
];

/// The bundler's.
#[derive(Debug)]
pub(crate) struct BundlerControls(pub(crate) Bundler);

/// What was paused when the log was last written, which it stays after a restart: intake, and bundling.
pub(super) fn paused(audit: &Audit) -> (bool, bool) {
    let intake = audit.newest_of(&["admin_pauseIntake", "admin_drain", "admin_resumeIntake"]);
    let bundling = audit.newest_of(&["admin_pauseBundling", "admin_drain", "admin_resumeBundling"]);
    (intake.is_some_and(|last| last != "admin_resumeIntake"), bundling == Some("admin_pauseBundling"))
}

/// What a method needs; none if there is no such method.
pub(super) fn needs(method: &str) -> Option<Needs> {
    let (_, role, changes) = METHODS.iter().find(|(name, ..)| *name == method)?;
    Some(Needs { role: *role, changes: *changes })
}

/// The counters that are to be set.
pub(super) fn standings(params: &[Value]) -> Result<Vec<(Address, Counts)>, Fault> {
    let standings: Vec<Standing> = param(params, 0, "reputations")?;
    let counts = |it: Standing| (it.address, Counts { ops_seen: it.ops_seen.to(), ops_included: it.ops_included.to() });
    Ok(standings.into_iter().map(counts).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Standing {
    address: Address,
    ops_seen: U64,
    ops_included: U64,
}

impl Controls for BundlerControls {
    fn needs(&self, method: &str) -> Option<Needs> {
        needs(method)
    }

    fn call<'a>(&'a self, method: &'a str, params: &'a [Value]) -> BoxFuture<'a, Result<Value, Fault>> {
        self.answer(method, params).boxed()
    }
}

impl BundlerControls {
    async fn answer(&self, method: &str, params: &[Value]) -> Result<Value, Fault> {
        let Self(bundler) = self;
        let reason =
            |at: usize| Ok::<_, Fault>(optional::<String>(params, at, "reason")?.unwrap_or_else(|| CLEARED.into()));
        match method {
            "admin_pauseIntake" => bundler.pause_intake(true),
            "admin_resumeIntake" => bundler.pause_intake(false),
            "admin_pauseBundling" => bundler.pause_bundling(true).await.map_err(fault)?,
            "admin_resumeBundling" => bundler.pause_bundling(false).await.map_err(fault)?,
            "admin_drain" => {
                bundler.pause_intake(true);
                bundler.pause_bundling(false).await.map_err(fault)?;
            }
            "admin_dropOperation" => {
                let hash: B256 = param(params, 0, "userOpHash")?;
                let dropped = bundler.drop_operation(hash, reason(1)?).await.map_err(fault)?;
                return Ok(json!({ "dropped": dropped }));
            }
            "admin_clearSender" | "admin_clearEntity" => {
                let part = (method == "admin_clearSender").then_some(Entity::Account);
                let address: Address = param(params, 0, "address")?;
                let dropped = bundler.clear_entity(address, part, reason(1)?).await.map_err(fault)?;
                return Ok(json!({ "dropped": dropped }));
            }
            "admin_cancelNonce" => {
                let (key, nonce): (Address, U64) = (param(params, 0, "key")?, param(params, 1, "nonce")?);
                let bound = bundler.cancel_nonce(key, nonce.to()).await.map_err(fault)?;
                return Ok(json!({ "operations": bound }));
            }
            "admin_setReputation" => {
                bundler.set_reputation(standings(params)?).await.map_err(fault)?;
                return reputations(bundler, None).await;
            }
            "admin_reputation" => return reputations(bundler, optional(params, 0, "address")?).await,
            // Only what needs() knows comes here.
            _ => {}
        }
        status(bundler).await
    }
}

/// How it does.
pub(super) async fn status(bundler: &Bundler) -> Result<Value, Fault> {
    let vitals = bundler.vitals(PATIENCE).await.map_err(fault)?;
    let keys = vitals.keys.iter().map(|key| {
        json!({
            "address": key.address, "balance": key.balance, "openNonces": key.open_nonces, "usable": key.usable,
        })
    });
    Ok(json!({
        "intakePaused": bundler.is_intake_paused(),
        "bundlingPaused": vitals.bundling_paused,
        "stopping": vitals.stopping,
        "pending": vitals.pool,
        "keys": keys.collect::<Vec<_>>(),
    }))
}

/// Whom it counts for.
pub(super) async fn reputations(bundler: &Bundler, of: Option<Address>) -> Result<Value, Fault> {
    let all = bundler.reputations().await.map_err(fault)?;
    let asked = all.into_iter().filter(|(address, ..)| of.is_none_or(|of| of == *address));
    let row = |(address, counts, status): (Address, Counts, bundler::mempool::ReputationStatus)| {
        json!({
            "address": address,
            "opsSeen": U256::from(counts.ops_seen),
            "opsIncluded": U256::from(counts.ops_included),
            "status": status.name(),
        })
    };
    Ok(asked.map(row).collect())
}

pub(super) fn fault(rejection: Rejection) -> Fault {
    Fault { code: rejection.code(), message: rejection.to_string(), data: rejection.data() }
}

pub(super) fn optional<T: DeserializeOwned>(params: &[Value], at: usize, name: &str) -> Result<Option<T>, Fault> {
    let given = params.get(at).filter(|given| !given.is_null());
    given.map(|given| serde_json::from_value(given.clone())).transpose().map_err(|error| Fault {
        code: error_code::INVALID_FIELDS,
        message: format!("{name}: {error}"),
        data: Some(json!({ "field": name })),
    })
}

pub(super) fn param<T: DeserializeOwned>(params: &[Value], at: usize, name: &str) -> Result<T, Fault> {
    optional(params, at, name)?.ok_or_else(|| Fault {
        code: error_code::INVALID_FIELDS,
        message: format!("{name}: missing, as parameter {at}"),
        data: Some(json!({ "field": name })),
    })
}
