//! How long a sponsorship takes, and what one round trip saves (`make bench`).
//!
//! ```text
//!  clients ──► fabstir node (budgets on disk) ──► anvil      pm_getPaymasterData: policy, rehearsal, budget, signature
//!  viem ──► Proxy, 0 or 20 ms ──► fabstir node ──► anvil     four calls, two, one, until the operation is taken
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement ends where it fails")]
#![allow(dead_code, reason = "clients of another measurement")]

#[path = "rpc/clients.rs"]
mod clients;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy::primitives::{Address, U256};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{Proxy, Stack, load::Latencies, stack::root};
use tokio::process::Command;

/// Sponsorships that are timed, after as many that are not.
const SPONSORSHIPS: usize = 1_000;
/// Operations of each flow, at each distance.
const OPERATIONS: &str = "50";
/// How far the clients are.
const FAR: Duration = Duration::from_millis(20);

fn load_average() -> Result<String> {
    Ok(std::fs::read_to_string("/proc/loadavg")?.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Sponsorships of operations that differ in their nonce, one after the other.
async fn sponsorships(stack: &Stack) -> Result<()> {
    let client = stack.client(SecretKey::generate(), 0).await?;
    let approve = erc4337::calls::Call {
        target: stack.deployment.token,
        value: U256::ZERO,
        data: alloy::sol_types::SolCall::abi_encode(&erc4337::abi::test_usdc::approveCall {
            spender: stack.deployment.payment_escrow,
            value: U256::from(1),
        })
        .into(),
    };
    client.act(std::slice::from_ref(&approve)).await?;
    let op = client.prepare(&[approve]).await?;
    let entry_point: Address = stack.deployment.entry_points["v0.8"];
    let chain = json!(U256::from(stack.deployment.chain_id));
    for method in ["pm_getPaymasterStubData", "pm_getPaymasterData"] {
        let requests = |from: usize| {
            let one = |number: usize| {
                let mut op = op.clone();
                op["nonce"] = json!(U256::from(number) << 64);
                let verification: U256 = serde_json::from_value(op["verificationGasLimit"].clone()).unwrap();
                op["verificationGasLimit"] = json!(verification + U256::from(30_000));
                clients::request(method, json!([op, entry_point, chain, Value::Null]))
            };
            Arc::new((from..from + SPONSORSHIPS).map(one).collect::<Vec<_>>())
        };
        for (from, timed) in [(1, false), (1 + SPONSORSHIPS, true)] {
            let run = clients::run(&stack.node.url, &requests(from), 1).await?;
            ensure!(run.refused.is_empty(), "{} refused, such as {}", run.refused.len(), run.refused[0]);
            if timed {
                let (p50, p95) = (run.latencies.percentile(50), run.latencies.percentile(95));
                println!("  {method:<24} p50 {p50:6.2} ms  p95 {p95:6.2} ms  {:6.0} /s", run.per_second());
            }
        }
    }
    Ok(())
}

/// What each flow took, by the program's own clock.
async fn flows(stack: &Stack, url: &str) -> Result<BTreeMap<String, Latencies>> {
    let file = stack.deployment_file.with_extension("flows");
    let mut session = stack.session(Address::ZERO, &SecretKey::generate());
    session["rpcUrl"] = json!(url);
    std::fs::write(&file, session.to_string())?;
    let output = Command::new("npm")
        .args(["--silent", "--prefix", "tests/viem", "run", "roundTrips"])
        .current_dir(root())
        .env("FABSTIR_DEV", &file)
        .env("FABSTIR_OPERATIONS", OPERATIONS)
        .output()
        .await?;
    std::fs::remove_file(&file)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let mut flows = BTreeMap::<String, Latencies>::new();
    for line in text.lines() {
        let (flow, took) = line.split_once(' ').with_context(|| format!("no figure: {line}"))?;
        flows.entry(flow.to_owned()).or_default().add(Duration::from_secs_f64(took.parse::<f64>()? / 1e3));
    }
    Ok(flows)
}

#[tokio::main]
async fn main() -> Result<()> {
    println!("load average {}", load_average()?);
    let folder = std::env::temp_dir().join(format!("fabstir-bench-sponsored-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let data_dir = folder.to_str().context("a folder without a name")?.to_owned();
    let limits = ["--calls-per-second", "0", "--sponsor-per-account", "1000", "--sponsor-per-day", "10000"];
    let arguments = [&limits[..], &["--data-dir", &data_dir]].concat();
    let stack = Stack::start(&arguments).await?;
    println!("\nsponsorships, warm, one client, budgets on disk");
    sponsorships(&stack).await?;

    for delay in [Duration::ZERO, FAR] {
        let proxy = Proxy::start_far(&stack.node.url, delay).await?;
        let url = if delay.is_zero() { stack.node.url.clone() } else { proxy.url.clone() };
        println!("\nfrom the call until the operation is taken, clients {} ms away", delay.as_millis());
        let flows = flows(&stack, &url).await?;
        let p50 = |flow: &str| flows[flow].percentile(50);
        for flow in ["four", "two", "one"] {
            let times = p50("four") / p50(flow);
            println!("  {flow:<5} p50 {:7.2} ms  p95 {:7.2} ms  {times:5.2}×", p50(flow), flows[flow].percentile(95));
        }
        if !delay.is_zero() {
            println!("  asked in all: {:?}", proxy.methods());
        }
    }
    drop(stack);
    std::fs::remove_dir_all(&folder)?;
    println!("\nload average {}", load_average()?);
    Ok(())
}
