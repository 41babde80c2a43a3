//! `fabstir node`: bundler and paymaster on one JSON-RPC endpoint, over HTTP and WebSocket.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use alloy::primitives::{Address, U256};
use anyhow::{Context, Result, ensure};
use bundler::{Builder, Bundler, ClusterConfig, Signer, mempool::MempoolConfig};
use erc4337::ChainPreset;
use jsonrpsee::{RpcModule, server::ServerHandle};
use paymaster::Rehearsal;
use tokio::task::JoinHandle;

use crate::{
    admin::{self, AdminOptions},
    bundling::{BundlingOptions, Signers, ether},
    chain,
    cluster::{self, BuilderNode, ClusterOptions, Role},
    deployment::Deployment,
    explorer, forward, ledger,
    observe::{self, Board, ObserveOptions, Watched},
    openrpc,
    rules::RuleOptions,
    serve::{self, SharedQuota},
    sessions,
    sponsor_keys::{self, SponsorKeyOptions},
    sponsored::{self, InProcess},
    sponsorship::{self, InForce},
    token_gas::TokenOptions,
};

/// Settings of `fabstir node`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    chain: chain::ChainOptions,
    /// Where to serve JSON-RPC.
    #[arg(long, env = "FABSTIR_LISTEN", default_value = "127.0.0.1:4337")]
    listen: SocketAddr,
    /// File of addresses that `fabstir deploy` wrote.
    #[arg(long, env = "FABSTIR_DEPLOYMENT")]
    deployment: PathBuf,
    #[command(flatten)]
    bundling: BundlingOptions,
    #[command(flatten)]
    sponsor_keys: SponsorKeyOptions,
    /// Ether that sponsored operations of all accounts may cost in a day, in the worst case.
    #[arg(long, env = "FABSTIR_SPONSOR_PER_DAY", default_value = SPONSOR_PER_DAY, value_parser = ether)]
    sponsor_per_day: U256,
    /// The same for each account.
    #[arg(long, env = "FABSTIR_SPONSOR_PER_ACCOUNT", default_value = SPONSOR_PER_ACCOUNT, value_parser = ether)]
    sponsor_per_account: U256,
    /// Sign for operations that were not run first: their execution may revert, at our cost.
    #[arg(long, env = "FABSTIR_SPONSOR_UNREHEARSED")]
    sponsor_unrehearsed: bool,
    #[command(flatten)]
    tokens: TokenOptions,
    /// Calls a second of one caller that run the EVM, and ten times as many others; 0: no limit.
    #[arg(long, env = "FABSTIR_CALLS_PER_SECOND", default_value_t = serve::CALLS_PER_SECOND)]
    calls_per_second: u32,
    /// Take the caller's address from X-Forwarded-For: only behind a proxy that sets it.
    #[arg(long, env = "FABSTIR_BEHIND_PROXY")]
    behind_proxy: bool,
    #[command(flatten)]
    rules: RuleOptions,
    /// Operations that the mempool holds at most.
    #[arg(long, env = "FABSTIR_MAX_MEMPOOL", default_value_t = MempoolConfig::default().max_operations)]
    max_mempool: usize,
    /// Addresses that no limit and no reputation holds back, beside the paymasters of the deployment.
    #[arg(long, env = "FABSTIR_ALLOW", value_delimiter = ',')]
    allow: Vec<Address>,
    /// Addresses whose operations are refused, whatever their part in them.
    #[arg(long, env = "FABSTIR_BLOCK", value_delimiter = ',')]
    block: Vec<Address>,
    /// File in which reputations outlive the process; by default they do in the folder of --data-dir.
    #[arg(long, env = "FABSTIR_REPUTATION_FILE")]
    reputation_file: Option<PathBuf>,
    /// File of a sponsorship policy, or folder of such (docs/policies.md); without it, the marketplace's own calls are
    /// sponsored. Read anew when it changes, and on SIGHUP.
    #[arg(long, env = "FABSTIR_POLICIES")]
    policies: Option<PathBuf>,
    #[command(flatten)]
    admin: AdminOptions,
    /// Redis that keeps the budgets, shared by any number of nodes: redis://[USER:PASSWORD@]HOST:PORT, or rediss:// for
    /// TLS. Durable only with appendonly.
    #[arg(long, env = "FABSTIR_REDIS", hide_env_values = true)]
    redis: Option<String>,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    sessions: sessions::SessionOptions,
    #[command(flatten)]
    observe: ObserveOptions,
    /// Serve a page at /explorer/, with methods of its own: operations by hash, sender, job or session, and what is
    /// pending. Anyone who reaches the port sees it.
    #[arg(long, env = "FABSTIR_EXPLORER")]
    explorer: bool,
    /// Serve the node's own reads too (`eth_call`, `eth_getBalance`, `eth_getTransactionReceipt` and others), so that a
    /// wallet needs no other URL. They count for the limit on callers; what the node charges for them is yours.
    #[arg(long, env = "FABSTIR_FORWARD_READS")]
    forward_reads: bool,
    /// Serve debug_bundler_*. Anyone who reaches the port can then steer the bundler.
    #[arg(long)]
    debug_rpc: bool,
}

