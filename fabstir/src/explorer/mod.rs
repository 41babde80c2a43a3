//! `/explorer/`: what became of an operation, found by its hash, its sender, its transaction, its job or its session.
//!
//! ```text
//!  page ──JSON-RPC, same origin──► fabstir_explorer* ──► lives, mempool (this process)
//!                                                  └──► eth_getUserOperation* (index, node), logs (node)
//! ```
//!
//! Off unless asked for: whoever reaches the port sees what is pending.
//!
//! - `operation`: one operation with all there is to say; `search`: which are meant; `names`: who is who.

mod names;
mod operation;
mod pages;
mod search;

use std::sync::Arc;

use alloy::primitives::{B256, U256};
use bundler::{Bundler, Rejection, node::NodeClient};
use erc4337::FieldError;
use jsonrpsee::{Methods, RpcModule, server::RegisterMethodError, types::Params};
use serde_json::{Value, json};

use crate::deployment::Deployment;
use names::Names;
pub(crate) use pages::router;

/// Operations that are shown in a list at most.
const MOST: usize = 100;
/// How long the engine is waited for.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

/// What the explorer knows.
pub(crate) struct Explorer {
    bundler: Bundler,
    node: NodeClient,
    names: Names,
    deployment: Deployment,
    /// The bundler's own methods.
    methods: Methods,
}

/// The methods that the page asks; `methods` are the bundler's.
///
/// # Errors
/// Never, unless two methods share a name.
pub(crate) fn module(
    bundler: Bundler,
    node: NodeClient,
    deployment: &Deployment,
    methods: Methods,
) -> Result<RpcModule<Explorer>, RegisterMethodError> {
    let (names, deployment) = (Names::of(deployment), deployment.clone());
    let mut module = RpcModule::new(Explorer { bundler, node, names, deployment, methods });
    module
        .register_async_method("fabstir_explorerOverview", |_, explorer, _| async move { explorer.overview().await })?;
    module.register_async_method("fabstir_explorerOperation", |params, explorer, _| async move {
        explorer.operation(hash(&params)?).await
    })?;
    module.register_async_method("fabstir_explorerSearch", |params, explorer, _| async move {
        explorer.search(&text(&params)?).await
    })?;
    Ok(module)
}

fn text(params: &Params<'_>) -> Result<String, Rejection> {
    let malformed = FieldError::Malformed { field: "params", expected: "[text]" };
    let [text]: [String; 1] = params.parse().map_err(|_| malformed)?;
    Ok(text.trim().to_owned())
}

fn hash(params: &Params<'_>) -> Result<B256, Rejection> {
    let malformed = |_| FieldError::Malformed { field: "userOpHash", expected: "a hash of 32 bytes" };
    Ok(text(params)?.parse().map_err(malformed)?)
}

impl Explorer {
    /// The pool and the bundles as they are now, and the newest operations.
    async fn overview(self: Arc<Self>) -> Result<Value, Rejection> {
        let vitals = self.bundler.vitals(PATIENCE).await?;
        let head = self.bundler.head().block;
        let (mut pool, mut bundles) = (Vec::new(), std::collections::BTreeMap::<B256, Vec<B256>>::new());
        for admitted in self.bundler.mempool().await? {
            let record = self.bundler.record(admitted.hash).await?;
            let transaction = record.as_ref().and_then(|record| record.status.transaction());
            if let Some(transaction) = transaction {
                bundles.entry(transaction).or_default().push(admitted.hash);
            }
            let op = &admitted.op;
            let since = self.bundler.lives().get(admitted.hash).and_then(|life| Some(life.steps.first()?.at));
            if pool.len() < MOST {
                pool.push(json!({
                    "userOpHash": admitted.hash, "sender": op.sender, "nonce": op.nonce,
                    "stage": record.map(|record| record.status.name()), "transactionHash": transaction,
                    "maxFeePerGas": U256::from(op.max_fee_per_gas),
                    "paymaster": op.paymaster.as_ref().map(|paymaster| paymaster.address),
                    "since": since.map(|since| since.as_secs_f64() * 1e3),
                }));
            }
        }
        let bundles: Vec<_> = bundles
            .into_iter()
            .map(|(transaction, operations)| json!({ "transactionHash": transaction, "operations": operations }))
            .collect();
        let newest: Vec<_> = self.bundler.lives().newest(MOST).iter().map(search::of_life).collect();
        Ok(json!({
            "chainId": U256::from(self.deployment.chain_id), "blockNumber": U256::from(head.number),
            "blockTimestamp": U256::from(head.timestamp), "poolSize": vitals.pool, "poolLimit": vitals.pool_limit,
            "openNonces": vitals.keys.iter().map(|key| key.open_nonces).sum::<usize>(),
            "pool": pool, "bundles": bundles, "newest": newest,
        }))
    }

    /// A method of the bundler's own.
    async fn ask(&self, method: &'static str, hash: B256) -> Result<Value, Rejection> {
        let answer = self.methods.call::<_, Value>(method, [hash]).await;
        answer.map_err(|error| {
            tracing::warn!(method, %error, "the explorer got no answer");
            Rejection::Internal("the node's own method did not answer")
        })
    }
}
