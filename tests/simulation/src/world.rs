//! Everything together: time goes on from one thing that is due to the next, and the node lives and dies in between.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use alloy::{
    primitives::{B256, keccak256, utils::parse_ether},
    signers::local::PrivateKeySigner,
};
use bundler::{Bundler, Config, Signer, node::NodeClient, world::Wire};
use erc4337::ChainPreset;
use futures::{FutureExt, future::LocalBoxFuture};
use jsonrpsee::RpcModule;
use serde_json::{Value, json};

use crate::{
    chain::{BASE_FEE, Chain, Habits, genesis},
    clock::{Clock, START},
    disk::{self, Disk},
    life::Life,
    network::{self, Network, Way},
    oracle::Oracle,
    plan::{Plan, Trouble},
    random::Random,
    users::{Signed, Users},
};

/// Blocks after the last trouble within which everything has come to an end.
const ENDS_WITHIN: u64 = 60;
/// Milliseconds that are added to that, for requests that nobody answers.
const PATIENCE: u64 = 15_000;
/// Times that an operation is sent before its sender gives up.
const ATTEMPTS: u32 = 12;
/// Another bundler.
const STRANGER: &str = "stranger";
/// Bytes that the files of a node may take.
const DISK: usize = 16 * 1024 * 1024;

/// Something that is due.
#[derive(Clone, Copy, Debug)]
enum Due {
    Block,
    Send {
        intent: usize,
        attempt: u32,
        again: bool,
    },
    Ask(B256),
    Start,
    Trouble(usize),
    /// Its end.
    Over(usize),
    End,
}

/// What comes of a call.
enum Called {
    Started(Option<RpcModule<Bundler>>, Option<Bundler>),
    Sent { intent: usize, attempt: u32, again: bool, signed: Box<Signed>, answer: Value },
    Status(B256, Value),
    Receipt(B256, Value),
    Drained,
}

type Call = LocalBoxFuture<'static, Called>;

/// What a seed came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was found wrong.
    pub violations: Vec<String>,
    /// What happened, line by line.
    pub history: Vec<String>,
    /// Hash of the history.
    pub hash: B256,
    /// Operations that were acknowledged.
    pub taken: usize,
    /// Those of them that were executed.
    pub executed: usize,
    /// Why others were dropped.
    pub reasons: BTreeMap<String, usize>,
    /// Why some were refused.
    pub refusals: BTreeMap<String, usize>,
    /// Lives of the node.
    pub lives: u64,
}

struct World {
    plan: Plan,
    chain: Arc<Mutex<Chain>>,
    network: Arc<Mutex<Network>>,
    oracle: Arc<Mutex<Oracle>>,
    disk: Disk,
    clock: Clock,
    life: Life,
    users: Users,
    due: BTreeMap<(u64, u64), Due>,
    order: u64,
    refusals: BTreeMap<String, usize>,
    /// How long the node is down when it dies next.
    down: u64,
    finishing: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a seed to its end.
pub fn run(plan: &Plan) -> Outcome {
    if let Ok(filter) = std::env::var("FABSTIR_TRACE") {
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    }
    let clock = Clock::default();
    let mut preset = ChainPreset::local();
    preset.block_time = Duration::from_millis(plan.block_time);
    let (keys, rich) = (signers(plan), parse_ether("10").unwrap_or_default());
    let stranger = genesis::key(STRANGER);
    let keys: Vec<_> = keys.iter().chain([&stranger]).map(|key| (key.address(), rich)).collect();
    let chain = Arc::new(Mutex::new(Chain::new(preset, plan.seed, START, &keys)));
    let life = Life::default();
    let mut world = World {
        chain,
        network: Arc::new(Mutex::new(Network::new(plan.seed))),
        oracle: Arc::default(),
        disk: Disk::new(plan.seed, life.clone()),
        clock,
        life,
        users: Users::default(),
        due: BTreeMap::new(),
        order: 0,
        refusals: BTreeMap::new(),
        down: 500,
        finishing: false,
        plan: plan.clone(),
    };
    world.begin();
    while world.live() {}
    world.outcome()
}

fn signers(plan: &Plan) -> Vec<PrivateKeySigner> {
    (0..plan.keys).map(|index| genesis::key(&format!("bundler {index}"))).collect()
}

impl World {
    fn at(&mut self, at: u64, due: Due) {
        self.order += 1;
        self.due.insert((at, self.order), due);
    }

    fn note(&self, line: &str) {
        lock(&self.oracle).note(self.clock.now(), line);
    }

