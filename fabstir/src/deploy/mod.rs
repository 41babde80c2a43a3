//! `fabstir deploy`: every contract by CREATE2 and every step only if it was not done before, so that a run that was cut
//! short goes on where it stopped, and another run changes nothing. It tells what it would do before it does it.

mod chains;
pub(crate) mod code;
pub(crate) mod entry_points;
mod governance;
mod market;
mod paymasters;
mod sender;

use std::{collections::BTreeMap, path::PathBuf};

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256, utils::format_ether},
    signers::local::PrivateKeySigner,
    sol_types::{SolCall, SolConstructor},
};
use anyhow::{Result, bail, ensure};
use bundler::{
    fees::{FeePolicy, FeeSuggestion},
    node::NodeClient,
};
use erc4337::{
    EntryPointVersion,
    abi::{erc1967_proxy, smart_account, smart_account_factory, test_usdc},
};

use crate::{deployment::Deployment, keys};
pub(crate) use sender::{CREATE2_DEPLOYER, Sender};

pub use chains::ChainConfig;
pub use sender::{Mode, Step};

/// The model that the demo host serves.
pub const DEMO_MODEL: &str = "llama-3.3-70b-instruct";

/// Settings of `fabstir deploy`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// HTTP URL of an Ethereum node.
    #[arg(long, env = "FABSTIR_NODE_URL", hide_env_values = true)]
    node_url: String,
    /// Where to write the addresses; else deploy/addresses/CHAIN.json.
    #[arg(long, env = "FABSTIR_DEPLOYMENT")]
    deployment: Option<PathBuf>,
    /// How to deploy: local, base-sepolia or base; else as the node's chain id says.
    #[arg(long)]
    chain: Option<String>,
    /// File with the key that deploys and then owns the contracts; else FABSTIR_DEPLOYER_KEY.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// Address whose signatures the paymasters accept.
    #[arg(long)]
    paymaster_signer: Address,
    /// Address that may pause entry for a while; else the deployer.
    #[arg(long)]
    guardian: Option<Address>,
    /// Send the transactions. Without it they are only told.
    #[arg(long)]
    broadcast: bool,
    /// Stop after so many transactions; the next run goes on from there.
    #[arg(long, requires = "broadcast")]
    at_most: Option<usize>,
}

/// `fabstir deploy`.
///
/// # Errors
/// Whatever stops it, with its context.
pub async fn run(options: Options) -> Result<()> {
    let key = keys::read(options.key_file.as_deref(), "FABSTIR_DEPLOYER_KEY")?;
    let node = NodeClient::new(&options.node_url)?;
    let chain = match &options.chain {
        Some(name) => ChainConfig::named(name)?,
        None => ChainConfig::of(node.chain_id().await?)?,
    };
    let file = options.deployment.unwrap_or_else(|| format!("deploy/addresses/{}.json", chain.name).into());
    let (paymaster_signer, guardian) = (options.paymaster_signer, options.guardian);
    let deployer = key.into_signer();
    let request = Request { node: &node, deployer: deployer.clone(), paymaster_signer, guardian, chain };

    let Deployed { steps, .. } = deploy(request.clone(), Mode::DryRun).await?;
    tell(&node, deployer.address(), &steps, options.broadcast).await?;
    if !options.broadcast {
        println!("nothing was sent: --broadcast does");
        return Ok(());
    }
    let mode = options.at_most.map_or(Mode::Send, Mode::SendAtMost);
    let Deployed { deployment, steps } = deploy(request, mode).await?;
    deployment.write(&file)?;
    println!("sent {} transactions", steps.len());
    println!("deployed: {}", file.display());
    Ok(())
}

/// Says what there is to do and what it may cost; an error if it is to be done and cannot be paid.
async fn tell(node: &NodeClient, deployer: Address, steps: &[Step], to_be_done: bool) -> Result<()> {
    for step in steps {
        let value = if step.value.is_zero() { String::new() } else { format!(", {} ETH", format_ether(step.value)) };
        println!("{}: {}{value}", step.what, step.to);
    }
    let value: U256 = steps.iter().map(|step| step.value).sum();
    let gas: u64 = steps.iter().map(|step| step.gas_limit).sum();
    let fees = FeeSuggestion::ask(node, &FeePolicy::UNBOUND).await?;
    let fee = U256::from(gas) * U256::from(fees.base_fee + fees.priority_fee);
    println!(
        "{} transactions, {} ETH given away, {gas} gas at most: {} ETH at today's price",
        steps.len(),
        format_ether(value),
        format_ether(fee)
    );
    let balance = node.balance(deployer).await?;
    if to_be_done && balance < value {
        bail!("{deployer} has {} ETH, which is less than is to be given away", format_ether(balance));
    }
    Ok(())
}

