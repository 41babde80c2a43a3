//! Everything together: time goes on from one thing that is due to the next, and the node lives and dies in between.

mod attacks;
mod cluster;
mod events;
mod troubles;

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use alloy::{
    primitives::{B256, U256, keccak256},
    signers::local::PrivateKeySigner,
};
use bundler::Builder;
use erc4337::{ChainPreset, EntryPointVersion};
use futures::future::LocalBoxFuture;
use serde_json::Value;
use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

use self::cluster::Cluster;
use crate::{
    chain::{BASE_FEE, Chain, Change, Nature, genesis},
    clock::Clock,
    disk::Disk,
    life::Life,
    network::Network,
    node::Node,
    oracle::{Budgets, Oracle, Standing},
    plan::Plan,
    random::Random,
    users::{Draft, Signed, Users},
};

/// Blocks after the last trouble within which everything has come to an end.
const ENDS_WITHIN: u64 = 60;
/// Milliseconds that are added to that, for requests that nobody answers.
const PATIENCE: u64 = 15_000;
/// Milliseconds in which it is found out whose operation nodes take and nobody mines: of eight, by halves, each after nine
/// seconds.
const HALVINGS: u64 = 27_000;
/// Milliseconds after which no sponsorship can be used any more, and none that was is undone.
const SETTLES_WITHIN: u64 = 170_000;
/// Blocks come so many times slower while nothing is waited for but that.
const SLOWER: u64 = 10;
/// Times that an operation is sent before its sender gives up.
const ATTEMPTS: u32 = 12;
/// Another bundler.
const STRANGER: &str = "stranger";
/// Bytes that the files of a node may take.
const DISK: usize = 16 * 1024 * 1024;
/// Milliseconds between two looks at figures, and at what has ended.
const LOOKS: u64 = 2_500;

/// Something that is due.
#[derive(Clone, Copy, Debug)]
enum Due {
    Block,
    Send {
        intent: usize,
        attempt: u32,
    },
    Ask(B256),
    Look,
    Start,
    /// Start this builder.
    Build(usize),
    /// The next that this attacker does.
    Attack(usize, attacks::Step),
    Trouble(usize),
    /// Its end.
    Over(usize),
    /// The end of all troubles.
    Calm,
    End,
}

/// What comes of a call.
enum Called {
    Started(Result<Node, String>),
    Sponsored {
        intent: usize,
        attempt: u32,
        draft: Box<Draft>,
        asked: u64,
        answer: Value,
    },
    Sent {
        intent: usize,
        attempt: u32,
        again: bool,
        signed: Box<Signed>,
        answer: Value,
    },
    Attacked(Box<attacks::Sent>, Value),
    /// Of what was asked at this time.
    Status(B256, u64, Value),
    Receipt(B256, Value),
    /// What a subscriber heard last.
    Heard(B256, Value),
    /// What it counts of whom; whether it has just started.
    Counts(Value, bool),
    Settled(Result<Standing, String>),
    /// With what it counted last.
    Drained(Value),
    Built(usize, Result<Arc<Builder>, String>),
    /// It has stopped, and is to be away for so long.
    Unbuilt(usize, u64),
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
    /// Sponsorships that were granted.
    pub sponsored: usize,
    /// Why others were dropped.
    pub reasons: BTreeMap<String, usize>,
    /// Why some were refused.
    pub refusals: BTreeMap<String, usize>,
    /// Lives of the node.
    pub lives: u64,
}

struct World {
    plan: Plan,
    preset: ChainPreset,
    chain: Arc<Mutex<Chain>>,
    network: Arc<Mutex<Network>>,
    oracle: Arc<Mutex<Oracle>>,
    disk: Disk,
    cluster: Option<Cluster>,
    clock: Clock,
    life: Life,
    users: Users,
    random: Random,
    due: BTreeMap<(u64, u64), Due>,
    order: u64,
    refusals: BTreeMap<String, usize>,
    sponsored: usize,
    /// How long the node is down when it dies next.
    down: u64,
    finishing: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds of the world, before lines of the bundler's own log.
struct WorldTime;

impl FormatTime for WorldTime {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        // All worlds begin at a whole hundred thousand seconds, or some hours after it.
        write!(to, "{}", bundler::world::unix().as_millis() % 100_000_000)
    }
}