/// Ether a day, all accounts together.
pub const SPONSOR_PER_DAY: &str = "10";
/// Ether a day, one account.
pub const SPONSOR_PER_ACCOUNT: &str = "0.5";

/// A running node.
pub struct Node {
    /// Where it serves.
    pub address: SocketAddr,
    bundler: Bundler,
    /// The builder, in a process that shares the work and does both.
    builder: Option<Builder>,
    server: ServerHandle,
    engine: JoinHandle<()>,
    /// Settles the budgets.
    follower: JoinHandle<()>,
    /// Asks which keys the paymasters believe.
    signers: JoinHandle<()>,
    /// Reads policies anew.
    watcher: Option<JoinHandle<()>>,
    /// Looks after health and figures.
    observers: Vec<JoinHandle<()>>,
    /// The operator's side, if it is served.
    pub admin: Option<admin::Running>,
}

/// What a node is started with.
pub struct Setup {
    /// The nodes, and what is indexed.
    pub chain: chain::ChainOptions,
    /// Where to serve, and whom.
    pub serve: serve::Settings,
    /// Where things are.
    pub deployment: Deployment,
    /// What bundles are sent with.
    pub signers: Signers,
    /// What is bid, and what keys are kept at.
    pub bundling: BundlingOptions,
    /// Sign sponsorships: the first that a paymaster believes.
    pub sponsor_signers: Vec<Signer>,
    /// What is sponsored in a day.
    pub sponsor_limits: paymaster::Limits,
    /// Whether an operation is run before it is signed for, and not signed for if it reverts.
    pub rehearse: bool,
    /// Gas paid in the deployment's token.
    pub tokens: TokenOptions,
    /// What counts as staked, and which values ERC-7562's rules are held with.
    pub rules: RuleOptions,
    /// What the mempool takes; the deployment's paymasters are allowed beside.
    pub mempool: MempoolConfig,
    /// Where policies are read from.
    pub policies: Option<PathBuf>,
    /// The operator's side of the paymaster.
    pub admin: AdminOptions,
    /// Where reputations are kept.
    pub reputation_file: Option<PathBuf>,
    /// Where budgets are kept.
    pub budgets: ledger::Place,
    /// Where session keys are kept, if they are served.
    pub sessions: Option<sessions::Place>,
    /// What is watched, and where it is told.
    pub observe: ObserveOptions,
    /// What is right and what is not.
    pub board: Arc<Board>,
    /// Whether there is a page of operations.
    pub explorer: bool,
    /// Whether the node's own reads are served.
    pub forward_reads: bool,
    /// Whether `debug_bundler_*` is served.
    pub debug_rpc: bool,
    /// With whom the work is shared.
    pub cluster: Option<(Role, ClusterConfig)>,
}

