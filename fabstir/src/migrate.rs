//! `fabstir migrate`: what this build would change behind the proxies, whether storage allows it, and the proposal that does
//! it, there and back.
//!
//! The marketplace belongs to its timelock, so nothing is upgraded here: new implementations are deployed by anybody
//! (`--broadcast`), and the calldata that is printed is for the governor. `--rehearse` does the whole of it on a chain that
//! plays along, anvil with a saved state, and compares what everybody owns before, after and back again.
//!
//! An implementation's version is its place among those of its name in the deployment file.

mod layout;
mod rehearsal;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::SolCall,
};
use anyhow::{Context, Result, bail, ensure};
use bundler::node::NodeClient;
use erc4337::abi::{
    fab_governor, job_marketplace, node_registry, proof_system, reputation_system, session_marketplace,
};
use serde_json::json;

use crate::{
    deploy::{CREATE2_DEPLOYER, Mode, Sender},
    deployment::{Contract, Deployment},
    keys,
    monitor::{View, implementation},
};

pub use layout::Layout;

/// Settings of `fabstir migrate`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// HTTP URL of an Ethereum node.
    #[arg(long, env = "FABSTIR_NODE_URL", hide_env_values = true)]
    node_url: String,
    /// File of addresses that `fabstir deploy` wrote; what is deployed here is added to it.
    #[arg(long, env = "FABSTIR_DEPLOYMENT")]
    deployment: PathBuf,
    /// Folder of artifacts (NAME.json) and layouts (NAME.layout.json) that take the place of this program's own.
    #[arg(long)]
    artifacts: Option<PathBuf>,
    /// First block whose events tell of accounts: no later than the deployment's.
    #[arg(long, default_value_t = 0)]
    from_block: u64,
    /// To the version before the present one instead.
    #[arg(long)]
    back: bool,
    /// Do it, and undo it, on an anvil with a saved state; every balance must stay.
    #[arg(long, conflicts_with_all = ["broadcast", "back"])]
    rehearse: bool,
    /// Deploy the new implementations. Without it nothing is sent.
    #[arg(long, conflicts_with = "back")]
    broadcast: bool,
    /// File with the key that pays for that; else FABSTIR_DEPLOYER_KEY.
    #[arg(long)]
    key_file: Option<PathBuf>,
}

/// What is behind a proxy, or is to be.
#[derive(Clone, Debug)]
struct Build {
    name: &'static str,
    code: Bytes,
    layouts: BTreeMap<String, Layout>,
}

/// One proxy's.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) proxy: Address,
    pub(crate) from: Address,
    pub(crate) to: Address,
    /// Version numbers of the two.
    versions: (usize, usize),
    /// Of `to`, unless it is deployed.
    pub(crate) code: Bytes,
}

/// Those of the marketplace as this program has them.
fn builds(artifacts: Option<&Path>) -> Result<Vec<Build>> {
    let own: [(&'static str, &Bytes, &str); 5] = [
        ("NodeRegistry", &node_registry::BYTECODE, include_str!("../../contracts/layouts/NodeRegistry.json")),
        ("JobMarketplace", &job_marketplace::BYTECODE, include_str!("../../contracts/layouts/JobMarketplace.json")),
        (
            "SessionMarketplace",
            &session_marketplace::BYTECODE,
            include_str!("../../contracts/layouts/SessionMarketplace.json"),
        ),
        (
            "ReputationSystem",
            &reputation_system::BYTECODE,
            include_str!("../../contracts/layouts/ReputationSystem.json"),
        ),
        ("ProofSystem", &proof_system::BYTECODE, include_str!("../../contracts/layouts/ProofSystem.json")),
    ];
    let governed: Layout = serde_json::from_str(include_str!("../../contracts/layouts/Governed.json"))?;
    let mut builds = Vec::new();
    for (name, code, layout) in own {
        let (mut code, mut layout) = (code.clone(), layout.to_owned());
        if let Some(folder) = artifacts {
            let file = folder.join(format!("{name}.json"));
            if file.exists() {
                let artifact: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
                code = serde_json::from_value(artifact["bytecode"]["object"].clone())
                    .with_context(|| format!("bytecode of {}", file.display()))?;
            }
            let file = folder.join(format!("{name}.layout.json"));
            if file.exists() {
                layout = std::fs::read_to_string(&file)?;
            }
        }
        let layout = serde_json::from_str(&layout).with_context(|| format!("layout of {name}"))?;
        let layouts = BTreeMap::from([(name.to_owned(), layout), ("Governed".to_owned(), governed.clone())]);
        builds.push(Build { name, code, layouts });
    }
    Ok(builds)
}

/// Layouts of this program's own implementation of this name; none of others.
pub(crate) fn layouts_of(artifact: &str) -> Result<BTreeMap<String, Layout>> {
    let builds = builds(None)?;
    Ok(builds.into_iter().find(|build| build.name == artifact).map(|build| build.layouts).unwrap_or_default())
}

/// `fabstir migrate`.
///
/// # Errors
/// If storage does not allow it, a rehearsal loses something, or anything cannot be read or sent.
pub async fn run(options: Options) -> Result<()> {
    let mut deployment = Deployment::read(&options.deployment)?;
    let node = NodeClient::new(&options.node_url)?;
    let builds = builds(options.artifacts.as_deref())?;
    let view = View {
        node: &node,
        deployment: &deployment,
        from_block: options.from_block,
        head: node.latest().await?.header,
    };
    let changes = if options.back { back(&view).await? } else { forward(&view, &builds).await? };
    if changes.is_empty() {
        println!("nothing to migrate");
        return Ok(());
    }
    for change in &changes {
        let Change { name, from, to, versions, .. } = change;
        println!("{name}: version {} at {from} becomes version {} at {to}", versions.0, versions.1);
    }
    if options.rehearse {
        rehearsal::run(&options.node_url, &view, &changes).await?;
        return Ok(());
    }
    let proposal = propose(&changes);
    println!("to the governor {}: {}", deployment.governance.governor, Bytes::from(proposal.abi_encode()));
    if options.broadcast {
        let key = keys::read(options.key_file.as_deref(), "FABSTIR_DEPLOYER_KEY")?.into_signer();
        let mut sender = Sender::new(node.clone(), key, Mode::Send).await?;
        for change in &changes {
            let name = implementation_name(&change.name);
            sender.create2(&name, &change.name, B256::ZERO, &change.code, &[]).await?;
        }
        for mut contract in sender.contracts {
            if let Some(build) = builds.iter().find(|build| build.name == contract.artifact) {
                contract.layouts.clone_from(&build.layouts);
            }
            if !deployment.contracts.contains(&contract) {
                deployment.contracts.push(contract);
            }
        }
        deployment.write(&options.deployment)?;
        println!("deployed; noted in {}", options.deployment.display());
    }
    Ok(())
}

fn implementation_name(of: &str) -> String {
    format!("{of} implementation")
}

/// Versions of an implementation that the file knows, the oldest first.
fn versions<'a>(deployment: &'a Deployment, of: &str) -> Vec<&'a Contract> {
    let name = implementation_name(of);
    deployment.contracts.iter().filter(|contract| contract.name == name).collect()
}