/// Runs a seed to its end.
pub fn run(plan: &Plan) -> Outcome {
    if let Ok(filter) = std::env::var("FABSTIR_TRACE") {
        let timed = tracing_subscriber::fmt().with_env_filter(filter).with_timer(WorldTime).with_ansi(false);
        let _ = timed.with_test_writer().try_init();
    }
    let mut preset = ChainPreset::named(plan.chain).expect("a preset");
    preset.block_time = Duration::from_millis(plan.block_time);
    let chain = Arc::new(Mutex::new(Chain::new(nature(plan, &preset), plan.seed)));
    let life = Life::default();
    let mut oracle = Oracle::new(plan.block_time);
    oracle.budgets = plan.budget.map(|budget| {
        let wei = |finneys: u64| U256::from(finneys) * U256::from(plan.dear) * U256::from(FINNEY);
        let paymasters = genesis::genesis().paymasters.values().copied().collect();
        Budgets::new(wei(budget.total), wei(budget.per_sender), paymasters)
    });
    let mut world = World {
        preset,
        chain,
        network: Arc::new(Mutex::new(Network::new(plan.seed))),
        oracle: Arc::new(Mutex::new(oracle)),
        disk: Disk::new(plan.seed, life.clone()),
        cluster: Cluster::of(plan),
        clock: Clock::new(plan.start),
        life,
        users: Users::default(),
        random: Random::new(plan.seed, "world"),
        due: BTreeMap::new(),
        order: 0,
        refusals: BTreeMap::new(),
        sponsored: 0,
        down: 500,
        finishing: false,
        plan: plan.clone(),
    };
    world.begin();
    while world.live() {}
    world.outcome()
}

/// Thousandths of what a budget is in.
const FINNEY: u64 = 1_000_000_000_000;

fn nature(plan: &Plan, preset: &ChainPreset) -> Nature {
    let mut random = Random::new(plan.seed, "nature");
    let rich = U256::from(10) * U256::from(10).pow(U256::from(18));
    let mut changes = vec![Change::Balance(genesis::key(STRANGER).address(), rich)];
    let wallet = U256::from(plan.wallet) * U256::from(plan.dear);
    changes.extend(signers(plan).iter().map(|key| Change::Balance(key.address(), wallet)));
    changes.extend(deposits(U256::from(plan.deposit) * U256::from(plan.dear)));
    // Wei for each transaction, about what it costs otherwise or less.
    let operator_fee = if random.chance(700) { (0, 0) } else { (random.between(0, 1_000_000_000_000), 1_000_000) };
    Nature { preset: preset.clone(), timestamp: plan.start, base_fee: BASE_FEE * plan.dear, operator_fee, changes }
}