/// `fabstir node`: serves until it is told to stop.
///
/// # Errors
/// Whatever stops it, with its context.
pub async fn run(options: Options) -> Result<()> {
    let stop = stop_signal()?;
    // First of all: a start that takes its time, or fails, is to be seen.
    let board = Arc::<Board>::default();
    let metrics = options.observe.serve(&board).await?;
    let cluster = options.cluster.config(options.redis.as_deref())?;
    let role = options.cluster.role;
    ensure!(role == Role::Alone || !options.debug_rpc, "--debug-rpc: only a node that is alone serves it");
    let budgets = ledger::Place::chosen(options.redis.clone(), options.chain.data_dir.clone());
    let deployment = Deployment::read(&options.deployment)?;
    let explorer = options.explorer;
    let setup = Setup {
        chain: options.chain,
        serve: serve::Settings {
            listen: options.listen,
            calls_per_second: options.calls_per_second,
            behind_proxy: options.behind_proxy,
            shared: match (role, options.redis.as_deref()) {
                (Role::Rpc | Role::Both, Some(url)) if options.calls_per_second > 0 => {
                    Some(SharedQuota::connect(url, deployment.chain_id).await?)
                }
                _ => None,
            },
        },
        signers: match role {
            Role::Rpc => Signers::default(),
            _ => options.bundling.signers(deployment.chain_id).await?,
        },
        bundling: options.bundling,
        sponsor_signers: options.sponsor_keys.signers(deployment.chain_id).await?,
        deployment,
        sponsor_limits: paymaster::Limits { total: options.sponsor_per_day, per_sender: options.sponsor_per_account },
        rehearse: !options.sponsor_unrehearsed,
        tokens: options.tokens,
        rules: options.rules,
        mempool: mempool(options.max_mempool, options.allow, options.block),
        policies: options.policies,
        admin: options.admin,
        reputation_file: options.reputation_file,
        budgets,
        sessions: options.sessions.place()?,
        observe: options.observe,
        board,
        explorer: options.explorer,
        forward_reads: options.forward_reads,
        debug_rpc: options.debug_rpc,
        cluster,
    };
    if role == Role::Builder {
        let builder = start_builder(setup).await?;
        if let Some((address, _)) = &metrics {
            println!("metrics: http://{address}/metrics");
        }
        if let Some(admin) = &builder.admin {
            println!("admin: http://{}", admin.address);
        }
        println!("ready: http://{}", builder.address);
        stop.await?;
        builder.stop().await;
        return Ok(());
    }
    let node = Node::start(setup).await?;
    if let Some(admin) = &node.admin {
        println!("admin: http://{}", admin.address);
        println!("console: http://{}/console/", admin.address);
    }
    if let Some((address, _)) = &metrics {
        println!("metrics: http://{address}/metrics");
    }
    if explorer {
        println!("explorer: http://{}/explorer/", node.address);
    }
    println!("ready: http://{}", node.address);
    stop.await?;
    node.stop().await;
    if let Some((_, task)) = metrics {
        task.abort();
    }
    Ok(())
}

fn mempool(max_operations: usize, allowed: Vec<Address>, blocked: Vec<Address>) -> MempoolConfig {
    let (allowed, blocked) = (allowed.into_iter().collect(), blocked.into_iter().collect());
    MempoolConfig { max_operations, allowed, blocked, ..MempoolConfig::default() }
}

/// What the settings make of the bundler.
fn bundler_config(setup: &Setup) -> Result<bundler::Config> {
    let deployment = &setup.deployment;
    let mut config = bundler::Config::new(ChainPreset::for_chain(deployment.chain_id));
    setup.chain.apply(&mut config)?;
    setup.bundling.apply(&mut config)?;
    config.entry_points = deployment.entry_point_versions()?;
    config.debug_rpc = setup.debug_rpc;
    config.mempool = setup.mempool.clone();
    config.mempool.allowed.extend(deployment.paymasters.values().chain(deployment.token_paymasters.values()));
    setup.rules.apply(&mut config)?;
    config.reputation_file.clone_from(&setup.reputation_file);
    Ok(config)
}

async fn start_builder(setup: Setup) -> Result<BuilderNode> {
    let mut config = bundler_config(&setup)?;
    let admin = setup.admin.open(setup.chain.data_dir.clone()).await?;
    admin.iter().for_each(|admin| admin.apply(&mut config));
    let node = setup.chain.client(&config)?;
    let (_, cluster) = setup.cluster.context("a builder without others")?;
    BuilderNode::start(config, node, setup.signers, cluster, setup.serve, (setup.board, admin)).await
}

