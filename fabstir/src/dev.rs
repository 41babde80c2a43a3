//! `fabstir dev`: a chain of one's own with everything on it.

pub mod anvil;

use std::{
    fs::{File, TryLockError},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy::primitives::{U256, utils::parse_ether};
use anyhow::{Context, Result, bail};
use bundler::{mempool::MempoolConfig, node::NodeClient};
use clap::Parser;
use erc4337::abi::test_usdc;
use serde_json::json;
use session_keys::SecretKey;
use tokio::{
    net::TcpListener,
    process::Command,
    signal::unix::{SignalKind, signal},
};

use crate::{
    admin::AdminOptions,
    bundling::{BundlingOptions, Signers},
    chain,
    client::Client,
    deploy,
    deployment::Deployment,
    host,
    node::{self, Node, Setup, stop_signal},
    observe::ObserveOptions,
    rules::RuleOptions,
    serve, sessions,
    token_gas::TokenOptions,
};

/// Test USDC for 1 ETH.
const DEMO_TOKEN_PRICE: &str = "3000";
/// The first account of every development chain: publicly known, rich, and of no value anywhere else.
const RICH_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// Settings of `fabstir dev`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where to serve JSON-RPC; another free port is taken if this one is not.
    #[arg(long, default_value = "127.0.0.1:4337")]
    listen: SocketAddr,
    /// Where to serve the paymaster's admin API and web console; another free port is taken if this one is not.
    #[arg(long, default_value = "127.0.0.1:4380")]
    admin_listen: SocketAddr,
    /// Port of the chain; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    anvil_port: u16,
    /// The anvil program; by default the one that `make` installed, or else the one on the PATH.
    #[arg(long, env = "FABSTIR_ANVIL")]
    anvil: Option<PathBuf>,
    /// Folder for addresses and keys of this run.
    #[arg(long, default_value = ".dev")]
    folder: PathBuf,
    /// Command to run once everything is up; FABSTIR_DEV names the file with endpoints and keys.
    #[arg(long)]
    run: Option<String>,
    /// Stop when that command is through, with its success as ours.
    #[arg(long, requires = "run")]
    once: bool,
}

/// `fabstir dev`: until it is told to stop, or its command is through.
///
/// # Errors
/// Whatever stops it, with its context.
pub async fn run(options: Options) -> Result<()> {
    let _held = hold(&options.folder)?;
    let (_anvil, node_url) = anvil::start(options.anvil.as_deref(), options.anvil_port).await?;
    let up = tokio::select! {
        up = bring_up(&options, node_url) => up?,
        // Leaving here stops the chain too.
        signal = stop_or_hang_up() => return signal,
    };
    let result = match &options.run {
        Some(command) => {
            let done = tokio::select! {
                done = run_command(command, &up.session) => done,
                signal = stop_or_hang_up() => signal,
            };
            if options.once || done.is_err() { done } else { stop_or_hang_up().await }
        }
        None => stop_or_hang_up().await,
    };
    up.node.stop().await;
    result
}

/// Keeps a second one out of the folder for as long as this lives: it would begin by removing what the first works with.
fn hold(folder: &Path) -> Result<File> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let held = File::create(folder.join("lock")).with_context(|| folder.display().to_string())?;
    match held.try_lock() {
        Ok(()) => Ok(held),
        Err(TryLockError::WouldBlock) => {
            bail!("another `fabstir dev` works in {}: stop it, or give this one another --folder", folder.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| folder.display().to_string()),
    }
}

/// With the terminal this ends too: the node's own meaning of SIGHUP, to read policies anew, is for servers.
async fn stop_or_hang_up() -> Result<()> {
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        stopped = async { stop_signal()?.await } => stopped,
        _ = hang_up.recv() => Ok(()),
    }
}

/// A node on a chain with everything deployed, and the file that says where.
struct Up {
    node: Node,
    session: PathBuf,
    /// Until the node has stopped, which waits for its last bundle.
    _blocks: anvil::Blocks,
}