/// The poor paymaster has this much in each EntryPoint.
fn deposits(wei: U256) -> impl Iterator<Item = Change> {
    let slot = genesis::deposit_slot(genesis::POOR_PAYMASTER);
    EntryPointVersion::ALL.into_iter().map(move |version| Change::Slot(version.canonical_address(), slot, wei))
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
        self.at(LOOKS, Due::Look);
        for intent in 0..self.plan.intents.len() {
            self.at(self.plan.intents[intent].at, Due::Send { intent, attempt: 0 });
        }
        for index in 0..self.plan.troubles.len() {
            self.at(self.plan.troubles[index].at(), Due::Trouble(index));
        }
        for index in 0..self.plan.attacks.len() {
            self.at(self.plan.attacks[index].at, Due::Attack(index, attacks::Step::Place));
        }
        self.at(self.plan.calm, Due::Calm);
        self.at(self.ends(), Due::End);
    }

    /// When everything has come to an end but what budgets hold.
    fn quiet(&self) -> u64 {
        let handover = self.plan.cluster.map_or(0, |cluster| PATIENCE + 3 * cluster.lease);
        let swallowed =
            self.plan.attacks.iter().filter(|attack| attack.kind == crate::siege::Kind::Swallowed).count() as u64;
        self.plan.calm + ENDS_WITHIN * self.plan.block_time + PATIENCE + handover + swallowed * HALVINGS
    }

    fn ends(&self) -> u64 {
        self.quiet() + if self.plan.budget.is_some() { SETTLES_WITHIN } else { 0 }
    }

    /// One life of the node's, and the time that it is down after it; whether there is another.
    fn live(&mut self) -> bool {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let Ok(runtime) = builder.enable_time().start_paused(true).build() else { return false };
        let (clock, number) = (self.clock.clone(), self.life.number());
        let goes_on = runtime.block_on(async {
            clock.begin();
            let mut random = Random::new(self.plan.seed, &format!("pauses {number}"));
            let start = Duration::from_millis(self.plan.start * 1_000 + clock.now());
            bundler::world::simulate(start, move || Duration::from_millis(random.below(6)));
            self.script().await
        });
        // Nothing that is left of it has any effect.
        self.life.end();
        self.cluster.iter_mut().for_each(Cluster::end);
        self.clock_end(&runtime);
        drop(runtime);
        self.disk.crash();
        self.life.renew();
        self.cluster.iter().for_each(Cluster::renew);
        goes_on
    }

    fn clock_end(&self, runtime: &tokio::runtime::Runtime) {
        let _guard = runtime.enter();
        self.clock.end();
    }

    /// Does what is due until the node dies (true) or all is over (false).
    async fn script(&mut self) -> bool {
        let mut calls: Vec<Call> = Vec::new();
        let mut node: Option<Node> = None;
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
                self.away(self.down);
                return true;
            }
            let dead = self.cluster.as_ref().and_then(|it| it.lives.iter().position(Life::is_over));
            if let Some(builder) = dead {
                self.kill_builder(builder, self.down);
            }
            for called in called {
                if let Some(goes_on) = self.do_called(called, &mut calls, &mut node) {
                    return goes_on;
                }
            }
        }
    }

    /// It is down for so long.
    fn away(&mut self, down: u64) {
        let back = self.clock.now() + down;
        // Whatever start was due comes after this one, and builders after it.
        self.due.retain(|_, due| !matches!(due, Due::Start | Due::Build(_)));
        self.at(back, Due::Start);
        let mut oracle = lock(&self.oracle);
        oracle.disturbed(back);
        oracle.forget_counts();
        drop(oracle);
        self.handover(down);
    }

    /// Until the time is up, calls have ended or the node has; the calls, in the order in which they were made.
    async fn wait(&self, calls: &mut Vec<Call>, pause: tokio::time::Sleep) -> Vec<Called> {
        let lives = self.cluster.iter().flat_map(|cluster| &cluster.lives).chain([&self.life]);
        let ended: Vec<_> = lives.map(|life| Box::pin(life.ended())).collect();
        let (mut pause, mut ended) = (Box::pin(pause), futures::future::select_all(ended));
        std::future::poll_fn(|context| {
            if Pin::new(&mut ended).poll(context).is_ready() {
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

    fn outcome(self) -> Outcome {
        let now = self.clock.now();
        let (chain, mut oracle) = (lock(&self.chain), lock(&self.oracle));
        oracle.finish(now, &chain);
        let size = self.disk.size() + self.cluster.as_ref().map_or(0, |cluster| cluster.redis.size());
        if size > DISK {
            oracle.wrong(now, format!("what is kept has come to {size} bytes"));
        }
        let taken = oracle.taken();
        for what in self.judge_attacks(&chain, oracle.reasons()) {
            oracle.wrong(now, what);
        }
        Outcome {
            violations: oracle.violations.clone(),
            hash: keccak256(oracle.history.join("\n")),
            history: oracle.history.clone(),
            executed: taken.iter().filter(|hash| chain.log.of(**hash).is_some()).count(),
            taken: taken.len(),
            sponsored: self.sponsored,
            reasons: oracle.reasons(),
            refusals: self.refusals.clone(),
            lives: self.life.number(),
        }
    }
}
