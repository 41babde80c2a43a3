//! What a node costs that nobody uses: work follows change, not blocks.

use std::time::Duration;

use alloy::{
    primitives::{Address, Bytes, U256, utils::parse_ether},
    sol_types::SolCall,
};
use bundler::{Bundler, Config, node::NodeClient};
use erc4337::{ChainPreset, EntryPointVersion, UserOperationRequest, abi::test_usdc};
use serde_json::json;
use session_keys::SecretKey;
use tests::{
    Anvil, Proxy, Stack, WsProxy, accounts::SimpleAccount, anvil::KEYS, process::cpu_time, stack::NodeProcess,
};

/// Which node this is, and what it has asked in how many blocks.
struct Seen {
    name: String,
    blocks: u64,
    requests: u64,
    cpu: Duration,
    /// Questions for heads, and for logs.
    heads: u64,
    logs: u64,
}

/// A chain with a block every so often, two nodes on it, and what they have to do with nobody: other people's transactions,
/// which log something.
struct Idle {
    stack: Stack,
    announced: NodeProcess,
    http: Proxy,
    ws: WsProxy,
    name: &'static str,
}

/// As often as is called for, and not as other tests have it.
const PACE: [&str; 2] = ["--poll-ms", "0"];

impl Idle {
    /// Blocks by the clock from the start, or every two seconds once everything is deployed.
    async fn start(name: &'static str, by_the_clock: &[&str]) -> Self {
        let anvil = Anvil::start_with(by_the_clock).await.unwrap();
        let (http, ws) = (Proxy::start(&anvil.url).await.unwrap(), WsProxy::start(&anvil.url).await.unwrap());
        let url = http.url.clone();
        let stack = Stack::on(anvil, &url, &PACE).await.unwrap();
        let announced = NodeProcess::start(&ws.url, &stack.deployment_file, &PACE).await.unwrap();
        if by_the_clock.is_empty() {
            stack.anvil.ask("evm_setAutomine", vec![json!(false)]).await.unwrap();
            stack.anvil.ask("evm_setIntervalMining", vec![json!(2)]).await.unwrap();
        }
        Self { stack, announced, http, ws, name }
    }

    async fn height(&self) -> u64 {
        let number = self.stack.anvil.ask("eth_blockNumber", vec![]).await.unwrap();
        serde_json::from_value::<U256>(number).unwrap().to()
    }

    fn asked(&self) -> [(u64, u64, u64, Duration); 2] {
        let count =
            |methods: std::collections::BTreeMap<String, u64>, name: &str| methods.get(name).copied().unwrap_or(0);
        let cpu = |node: &NodeProcess| cpu_time(node.pid().unwrap()).unwrap();
        let heads = "eth_getBlockByNumber";
        [
            (
                self.http.traffic().trips,
                count(self.http.methods(), heads),
                count(self.http.methods(), "eth_getLogs"),
                cpu(&self.stack.node),
            ),
            (
                self.ws.trips(),
                count(self.ws.methods(), heads),
                count(self.ws.methods(), "eth_getLogs"),
                cpu(&self.announced),
            ),
        ]
    }

