//! Each alert is fired by what it is for, on a real node under a real Prometheus, and clears when that is over.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use alloy::primitives::{Address, B256, U256};
use erc4337::storage::deposit_slots;
use fabstir::Client as Account;
use futures::future::join_all;
use http_body_util::Empty;
use hyper::{Request, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use session_keys::SecretKey;
use sha2::Digest;
use tests::{
    Anvil, Prometheus, Redis, Stack,
    anvil::KEYS,
    prometheus::{free_port, get},
    stack::{NodeProcess, root},
};

use crate::{
    attacks::{VERSION, approval, of_key},
    policies::{Policies, entry_point},
};

/// Key of the admin API.
const OPERATOR: &str = "on call";

/// Longest that an alert may take, with prometheus and node looking every second or so.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sponsors so many operations a day, and what the marketplace policy does.
fn trial(operations: u32) -> String {
    let text = paymaster::policy::MARKETPLACE.replace("id = \"marketplace\"", "id = \"trial\"");
    let text = text.replace("default = true\n", "");
    format!("{text}\n[[limit]]\nper = \"policy\"\namount = \"{operations} operations\"\nevery = \"1 day\"\n")
}

struct World {
    stack: Stack,
    redis: Redis,
    prometheus: Prometheus,
    policies: Policies,
    metrics: SocketAddr,
    admin: SocketAddr,
    arguments: Vec<String>,
    fired: BTreeSet<String>,
}

/// Ether, as anvil wants it.
fn ether(amount: &str) -> Value {
    json!(alloy::primitives::utils::parse_ether(amount).unwrap())
}

impl World {
    async fn start() -> Self {
        let (redis, anvil, metrics) =
            (Redis::start().await.unwrap(), Anvil::start().await.unwrap(), free_port().unwrap());
        let policies = Policies::new("alerts");
        policies.write("trial", &trial(2));
        let (admin, keys) = (free_port().unwrap(), policies.0.join("keys"));
        let digest = alloy::hex::encode(sha2::Sha256::digest(OPERATOR));
        std::fs::write(&keys, format!("[[key]]\nname = \"on-call\"\nrole = \"operator\"\nsha256 = \"{digest}\"\n"))
            .unwrap();
        let folder = policies.0.join("data");
        let arguments = [
            ("--metrics-listen", metrics.to_string()),
            ("--data-dir", folder.display().to_string()),
            ("--policies", policies.path().to_owned()),
            ("--redis", redis.url.clone()),
            ("--admin-listen", admin.to_string()),
            ("--admin-keys", keys.display().to_string()),
            ("--max-head-age", "4".to_owned()),
            ("--max-mempool", "4".to_owned()),
            ("--key-low", "1".to_owned()),
            ("--self-test-every", "1".to_owned()),
        ];
        let arguments: Vec<String> = arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        let url = anvil.url.clone();
        // What the node keeps beside its policies is none of them.
        let mut stack = Stack::on(anvil, &url, &[]).await.unwrap();
        stack.node.stop().await.unwrap();
        stack.node = Self::node(&stack, &arguments).await;
        let prometheus = Prometheus::start(metrics).await.unwrap();
        Self { stack, redis, prometheus, policies, metrics, admin, arguments, fired: BTreeSet::new() }
    }

    async fn node(stack: &Stack, arguments: &[String]) -> NodeProcess {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        NodeProcess::unwarned(&stack.anvil.url, &stack.deployment_file, &arguments).await.unwrap()
    }

    /// Waits until each of these fires.
    async fn fires(&mut self, alerts: &[&str]) {
        let begun = Instant::now();
        loop {
            let firing = self.prometheus.firing().await.unwrap();
            self.fired.extend(alerts.iter().filter(|alert| firing.contains(**alert)).map(|it| (*it).to_owned()));
            if alerts.iter().all(|alert| firing.contains(*alert)) {
                println!("{alerts:?} after {:.1} s", begun.elapsed().as_secs_f64());
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "of {alerts:?} only these fire: {firing:?}\n{}", self.ready().await.1);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until no alert fires.
    async fn clears(&self) {
        let begun = Instant::now();
        loop {
            let firing = self.prometheus.firing().await.unwrap();
            if firing.is_empty() {
                println!("clear after {:.1} s", begun.elapsed().as_secs_f64());
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "these do not clear: {firing:?}\n{}", self.ready().await.1);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What the node says of itself.
    async fn ready(&self) -> (u16, String) {
        get(&format!("{}/ready", self.stack.node.url)).await.unwrap_or((0, String::new()))
    }

    /// The checks that are not passed, as the node says.
    async fn wrong(&self) -> Vec<String> {
        let (status, body) = self.ready().await;
        let body: Value = serde_json::from_str(&body).unwrap();
        let reasons = body["reasons"].as_array().unwrap();
        assert_eq!(status == 200, reasons.is_empty(), "{body}");
        reasons.iter().map(|reason| reason["check"].as_str().unwrap().to_owned()).collect()
    }

    async fn anvil(&self, method: &str, params: Vec<Value>) {
        self.stack.anvil.ask(method, params).await.unwrap();
    }

    /// Has the chain go on by itself, a block a second, or stand still.
    async fn mining(&self, on: bool) {
        self.anvil("evm_setAutomine", vec![json!(false)]).await;
        self.anvil("evm_setIntervalMining", vec![json!(u32::from(on))]).await;
    }

    /// Has an operator do this by the admin API.
    async fn operator(&self, action: &str) {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let request = Request::post(format!("http://{}/v1/{action}", self.admin)).header("x-api-key", OPERATOR);
        let response = client.request(request.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
    }

    async fn limit_files(&self, bytes: &str) {
        let (pid, limit) = (self.stack.node.pid().unwrap().to_string(), format!("--fsize={bytes}:unlimited"));
        let set = tokio::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status().await.unwrap();
        assert!(set.success());
    }

    /// Sponsored operations of accounts that are there, ready to be sent.
    async fn prepared(&self, clients: &[Account]) -> Vec<Value> {
        let call = [approval(&self.stack, 7)];
        join_all(clients.iter().map(async |client| client.sign(client.prepare(&call).await.unwrap()).unwrap())).await
    }
}

async fn clients(stack: &Stack, count: usize) -> Vec<Account> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let client = stack.client(SecretKey::generate(), 0).await.unwrap();
        client.act(&[approval(stack, 1)]).await.unwrap();
        clients.push(client);
    }
    clients
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_is_fired_by_what_it_is_for_and_clears() {
    let begun = Instant::now();
    let mut world = World::start().await;
    let clients = clients(&world.stack, 4).await;
    world.mining(true).await;
    world.clears().await;
    let key = SecretKey::from_hex(KEYS[1]).unwrap().address();

    budgets_and_money(&mut world, &clients[0], key).await;
    stores(&mut world, key, &clients).await;
    the_chain(&mut world, key, &clients).await;
    another_node(&mut world).await;
    dashboard(&world).await;

    // Last: the process itself.
    world.stack.node.kill().await.unwrap();
    world.fires(&["FabstirDown"]).await;
    // It comes back with another node to fall back to, which knows nothing of the last hardforks.
    let old = Anvil::start_with(&["--hardfork", "shanghai"]).await.unwrap();
    let arguments = [world.arguments.clone(), vec!["--node-url".to_owned(), old.url.clone()]].concat();
    let node = World::node(&world.stack, &arguments).await;
    world.stack.node = node;
    world.clears().await;
    assert_eq!(world.wrong().await, [""; 0]);
    world.stack.anvil.freeze(true).await.unwrap();
    world.fires(&["FabstirEvmDiffers"]).await;
    assert!(world.ready().await.1.contains("the chain's EVM is not the one configured"));
    world.stack.anvil.freeze(false).await.unwrap();
    world.clears().await;
    assert_eq!(world.wrong().await, [""; 0]);

    let rules = world.prometheus.rules().await.unwrap();
    assert_eq!(world.fired, rules, "every rule has been fired");
    for alert in rules {
        let runbook = root().join(format!("docs/runbooks/{alert}.md"));
        assert!(runbook.exists(), "{} is missing", runbook.display());
    }
    println!("all of them in {:.0} s", begun.elapsed().as_secs_f64());
}

/// What costs money or is short of it; the node goes on working.
async fn budgets_and_money(world: &mut World, client: &Account, key: Address) {
    let paymaster = world.stack.deployment.paymasters[&VERSION.to_string()];
    let [deposit, _] = deposit_slots(paymaster);
    let slot = vec![json!(entry_point(&world.stack)), json!(B256::from(deposit))];
    let full = world.stack.anvil.ask("eth_getStorageAt", [slot.clone(), vec![json!("latest")]].concat()).await.unwrap();
    let op = client.prepare(&[approval(&world.stack, 2)]).await.unwrap();
    let chain = U256::from(world.stack.deployment.chain_id);
    for nonce_key in 1..=2 {
        let params = vec![of_key(&op, nonce_key), slot[0].clone(), json!(chain), json!({ "policyId": "trial" })];
        world.stack.node.ask("pm_getPaymasterData", params).await.unwrap();
    }
    // A hundredth of an ether.
    let low = U256::from(10_000_000_000_000_000_u64);
    world.anvil("anvil_setStorageAt", [slot.clone(), vec![json!(B256::from(low))]].concat()).await;
    world.anvil("anvil_setBalance", vec![json!(key), ether("0.9")]).await;
    world.operator("pause").await;
    world.fires(&["FabstirBudgetLow", "FabstirDepositLow", "FabstirKeyLow", "FabstirSponsorshipPaused"]).await;
    assert_eq!(world.wrong().await, [""; 0], "it is short of something, and does its work all the same");

    world.anvil("anvil_setStorageAt", [slot, vec![full]].concat()).await;
    world.anvil("anvil_setBalance", vec![json!(key), ether("100")]).await;
    world.operator("resume").await;
    world.policies.write("trial", &trial(1_000));
    world.clears().await;
}

/// Without Redis nothing is sponsored, without the journal nothing is taken, without a key nothing is sent.
async fn stores(world: &mut World, key: Address, clients: &[Account]) {
    let ops = world.prepared(clients).await;
    world.redis.freeze(true).await.unwrap();
    world.limit_files("4096").await;
    world.anvil("anvil_setBalance", vec![json!(key), json!("0x0")]).await;
    // Refused, each of them, as long as it lasts; and with that the journal is seen to fail.
    let (refused, node) = (json!(entry_point(&world.stack)), world.stack.node.rpc.clone());
    let sending = tokio::spawn(async move {
        use jsonrpsee::{core::client::ClientT, rpc_params};
        loop {
            let _ = node.request::<Value, _>("eth_sendUserOperation", rpc_params![&ops[0], &refused]).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let alerts = [
        "FabstirBudgetsUnreachable",
        "FabstirJournalFailing",
        "FabstirNoUsableKey",
        "FabstirNotReady",
        "FabstirRefusing",
    ];
    world.fires(&alerts).await;
    let wrong = world.wrong().await;
    assert!(["budgets", "journal", "keys"].iter().all(|check| wrong.iter().any(|it| it == check)), "{wrong:?}");
    sending.abort();

    world.redis.freeze(false).await.unwrap();
    world.limit_files("unlimited").await;
    world.anvil("anvil_setBalance", vec![json!(key), ether("100")]).await;
    world.clears().await;
    assert_eq!(world.wrong().await, [""; 0]);
}

/// A chain that stands still, bundles that are not mined, a nonce that somebody else uses, a node that is silent.
async fn the_chain(world: &mut World, key: Address, clients: &[Account]) {
    let ops = world.prepared(clients).await;
    world.mining(false).await;
    let hashes = join_all(clients.iter().zip(&ops).map(async |(client, op)| client.send(op).await.unwrap())).await;
    let sent = Instant::now();
    world.fires(&["FabstirHeadStale", "FabstirPoolFull"]).await;
    assert_eq!(world.wrong().await, ["head"]);

    // Whoever has the key takes the nonce, at any price.
    let nonce = world.stack.anvil.ask("eth_getTransactionCount", vec![json!(key), json!("latest")]).await.unwrap();
    world.anvil("anvil_dropAllTransactions", vec![]).await;
    let price = json!(U256::from(100_000_000_000_u64));
    let theft = json!({ "from": key, "to": key, "nonce": nonce, "gas": "0x5208", "gasPrice": price });
    world.anvil("eth_sendTransaction", vec![theft]).await;
    world.anvil("evm_mine", vec![]).await;
    world.fires(&["FabstirNonceLost"]).await;

    // Nobody mines ours for half a minute of the chain's time: once, as what a paymaster has signed is over after a few of
    // them; and in one block, as with the first of several the node would send again what the others would mine.
    world.anvil("evm_increaseTime", vec![json!(24)]).await;
    world.anvil("anvil_dropAllTransactions", vec![]).await;
    world.anvil("evm_mine", vec![]).await;
    world.fires(&["FabstirBundleStuck"]).await;
    // Slow by the clock too, which the alert goes by: more than eight seconds.
    tokio::time::sleep_until((sent + Duration::from_secs(10)).into()).await;
    for hash in &hashes {
        let status = world.stack.node.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await.unwrap();
        assert!(["pending", "submitted"].contains(&status["status"].as_str().unwrap()), "{status}");
    }
    world.mining(true).await;
    world.fires(&["FabstirSlowInclusion"]).await;
    world.clears().await;

    world.stack.anvil.freeze(true).await.unwrap();
    world.fires(&["FabstirNodeSilent"]).await;
    assert!(world.wrong().await.contains(&"node".to_owned()));
    world.stack.anvil.freeze(false).await.unwrap();
    world.clears().await;
}

/// A node that has our paymaster's key and not our budgets; and an operator who has seen enough.
async fn another_node(world: &mut World) {
    let bundler = [("FABSTIR_BUNDLER_KEY", KEYS[3])];
    let (url, file) = (world.stack.anvil.url.clone(), world.stack.deployment_file.clone());
    let other = NodeProcess::with(&url, &file, &[], &bundler).await.unwrap();
    let ours = std::mem::replace(&mut world.stack.node, other);
    let client = world.stack.client(SecretKey::generate(), 0).await.unwrap();
    client.act(&[approval(&world.stack, 1)]).await.unwrap();
    world.stack.node = ours;
    world.fires(&["FabstirUnreservedSpending"]).await;
    world.clears().await;
}

/// Every query of the dashboard is understood, and nearly all have something to show of such a day.
async fn dashboard(world: &World) {
    let file = root().join("deploy/grafana/fabstir-node.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        let mut series = 0;
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let expression = expression.replace("$instance", ".+").replace("$__rate_interval", "5m");
            series += world.prometheus.series(&expression).await.unwrap();
        }
        // No session keys are served here.
        assert!(series > 0 || panel["title"] == "Session keys", "{} shows nothing", panel["title"]);
    }
    let (status, text) = get(&format!("http://{}/metrics", world.metrics)).await.unwrap();
    assert!(status == 200 && text.contains("# HELP fabstir_ready"), "{text}");
    assert_eq!(get(&format!("http://{}/live", world.metrics)).await.unwrap().0, 200);
}