    fn begin(&mut self) {
        self.at(0, Due::Start);
        self.at(self.plan.block_time, Due::Block);
        for intent in 0..self.plan.intents.len() {
            self.at(self.plan.intents[intent].at, Due::Send { intent, attempt: 0, again: false });
        }
        for index in 0..self.plan.troubles.len() {
            self.at(self.plan.troubles[index].at(), Due::Trouble(index));
        }
        let end = self.plan.calm + ENDS_WITHIN * self.plan.block_time + PATIENCE;
        self.at(end, Due::End);
    }

    /// One life of the node's, and the time that it is down after it; whether there is another.
    fn live(&mut self) -> bool {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let Ok(runtime) = builder.enable_time().start_paused(true).build() else { return false };
        let (clock, number) = (self.clock.clone(), self.life.number());
        let goes_on = runtime.block_on(async {
            clock.begin();
            let mut random = Random::new(self.plan.seed, &format!("pauses {number}"));
            let start = Duration::from_millis(START * 1_000 + clock.now());
            bundler::world::simulate(start, move || Duration::from_millis(random.below(6)));
            self.script().await
        });
        // Nothing that is left of it has any effect.
        self.life.end();
        self.clock_end(&runtime);
        drop(runtime);
        self.disk.crash();
        self.life.renew();
        goes_on
    }

    fn clock_end(&self, runtime: &tokio::runtime::Runtime) {
        let _guard = runtime.enter();
        self.clock.end();
    }

    /// Does what is due until the node dies (true) or all is over (false).
    async fn script(&mut self) -> bool {
        let mut calls: Vec<Call> = Vec::new();
        let mut node: Option<(Arc<RpcModule<Bundler>>, Bundler)> = None;
        loop {
            while let Some(((at, order), due)) = self.due.first_key_value().map(|(key, due)| (*key, *due)) {
                if at > self.clock.now() {
                    break;
                }
                self.due.remove(&(at, order));
                if let Some(goes_on) = self.do_due(due, &mut calls, &mut node) {
                    return goes_on;
                }
            }
            let next = self.due.first_key_value().map_or(0, |((at, _), _)| *at);
            let pause = tokio::time::sleep(Duration::from_millis(next.saturating_sub(self.clock.now())));
            let called = self.wait(&mut calls, pause).await;
            if self.life.is_over() {
                self.note("the node died");
                self.at(self.clock.now() + self.down, Due::Start);
                return true;
            }
            for called in called {
                if let Some(goes_on) = self.do_called(called, &mut calls, &mut node) {
                    return goes_on;
                }
            }
        }
    }

    /// Until the time is up, calls have ended or the node has; the calls, in the order in which they were made.
    async fn wait(&self, calls: &mut Vec<Call>, pause: tokio::time::Sleep) -> Vec<Called> {
        let (mut pause, mut ended) = (Box::pin(pause), Box::pin(self.life.ended()));
        std::future::poll_fn(|context| {
            if ended.as_mut().poll(context).is_ready() {
                return Poll::Ready(Vec::new());
            }
            let mut done = Vec::new();
            calls.retain_mut(|call| match Pin::new(call).poll(context) {
                Poll::Ready(called) => {
                    done.push(called);
                    false
                }
                Poll::Pending => true,
            });
            if !done.is_empty() || pause.as_mut().poll(context).is_ready() { Poll::Ready(done) } else { Poll::Pending }
        })
        .await
    }

    fn do_due(
        &mut self,
        due: Due,
        calls: &mut Vec<Call>,
        node: &mut Option<(Arc<RpcModule<Bundler>>, Bundler)>,
    ) -> Option<bool> {
        let now = self.clock.now();
        match due {
            Due::Block => {
                lock(&self.chain).mine(self.clock.unix());
                self.note_block();
                self.at(now + self.plan.block_time, Due::Block);
            }
            Due::Start => calls.push(self.start()),
            Due::Send { intent, attempt, again } => {
                let signed = {
                    let (chain, oracle) = (lock(&self.chain), lock(&self.oracle));
                    self.users.sign(&self.plan.intents[intent], &chain, &oracle)
                };
                let signed = signed?;
                match node {
                    Some((rpc, _)) => {
                        self.note(&format!("send {} attempt {attempt}", signed.hash));
                        let params = json!([signed.json, signed.entry_point]);
                        let call = ask(Arc::clone(rpc), "eth_sendUserOperation", params);
                        let signed = Box::new(signed);
                        calls.push(
                            call.map(move |answer| Called::Sent { intent, attempt, again, signed, answer })
                                .boxed_local(),
                        );
                    }
                    None => self.retry(intent, attempt, again),
                }
            }
            Due::Ask(hash) => {
                let Some((rpc, _)) = node else {
                    self.at(now + 500, Due::Ask(hash));
                    return None;
                };
                let call = ask(Arc::clone(rpc), "fabstir_getUserOperationStatus", json!([hash]));
                calls.push(call.map(move |answer| Called::Status(hash, answer)).boxed_local());
            }
            Due::Trouble(index) => return self.trouble(index, calls, node),
            Due::Over(index) => self.over(index),
            Due::End if self.finishing => return Some(false),
            Due::End => {
                // Each is asked for once more; the answers come at once.
                self.finishing = true;
                let taken = lock(&self.oracle).taken();
                for hash in taken {
                    self.at(now, Due::Ask(hash));
                }
                self.at(now + 2_000, Due::End);
            }
        }
        None
    }