async fn bring_up(options: &Options, node_url: String) -> Result<Up> {
    let chain = NodeClient::new(&node_url)?;

    let rich = SecretKey::from_hex(RICH_KEY)?;
    let (bundler_key, paymaster_key, host_key) = (SecretKey::generate(), SecretKey::generate(), SecretKey::generate());
    let request = deploy::Request {
        node: &chain,
        deployer: rich.clone().into_signer(),
        paymaster_signer: paymaster_key.address(),
        guardian: None,
        chain: deploy::ChainConfig::named("local")?,
    };
    let deployment = deploy::deploy(request, deploy::Mode::Send).await?.deployment;
    deploy::fund(&chain, rich.clone().into_signer(), bundler_key.address(), parse_ether("100")?).await?;
    let deployment_file = options.folder.join("deployment.json");
    deployment.write(&deployment_file)?;

    let sponsor_limits = paymaster::Limits {
        total: parse_ether(node::SPONSOR_PER_DAY)?,
        per_sender: parse_ether(node::SPONSOR_PER_ACCOUNT)?,
    };
    let session_folder = options.folder.join("sessions");
    // Sessions of the chain that was here before are of no use.
    let _ = std::fs::remove_dir_all(&session_folder);
    let data_folder = options.folder.join("data");
    let _ = std::fs::remove_dir_all(&data_folder);
    let session_store = sessions::Place::for_development(session_folder)?;
    let console = Console::prepare(options).await?;
    let setup = |listen| Setup {
        chain: chain::ChainOptions { data_dir: Some(data_folder.clone()), ..chain::ChainOptions::of(&node_url) },
        serve: serve::Settings { listen, calls_per_second: serve::CALLS_PER_SECOND, behind_proxy: false, shared: None },
        sponsor_limits,
        rehearse: true,
        tokens: TokenOptions::at(DEMO_TOKEN_PRICE),
        rules: RuleOptions::default(),
        mempool: MempoolConfig::default(),
        policies: Some(console.policies.clone()),
        admin: console.admin.clone(),
        reputation_file: None,
        budgets: crate::ledger::Place::Folder(data_folder.clone()),
        deployment: deployment.clone(),
        signers: Signers { bundlers: vec![bundler_key.clone().into_signer().into()], funder: None },
        bundling: BundlingOptions::default(),
        sponsor_signers: vec![paymaster_key.clone().into_signer().into()],
        sessions: Some(session_store.clone()),
        observe: ObserveOptions::default(),
        board: Arc::default(),
        explorer: true,
        debug_rpc: false,
        forward_reads: true,
        cluster: None,
    };
    // Looked at before: a node that could not listen would hold its folder for a moment longer.
    let listen = match std::net::TcpListener::bind(options.listen) {
        Ok(_) => options.listen,
        Err(error) => {
            tracing::warn!("{}: {error}; taking a free port", options.listen);
            SocketAddr::new(options.listen.ip(), 0)
        }
    };
    let node = Node::start(setup(listen)).await?;
    let rpc_url = format!("http://{}", node.address);
    let admin_url = node.admin.as_ref().map(|admin| format!("http://{}", admin.address)).unwrap_or_default();

    let client = Client::new(&rpc_url, chain.clone(), deployment.clone(), host_key.clone()).await?;
    let offer = DefaultOffer::parse_from(["offer"]).offer;
    let mint = test_usdc::mintCall { to: client.account, amount: U256::from(offer.stake) };
    deploy::call(&chain, rich.clone().into_signer(), deployment.token, mint).await?;
    // From here on everything waits for its block, as it would on Base.
    let blocks = anvil::Blocks::begin(&node_url).await?;
    host::register(&client, &deployment, &offer).await.context("registering the demo host")?;

    let file = options.folder.join("dev.json");
    let session = json!({
        "rpcUrl": rpc_url,
        "adminUrl": admin_url,
        "adminKey": &*console.key.expose_hex(),
        "nodeUrl": node_url,
        "deployment": deployment,
        "host": { "account": client.account, "key": &*host_key.expose_hex(), "model": offer.model },
        "faucetKey": RICH_KEY,
        "paymasterKey": &*paymaster_key.expose_hex(),
    });
    write_private(&file, &serde_json::to_string_pretty(&session)?)?;
    announce(&rpc_url, &node_url, &deployment, &client, &host_key, &file);
    println!("explorer             {rpc_url}/explorer/");
    println!("web console          {admin_url}/console/");
    println!("its admin key        {}", *console.key.expose_hex());
    println!("ready");

    Ok(Up { node, session: file, _blocks: blocks })
}

