//! `admin_*` of a process that only builds: of all partitions that it holds.

use std::sync::Arc;

use alloy::primitives::{Address, B256, U64};
use bundler::{Builder, Bundler, Entity, Rejection};
use futures::{FutureExt, future::BoxFuture};
use paymaster::admin::{Controls, Fault, Needs};
use serde_json::{Value, json};

use super::controls::{self, CLEARED, fault, needs, optional, param};

/// The builder's. What is taken in is the rpc nodes' to pause.
pub(super) struct BuilderControls(pub(super) Arc<Builder>);

impl std::fmt::Debug for BuilderControls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuilderControls").finish_non_exhaustive()
    }
}

impl Controls for BuilderControls {
    fn needs(&self, method: &str) -> Option<Needs> {
        needs(method).filter(|_| !["admin_pauseIntake", "admin_resumeIntake"].contains(&method))
    }

    fn call<'a>(&'a self, method: &'a str, params: &'a [Value]) -> BoxFuture<'a, Result<Value, Fault>> {
        self.answer(method, params).boxed()
    }
}

impl BuilderControls {
    async fn answer(&self, method: &str, params: &[Value]) -> Result<Value, Fault> {
        let reason =
            |at: usize| Ok::<_, Fault>(optional::<String>(params, at, "reason")?.unwrap_or_else(|| CLEARED.into()));
        match method {
            "admin_pauseBundling" => self.0.pause_bundling(true).await.map_err(fault)?,
            // Nothing is taken in here: to drain is to go on.
            "admin_resumeBundling" | "admin_drain" => self.0.pause_bundling(false).await.map_err(fault)?,
            "admin_dropOperation" => {
                let (hash, reason): (B256, _) = (param(params, 0, "userOpHash")?, reason(1)?);
                let drop = |it: Bundler| {
                    let reason = reason.clone();
                    async move { it.drop_operation(hash, reason).await }
                };
                let dropped = self.of_one(drop).await?;
                return Ok(json!({ "dropped": dropped }));
            }
            "admin_clearSender" | "admin_clearEntity" => {
                let part = (method == "admin_clearSender").then_some(Entity::Account);
                let (address, reason): (Address, _) = (param(params, 0, "address")?, reason(1)?);
                let mut dropped = Vec::new();
                for bundler in self.0.held().into_values() {
                    dropped.extend(bundler.clear_entity(address, part, reason.clone()).await.map_err(fault)?);
                }
                return Ok(json!({ "dropped": dropped }));
            }
            "admin_cancelNonce" => {
                let (key, nonce): (Address, U64) = (param(params, 0, "key")?, param(params, 1, "nonce")?);
                let bound = self.of_one(|it: Bundler| async move { it.cancel_nonce(key, nonce.to()).await }).await?;
                return Ok(json!({ "operations": bound }));
            }
            "admin_setReputation" => {
                let entries = controls::standings(params)?;
                for bundler in self.0.held().into_values() {
                    bundler.set_reputation(entries.clone()).await.map_err(fault)?;
                }
                return self.reputations(None).await;
            }
            "admin_reputation" => return self.reputations(optional(params, 0, "address")?).await,
            // Only what needs() knows comes here.
            _ => {}
        }
        self.status().await
    }

    /// What the first partition answers that does not refuse; else why the last did.
    async fn of_one<F>(&self, ask: impl Fn(Bundler) -> F) -> Result<Vec<B256>, Fault>
    where
        F: Future<Output = Result<Vec<B256>, Rejection>>,
    {
        let mut refusal = Rejection::Order("no partition is held here".into());
        for bundler in self.0.held().into_values() {
            match ask(bundler).await {
                Ok(operations) => return Ok(operations),
                Err(why) => refusal = why,
            }
        }
        Err(fault(refusal))
    }

    async fn status(&self) -> Result<Value, Fault> {
        let mut partitions = Vec::new();
        for (partition, bundler) in self.0.held() {
            let mut status = controls::status(&bundler).await?;
            status["partition"] = json!(partition);
            partitions.push(status);
        }
        Ok(json!({ "partitions": partitions }))
    }

    async fn reputations(&self, of: Option<Address>) -> Result<Value, Fault> {
        let mut all = Vec::new();
        for (partition, bundler) in self.0.held() {
            let Value::Array(rows) = controls::reputations(&bundler, of).await? else { continue };
            all.extend(rows.into_iter().map(|mut row| {
                row["partition"] = json!(partition);
                row
            }));
        }
        Ok(Value::Array(all))
    }
}
