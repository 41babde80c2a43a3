//! The one binary. Thin: reads the command line and calls the library.

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use fabstir::{arenas, deploy, dev, doctor, host, migrate, monitor, node, operate, prove, reference, trace};
use tracing_subscriber::EnvFilter;

/// Account abstraction for a marketplace of LLM inference: bundler, paymaster and tools.
#[derive(Debug, Parser)]
#[command(name = "fabstir", version)]
struct Cli {
    /// How to write what happens, to stderr; RUST_LOG says what.
    #[arg(long, env = "FABSTIR_LOG_FORMAT", global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
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
    /// Looks at the contracts: solvency, stake, deposits, roles, upgrades and proposals; ends with 1 if anything is amiss.
    Monitor(monitor::Options),
    /// Compares this build with what is behind the proxies, and makes the proposal that changes it.
    Migrate(migrate::Options),
    /// What a host does.
    #[command(subcommand)]
    Host(host::Command),
    /// Proves a job's result with EZKL and submits the proof.
    Prove(prove::Options),
    /// Prints the reference of every setting, as docs/settings.md has it.
    #[command(hide = true)]
    Reference,
    /// Does one thing on a running node through its admin API: pause, resume, drain, drop, clear, cancel, show.
    Admin(operate::Options),
    /// Shows each step that an operation took in a node, with its time.
    Trace(trace::Options),
}

fn main() -> Result<()> {
    let matches = unset_if_empty(Cli::command()).get_matches();
    let Cli { command, log_format } = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if matches!(command, Command::Node(_)) {
        arenas::limit();
    }
    run(command, log_format)
}

/// A variable that is empty is one that is not set, for every setting.
fn unset_if_empty(command: clap::Command) -> clap::Command {
    let empty = |arg: &clap::Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    command.mut_args(|arg| if empty(&arg) { arg.env(None) } else { arg }).mut_subcommands(unset_if_empty)
}

#[tokio::main]
async fn run(command: Command, log_format: LogFormat) -> Result<()> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,fabstir=info,bundler=info,paymaster=info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    match command {
        Command::Dev(options) => dev::run(options).await,
        Command::Node(options) => node::run(*options).await,
        Command::Deploy(options) => deploy::run(options).await,
        Command::Doctor(options) => doctor::run(*options).await,
        Command::Monitor(options) => monitor::run(options).await,
        Command::Migrate(options) => migrate::run(options).await,
        Command::Host(command) => host::run(command).await,
        Command::Prove(options) => prove::run(options).await,
        Command::Reference => {
            // Printed as it is: without the values that variables have here.
            print!("{}", reference::markdown(&Cli::command()));
            Ok(())
        }
        Command::Admin(options) => operate::run(options).await,
        Command::Trace(options) => trace::run(options).await,
    }
}
