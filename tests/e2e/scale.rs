//! Two rpc nodes, two builders, one Redis: whatever ends, sleeps or is cut off, an operation that was acknowledged is
//! executed once. `FABSTIR_SCALE_OPERATIONS` (160) in all.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::Stdio,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy::primitives::B256;
use jsonrpsee::{
    core::{ClientError, client::ClientT},
    http_client::HttpClient,
    rpc_params,
};
use serde_json::{Value, json};
use tests::{Anvil, Redis, Stack, accounts::SimpleAccount, anvil::KEYS, patience::within, stack::NodeProcess};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
};

use crate::{
    crash::{check, miner},
    inclusion::{accounts, nth},
};

const SENDERS: usize = 16;
const LEASE: &str = "1500";
const PARTITIONS: usize = 2;
/// For things to be as they should.
const PATIENCE: Duration = Duration::from_secs(60);

/// The processes, and how to start one again.
struct Cluster {
    stack: Stack,
    redis: Redis,
    /// The second rpc node; the first is the stack's.
    second: NodeProcess,
    builders: [NodeProcess; 2],
}

impl Cluster {
    fn arguments<'a>(redis: &'a str, role: &'a str) -> [&'a str; 8] {
        ["--redis", redis, "--role", role, "--lease-ms", LEASE, "--calls-per-second", "0"]
    }

    async fn start() -> Self {
        let redis = Redis::durable().await.unwrap();
        let anvil = Anvil::start_with(&["--gas-limit", "40000000"]).await.unwrap();
        let url = anvil.url.clone();
        let stack = Stack::on(anvil, &url, &Self::arguments(&redis.url, "rpc")).await.unwrap();
        let second = Self::process(&stack, &redis, "rpc", &[]).await;
        let builders =
            [Self::process(&stack, &redis, "builder", &[]).await, Self::process(&stack, &redis, "builder", &[]).await];
        Self { stack, redis, second, builders }
    }

    async fn process(stack: &Stack, redis: &Redis, role: &str, environment: &[(&str, &str)]) -> NodeProcess {
        let keys = [KEYS[1], KEYS[3]].join(",");
        let environment = [&[("FABSTIR_BUNDLER_KEY", keys.as_str())], environment].concat();
        let arguments = Self::arguments(&redis.url, role);
        NodeProcess::with(&stack.anvil.url, &stack.deployment_file, &arguments, &environment).await.unwrap()
    }

    /// Partitions that this builder holds.
    async fn held(&self, builder: usize) -> usize {
        let states = self.builders[builder].ask("fabstir_partitions", vec![]).await.unwrap_or_default();
        states.as_array().into_iter().flatten().filter(|state| state["state"] == "held").count()
    }

    /// Waits until all partitions are held by these.
    async fn all_held(&self, builders: &[usize]) {
        for _ in 0..PATIENCE.as_millis() / 50 {
            let mut held = 0;
            for builder in builders {
                held += self.held(*builder).await;
            }
            if held == PARTITIONS {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nobody takes the partitions");
    }

    /// Writes that were refused to those who had lost their lease.
    async fn refused(&self) -> u64 {
        let mut refused = 0;
        for partition in 0..PARTITIONS {
            let key = format!("{{fabstir:31337:{partition}}}:refused");
            refused += self.redis.ask(&["GET", &key]).await.unwrap().parse().unwrap_or(0);
        }
        refused
    }
}

/// What was acknowledged, and how far each sender is.
struct Load {
    goal: usize,
    sent: AtomicUsize,
    acknowledged: Mutex<BTreeSet<B256>>,
    rpcs: Mutex<[HttpClient; 2]>,
}

impl Load {
    async fn send(&self, accounts: &[SimpleAccount], template: &Value) {
        let each = accounts.iter().enumerate().map(|(index, account)| async move {
            let mut sequence = 0;
            let mut turn = index;
            while self.sent.load(Ordering::SeqCst) < self.goal {
                let (hash, op) = nth(account, template, sequence);
                let rpc = self.rpcs.lock().unwrap()[turn % 2].clone();
                turn += 1;
                let sent: Result<B256, _> =
                    rpc.request("eth_sendUserOperation", rpc_params![op, account.entry_point]).await;
                if sent.is_ok() {
                    assert!(self.acknowledged.lock().unwrap().insert(hash));
                    self.sent.fetch_add(1, Ordering::SeqCst);
                    sequence += 1;
                    continue;
                }
                // Four are pending already; or it was executed, though nobody was told that it had been taken.
                if matches!(sent, Err(ClientError::Call(_))) {
                    let known: Result<Value, _> = rpc.request("eth_getUserOperationReceipt", rpc_params![hash]).await;
                    if known.is_ok_and(|receipt| !receipt.is_null()) {
                        sequence += 1;
                    }
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        });
        futures::future::join_all(each).await;
    }

    /// Waits until this share of all is acknowledged.
    async fn reaches(&self, part: usize, of: usize) {
        for _ in 0..36_000 {
            if self.sent.load(Ordering::SeqCst) >= self.goal * part / of {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} of {} are acknowledged, and no more", self.sent.load(Ordering::SeqCst), self.goal);
    }
}

/// What `/ready` answers.
async fn ready(url: &str) -> u16 {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut line = String::new();
    within("an answer", BufReader::new(stream).read_line(&mut line)).await.unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn wait_for(url: &str, status: u16) {
    for _ in 0..PATIENCE.as_millis() / 50 {
        if ready(url).await == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{url} is {}", ready(url).await);
}

async fn state(process: &NodeProcess) -> String {
    let stat = tokio::fs::read_to_string(format!("/proc/{}/stat", process.pid().unwrap())).await.unwrap();
    stat.rsplit(") ").next().unwrap_or_default().chars().take(1).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_sleeps_or_is_cut_off_each_operation_is_executed_once() {
    let goal = std::env::var("FABSTIR_SCALE_OPERATIONS").ok().and_then(|it| it.parse().ok()).unwrap_or(160);
    let mut cluster = Cluster::start().await;
    cluster.all_held(&[0, 1]).await;
    let (accounts, template) = accounts(&cluster.stack, SENDERS).await;
    cluster.stack.anvil.ask("evm_setAutomine", vec![json!(false)]).await.unwrap();
    let miner = miner(&cluster.stack);
    let rpcs = Mutex::new([cluster.stack.node.rpc.clone(), cluster.second.rpc.clone()]);
    let load = Load { goal, sent: AtomicUsize::new(0), acknowledged: Mutex::default(), rpcs };

    let faults = async {
        // Each process is killed once, and started again.
        load.reaches(1, 8).await;
        cluster.stack.node.kill().await.unwrap();
        cluster.stack.node = Cluster::process(&cluster.stack, &cluster.redis, "rpc", &[]).await;
        load.rpcs.lock().unwrap()[0] = cluster.stack.node.rpc.clone();
        load.reaches(2, 8).await;
        cluster.builders[0].kill().await.unwrap();
        cluster.all_held(&[1]).await;
        cluster.builders[0] = Cluster::process(&cluster.stack, &cluster.redis, "builder", &[]).await;
        load.reaches(3, 8).await;
        cluster.second.kill().await.unwrap();
        cluster.second = Cluster::process(&cluster.stack, &cluster.redis, "rpc", &[]).await;
        load.rpcs.lock().unwrap()[1] = cluster.second.rpc.clone();
        load.reaches(4, 8).await;
        cluster.builders[1].kill().await.unwrap();
        cluster.all_held(&[0]).await;

        // The next that takes over stops before a write, for longer than its lease.
        let stops = [("FABSTIR_CRASH_AT", "before commit"), ("FABSTIR_CRASH_AFTER", "5"), ("FABSTIR_CRASH_BY", "stop")];
        cluster.builders[1] = Cluster::process(&cluster.stack, &cluster.redis, "builder", &stops).await;
        cluster.builders[0].kill().await.unwrap();
        for _ in 0..PATIENCE.as_millis() / 20 {
            if state(&cluster.builders[1]).await == "T" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(state(&cluster.builders[1]).await, "T", "it came to no write");
        assert_eq!(cluster.refused().await, 0);
        cluster.builders[0] = Cluster::process(&cluster.stack, &cluster.redis, "builder", &[]).await;
        cluster.all_held(&[0]).await;
        load.reaches(6, 8).await;
        cluster.builders[1].signal("CONT").await.unwrap();
        // Its write is refused, or it has noticed before that its lease is another's, and does not write at all.
        let (mut refused, mut gave_up) = (0, false);
        for _ in 0..PATIENCE.as_millis() / 20 {
            refused = cluster.refused().await;
            gave_up = cluster.builders[1].ask("fabstir_partitions", vec![]).await.is_ok() && cluster.held(1).await == 0;
            if refused > 0 || gave_up {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(
            refused > 0 || gave_up,
            "the one that had slept neither was refused its write nor gave its partition up"
        );

        // Redis is killed and started again on its append-only file.
        load.reaches(7, 8).await;
        cluster.redis.kill().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.redis.restart().await.unwrap();
        refused
    };
    let (refused, ()) = tokio::join!(faults, load.send(&accounts, &template));
    let acknowledged = load.acknowledged.into_inner().unwrap();
    let (executed, dropped) = check(&cluster.stack, &acknowledged).await;
    miner.abort();
    println!(
        "{} operations acknowledged by two rpc nodes, {executed} executed once by two builders, {dropped} dropped with a \
         reason, 0 lost, 0 twice; {refused} writes of a builder that had slept through its lease were refused",
        acknowledged.len(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_counted_by_all_rpc_nodes_together() {
    let redis = Redis::start().await.unwrap();
    let few = ["--redis", &redis.url, "--role", "rpc", "--calls-per-second", "2"];
    let first = Stack::start(&few).await.unwrap();
    let second = NodeProcess::start(&first.anvil.url, &first.deployment_file, &few).await.unwrap();
    let mut codes = Vec::new();
    for node in [&first.node, &second, &first.node, &second] {
        // Malformed, and told so, as long as there is room.
        let Err(ClientError::Call(error)) = node.ask("eth_sendUserOperation", vec![]).await else { panic!("taken") };
        codes.push(error.code());
    }
    assert_eq!((codes[0], codes[3]), (-32602, -32005), "{codes:?}");
    assert!(codes[..3].iter().filter(|code| **code == -32602).count() <= 2, "{codes:?}");
}

/// A Redis that speaks TLS only, to a user who may do what `docs/scaling.md` says and no more.
struct Secured {
    folder: PathBuf,
    _process: tokio::process::Child,
}

impl Drop for Secured {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Secured {
    /// Its folder has `ca.pem`, which has signed its certificate.
    async fn start(port: u16) -> Self {
        let folder = std::env::temp_dir().join(format!("fabstir-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca
            openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=redis
            printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > extensions
            openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 \\
                -extfile extensions";
        let made = Command::new("sh").args(["-ec", script]).current_dir(&folder).output().await.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let settings = format!(
            "port 0\ntls-port {port}\ntls-cert-file cert.pem\ntls-key-file key.pem\ntls-ca-cert-file ca.pem\n\
             tls-auth-clients no\nsave \"\"\nuser default off\nuser fabstir on >secret ~fabstir:* ~{{fabstir:* &* +@read \
             +@write +@scripting +@blocking +@connection +time +config|get +wait\n"
        );
        std::fs::write(folder.join("redis.conf"), settings).unwrap();
        let mut server = Command::new("redis-server");
        let process = server.arg("redis.conf").current_dir(&folder).stdout(Stdio::null()).kill_on_drop(true).spawn();
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { folder, _process: process.unwrap() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_spoken_to_by_tls_as_a_user_of_few_rights_and_not_if_nobody_vouches_for_it() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let redis = Secured::start(port).await;
    let mut stack = Stack::start(&[]).await.unwrap();
    stack.node.kill().await.unwrap();
    let url = format!("rediss://fabstir:secret@127.0.0.1:{port}");
    let both = ["--redis", &url, "--role", "both", "--partitions", "1", "--lease-ms", "1000"];
    let start = async |authority: &str| {
        let environment = [("SSL_CERT_FILE", authority)];
        NodeProcess::with(&stack.anvil.url, &stack.deployment_file, &both, &environment).await
    };
    assert!(start("/dev/null").await.is_err(), "of nobody that we know");
    stack.node = start(redis.folder.join("ca.pem").to_str().unwrap()).await.unwrap();
    wait_for(&stack.node.url, 200).await;
    let (accounts, template) = accounts(&stack, 1).await;
    let (hash, op) = nth(&accounts[0], &template, 0);
    let sent = stack.node.ask("eth_sendUserOperation", vec![op, json!(accounts[0].entry_point)]).await.unwrap();
    assert_eq!(sent, json!(hash));
    assert_eq!(check(&stack, &BTreeSet::from([hash])).await, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nothing_is_taken_and_others_partitions_are_refused() {
    let mut cluster = Cluster::start().await;
    cluster.all_held(&[0, 1]).await;
    let (accounts, template) = accounts(&cluster.stack, 1).await;
    // Whoever counts otherwise would send an operation to the wrong builder.
    let redis = cluster.redis.url.clone();
    let otherwise = [&Cluster::arguments(&redis, "rpc")[..], &["--partitions", "3"]].concat();
    let stack = &cluster.stack;
    assert!(NodeProcess::with(&stack.anvil.url, &stack.deployment_file, &otherwise, &[]).await.is_err());

    wait_for(&cluster.stack.node.url, 200).await;
    cluster.redis.kill().await.unwrap();
    let (hash, op) = nth(&accounts[0], &template, 0);
    let params = vec![op.clone(), json!(accounts[0].entry_point)];
    let refused = cluster.stack.node.ask("eth_sendUserOperation", params.clone()).await;
    let Err(ClientError::Call(refused)) = refused else { panic!("taken, or no answer: {refused:?}") };
    assert_eq!(refused.code(), -32005, "{refused}");
    wait_for(&cluster.stack.node.url, 503).await;
    wait_for(&cluster.builders[0].url, 503).await;
    cluster.redis.restart().await.unwrap();
    let mut sent = Err(());
    for _ in 0..PATIENCE.as_millis() / 100 {
        sent = cluster.stack.node.ask("eth_sendUserOperation", params.clone()).await.map_err(drop);
        if sent.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(sent, Ok(json!(hash)));
    wait_for(&cluster.stack.node.url, 200).await;
    wait_for(&cluster.builders[0].url, 200).await;
    assert_eq!(check(&cluster.stack, &BTreeSet::from([hash])).await, (1, 0));
}
