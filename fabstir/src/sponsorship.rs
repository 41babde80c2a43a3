//! What the paymaster is given of the rest: which contracts there are, and the chain as the bundler sees it.

use std::{collections::BTreeMap, path::PathBuf};

use alloy::primitives::{Address, B256, Bytes};
use anyhow::Result;
use bundler::{
    Bundler, Rejection,
    node::{BatchReader, NodeClient, NodeError},
};
use erc4337::UserOperationRequest;
use futures::future::try_join_all;
use paymaster::{
    Chain, Deployed, Policies, PolicySet,
    chain::{Answers, Later, Read, Unanswered},
    policies::{Source, watch},
    policy::{MARKETPLACE, Names, Simulated, compile},
};
use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
};

use crate::deployment::Deployment;

/// Times the tip of who is in a hurry, or the base fee, that is still taken for a tip and not for a way to be paid.
const MOST_TIP: u128 = 20;
/// Wei for each gas that is always taken for one: wallets that ask nobody offer as much.
const LEAST_MOST_TIP: u128 = 2_000_000_000;

/// The paymasters of this deployment, and how much they may promise.
///
/// # Errors
/// If the deployment is of an EntryPoint that nobody knows.
pub(crate) fn config(deployment: &Deployment, limits: paymaster::Limits) -> Result<paymaster::Config> {
    let versions = deployment.entry_point_versions()?;
    let paymasters = versions
        .into_iter()
        .filter_map(|(entry_point, version)| {
            let paymaster = *deployment.paymasters.get(&version.to_string())?;
            Some((entry_point, Deployed { version, paymaster }))
        })
        .collect::<BTreeMap<_, _>>();
    Ok(paymaster::Config { chain_id: deployment.chain_id, paymasters, limits })
}

/// Policies, and where they come from.
pub(crate) struct InForce {
    pub(crate) policies: Policies,
    /// None if they are built in.
    pub(crate) source: Option<Source>,
    /// Reads them anew.
    pub(crate) watcher: Option<JoinHandle<()>>,
}

/// The policies at `path`, read anew when they change or the process gets a SIGHUP; without a path, the built-in one.
///
/// # Errors
/// The first file that cannot be used, and where in it.
pub(crate) fn policies(deployment: &Deployment, path: Option<PathBuf>) -> Result<InForce> {
    let names = names(deployment);
    let Some(path) = path else {
        let policies = Policies::new(PolicySet::new([compile(MARKETPLACE, "marketplace", &names)?])?);
        return Ok(InForce { policies, source: None, watcher: None });
    };
    let source = Source { path, names };
    let policies = Policies::new(source.load()?);
    let (tell, told) = mpsc::channel(1);
    let mut hang_up = signal(SignalKind::hangup())?;
    let watcher = watch(source.clone(), policies.clone(), told);
    tokio::spawn(async move { while hang_up.recv().await.is_some() && tell.send(()).await.is_ok() {} });
    Ok(InForce { policies, source: Some(source), watcher: Some(watcher) })
}

/// What policies may call by name.
fn names(deployment: &Deployment) -> Names {
    [
        ("smart_account", deployment.smart_account),
        ("smart_account_factory", deployment.smart_account_factory),
        ("node_registry", deployment.node_registry),
        ("job_marketplace", deployment.job_marketplace),
        ("session_marketplace", deployment.session_marketplace),
        ("reputation_system", deployment.reputation_system),
        ("proof_system", deployment.proof_system),
        ("payment_escrow", deployment.payment_escrow),
        ("token", deployment.token),
    ]
    .map(|(name, address)| (name.to_owned(), address))
    .into()
}

/// The chain: state from the node, simulation from the bundler.
#[derive(Debug)]
pub struct View {
    node: NodeClient,
    bundler: Bundler,
}

impl View {
    /// Of these.
    pub fn new(node: NodeClient, bundler: Bundler) -> Self {
        Self { node, bundler }
    }

    async fn answers(&self, reads: Vec<Read>, block: B256) -> Result<Vec<Option<Bytes>>, NodeError> {
        let answer = async |read: Read| {
            let may_revert = matches!(read, Read::Call { .. });
            let (method, params): (_, Vec<Value>) = match read {
                Read::Code(address) => ("eth_getCode", vec![json!(address)]),
                Read::Storage(address, slot) => ("eth_getStorageAt", vec![json!(address), json!(slot)]),
                Read::Call { to, data } => ("eth_call", vec![json!({ "to": to, "data": data })]),
            };
            let mut one = BatchReader::new(&self.node, block);
            one.read(method, &params);
            match one.send().await {
                Ok(answers) => Ok(answers.into_iter().next()),
                // Nodes refuse a call that reverts with code 3, and everything else with others.
                Err(NodeError::Refused { code: 3, .. }) if may_revert => Ok(None),
                Err(error) => Err(error),
            }
        };
        try_join_all(reads.into_iter().map(answer)).await
    }
}

impl Chain for View {
    fn time(&self) -> u64 {
        self.bundler.next_block().latest
    }

    fn most_tip(&self) -> u128 {
        let fees = self.bundler.head().fees;
        fees.fast_priority_fee.max(fees.base_fee).saturating_mul(MOST_TIP).max(LEAST_MOST_TIP)
    }

    fn clock(&self) -> u64 {
        bundler::world::unix().as_secs()
    }

    fn read(&self, reads: Vec<Read>) -> Later<'_, Answers> {
        Box::pin(async move {
            let block = self.bundler.head().block.hash;
            let values = self.answers(reads, block).await.map_err(|error| {
                tracing::warn!("the paymaster cannot read the chain: {error}");
                // Not told to strangers: it may name hosts.
                Unanswered("the node did not answer".into())
            })?;
            Ok(Answers { block, values })
        })
    }

    fn after(&self, block: B256) -> Later<'_, bool> {
        Box::pin(async move {
            let head = self.bundler.head();
            if head.block.hash != block {
                return Ok(true);
            }
            let newer = self.bundler.newer_than(&head).await;
            newer.map(|head| head.is_some()).map_err(|rejection| Unanswered(rejection.to_string()))
        })
    }

    fn simulate(&self, operation: UserOperationRequest, entry_point: Address) -> Later<'_, Simulated> {
        Box::pin(async move {
            match self.bundler.estimate(operation, entry_point, Default::default()).await {
                Ok(estimate) => Ok(Simulated::Needs {
                    pre_verification_gas: estimate.pre_verification_gas,
                    verification_gas_limit: estimate.verification_gas_limit,
                    call_gas_limit: estimate.call_gas_limit,
                }),
                Err(rejection @ (Rejection::Busy(_) | Rejection::Node(_) | Rejection::ShuttingDown)) => {
                    Err(Unanswered(rejection.to_string()))
                }
                Err(rejection) => Ok(Simulated::Fails(rejection.to_string())),
            }
        })
    }
}
