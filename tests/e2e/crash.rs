//! A node that is killed at any moment, with a journal: whatever it had acknowledged is executed exactly once, or not
//! at all and then with a reason. `FABSTIR_CRASH_RUNS` (10) lives from `FABSTIR_CRASH_SEED` (1) on.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use alloy::primitives::{Address, B256, U256, utils::parse_ether};
use jsonrpsee::{
    core::{ClientError, client::ClientT},
    http_client::HttpClient,
    rpc_params,
};
use serde_json::{Value, json};
use tests::{Anvil, Redis, Stack, accounts::SimpleAccount, stack::NodeProcess};

use crate::{
    attacks::{PER_ACCOUNT, VERSION, of_key, parse, sponsored},
    inclusion::{accounts, executions, nth},
};

const SENDERS: usize = 8;
const BLOCK: Duration = Duration::from_millis(200);
/// Longest life of a node from its being ready on.
const LIFE: u64 = 1_200;

/// For a node to come to its point.
const PATIENCE: Duration = Duration::from_secs(30);

/// Points of the node's at which it ends itself, between what it does and what it writes of that.
const POINTS: [&str; 5] =
    ["before commit", "amid commit", "after commit", "before acknowledgement", "before broadcast"];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fabstir-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn arguments(&self) -> Vec<&str> {
        vec!["--data-dir", self.0.to_str().unwrap(), "--calls-per-second", "0"]
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What was acknowledged, and how far each sender is.
#[derive(Default)]
struct Load {
    acknowledged: Mutex<BTreeSet<B256>>,
    next: Mutex<[usize; SENDERS]>,
}

impl Load {
    /// Sends one operation after the other until the node is gone. What was not acknowledged is sent again to the next.
    async fn send(&self, rpc: &HttpClient, accounts: &[SimpleAccount], template: &Value) {
        let each = accounts.iter().enumerate().map(|(index, account)| async move {
            loop {
                let sequence = self.next.lock().unwrap()[index];
                let (hash, op) = nth(account, template, sequence);
                let sent: Result<B256, _> =
                    rpc.request("eth_sendUserOperation", rpc_params![op, account.entry_point]).await;
                match sent {
                    Ok(told) => {
                        assert_eq!(told, hash);
                        self.acknowledged.lock().unwrap().insert(hash);
                        self.next.lock().unwrap()[index] += 1;
                    }
                    Err(ClientError::Call(_)) => {
                        // Four are pending already; or it was executed, though nobody was told that it had been taken.
                        let known: Result<Value, _> =
                            rpc.request("eth_getUserOperationReceipt", rpc_params![hash]).await;
                        if known.is_ok_and(|receipt| !receipt.is_null()) {
                            self.next.lock().unwrap()[index] += 1;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    Err(_) => return,
                }
            }
        });
        futures::future::join_all(each).await;
    }
}

/// Sponsorship that was granted to one account: as much as can be had, whichever life grants it.
struct Grants {
    op: Value,
    next: AtomicU64,
    /// When, and wei that it may cost.
    granted: Mutex<Vec<(Instant, U256)>>,
}

impl Grants {
    async fn of(stack: &Stack) -> Self {
        let (_, op) = sponsored(stack).await;
        let first = (Instant::now(), parse(&op).required_prefund(VERSION));
        Self { op, next: AtomicU64::new(1), granted: Mutex::new(vec![first]) }
    }

    /// Asks for one after the other until the node is gone.
    async fn ask(&self, rpc: &HttpClient, entry_point: Address) {
        loop {
            let op = of_key(&self.op, self.next.fetch_add(1, Ordering::SeqCst));
            let params = rpc_params![&op, entry_point, U256::from(31_337), Value::Null];
            let answer: Result<Value, _> = rpc.request("pm_getPaymasterData", params).await;
            match answer {
                Ok(_) => {
                    let cost = parse(&op).required_prefund(VERSION);
                    self.granted.lock().unwrap().push((Instant::now(), cost));
                }
                Err(ClientError::Call(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(_) => return,
            }
        }
    }

    /// The most that was granted within a minute: for longer than that each of them holds.
    fn most(&self) -> U256 {
        let granted = self.granted.lock().unwrap();
        let minute = Duration::from_secs(60);
        let since = |(start, _): &(Instant, U256)| {
            granted.iter().filter(|(at, _)| at >= start && *at - *start < minute).map(|(_, cost)| *cost).sum::<U256>()
        };
        granted.iter().map(since).max().unwrap_or_default()
    }
}

/// Mines a block every [`BLOCK`] as long as it is held.
pub(crate) fn miner(stack: &Stack) -> tokio::task::JoinHandle<()> {
    let url = stack.anvil.url.clone();
    tokio::spawn(async move {
        let rpc = jsonrpsee::http_client::HttpClientBuilder::default().build(url).unwrap();
        loop {
            let _: Result<Value, _> = rpc.request("evm_mine", rpc_params![]).await;
            tokio::time::sleep(BLOCK).await;
        }
    })
}

/// Waits until each of these has come to an end; what the node says of those that were not executed.
async fn ends(stack: &Stack, acknowledged: &BTreeSet<B256>) -> BTreeMap<B256, Value> {
    let mut open: BTreeSet<B256> = acknowledged.clone();
    let mut said = BTreeMap::new();
    for _ in 0..600 {
        for (hash, _, _) in executions(stack).await {
            open.remove(&hash);
        }
        for hash in open.clone() {
            // Nobody may hold its partition yet.
            let status = stack.node.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await;
            let Ok(status) = status else { continue };
            if status["status"] == "dropped" {
                open.remove(&hash);
                said.insert(hash, status);
            } else {
                said.insert(hash, status);
            }
        }
        if open.is_empty() {
            said.retain(|hash, status| acknowledged.contains(hash) && status["status"] == "dropped");
            return said;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let lost: Vec<_> = open.iter().map(|hash| (hash, said.get(hash))).collect();
    panic!("{} of {} acknowledged operations came to no end: {lost:?}", open.len(), acknowledged.len());
}

/// Holds the chain against what was acknowledged; how many were executed and how many dropped.
pub(crate) async fn check(stack: &Stack, acknowledged: &BTreeSet<B256>) -> (usize, usize) {
    let dropped = ends(stack, acknowledged).await;
    let mut executed: BTreeMap<B256, usize> = BTreeMap::new();
    executions(stack).await.into_iter().for_each(|(hash, _, _)| *executed.entry(hash).or_default() += 1);
    assert!(executed.values().all(|times| *times == 1), "executed twice: {executed:?}");
    for (hash, status) in &dropped {
        let reason = status["reason"].as_str().unwrap_or_default();
        assert!(!reason.is_empty() && !executed.contains_key(hash), "{hash} {status}");
    }
    for hash in acknowledged.difference(&dropped.keys().copied().collect()) {
        assert!(executed.contains_key(hash), "{hash} is lost");
    }
    (acknowledged.len() - dropped.len(), dropped.len())
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_loses_nothing_that_it_acknowledged_and_does_nothing_twice() {
    let folder = Folder::new("crash");
    lives("redb", &[&folder.arguments()[..], &["--sponsor-per-account", PER_ACCOUNT]].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_loses_nothing_on_redis_either() {
    let redis = Redis::durable().await.unwrap();
    let arguments = ["--redis", &redis.url, "--role", "both", "--partitions", "1", "--lease-ms", "300"];
    lives("redis", &[&arguments[..], &["--calls-per-second", "0", "--sponsor-per-account", PER_ACCOUNT]].concat())
        .await;
}

async fn lives(store: &str, arguments: &[&str]) {
    let (runs, seed) = (number("FABSTIR_CRASH_RUNS", 10), number("FABSTIR_CRASH_SEED", 1));
    let anvil = Anvil::start_with(&["--gas-limit", "40000000"]).await.unwrap();
    let url = anvil.url.clone();
    let mut stack = Stack::on(anvil, &url, arguments).await.unwrap();
    let (accounts, template) = accounts(&stack, SENDERS).await;
    let (grants, limit) = (Grants::of(&stack).await, parse_ether(PER_ACCOUNT).unwrap());
    let entry_point = stack.deployment.entry_points[&VERSION.to_string()];
    stack.anvil.ask("evm_setAutomine", vec![json!(false)]).await.unwrap();
    let miner = miner(&stack);

    let load = Load::default();
    let mut random = Random(seed);
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unacknowledged = 0;
    for run in 0..runs {
        stack.node.kill().await.unwrap();
        // Every second one ends itself at a point of its own, if it comes to it before it is killed.
        let point = (run % 2 == 1).then(|| POINTS[(run / 2) as usize % POINTS.len()]);
        let after = random.below(8).to_string();
        let environment: Vec<(&str, &str)> =
            point.iter().flat_map(|point| [("FABSTIR_CRASH_AT", *point), ("FABSTIR_CRASH_AFTER", &after)]).collect();
        let started = NodeProcess::with(&url, &stack.deployment_file, arguments, &environment).await;
        match started {
            Ok(node) => {
                let rpc = node.rpc.clone();
                stack.node = node;
                // One with a point of its own comes to it, however slow the machine is.
                let life = Duration::from_millis(50 + random.below(LIFE));
                let life = if point.is_some() { PATIENCE } else { life };
                let before = load.acknowledged.lock().unwrap().len();
                let sending =
                    futures::future::join(load.send(&rpc, &accounts, &template), grants.ask(&rpc, entry_point));
                let cut_off = tokio::time::timeout(life, sending).await.is_ok();
                let by_itself = cut_off && stack.node.has_ended(PATIENCE).await.unwrap();
                stack.node.kill().await.unwrap();
                assert_eq!(by_itself, point.is_some(), "run {run}, seed {seed}: {point:?}, cut off: {cut_off}");
                *met.entry(point.unwrap_or("at random")).or_default() += 1;
                unacknowledged += usize::from(load.acknowledged.lock().unwrap().len() == before);
            }
            // At a point that it came to before it was ready.
            Err(error) => {
                let point = point.unwrap_or_else(|| panic!("run {run}, seed {seed}: {error:#}"));
                *met.entry(point).or_default() += 1;
            }
        }
    }
    stack.node = NodeProcess::start(&url, &stack.deployment_file, arguments).await.unwrap();
    let acknowledged = load.acknowledged.lock().unwrap().clone();
    let (executed, dropped) = check(&stack, &acknowledged).await;
    miner.abort();
    let (most, grants) = (grants.most(), grants.granted.into_inner().unwrap().len());
    assert!(most <= limit, "{most} wei granted of {limit}");
    assert!(grants > 1, "nothing was granted");
    println!(
        "{store}: {runs} lives from seed {seed}, ended {met:?}: {} operations acknowledged, {executed} executed once, {dropped} \
         dropped with a reason, 0 lost, 0 twice; {unacknowledged} lives acknowledged none; {grants} sponsorships granted, \
         {most} wei at a time of {limit}",
        acknowledged.len(),
    );
    assert!(acknowledged.len() as u64 >= runs, "{}", acknowledged.len());
    let points = (runs / 2).min(POINTS.len() as u64) as usize;
    assert!(POINTS[..points].iter().all(|point| met.contains_key(point)), "{met:?}");
}

/// The largest file that a process may write from now on, in bytes: what lies beyond cannot be written, as on a full
/// disk.
async fn limit(node: &NodeProcess, bytes: &str) {
    let pid = node.pid().unwrap().to_string();
    let limit = format!("--fsize={bytes}:unlimited");
    let set = tokio::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status().await.unwrap();
    assert!(set.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_taken_and_with_room_again_nothing_was_lost() {
    let folder = Folder::new("full");
    let anvil = Anvil::start().await.unwrap();
    let url = anvil.url.clone();
    let mut stack = Stack::on(anvil, &url, &folder.arguments()).await.unwrap();
    let (accounts, template) = accounts(&stack, 2).await;
    stack.node.kill().await.unwrap();
    stack.node = NodeProcess::unwarned(&url, &stack.deployment_file, &folder.arguments()).await.unwrap();
    stack.anvil.ask("evm_setAutomine", vec![json!(false)]).await.unwrap();
    let send = async |stack: &Stack, sequence: usize| {
        let (hash, op) = nth(&accounts[0], &template, sequence);
        let params = vec![op, json!(accounts[0].entry_point)];
        (hash, stack.node.ask("eth_sendUserOperation", params).await)
    };
    let (first, sent) = send(&stack, 0).await;
    sent.unwrap();
    limit(&stack.node, "4096").await;
    let (second, refused) = send(&stack, 1).await;
    let Err(ClientError::Call(refused)) = refused else { panic!("taken, or no answer: {refused:?}") };
    assert_eq!(refused.code(), -32005, "{refused}");
    assert!(refused.message().contains("cannot be stored"), "{refused}");
    // Its sender was told that it was not taken. What has become of it is told when that is written, and not before.
    match stack.node.ask("fabstir_getUserOperationStatus", vec![json!(second)]).await {
        Ok(status) => assert_ne!(status["status"], "pending"),
        Err(ClientError::Call(error)) => assert_eq!(error.code(), -32005, "{error}"),
        Err(other) => panic!("{other}"),
    }
    limit(&stack.node, "unlimited").await;
    let mut sent = send(&stack, 1).await.1;
    for _ in 0..100 {
        if sent.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        sent = send(&stack, 1).await.1;
    }
    sent.unwrap();
    stack.node.kill().await.unwrap();
    stack.node = NodeProcess::start(&url, &stack.deployment_file, &folder.arguments()).await.unwrap();
    let miner = miner(&stack);
    assert_eq!(check(&stack, &BTreeSet::from([first, second])).await, (2, 0));
    miner.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_and_one_of_a_key_that_is_gone_are_refused_and_never_made_anew() {
    let folder = Folder::new("damaged");
    let anvil = Anvil::start().await.unwrap();
    let url = anvil.url.clone();
    let mut stack = Stack::on(anvil, &url, &folder.arguments()).await.unwrap();
    let account =
        SimpleAccount::new(&stack, erc4337::EntryPointVersion::V0_8, parse_ether("1").unwrap()).await.unwrap();
    stack.anvil.ask("evm_setAutomine", vec![json!(false)]).await.unwrap();
    let op = account.operation(&stack, alloy::primitives::Address::repeat_byte(5), U256::ZERO, Default::default());
    let hash = account.send(&stack, op.await.unwrap()).await.unwrap();
    for _ in 0..500 {
        let status = stack.node.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await.unwrap();
        // What the node has been given is in the journal.
        let transaction = vec![status["transactionHash"].clone()];
        if status["status"] == "submitted"
            && !stack.anvil.ask("eth_getTransactionByHash", transaction).await.unwrap().is_null()
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stack.node.kill().await.unwrap();

    let file = folder.0.join("journal.redb");
    let whole = std::fs::read(&file).unwrap();
    let key = [("FABSTIR_BUNDLER_KEY", tests::anvil::KEYS[3])];
    let other = NodeProcess::with(&url, &stack.deployment_file, &folder.arguments(), &key).await;
    assert!(other.is_err(), "an open nonce of a key that nobody has");
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(NodeProcess::start(&url, &stack.deployment_file, &folder.arguments()).await.is_err());
    // Neither is it made anew: the next start refuses it too.
    assert!(NodeProcess::start(&url, &stack.deployment_file, &folder.arguments()).await.is_err());
    std::fs::write(&file, &whole).unwrap();
    stack.node = NodeProcess::start(&url, &stack.deployment_file, &folder.arguments()).await.unwrap();
    let miner = miner(&stack);
    assert_eq!(check(&stack, &BTreeSet::from([hash])).await, (1, 0));
    miner.abort();
}
