//! SIGTERM while serving: within five seconds, nothing accepted goes unaccounted for.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, Bytes, U256, utils::parse_ether},
    sol_types::SolEvent,
};
use erc4337::{EntryPointVersion, abi::entry_point_v08::UserOperationEvent};
use serde_json::{Value, json};
use tests::{Stack, accounts::SimpleAccount, patience::until};

const LIMIT: Duration = Duration::from_secs(5);

/// Hashes that the node named with this word.
fn named(lines: &[String], word: &str) -> BTreeSet<B256> {
    lines.iter().filter_map(|line| line.strip_prefix(word)?.split(' ').next()?.parse().ok()).collect()
}

async fn mined(stack: &Stack) -> BTreeSet<B256> {
    let filter = json!({ "fromBlock": "0x0", "topics": [UserOperationEvent::SIGNATURE_HASH] });
    let logs: Vec<Value> = serde_json::from_value(stack.anvil.ask("eth_getLogs", vec![filter]).await.unwrap()).unwrap();
    logs.iter().map(|log| serde_json::from_value(log["topics"][1].clone()).unwrap()).collect()
}

/// What the node, told to stop at `told`, printed from then on; a new one takes its place.
async fn end(stack: &mut Stack, told: Instant) -> Vec<String> {
    let fresh = tests::stack::NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &[]).await.unwrap();
    let (lines, success) = std::mem::replace(&mut stack.node, fresh).end(LIMIT).await.unwrap();
    assert!(success && told.elapsed() <= LIMIT, "{lines:?} after {:?}", told.elapsed());
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_accepted_operation_is_mined_or_named() {
    let mut stack = Stack::start(&[]).await.unwrap();
    let mut accounts = Vec::new();
    for _ in 0..4 {
        accounts.push(SimpleAccount::new(&stack, EntryPointVersion::V0_8, parse_ether("1").unwrap()).await.unwrap());
    }
    let accepted: Arc<Mutex<BTreeSet<B256>>> = Arc::default();
    let told = AtomicBool::new(false);
    let send = async {
        let each = accounts.iter().map(|account| async {
            // Until the node takes no more.
            loop {
                let op = account.operation(&stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
                match account.send(&stack, op).await {
                    Ok(hash) => drop(accepted.lock().unwrap().insert(hash)),
                    Err(_) if told.load(Ordering::Relaxed) => return,
                    // The last one of this account is not mined yet.
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        });
        let sending = futures::future::join_all(each);
        let kill = async {
            until("twenty are accepted", async || accepted.lock().unwrap().len() >= 20).await;
            stack.node.terminate().await.unwrap();
            told.store(true, Ordering::Relaxed);
            Instant::now()
        };
        tokio::join!(sending, kill).1
    };
    let killed = send.await;
    let lines = end(&mut stack, killed).await;

    let accepted = accepted.lock().unwrap().clone();
    let (mined, dropped, sent) = (mined(&stack).await, named(&lines, "dropped: "), named(&lines, "sent: "));
    assert!(accepted.len() >= 20);
    for hash in &accepted {
        let accounted =
            if mined.contains(hash) { !dropped.contains(hash) } else { dropped.contains(hash) ^ sent.contains(hash) };
        assert!(accounted, "{hash} is unaccounted for: {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_chain_that_stands_still_what_was_accepted_is_named() {
    let mut stack = Stack::start(&[]).await.unwrap();
    let account = SimpleAccount::new(&stack, EntryPointVersion::V0_8, parse_ether("1").unwrap()).await.unwrap();
    let op = account.operation(&stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    stack.anvil.hold().await.unwrap();
    let hash = account.send(&stack, op).await.unwrap();
    stack.node.terminate().await.unwrap();
    let lines = end(&mut stack, Instant::now()).await;
    assert_eq!(named(&lines, "sent: "), BTreeSet::from([hash]));
    assert!(lines.iter().any(|line| line == "stopped: 1 accepted operations not mined"), "{lines:?}");
    // As said, it was sent and may still be mined.
    stack.anvil.ask("evm_mine", vec![]).await.unwrap();
    assert!(mined(&stack).await.contains(&hash));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_rid_of_a_bad_reputation_by_a_restart() {
    let file = std::env::temp_dir().join(format!("fabstir-reputations-{}.json", std::process::id()));
    let arguments = ["--debug-rpc", "--reputation-file", file.to_str().unwrap()];
    let mut stack = Stack::start(&arguments).await.unwrap();
    let banned = json!([{ "address": Address::repeat_byte(9), "opsSeen": "0x2710", "opsIncluded": "0x0" }]);
    stack.node.ask("debug_bundler_setReputation", vec![banned]).await.unwrap();
    stack.node.terminate().await.unwrap();
    end(&mut stack, Instant::now()).await;

    let again = tests::stack::NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &arguments).await.unwrap();
    let dumped = again.ask("debug_bundler_dumpReputation", vec![]).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    let expected =
        json!([{ "address": Address::repeat_byte(9), "opsSeen": "0x2710", "opsIncluded": "0x0", "status": "banned" }]);
    assert_eq!(dumped, expected);
}

tests::on_base!(
    under_load_every_accepted_operation_is_mined_or_named,
    on_a_chain_that_stands_still_what_was_accepted_is_named,
);
