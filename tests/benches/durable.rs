//! What durability costs, and what a second rpc node brings: accepted operations a second, of variants of the service
//! that take turns on one chain (`make bench`).
//!
//! ```text
//!  memory   one node, nothing kept
//!  redb     one node, its journal in a file
//!  1 rpc    one rpc node, two builders, Redis (appendfsync always)
//!  2 rpc    two rpc nodes, the same
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement ends where it fails")]

#[path = "rpc/clients.rs"]
#[allow(dead_code, reason = "shared with another measurement")]
mod clients;
#[path = "rpc/operations.rs"]
#[allow(dead_code, reason = "shared with another measurement")]
mod operations;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::sol_types::SolEvent;
use anyhow::{Context, Result, ensure};
use erc4337::abi::entry_point_v08::UserOperationEvent;
use serde_json::{Value, json};
use tests::{Anvil, Redis, Stack, anvil::KEYS, stack::NodeProcess};

use self::operations::Fleet;

const SENDERS: usize = 1_000;
const OPERATIONS: usize = 1_600;
/// That wait for an answer before they send the next: few do not fill a node that has to wait for a disk.
const CLIENTS: [usize; 2] = [32, 128];
const ROUNDS: usize = 3;
const COMMON: [&str; 4] = ["--calls-per-second", "0", "--poll-ms", "100"];
const PATIENCE: Duration = Duration::from_secs(60);

/// The processes of one variant: the rpc nodes first.
struct Variant {
    rpcs: Vec<NodeProcess>,
    builders: Vec<NodeProcess>,
}

impl Variant {
    async fn start(name: &str, stack: &Stack, redis: &Redis, folder: &str) -> Result<Self> {
        let keys = [KEYS[1], KEYS[3]].join(",");
        let start = async |arguments: &[&str]| {
            let arguments = [&COMMON[..], arguments].concat();
            let keys = [("FABSTIR_BUNDLER_KEY", keys.as_str())];
            NodeProcess::with(&stack.anvil.url, &stack.deployment_file, &arguments, &keys).await
        };
        let shared = async |role| start(&["--redis", &redis.url, "--role", role]).await;
        let (rpcs, builders) = match name {
            "memory" => (vec![start(&[]).await?], vec![]),
            "redb" => (vec![start(&["--data-dir", folder]).await?], vec![]),
            "1 rpc" => (vec![shared("rpc").await?], vec![shared("builder").await?, shared("builder").await?]),
            _ => (
                vec![shared("rpc").await?, shared("rpc").await?],
                vec![shared("builder").await?, shared("builder").await?],
            ),
        };
        let variant = Self { rpcs, builders };
        variant.ready().await?;
        Ok(variant)
    }

    /// Waits until all partitions are held.
    async fn ready(&self) -> Result<()> {
        let start = Instant::now();
        while !self.builders.is_empty() {
            let mut held = 0;
            for builder in &self.builders {
                let states = builder.ask("fabstir_partitions", vec![]).await?;
                held += states.as_array().into_iter().flatten().filter(|state| state["state"] == "held").count();
            }
            if held == 2 {
                break;
            }
            ensure!(start.elapsed() < PATIENCE, "nobody takes the partitions");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn stop(self) -> Result<()> {
        for mut process in self.rpcs.into_iter().chain(self.builders) {
            process.stop().await?;
        }
        Ok(())
    }
}

/// Operations that were executed since this block.
async fn executed(stack: &Stack, since: &Value) -> Result<usize> {
    let filter = json!({ "fromBlock": since, "topics": [UserOperationEvent::SIGNATURE_HASH] });
    Ok(stack.anvil.ask("eth_getLogs", vec![filter]).await?.as_array().map_or(0, Vec::len))
}

/// Accepted operations a second, with so many clients. All are included when it returns.
async fn round(variant: &Variant, stack: &Stack, fleet: &mut Fleet, clients: usize) -> Result<f64> {
    for rpc in &variant.rpcs {
        // Connections, code, and the forecast that every running node has.
        clients::run(&rpc.url, &fleet.estimates(200), 4).await?;
    }
    let batch = fleet.next(stack, OPERATIONS).await?;
    let since = stack.anvil.ask("eth_blockNumber", vec![]).await?;
    let start = Instant::now();
    let parts = batch.requests.chunks(OPERATIONS / variant.rpcs.len()).map(|part| Arc::new(part.to_vec()));
    let runs = variant
        .rpcs
        .iter()
        .zip(parts)
        .map(|(rpc, part)| async move { clients::run(&rpc.url, &part, clients / variant.rpcs.len()).await });
    for run in futures::future::try_join_all(runs).await? {
        ensure!(run.refused.is_empty(), "{} refused, such as {}", run.refused.len(), run.refused[0]);
    }
    let accepted = start.elapsed().as_secs_f64();
    while executed(stack, &since).await? < OPERATIONS {
        ensure!(start.elapsed() < PATIENCE, "not all are included");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(OPERATIONS as f64 / accepted)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

// One thread: the cores belong to the nodes and the chain.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let redis = Redis::durable().await?;
    let anvil = Anvil::start_with(&["--gas-limit", "240000000"]).await?;
    let url = anvil.url.clone();
    let mut stack = Stack::on(anvil, &url, &COMMON).await?;
    let mut fleet = Fleet::deploy(&stack, SENDERS).await?;
    // What its gas limits are, as long as there is a node to say so.
    fleet.next(&stack, 1).await?;
    stack.node.stop().await?;
    stack.anvil.ask("evm_setIntervalMining", vec![json!(1)]).await?;
    let folder = std::env::temp_dir().join(format!("fabstir-durable-{}", std::process::id()));
    let folder_name = folder.to_str().context("a folder that is no text")?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    println!("{OPERATIONS} operations of {SENDERS} senders, {ROUNDS} rounds; load average {load}");

    for clients in CLIENTS {
        let mut rates: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for _ in 0..ROUNDS {
            for name in ["memory", "redb", "1 rpc", "2 rpc"] {
                let variant = Variant::start(name, &stack, &redis, folder_name).await?;
                let accepted = round(&variant, &stack, &mut fleet, clients).await?;
                variant.stop().await?;
                rates.entry(name).or_default().push(accepted);
            }
        }
        let medians: BTreeMap<&str, f64> = rates.iter_mut().map(|(name, rates)| (*name, median(rates))).collect();
        println!("\n{clients} clients");
        for (name, accepted) in &medians {
            println!("  {name:<8} median {accepted:>7.0} accepted a second, of {:.0?}", rates[name]);
        }
        println!(
            "  with durability {:.2} of what is accepted without (goal 0.80); two rpc nodes {:.2} times what one accepts",
            medians["redb"] / medians["memory"],
            medians["2 rpc"] / medians["1 rpc"],
        );
    }
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}