/// What the paymaster's admin API and console work with, new every time like the chain.
struct Console {
    admin: AdminOptions,
    policies: PathBuf,
    /// Of the role `admin`.
    key: SecretKey,
}

impl Console {
    async fn prepare(options: &Options) -> Result<Self> {
        let folder = options.folder.join("paymaster");
        let _ = std::fs::remove_dir_all(&folder);
        let policies = folder.join("policies");
        std::fs::create_dir_all(&policies).with_context(|| policies.display().to_string())?;
        std::fs::write(policies.join("marketplace.toml"), paymaster::policy::MARKETPLACE)?;
        let key = SecretKey::generate();
        let hash = paymaster::api_key::KeyHash::of(&key.expose_hex());
        let keys = folder.join("admin-keys.toml");
        std::fs::write(&keys, format!("[[key]]\nname = \"dev\"\nrole = \"admin\"\nsha256 = \"{}\"\n", hash.to_hex()))?;
        let mut listen = options.admin_listen;
        if TcpListener::bind(listen).await.is_err() {
            listen.set_port(0);
        }
        Ok(Self { admin: AdminOptions::at(listen, keys, folder.join("audit.jsonl")), policies, key })
    }
}

/// [`host::Offer`]'s defaults, which live with its command-line flags.
#[derive(Debug, Parser)]
struct DefaultOffer {
    #[command(flatten)]
    offer: host::Offer,
}

async fn run_command(command: &str, session: &Path) -> Result<()> {
    let status = Command::new("sh")
        .args(["-c", command])
        .env("FABSTIR_DEV", std::fs::canonicalize(session)?)
        .status()
        .await
        .with_context(|| format!("running {command}"))?;
    if status.success() { Ok(()) } else { bail!("`{command}` failed: {status}") }
}

/// Keys of a development chain are worth nothing, but a habit is a habit: only the owner may read the file.
fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes()).with_context(|| path.display().to_string())
}

fn announce(rpc_url: &str, node_url: &str, deployment: &Deployment, host: &Client, host_key: &SecretKey, file: &Path) {
    println!("bundler + paymaster  {rpc_url}");
    println!("chain (anvil)        {node_url}");
    for (version, address) in &deployment.entry_points {
        println!("EntryPoint {version}      {address}");
    }
    for (version, address) in &deployment.paymasters {
        println!("paymaster {version}       {address}");
    }
    println!("account factory      {}", deployment.smart_account_factory);
    println!("node registry        {}", deployment.node_registry);
    println!("job marketplace      {}", deployment.job_marketplace);
    println!("payment escrow       {}", deployment.payment_escrow);
    println!("governor             {}", deployment.governance.governor);
    println!("test USDC            {}", deployment.token);
    println!("demo host            {}", host.account);
    println!("demo host's key      {}", *host_key.expose_hex());
    println!("faucet key           {RICH_KEY}");
    println!("all of this          {}", file.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_at_a_time() {
        let folder = std::env::temp_dir().join(format!("fabstir-dev-{}", std::process::id()));
        let first = hold(&folder).unwrap();
        let second = hold(&folder).unwrap_err().to_string();
        assert!(second.contains("--folder"), "{second}");
        drop(first);
        assert!(hold(&folder).is_ok());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
