//! `fabstir host`: what a host does, through its own smart account and without gas.

use std::path::PathBuf;

use alloy::{
    primitives::{B256, FixedBytes, U256, aliases::U80},
    sol_types::SolCall,
};
use anyhow::{Context, Result};
use bundler::node::NodeClient;
use erc4337::{
    abi::{node_registry, test_usdc},
    calls::Call,
};

use crate::{client::Client, deployment::Deployment, keys};

/// What a host can do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Registers the host's account with stake, one model and its price.
    Register(Register),
}

/// Settings of `fabstir host register`.
#[derive(Clone, Debug, clap::Args)]
pub struct Register {
    /// JSON-RPC endpoint of a bundler and paymaster.
    #[arg(long, env = "FABSTIR_RPC_URL", default_value = "http://127.0.0.1:4337")]
    rpc_url: String,
    /// HTTP URL of an Ethereum node.
    #[arg(long, env = "FABSTIR_NODE_URL", hide_env_values = true)]
    node_url: String,
    /// File of addresses that `fabstir deploy` wrote.
    #[arg(long, env = "FABSTIR_DEPLOYMENT")]
    deployment: PathBuf,
    /// File with the key that owns the host's account; else FABSTIR_HOST_KEY.
    #[arg(long)]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    offer: Offer,
}

/// What is offered.
#[derive(Clone, Debug, clap::Args)]
pub struct Offer {
    /// Model served, by name.
    #[arg(long, default_value = crate::deploy::DEMO_MODEL)]
    pub model: String,
    /// Price of a million tokens, in the payment token's smallest unit.
    #[arg(long, default_value_t = 600_000)]
    pub price: u64,
    /// Stake, in the stake token's smallest unit; the account must hold it.
    #[arg(long, default_value_t = 100_000_000)]
    pub stake: u64,
    /// Jobs and sessions at the same time, at most.
    #[arg(long, default_value_t = 8)]
    pub capacity: u16,
    /// Where the host answers.
    #[arg(long, default_value = "https://host.example/v1")]
    pub endpoint: String,
}

/// `fabstir host`.
///
/// # Errors
/// Whatever stops it, with its context.
pub async fn run(command: Command) -> Result<()> {
    let Command::Register(options) = command;
    let deployment = Deployment::read(&options.deployment)?;
    let key = keys::read(options.key_file.as_deref(), "FABSTIR_HOST_KEY")?;
    let client = Client::new(&options.rpc_url, NodeClient::new(&options.node_url)?, deployment.clone(), key).await?;
    let transaction = register(&client, &deployment, &options.offer).await?;
    println!("registered: host {} in transaction {transaction}", client.account);
    Ok(())
}

/// Approves the stake and registers, in one operation.
pub async fn register(client: &Client, deployment: &Deployment, offer: &Offer) -> Result<B256> {
    let model = *deployment
        .models
        .get(&offer.model)
        .with_context(|| format!("model {} is not in the deployment", offer.model))?;
    let stake = U256::from(offer.stake);
    let register = node_registry::registerCall {
        stake,
        capacity: offer.capacity,
        profile: node_registry::INodeRegistry::Profile {
            endpoint: offer.endpoint.clone(),
            metadataHash: B256::ZERO,
            region: FixedBytes::ZERO,
            hardware: FixedBytes::ZERO,
        },
        offers: vec![node_registry::INodeRegistry::Offer {
            modelId: model,
            token: deployment.token,
            pricePerMillion: U80::from(offer.price),
        }],
    };
    let approve = test_usdc::approveCall { spender: deployment.payment_escrow, value: stake };
    let call = |target, data: Vec<u8>| Call { target, value: U256::ZERO, data: data.into() };
    client
        .act(&[call(deployment.token, approve.abi_encode()), call(deployment.node_registry, register.abi_encode())])
        .await
}