    /// What both do in this time.
    async fn measure(&self, time: Duration) -> [Seen; 2] {
        let (before, from) = (self.asked(), self.height().await);
        let mint = test_usdc::mintCall { to: Address::repeat_byte(9), amount: U256::from(1) }.abi_encode();
        let sender = SecretKey::from_hex(KEYS[0]).unwrap().address();
        let transaction = json!({ "from": sender, "to": self.stack.deployment.token, "data": Bytes::from(mint) });
        let others = async {
            loop {
                let _ = self.stack.anvil.ask("eth_sendTransaction", vec![transaction.clone()]).await;
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
        };
        let _ = tokio::time::timeout(time, others).await;
        let (after, blocks) = (self.asked(), self.height().await - from);
        let seen = |index: usize, transport: &str| {
            let ((requests, heads, logs, cpu), before) = (after[index], before[index]);
            let name = format!("{} blocks, {transport}", self.name);
            let (requests, cpu) = (requests - before.0, cpu - before.3);
            Seen { name, blocks, requests, cpu, heads: heads - before.1, logs: logs - before.2 }
        };
        [seen(0, "HTTP"), seen(1, "WebSocket")]
    }
}

/// `make idle` looks for a minute, and at the CPU too, which says little about a busy machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_nobody_uses_asks_less_than_once_a_block_whatever_others_do() {
    let long = std::env::var("FABSTIR_IDLE_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(long.unwrap_or(8));
    let (fast, slow) = (Idle::start("200-ms", &["--block-time", "0.2"]).await, Idle::start("2-s", &[]).await);
    // What it does at the start: the index, the first reads.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (fast, slow) = tokio::join!(fast.measure(time), slow.measure(time));
    for seen in fast.iter().chain(&slow) {
        let share = seen.cpu.as_secs_f64() / time.as_secs_f64() * 100.0;
        println!(
            "| {} | {} in {} blocks | {:.2} | {share:.2} % of a core |",
            seen.name,
            seen.requests,
            seen.blocks,
            seen.requests as f64 / seen.blocks as f64
        );
        // In a few seconds the reads of every so many seconds weigh more than they do in a minute.
        let seldom = if long.is_some() { 0 } else { 8 };
        // Also where blocks are slower than the preset says, which is 200 ms on both.
        assert!(seen.requests <= seen.blocks + seldom, "{}: {} in {}", seen.name, seen.requests, seen.blocks);
        assert_eq!(seen.logs, 0, "{}: nothing of an EntryPoint's was logged", seen.name);
        if seen.name.ends_with("WebSocket") {
            assert_eq!(seen.heads, 0, "{}: heads are announced", seen.name);
        }
        if long.is_some() {
            assert!(share <= 3.0, "{}: {share:.2} % of a core", seen.name);
        }
    }
    assert!(fast[0].blocks >= 4 * slow[0].blocks, "the chains are not what they are to be");
    if long.is_some() {
        for (fast, slow) in fast.iter().zip(&slow) {
            // Less than a tick of the clock cannot be told from nothing.
            let least = slow.cpu.max(Duration::from_millis(100));
            assert!(fast.cpu <= 3 * least, "{}: {:?}, {}: {:?}", fast.name, fast.cpu, slow.name, slow.cpu);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_operation_after_a_pause_is_validated_in_four_trips_at_most_and_executed() {
    let anvil = Anvil::start_with(&["--block-time", "0.2"]).await.unwrap();
    let url = anvil.url.clone();
    let stack = Stack::on(anvil, &url, &[]).await.unwrap();
    let version = EntryPointVersion::V0_8;
    let mut config = Config::new(ChainPreset::local());
    config.entry_points = stack.deployment.entry_point_versions().unwrap();
    let signer = SecretKey::from_hex(KEYS[3]).unwrap().into_signer().into();
    let node = NodeClient::new(&stack.anvil.url).unwrap();
    let (bundler, task) = Bundler::start(config, node, vec![signer], None).await.unwrap();
    for round in 0..2 {
        // Another account, of whose state nothing is known.
        let account = SimpleAccount::new(&stack, version, parse_ether("1").unwrap()).await.unwrap();
        let mut json = account.operation(&stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
        let hash = account.finish(&stack, &mut json).await.unwrap();
        let op = UserOperationRequest::from_json(&json, version).unwrap().with_open_fields_zero();
        // What was read counts as warm for five seconds of chain time: by now it does not.
        tokio::time::sleep(Duration::from_secs(6)).await;
        let head = bundler.head();
        let trips = || head.view.shared().counters.trips.load(std::sync::atomic::Ordering::Relaxed);
        let before = trips();
        bundler.validate(std::sync::Arc::new(op.clone()), account.entry_point, &head).await.unwrap();
        // As many as for one of which nothing is known; the aim for the second is two.
        let most = 4;
        assert!(trips() - before <= most, "round {round}: {} trips", trips() - before);
        assert_eq!(bundler.send(op, account.entry_point).await.unwrap(), hash);
        let included = async {
            while bundler.record(hash).await.unwrap().is_none_or(|record| record.status.name() != "included") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), included).await.expect("it is executed");
    }
    task.abort();
}