fn proxy(deployment: &Deployment, name: &str) -> Result<Address> {
    let known = deployment.contracts.iter().find(|it| it.name == name && it.artifact == "ERC1967Proxy");
    Ok(known.with_context(|| format!("the deployment file has no proxy {name}"))?.address)
}

/// From what is there to this build, where the two differ and storage allows it.
async fn forward(view: &View<'_>, builds: &[Build]) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for build in builds {
        let proxy = proxy(view.deployment, build.name)?;
        let from = implementation(view, proxy).await?;
        let to = CREATE2_DEPLOYER.create2(B256::ZERO, keccak256(&build.code));
        if from == to {
            continue;
        }
        let known = versions(view.deployment, build.name);
        let at = known.iter().position(|contract| contract.address == from);
        let at = at.with_context(|| format!("{}: {from} is not in the deployment file", build.name))?;
        let wrong = layout::refusals(&known[at].layouts, &build.layouts);
        ensure!(wrong.is_empty(), "{} would misread its storage: {}", build.name, wrong.join("; "));
        let next = known.iter().position(|contract| contract.address == to).unwrap_or(known.len());
        let (name, versions, code) = (build.name.to_owned(), (at + 1, next + 1), build.code.clone());
        changes.push(Change { name, proxy, from, to, versions, code });
    }
    Ok(changes)
}

/// To the version before, of whatever is beyond its first.
async fn back(view: &View<'_>) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for build in builds(None)? {
        let proxy = proxy(view.deployment, build.name)?;
        let from = implementation(view, proxy).await?;
        let known = versions(view.deployment, build.name);
        let Some(at) = known.iter().position(|contract| contract.address == from) else {
            bail!("{}: {from} is not in the deployment file", build.name)
        };
        let Some(before) = at.checked_sub(1).and_then(|before| known.get(before)) else { continue };
        // The older code must find its fields where the newer left them.
        let wrong = layout::refusals(&before.layouts, &known[at].layouts);
        ensure!(wrong.is_empty(), "{} would misread its storage: {}", build.name, wrong.join("; "));
        let (name, versions, to) = (build.name.to_owned(), (at + 1, at), before.address);
        changes.push(Change { name, proxy, from, to, versions, code: Bytes::new() });
    }
    Ok(changes)
}

pub(crate) fn upgrade(to: Address) -> Bytes {
    node_registry::upgradeToAndCallCall { newImplementation: to, data: Bytes::new() }.abi_encode().into()
}

fn propose(changes: &[Change]) -> fab_governor::proposeCall {
    let told = changes.iter().map(|change| {
        let Change { name, versions, to, .. } = change;
        format!("{name} {} to {} ({to})", versions.0, versions.1)
    });
    fab_governor::proposeCall {
        targets: changes.iter().map(|change| change.proxy).collect(),
        values: vec![U256::ZERO; changes.len()],
        calldatas: changes.iter().map(|change| upgrade(change.to)).collect(),
        description: format!("Migration: {}", told.collect::<Vec<_>>().join(", ")),
    }
}

/// A call of `eth_sendTransaction`, for chains that sign for anybody.
pub(crate) fn transaction(from: Address, to: Address, data: &Bytes) -> serde_json::Value {
    json!({ "from": from, "to": to, "data": data, "gas": "0x7a1200" })
}
