//! A steady load on Base as it is, between other people's transactions: each operation is executed once, and how long
//! that took is told. `FABSTIR_LOAD_RATE` (20) operations a second for `FABSTIR_LOAD_SECONDS` (10), at the moments of
//! `FABSTIR_SEED` (7).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use alloy::{
    primitives::{B256, utils::parse_ether},
    sol_types::SolEvent,
};
use erc4337::abi::entry_point_v08::UserOperationEvent;
use jsonrpsee::{
    core::client::{ClientT, Subscription, SubscriptionClientT},
    rpc_params,
    ws_client::{WsClient, WsClientBuilder},
};
use serde_json::{Value, json};
use tests::{Stack, chain::OnBase, process::cpu_time, programs::Dice};
use tokio::task::JoinHandle;

use crate::inclusion::{accounts, executions, nth};

/// An account acts again after so many seconds.
const PAUSE: u64 = 3;
/// How long the last one may take, and one that is refused may be tried again.
const PATIENCE: Duration = Duration::from_secs(60);

type Seen = Arc<Mutex<BTreeMap<B256, Instant>>>;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Notes when the chain told of the block that an operation is in.
async fn watch(stack: &Stack, seen: Seen) -> JoinHandle<()> {
    let client = WsClientBuilder::default().build(stack.anvil.url.replace("http", "ws")).await.unwrap();
    let heads: Subscription<Value> =
        client.subscribe("eth_subscribe", rpc_params!["newHeads"], "eth_unsubscribe").await.unwrap();
    tokio::spawn(note(client, heads, seen))
}

async fn note(client: WsClient, mut heads: Subscription<Value>, seen: Seen) {
    while let Some(Ok(head)) = heads.next().await {
        let at = Instant::now();
        let filter = json!({ "blockHash": head["hash"], "topics": [UserOperationEvent::SIGNATURE_HASH] });
        let Ok(logs) = client.request::<Vec<Value>, _>("eth_getLogs", rpc_params![filter]).await else { return };
        let hashes = logs.iter().filter_map(|log| serde_json::from_value::<B256>(log["topics"][1].clone()).ok());
        let mut seen = seen.lock().unwrap();
        for hash in hashes {
            seen.entry(hash).or_insert(at);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_steady_load_between_others_each_operation_is_executed_once() {
    let _base = OnBase::begin();
    let (seconds, rate) = (number("FABSTIR_LOAD_SECONDS", 10), number("FABSTIR_LOAD_RATE", 20));
    let seed = number("FABSTIR_SEED", 7);
    let stack = Stack::start(&["--calls-per-second", "0"]).await.unwrap();
    let (mut accounts, template) = accounts(&stack, 1).await;
    let more = accounts[0].siblings(&stack, (rate * PAUSE) as usize, parse_ether("1").unwrap()).await.unwrap();
    accounts.extend(more);

    // Not evenly: the gaps between two are as long as the dice say, `1 / rate` on average.
    let mut dice = Dice::new(seed);
    let mut at = Duration::ZERO;
    let mut moments = Vec::new();
    for _ in 0..seconds * rate {
        at += Duration::from_micros(dice.throw() % (2_000_000 / rate));
        moments.push(at);
    }
    let seen = Seen::default();
    let watch = watch(&stack, seen.clone()).await;
    let (node, start) = (stack.node.pid().unwrap(), tokio::time::Instant::now());
    let cpu = cpu_time(node).unwrap();
    let each = accounts.iter().enumerate().map(|(index, account)| {
        let (stack, template, moments) = (&stack, &template, &moments);
        let mine = moments.iter().skip(index).step_by(accounts.len());
        async move {
            let mut sent = Vec::new();
            for (sequence, moment) in mine.enumerate() {
                tokio::time::sleep_until(start + *moment).await;
                let (hash, op) = nth(account, template, sequence);
                let (began, mut refusals) = (Instant::now(), 0_usize);
                let params = vec![op, json!(account.entry_point)];
                while let Err(error) = stack.node.ask("eth_sendUserOperation", params.clone()).await {
                    refusals += 1;
                    assert!(began.elapsed() < PATIENCE, "{error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                sent.push((hash, began, refusals));
            }
            sent
        }
    });
    let sent: Vec<_> = futures::future::join_all(each).await.into_iter().flatten().collect();
    let busy = (cpu_time(node).unwrap() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    let end = Instant::now();
    while seen.lock().unwrap().len() < sent.len() && end.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    watch.abort();

    let mut executed: BTreeMap<B256, usize> = BTreeMap::new();
    let executions = executions(&stack).await;
    executions.iter().for_each(|(hash, _, _)| *executed.entry(*hash).or_default() += 1);
    for (hash, _, _) in &sent {
        let status = stack.node.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await.unwrap();
        assert_eq!(executed.get(hash), Some(&1), "seed {seed}: {hash} {status}");
    }
    assert_eq!(executed.len(), sent.len(), "seed {seed}: others than were sent");
    let bundles: std::collections::BTreeSet<_> = executions.iter().map(|(_, transaction, _)| transaction).collect();
    let seen = seen.lock().unwrap();
    let mut waits: Vec<u128> = sent.iter().map(|(hash, began, _)| (seen[hash] - *began).as_millis()).collect();
    waits.sort_unstable();
    let percentile = |per_cent: usize| waits[(waits.len() - 1) * per_cent / 100];
    println!(
        "{} operations of {} accounts, {rate} a second for {seconds} s from seed {seed}, in {} bundles between others: \
         each executed once; sent to included in ms: p50 {}, p95 {}, p99 {}, most {}; {} refused at first; the node \
         took {:.1} % of a core",
        sent.len(),
        accounts.len(),
        bundles.len(),
        percentile(50),
        percentile(95),
        percentile(99),
        percentile(100),
        sent.iter().filter(|(_, _, refusals)| *refusals > 0).count(),
        100.0 * busy,
    );
}
