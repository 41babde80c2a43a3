//! `fabstir monitor`: whether the money is there, who may do what, and what is about to change.
//!
//! What [`crate::doctor`] is to the node, this is to the contracts: run it every few minutes and let somebody know when it
//! ends with anything but 0. Each finding that is not `ok` is a reason. Nothing is changed, nothing is sent.

pub mod books;
mod changes;
mod roles;
pub(crate) mod solvency;

pub(crate) use changes::implementation;

use std::path::PathBuf;

use alloy::{
    primitives::{Address, keccak256},
    rpc::types::{Filter, Header, Log},
    sol_types::{SolCall, SolEvent},
};
use anyhow::{Context, Result, bail};
use bundler::node::NodeClient;

use crate::{
    deployment::Deployment,
    doctor::{self, Finding, Verdict},
};

/// Blocks asked for at once: what providers give, and no time.
const BLOCKS: u64 = 10_000;

/// Settings of `fabstir monitor`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// HTTP URL of an Ethereum node.
    #[arg(long, env = "FABSTIR_NODE_URL", hide_env_values = true)]
    node_url: String,
    /// File of addresses that `fabstir deploy` wrote.
    #[arg(long, env = "FABSTIR_DEPLOYMENT")]
    deployment: PathBuf,
    /// First block whose events count: no later than the deployment's.
    #[arg(long, env = "FABSTIR_MONITOR_FROM", default_value_t = 0)]
    from_block: u64,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// Looks at everything, prints it.
///
/// # Errors
/// If anything is not as it should be, or cannot be looked at.
pub async fn run(options: Options) -> Result<()> {
    let deployment = Deployment::read(&options.deployment)?;
    let node = NodeClient::new(&options.node_url)?;
    let findings = examine(&node, &deployment, options.from_block).await?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        findings.iter().for_each(|finding| println!("{finding}"));
    }
    let wrong: Vec<_> = findings
        .iter()
        .filter(|finding| finding.verdict != Verdict::Ok)
        .map(|finding| format!("{}: {}", finding.check, finding.seen))
        .collect();
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("; ")) }
}

/// Looks at everything.
///
/// # Errors
/// If something cannot be looked at: the node does not answer, or is another chain's.
pub async fn examine(node: &NodeClient, deployment: &Deployment, from_block: u64) -> Result<Vec<Finding>> {
    let id = node.chain_id().await?;
    if id != deployment.chain_id {
        bail!("the node is of chain {id}, the deployment of {}", deployment.chain_id);
    }
    let view = View { node, deployment, from_block, head: node.latest().await? };
    let mut findings = Vec::new();
    solvency::examine(&view, &mut findings).await.context("solvency")?;
    for (kind, paymasters) in [("paymaster", &deployment.paymasters), ("token paymaster", &deployment.token_paymasters)]
    {
        findings.extend(doctor::deposits(node, &view.head, deployment, kind, paymasters).await.context("deposits")?);
    }
    roles::examine(&view, &mut findings).await.context("roles")?;
    changes::examine(&view, &mut findings).await.context("changes")?;
    Ok(findings)
}

/// The chain as all of this looks at it.
pub(crate) struct View<'a> {
    pub(crate) node: &'a NodeClient,
    pub(crate) deployment: &'a Deployment,
    pub(crate) from_block: u64,
    pub(crate) head: Header,
}

impl View<'_> {
    pub(crate) async fn read<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return> {
        let answer = self.node.eth_call(to, call.abi_encode().into()).await?;
        C::abi_decode_returns(&answer).with_context(|| format!("{} of {to}", C::SIGNATURE))
    }

    /// Events of a contract, oldest first.
    pub(crate) async fn events<E: SolEvent>(&self, of: Address) -> Result<Vec<E>> {
        let logs = self.logs(of, E::SIGNATURE).await?;
        logs.iter().map(|log| Ok(E::decode_log(&log.inner)?.data)).collect()
    }

    async fn logs(&self, of: Address, signature: &str) -> Result<Vec<Log>> {
        let mut logs = Vec::new();
        let mut from = self.from_block;
        while from <= self.head.number {
            let to = (from + BLOCKS - 1).min(self.head.number);
            let filter = Filter::new().from_block(from).to_block(to).address(of);
            logs.extend(self.node.logs(&filter.event_signature(keccak256(signature))).await?);
            from = to + 1;
        }
        Ok(logs)
    }
}
