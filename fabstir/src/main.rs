//! The one binary. Thin: reads the command line and calls the library.

use anyhow::Result;
use clap::{Parser, Subcommand};
use fabstir::{arenas, deploy, dev, doctor, host, node, prove};
use tracing_subscriber::EnvFilter;

/// Account abstraction for a marketplace of LLM inference: bundler, paymaster and tools.
#[derive(Debug, Parser)]
#[command(name = "fabstir", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts a local chain with everything deployed, a bundler, a paymaster and a demo host.
    Dev(dev::Options),
    /// Runs bundler and paymaster on one endpoint against a given node.
    Node(Box<node::Options>),
    /// Deploys the EntryPoints that are missing and all of our contracts.
    Deploy(deploy::Options),
    /// Looks at node, contracts, keys and stores, and says what is wrong with them.
    Doctor(Box<doctor::Options>),
    /// What a host does.
    #[command(subcommand)]
    Host(host::Command),
    /// Proves a job's result with EZKL and submits the proof.
    Prove(prove::Options),
}

fn main() -> Result<()> {
    let command = Cli::parse().command;
    if matches!(command, Command::Node(_)) {
        arenas::limit();
    }
    run(command)
}

#[tokio::main]
async fn run(command: Command) -> Result<()> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,fabstir=info,bundler=info,paymaster=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match command {
        Command::Dev(options) => dev::run(options).await,
        Command::Node(options) => node::run(*options).await,
        Command::Deploy(options) => deploy::run(options).await,
        Command::Doctor(options) => doctor::run(*options).await,
        Command::Host(command) => host::run(command).await,
        Command::Prove(options) => prove::run(options).await,
    }
}
