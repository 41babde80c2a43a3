//! `fabstir deploy`: every contract by CREATE2, so that running it again changes nothing.

mod governance;
mod market;
mod paymasters;
mod sender;

use std::{collections::BTreeMap, path::PathBuf};

use alloy::{
    primitives::{Address, B256, Bytes, U256, b256, keccak256},
    signers::local::PrivateKeySigner,
    sol_types::{SolCall, SolConstructor},
};
use anyhow::{Context, Result};
use bundler::node::NodeClient;
use erc4337::{
    EntryPointVersion,
    abi::{
        entry_point_v06, entry_point_v07, entry_point_v08, entry_point_v09, erc1967_proxy, smart_account,
        smart_account_factory, test_usdc,
    },
};

use crate::{deployment::Deployment, keys};
use sender::Sender;

/// The model that the demo host serves.
pub const DEMO_MODEL: &str = "llama-3.3-70b-instruct";

/// Settings of `fabstir deploy`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// HTTP URL of an Ethereum node.
    #[arg(long, env = "FABSTIR_NODE_URL", hide_env_values = true)]
    node_url: String,
    /// Where to write the addresses.
    #[arg(long, env = "FABSTIR_DEPLOYMENT")]
    deployment: PathBuf,
    /// File with the key that deploys and then owns the contracts; else FABSTIR_DEPLOYER_KEY.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// Address whose signatures the paymasters accept.
    #[arg(long)]
    paymaster_signer: Address,
    /// Address that may pause entry for a while; else the deployer.
    #[arg(long)]
    guardian: Option<Address>,
}

/// `fabstir deploy`.
///
/// # Errors
/// Whatever stops it, with its context.
pub async fn run(options: Options) -> Result<()> {
    let key = keys::read(options.key_file.as_deref(), "FABSTIR_DEPLOYER_KEY")?;
    let node = NodeClient::new(&options.node_url)?;
    let deployment = deploy(&node, key.into_signer(), options.paymaster_signer, options.guardian).await?;
    deployment.write(&options.deployment)?;
    println!("deployed: {}", options.deployment.display());
    Ok(())
}

/// Deploys whatever is missing, and hands the marketplace over to its governance. Without a `guardian`, the deployer is the
/// one who may pause entry; all votes are its too, until it gives them away.
///
/// # Errors
/// Whatever stops it, with its context.
pub async fn deploy(
    node: &NodeClient,
    deployer: PrivateKeySigner,
    paymaster_signer: Address,
    guardian: Option<Address>,
) -> Result<Deployment> {
    let owner = deployer.address();
    let mut sender = Sender::new(node.clone(), deployer).await?;

    let entry_points = entry_points(&mut sender).await?;
    let token = sender.create2(B256::ZERO, &test_usdc::BYTECODE).await?;
    let (mut paymasters, mut token_paymasters) = (BTreeMap::new(), BTreeMap::new());
    for (version, entry_point) in &entry_points {
        let owned = paymasters::Owned { entry_point: *entry_point, owner, signer: paymaster_signer };
        paymasters.insert(version.to_string(), paymasters::verifying(&mut sender, *version, owned).await?);
        token_paymasters.insert(version.to_string(), paymasters::token(&mut sender, *version, owned, token).await?);
    }
    let account = create(
        &mut sender,
        &smart_account::BYTECODE,
        &smart_account::constructorCall { entryPoint_: entry_points[&EntryPointVersion::V0_8] },
    )
    .await?;
    let factory_arguments = smart_account_factory::constructorCall { implementation_: account };
    let smart_account_factory = create(&mut sender, &smart_account_factory::BYTECODE, &factory_arguments).await?;
    let market = market::deploy(&mut sender, owner, token).await?;
    let governance = governance::deploy(&mut sender, owner, guardian.unwrap_or(owner), &market, token).await?;

    Ok(Deployment {
        chain_id: sender.chain_id(),
        entry_points: entry_points.into_iter().map(|(version, address)| (version.to_string(), address)).collect(),
        paymasters,
        token_paymasters,
        smart_account: account,
        smart_account_factory,
        node_registry: market.registry,
        job_marketplace: market.jobs,
        session_marketplace: market.sessions,
        reputation_system: market.reputation,
        proof_system: market.proofs,
        payment_escrow: market.escrow,
        governance,
        token,
        models: BTreeMap::from([(DEMO_MODEL.to_owned(), model_id(DEMO_MODEL))]),
    })
}

/// Models are known on chain by the hash of their name.
pub fn model_id(name: &str) -> B256 {
    keccak256(name)
}

/// The canonical EntryPoints at their addresses; v0.9's canonical bytecode is in no package, so that its release
/// candidate stands in wherever CREATE2 puts it.
async fn entry_points(sender: &mut Sender) -> Result<BTreeMap<EntryPointVersion, Address>> {
    let artifacts = [
        (EntryPointVersion::V0_6, B256::ZERO, &entry_point_v06::BYTECODE),
        (
            EntryPointVersion::V0_7,
            b256!("0x90d8084deab30c2a37c45e8d47f49f2f7965183cb6990a98943ef94940681de3"),
            &entry_point_v07::BYTECODE,
        ),
        (
            EntryPointVersion::V0_8,
            b256!("0x0a59dbff790c23c976a548690c27297883cc66b4c67024f9117b0238995e35e9"),
            &entry_point_v08::BYTECODE,
        ),
        (EntryPointVersion::V0_9, B256::ZERO, &entry_point_v09::BYTECODE),
    ];
    let mut deployed = BTreeMap::new();
    for (version, salt, bytecode) in artifacts {
        let canonical = version.canonical_address();
        let address = if sender.exists(canonical).await? { canonical } else { sender.create2(salt, bytecode).await? };
        deployed.insert(version, address);
    }
    Ok(deployed)
}

async fn proxy(sender: &mut Sender, implementation: Address, initialize: &impl SolCall) -> Result<Address> {
    let arguments = erc1967_proxy::constructorCall { implementation, _data: initialize.abi_encode().into() };
    create(sender, &erc1967_proxy::BYTECODE, &arguments).await
}

async fn create(sender: &mut Sender, bytecode: &Bytes, arguments: &impl SolConstructor) -> Result<Address> {
    sender.create2(B256::ZERO, &init_code(bytecode, arguments)).await.context("deploying")
}

fn init_code(bytecode: &Bytes, arguments: &impl SolConstructor) -> Bytes {
    [bytecode.as_ref(), &arguments.abi_encode()].concat().into()
}

/// Sends native currency, for development chains.
pub async fn fund(node: &NodeClient, from: PrivateKeySigner, to: Address, value: U256) -> Result<()> {
    Sender::new(node.clone(), from).await?.transfer(to, value).await
}

/// Calls a contract, for development chains.
pub async fn call(node: &NodeClient, from: PrivateKeySigner, to: Address, call: impl SolCall) -> Result<()> {
    Sender::new(node.clone(), from).await?.call(to, call, U256::ZERO).await
}