    fn do_called(
        &mut self,
        called: Called,
        calls: &mut Vec<Call>,
        node: &mut Option<(Arc<RpcModule<Bundler>>, Bundler)>,
    ) -> Option<bool> {
        let now = self.clock.now();
        match called {
            Called::Started(Some(rpc), Some(bundler)) => {
                self.note("the node is ready");
                *node = Some((Arc::new(rpc), bundler));
            }
            Called::Started(..) => {
                // What was begun is dropped with its runtime, as the process's end would.
                self.note("the node did not start");
                self.at(now + 1_000, Due::Start);
                return Some(true);
            }
            Called::Sent { intent, attempt, again, signed, answer } => {
                self.sent(intent, attempt, again, &signed, &answer)
            }
            Called::Status(hash, answer) => {
                if answer.get("error").is_some() {
                    self.at(now + self.plan.block_time, Due::Ask(hash));
                    return None;
                }
                let status = &answer["result"];
                lock(&self.oracle).status(now, hash, status);
                let included = status["status"] == "included";
                if included && let Some((rpc, _)) = node {
                    let call = ask(Arc::clone(rpc), "eth_getUserOperationReceipt", json!([hash]));
                    calls.push(call.map(move |answer| Called::Receipt(hash, answer)).boxed_local());
                }
                if !self.finishing && !lock(&self.oracle).has_ended(hash) {
                    self.at(now + 3 * self.plan.block_time, Due::Ask(hash));
                }
            }
            Called::Receipt(hash, answer) => {
                if let Some(receipt) = answer.get("result") {
                    lock(&self.oracle).receipt(now, hash, receipt);
                }
            }
            Called::Drained => {
                self.note("stopped");
                self.at(now + self.down, Due::Start);
                return Some(true);
            }
        }
        None
    }

    fn sent(&mut self, intent: usize, attempt: u32, again: bool, signed: &Signed, answer: &Value) {
        let now = self.clock.now();
        if let Some(hash) = answer["result"].as_str() {
            let hash: B256 = hash.parse().unwrap_or_default();
            if hash != signed.hash {
                lock(&self.oracle).violations.push(format!("{now} ms: {} was named {hash}", signed.hash));
            }
            let durable = self.disk.is_durable(crate::JOURNAL, hash.as_slice());
            lock(&self.oracle).acknowledged(now, hash, durable);
            if !again {
                self.users.taken(&self.plan.intents[intent], signed);
                self.at(now + self.plan.block_time, Due::Ask(hash));
            }
            return;
        }
        let error = &answer["error"];
        let message = error["message"].as_str().unwrap_or("no answer").to_owned();
        self.note(&format!("refused {} {message}", signed.hash));
        let words: Vec<&str> = message.split(' ').filter(|word| !word.chars().any(|c| c.is_ascii_digit())).collect();
        *self.refusals.entry(words.join(" ")).or_default() += 1;
        self.retry(intent, attempt, again);
    }

    fn retry(&mut self, intent: usize, attempt: u32, again: bool) {
        let at = self.clock.now() + 300 * u64::from(attempt + 1);
        if attempt < ATTEMPTS && at < self.plan.calm {
            self.at(at, Due::Send { intent, attempt: attempt + 1, again });
        }
    }

    fn start(&self) -> Call {
        let way = Way::new(&self.chain, &self.network, &self.oracle, &self.disk, &self.clock, &self.life);
        let mut config = Config::new(lock(&self.chain).preset.clone());
        config.data_dir = Some(crate::FOLDER.into());
        config.disk = Arc::new(self.disk.clone());
        let signers = signers(&self.plan).into_iter().map(Signer::Local).collect();
        async move {
            let node = NodeClient::through(vec![Arc::new(way) as Arc<dyn Wire>], config.chain.block_time);
            let started = Bundler::start(config, node, signers, None).await;
            let bundler = started.map(|(bundler, _)| bundler);
            if let Err(error) = &bundler
                && std::env::var_os("FABSTIR_TRACE").is_some()
            {
                eprintln!("not started: {error}");
            }
            let bundler = bundler.ok();
            let rpc = bundler.clone().and_then(|bundler| bundler::rpc::module(bundler).ok());
            Called::Started(rpc, bundler)
        }
        .boxed_local()
    }