/// What to deploy where.
#[derive(Clone)]
pub struct Request<'a> {
    /// A node of the chain.
    pub node: &'a NodeClient,
    /// Pays, and then owns the paymasters and has all votes, until it gives them away.
    pub deployer: PrivateKeySigner,
    /// Whose signatures the paymasters accept.
    pub paymaster_signer: Address,
    /// Who may pause entry; without, the deployer.
    pub guardian: Option<Address>,
    /// What is the chain's own.
    pub chain: ChainConfig,
}

/// What is there now, or would be, and what was done for it.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// All addresses.
    pub deployment: Deployment,
    /// In order.
    pub steps: Vec<Step>,
}

/// Deploys whatever is missing, and hands the marketplace over to its governance.
///
/// # Errors
/// Whatever stops it, with its context; run again, it goes on from there.
pub async fn deploy(request: Request<'_>, mode: Mode) -> Result<Deployed> {
    let Request { node, deployer, paymaster_signer, guardian, chain } = request;
    let owner = deployer.address();
    let mut sender = Sender::new(node.clone(), deployer, mode).await?;
    let sender = &mut sender;

    sender.ensure_create2().await?;
    let entry_points = entry_points::deploy(sender).await?;
    let token = match chain.terms.token {
        Some(token) => {
            ensure!(sender.exists(token).await?, "the token of chain {} is not there: {token}", chain.name);
            token
        }
        None => sender.create2("DemoUSDC", "DemoUSDC", B256::ZERO, &test_usdc::BYTECODE, &[]).await?,
    };
    let market = market::deploy(sender, owner).await?;
    let arguments = smart_account::constructorCall { entryPoint_: entry_points[&EntryPointVersion::V0_8] };
    let smart_account = create(sender, "SmartAccount", &smart_account::BYTECODE, &arguments).await?;
    let arguments = smart_account_factory::constructorCall { implementation_: smart_account };
    let smart_account_factory =
        create(sender, "SmartAccountFactory", &smart_account_factory::BYTECODE, &arguments).await?;
    let endowment =
        paymasters::Endowment { deposit: chain.terms.paymaster_deposit, stake: chain.terms.paymaster_stake };
    let (mut paymasters, mut token_paymasters) = (BTreeMap::new(), BTreeMap::new());
    for (version, entry_point) in &entry_points {
        let owned = paymasters::Owned { entry_point: *entry_point, owner, signer: paymaster_signer };
        let (name, version) = (version.to_string(), *version);
        paymasters.insert(name.clone(), paymasters::verifying(sender, version, owned, endowment).await?);
        token_paymasters.insert(name, paymasters::token(sender, version, owned, token, endowment).await?);
    }
    market::wire(sender, &market, owner, token, chain.terms.demo_model).await?;
    let (keeper, watched) = (guardian.unwrap_or(owner), (token, chain.terms.hourly_outflow));
    let governance = governance::deploy(sender, owner, keeper, &market, watched).await?;

    let models = if chain.terms.demo_model { vec![(DEMO_MODEL.to_owned(), model_id(DEMO_MODEL))] } else { Vec::new() };
    let deployment = Deployment {
        chain_id: sender.chain_id(),
        entry_points: entry_points.into_iter().map(|(version, address)| (version.to_string(), address)).collect(),
        paymasters,
        token_paymasters,
        smart_account,
        smart_account_factory,
        node_registry: market.registry,
        job_marketplace: market.jobs,
        session_marketplace: market.sessions,
        reputation_system: market.reputation,
        proof_system: market.proofs,
        payment_escrow: market.escrow,
        governance,
        token,
        models: models.into_iter().collect(),
        contracts: std::mem::take(&mut sender.contracts),
    };
    Ok(Deployed { deployment, steps: std::mem::take(&mut sender.steps) })
}

/// Models are known on chain by the hash of their name.
pub fn model_id(name: &str) -> B256 {
    keccak256(name)
}

async fn proxy(sender: &mut Sender, name: &str, implementation: Address, initialize: &impl SolCall) -> Result<Address> {
    let arguments = erc1967_proxy::constructorCall { implementation, _data: initialize.abi_encode().into() };
    let arguments = arguments.abi_encode();
    sender.create2(name, "ERC1967Proxy", B256::ZERO, &erc1967_proxy::BYTECODE, &arguments).await
}

/// Of a contract whose name is also its artifact's.
async fn create(sender: &mut Sender, name: &str, bytecode: &Bytes, arguments: &impl SolConstructor) -> Result<Address> {
    sender.create2(name, name, B256::ZERO, bytecode, &arguments.abi_encode()).await
}

/// Sends native currency, for development chains.
pub async fn fund(node: &NodeClient, from: PrivateKeySigner, to: Address, value: U256) -> Result<()> {
    Sender::new(node.clone(), from, Mode::Send).await?.transfer(to, value).await
}

/// Calls a contract, for development chains.
pub async fn call(node: &NodeClient, from: PrivateKeySigner, to: Address, call: impl SolCall) -> Result<()> {
    Sender::new(node.clone(), from, Mode::Send).await?.call("call", to, call, U256::ZERO).await
}
