//! How long a send takes beside the worst estimates that anybody can ask for, and how long without them, in one run
//! (`make bench`). The node has no limit per caller here: all clients have one address.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement ends where it fails")]

#[path = "rpc/clients.rs"]
#[allow(dead_code, reason = "shared with the other measurement")]
mod clients;
#[path = "rpc/operations.rs"]
#[allow(dead_code, reason = "shared with the other measurement")]
mod operations;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::json;
use tests::{
    Anvil, Stack,
    greedy::{self, Greed},
    load::Latencies,
    process::cpu_time,
};

use self::{
    clients::{Connection, request},
    operations::Fleet,
};

/// Sends of each kind, one after the other with a pause between them.
const SENDS: usize = 400;
const PAUSE: Duration = Duration::from_millis(25);
/// Clients that have greedy estimates made, each the next one as soon as it has its answer.
const GREEDY: usize = 70;
/// Most times as long as without estimates that a send may take beside them, or milliseconds.
const GOAL: (f64, f64) = (3.0, 10.0);

/// Asks for estimates until it is stopped.
async fn ask(url: String, requests: Arc<Vec<clients::Request>>, number: usize, answered: Arc<AtomicU64>) {
    let Ok(mut connection) = Connection::open(&url).await else { return };
    for request in requests.iter().cycle().skip(number) {
        if connection.ask(request).await.is_err() {
            return;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends these, and tells how long that took; the 95th percentile in milliseconds.
async fn send(name: &str, url: &str, requests: &[clients::Request]) -> Result<f64> {
    let (mut connection, mut latencies) = (Connection::open(url).await?, Latencies::default());
    for request in requests {
        let asked = Instant::now();
        let answer = connection.ask(request).await?;
        latencies.add(asked.elapsed());
        let taken = answer.windows(9).any(|part| part == b"\"result\":");
        ensure!(taken, "refused: {}", String::from_utf8_lossy(answer));
        tokio::time::sleep(PAUSE).await;
    }
    let (p50, p95) = (latencies.percentile(50), latencies.percentile(95));
    println!("| {name} | {} | {p50:.2} ms | {p95:.2} ms |", latencies.count());
    Ok(p95)
}

// One thread: the cores belong to the node and the chain.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let anvil = Anvil::start_with(&["--gas-limit", "120000000"]).await?;
    let url = anvil.url.clone();
    let stack = Stack::on(anvil, &url, &["--calls-per-second", "0", "--poll-ms", "100"]).await?;
    let mut fleet = Fleet::deploy(&stack, 300).await?;
    let entry_point = greedy::place(&stack).await?;
    stack.anvil.ask("evm_setIntervalMining", vec![json!(1)]).await?;
    let node = &stack.node;
    clients::run(&node.url, &fleet.estimates(200), 4).await?;

    println!("| sends | | p50 | p95 |");
    let batch = fleet.next(&stack, SENDS).await?;
    let alone = send("alone", &node.url, &batch.requests).await?;

    let greedy = |greed: &Greed| request("eth_estimateUserOperationGas", json!([greed.operation(), entry_point]));
    let requests: Arc<Vec<_>> = Arc::new(Greed::ALL.iter().map(greedy).collect());
    let (batch, answered) = (fleet.next(&stack, SENDS).await?, Arc::<AtomicU64>::default());
    let cpu = cpu_time(node.pid()?)?;
    let asking = |number| tokio::spawn(ask(node.url.clone(), Arc::clone(&requests), number, Arc::clone(&answered)));
    let clients: Vec<_> = (0..GREEDY).map(asking).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let beside = send("beside the worst estimates", &node.url, &batch.requests).await?;
    let answered = answered.load(Ordering::Relaxed);
    clients.iter().for_each(|client| client.abort());
    let each = (cpu_time(node.pid()?)? - cpu).as_secs_f64() / answered.max(1) as f64;
    println!("{answered} estimates answered meanwhile, by {GREEDY} clients; at most {each:.3} CPU-seconds each");
    let met = beside <= alone * GOAL.0 || beside <= GOAL.1;
    println!(
        "p95 {beside:.2} ms, {:.2} times as long as alone: {} (goal: ≤ {} times, or {} ms)",
        beside / alone,
        if met { "met" } else { "MISSED" },
        GOAL.0,
        GOAL.1
    );
    Ok(())
}