    fn note_block(&self) {
        let line = {
            let chain = lock(&self.chain);
            let head = chain.head();
            let count: usize = head.transactions.len();
            format!("block {} {} of {count}", head.header.number, head.header.hash)
        };
        self.note(&line);
    }

    fn trouble(
        &mut self,
        index: usize,
        calls: &mut Vec<Call>,
        node: &mut Option<(Arc<RpcModule<Bundler>>, Bundler)>,
    ) -> Option<bool> {
        let now = self.clock.now();
        let trouble = self.plan.troubles[index];
        self.note(&format!("trouble {trouble:?}"));
        match trouble {
            Trouble::Crash { down, .. } => {
                // Whatever start was due comes after this one.
                self.due.retain(|_, due| !matches!(due, Due::Start));
                self.at(now + down, Due::Start);
                return Some(true);
            }
            Trouble::CrashAtSync { others, after, down, .. } => {
                self.disk.set_deadly(others, after);
                self.down = down;
            }
            Trouble::CrashAtBroadcast { others, after, down, .. } => {
                lock(&self.network).deadly = Some((others, after));
                self.down = down;
            }
            Trouble::Restart { down, .. } => {
                self.down = down;
                if let Some((_, bundler)) = node.take() {
                    calls.push(async move { bundler.drain().await }.map(|_| Called::Drained).boxed_local());
                }
            }
            Trouble::Reorganise { depth, .. } => {
                lock(&self.chain).reorganise(depth, now, self.clock.unix());
                lock(&self.oracle).reorganised(now);
                self.note_block();
            }
            Trouble::Stranger { .. } => {
                let key = genesis::key(STRANGER);
                let call = self.users.on_its_way(&lock(&self.oracle), key.address());
                if let Some((to, input)) = call {
                    lock(&self.chain).send_as(&key, to, input);
                }
            }
            Trouble::Network { lasts, ills, .. } => {
                lock(&self.network).ills = ills;
                self.at(now + lasts, Due::Over(index));
            }
            Trouble::Disk { lasts, ills, .. } => {
                self.disk.set_ills(ills);
                self.at(now + lasts, Due::Over(index));
            }
            Trouble::Dear { lasts, times, .. } => {
                lock(&self.chain).wanted_base_fee = BASE_FEE * times;
                self.at(now + lasts, Due::Over(index));
            }
            Trouble::Inclusion { lasts, delayed, forgotten, .. } => {
                lock(&self.chain).habits = Habits { delayed, forgotten };
                self.at(now + lasts, Due::Over(index));
            }
        }
        None
    }

    fn over(&mut self, index: usize) {
        match self.plan.troubles[index] {
            Trouble::Network { .. } => lock(&self.network).ills = network::Ills::default(),
            Trouble::Disk { .. } => self.disk.set_ills(disk::Ills::default()),
            Trouble::Dear { .. } => lock(&self.chain).wanted_base_fee = BASE_FEE,
            Trouble::Inclusion { .. } => lock(&self.chain).habits = Habits::default(),
            _ => {}
        }
    }

    fn outcome(self) -> Outcome {
        let now = self.clock.now();
        let (chain, mut oracle) = (lock(&self.chain), lock(&self.oracle));
        oracle.finish(now, &chain);
        if self.disk.size() > DISK {
            oracle.violations.push(format!("the files have come to {} bytes", self.disk.size()));
        }
        let taken = oracle.taken();
        let executed = crate::oracle::executed(&chain);
        Outcome {
            violations: oracle.violations.clone(),
            hash: keccak256(oracle.history.join("\n")),
            history: oracle.history.clone(),
            executed: taken.iter().filter(|hash| executed.contains_key(*hash)).count(),
            taken: taken.len(),
            reasons: oracle.reasons(),
            refusals: self.refusals.clone(),
            lives: self.life.number(),
        }
    }
}

impl Trouble {
    fn at(&self) -> u64 {
        match *self {
            Self::Crash { at, .. }
            | Self::CrashAtSync { at, .. }
            | Self::CrashAtBroadcast { at, .. }
            | Self::Restart { at, .. }
            | Self::Reorganise { at, .. }
            | Self::Stranger { at }
            | Self::Network { at, .. }
            | Self::Disk { at, .. }
            | Self::Dear { at, .. }
            | Self::Inclusion { at, .. } => at,
        }
    }
}

/// A call as a client makes it: JSON in, JSON out.
async fn ask(rpc: Arc<RpcModule<Bundler>>, method: &'static str, params: Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let answer = rpc.raw_json_request(&request, 1).await;
    answer.ok().and_then(|(answer, _)| serde_json::from_str(answer.get()).ok()).unwrap_or_default()
}