impl Node {
    /// Checks everything, then serves.
    ///
    /// # Errors
    /// If the chain, the keys or the address to serve on are not usable.
    pub async fn start(setup: Setup) -> Result<Self> {
        let mut config = bundler_config(&setup)?;
        let admin = setup.admin.open(setup.chain.data_dir.clone()).await?;
        admin.iter().for_each(|admin| admin.apply(&mut config));
        let deployment = &setup.deployment;
        let mut pages = observe::pages(&setup.board);
        let sponsor = sponsor_keys::sponsor(setup.sponsor_signers)?;
        let sponsorship = sponsorship::config(deployment, setup.sponsor_limits)?;
        let InForce { policies, source, watcher } = sponsorship::policies(deployment, setup.policies)?;
        let node = setup.chain.client(&config)?;
        let Signers { bundlers, funder } = setup.signers;
        let mut builder = None;
        let (bundler, engine) = match setup.cluster {
            None => Bundler::start(config, node.clone(), bundlers, funder).await?,
            Some((role, cluster)) => {
                if role == Role::Both {
                    let (config, cluster) = (config.clone(), cluster.clone());
                    builder = Some(Builder::start(config, node.clone(), bundlers, funder, cluster).await?);
                }
                Bundler::relay(config, node.clone(), cluster).await?
            }
        };
        tracing::info!(bundler = %bundler.address(), paymaster_signers = ?sponsor.addresses(), "keys");

        let mut module = RpcModule::new(());
        module.merge(bundler::rpc::module(bundler.clone())?)?;
        if setup.forward_reads {
            module.merge(forward::module(node.clone())?)?;
        }
        if setup.explorer {
            let methods = module.clone().into();
            module.merge(explorer::module(bundler.clone(), node.clone(), deployment, methods)?)?;
            pages = pages.merge(explorer::router());
        }
        let tokens = setup.tokens.mode(&setup.deployment, &node).await.context("gas in tokens")?;
        let mut contracts: Vec<Address> = deployment.paymasters.values().copied().collect();
        if tokens.is_some() {
            contracts.extend(deployment.token_paymasters.values());
        }
        let trail = Arc::clone(bundler.trail());
        let signers = sponsor_keys::watch(sponsor.clone(), contracts, node.clone(), trail).await?;
        let heads = ledger::Heads::of(&bundler);
        let (budgets, follower) = ledger::start(&setup.budgets, &sponsorship, node.clone(), heads).await?;
        let rehearsal = setup.rehearse.then(|| Arc::new(InProcess(bundler.clone())) as Arc<dyn Rehearsal>);
        let chain = Arc::new(sponsorship::View::new(node.clone(), bundler.clone()));
        let mut service = paymaster::Service::new(sponsorship, policies, sponsor, budgets, chain);
        if let Some(rehearsal) = rehearsal {
            service = service.with_rehearsal(rehearsal);
        }
        if let Some(tokens) = tokens {
            service = service.with_tokens(tokens);
        }
        let service = Arc::new(service);
        module.merge(paymaster::rpc::module(Arc::clone(&service))?)?;
        module.merge(sponsored::preparing(bundler.clone(), Arc::clone(&service))?)?;
        let mut hub = None;
        if let Some(place) = setup.sessions {
            let beside = module.clone().into();
            let (methods, sessions) = sessions::module(place, deployment, node.clone(), beside).await?;
            module.merge(methods)?;
            hub = Some(sessions);
        }
        module.merge(sponsored::sending(bundler.clone(), Arc::clone(&service), hub.clone())?)?;
        let watched = Watched {
            bundler: bundler.clone(),
            service: Arc::clone(&service),
            sessions: hub,
            node,
            deployment: deployment.clone(),
        };
        let observers = observe::start(&setup.observe, &setup.board, watched)?;
        openrpc::register(&mut module)?;
        let admin = admin.map(|admin| admin.serve(service, source, bundler.clone())).transpose()?;
        let (address, server) = serve::start(setup.serve, module, pages).await?;
        setup.board.started();
        Ok(Self { address, bundler, builder, server, engine, follower, signers, watcher, observers, admin })
    }

    /// Takes nothing more, waits for what was accepted, says what is given up, answers what was asked.
    pub async fn stop(self) {
        tracing::info!("stopping: no more operations are taken");
        let mut left = self.bundler.drain().await;
        if let Some(builder) = self.builder {
            left.extend(builder.stop().await);
        }
        cluster::report(&left);
        let _ = self.server.stop();
        // Connections that are kept alive do not hold the process up.
        let _ = tokio::time::timeout(Duration::from_millis(500), self.server.stopped()).await;
        drop(self.bundler);
        // They hold the bundler too.
        self.observers.iter().for_each(JoinHandle::abort);
        self.engine.abort();
        self.follower.abort();
        self.signers.abort();
        for task in [self.watcher, self.admin.map(|admin| admin.task)].into_iter().flatten() {
            task.abort();
        }
    }
}

/// Comes when the process is asked to stop, from now on: whoever is told that it is ready may ask at once.
///
/// # Errors
/// If the system does not let it be told.
pub fn stop_signal() -> Result<impl Future<Output = Result<()>>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            result = tokio::signal::ctrl_c() => result?,
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;
