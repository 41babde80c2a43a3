//! One history: clients, processes and a chain, with what must hold after each step.

use std::{
    collections::BTreeMap, fmt, ops::AddAssign, sync::Arc, sync::atomic::AtomicU64, sync::atomic::Ordering::SeqCst,
};

use alloy::primitives::{Address, U256};
use paymaster::ledger::{Blocks, Charge, Denied, Embedded, Ledger, Place, Reservation, Rules, Store, Unit};

use crate::{
    chain::{Chain, Signature, Signatures},
    disk::Disk,
    random::Random,
};

const FINALITY: u64 = 45;
const PERIOD: u64 = 60;
const TOTAL: u64 = 220;
const PER_PERIOD: u64 = 130;
const PER_SENDER: u64 = 70;
const OPERATIONS: u64 = 7;
const SENDERS: u8 = 5;

/// What outlives a process.
#[derive(Debug)]
pub(crate) enum Machine {
    Disk(Disk),
    Redis { url: String, prefix: String },
}

/// What happened in the histories, so that tame ones are noticed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    granted: u64,
    denied: u64,
    failed: u64,
    crashes: u64,
    reorganised: u64,
    executed: u64,
    cooled: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.granted += other.granted;
        self.denied += other.denied;
        self.failed += other.failed;
        self.crashes += other.crashes;
        self.reorganised += other.reorganised;
        self.executed += other.executed;
        self.cooled += other.cooled;
    }
}

impl Tally {
    pub(crate) fn covers_everything(&self) -> bool {
        let all = [self.granted, self.denied, self.crashes, self.reorganised, self.executed, self.cooled];
        all.iter().all(|count| *count > 0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { granted, denied, failed, crashes, reorganised, executed, cooled } = self;
        write!(f, "{granted} reservations granted, {denied} over a limit, {cooled} cooling down, {failed} lost in ")?;
        write!(f, "{crashes} crashes; {executed} operations executed, {reorganised} blocks reorganised")
    }
}

#[derive(Debug)]
pub(crate) struct History {
    machine: Machine,
    random: Random,
    processes: Vec<Ledger>,
    /// Writes left to the process, if it has a disk.
    fuse: Option<Arc<AtomicU64>>,
    chain: Chain,
    signatures: Signatures,
    now: u64,
    tally: Tally,
}

fn rules() -> Rules {
    Rules { finality: FINALITY, reverts: 2, forget: 400, cool_down: 120 }
}

fn charges(sender: Address) -> Vec<Charge> {
    let charge = |bucket: String, unit, limit: u64, period| Charge { bucket, unit, limit: U256::from(limit), period };
    vec![
        charge("all".into(), Unit::Wei, TOTAL, 0),
        charge("period".into(), Unit::Wei, PER_PERIOD, PERIOD),
        charge(format!("sender/{sender}"), Unit::Wei, PER_SENDER, 0),
        charge(format!("count/{sender}"), Unit::Count, OPERATIONS, 0),
        charge(format!("flight/{sender}"), Unit::InFlight, 4, 0),
    ]
}

impl History {
    pub(crate) fn new(machine: Machine, random: Random) -> Self {
        let (chain, signatures) = (Chain::new(FINALITY), Signatures::new());
        Self { machine, random, processes: vec![], fuse: None, chain, signatures, now: 1_000, tally: Tally::default() }
    }

    pub(crate) async fn run(mut self, seed: u64) -> Tally {
        self.boot().await;
        self.sync().await;
        for step in 0..14 {
            match self.random.below(10) {
                0..=4 => self.clients().await,
                5..=7 => {
                    let seconds = self.random.between(1, 30);
                    self.chain.mine(&mut self.random, seconds, &self.signatures);
                    self.now = self.now.max(self.chain.tip().timestamp);
                }
                8 => self.tally.reorganised += self.chain.reorganise(&mut self.random),
                _ => self.now += self.random.between(1, 20),
            }
            if self.random.one_in(2) {
                self.sync().await;
            }
            self.judge(&format!("seed {seed}, step {step}")).await;
        }
        self.settle_everything(&format!("seed {seed}, at the end")).await;
        self.tally.executed = self.chain.executed().count() as u64;
        self.tally
    }

    /// Starts the processes on what is stored.
    async fn boot(&mut self) {
        self.processes.clear();
        if let Some(fuse) = &self.fuse {
            fuse.store(0, SeqCst);
        }
        // What a process was about to do, it does not do any more; what it wrote is there.
        tokio::task::yield_now().await;
        match &self.machine {
            Machine::Disk(disk) => {
                let (hold, fuse) = disk.hold();
                let store = Store::Embedded(Embedded::on(hold).expect("it opens whatever it died of"));
                self.processes.push(Ledger::start(store, rules()));
                self.fuse = Some(fuse);
            }
            Machine::Redis { url, prefix } => {
                for _ in 0..2 {
                    let store = Store::redis(url, prefix).await.unwrap();
                    self.processes.push(Ledger::start(store, rules()));
                }
            }
        }
    }

    fn process(&mut self) -> Ledger {
        let index = usize::try_from(self.random.below(self.processes.len() as u64)).unwrap();
        self.processes[index].clone()
    }

    /// Eight clients or more at once, at times through the death of the processes.
    async fn clients(&mut self) {
        let count = self.random.between(8, 12);
        let mut asked = Vec::new();
        for _ in 0..count {
            let sender = Address::repeat_byte(u8::try_from(self.random.between(1, SENDERS.into())).unwrap());
            let nonce = U256::from(self.random.below(5));
            let place = Place { entry_point: Address::ZERO, sender, nonce };
            let signature = Signature {
                cost: self.random.between(1, 40),
                valid_until: self.now + self.random.between(5, 60),
                window: self.now / PERIOD,
            };
            asked.push((place, signature, self.process()));
        }
        let crash = self.random.one_in(4);
        if let (true, Some(fuse)) = (crash, &self.fuse) {
            fuse.store(self.random.below(30), SeqCst);
        }
        let now = self.now;
        let tasks: Vec<_> = asked
            .into_iter()
            .map(|(place, signature, ledger)| {
                let (cost, valid_until) = (U256::from(signature.cost), signature.valid_until);
                let charges = charges(place.sender);
                let asked = Reservation { place, cost, valid_until, charges, price: None, now };
                tokio::spawn(async move { (place, signature, ledger.reserve(asked).await) })
            })
            .collect();
        if crash {
            self.tally.crashes += 1;
            for _ in 0..self.random.below(60) {
                tokio::task::yield_now().await;
            }
            // Whoever has no answer by now gets none: the process that would have signed is dead.
            for task in &tasks {
                task.abort();
            }
        }
        for task in tasks {
            let Ok((place, signature, granted)) = task.await else {
                self.tally.failed += 1;
                continue;
            };
            match granted {
                Ok(()) => {
                    self.tally.granted += 1;
                    self.signatures.entry(place).or_default().push(signature);
                }
                Err(Denied::OverLimit(_)) => self.tally.denied += 1,
                Err(Denied::CoolingDown { .. }) => self.tally.cooled += 1,
                Err(Denied::Store(_)) => self.tally.failed += 1,
                Err(Denied::Used) => {}
                Err(other) => panic!("{other}"),
            }
        }
        if crash {
            self.boot().await;
        }
    }

    /// What a follower does, with the same blocks twice and their events in another order now and then.
    async fn sync(&mut self) {
        let ledger = self.process();
        let marks = ledger.marks().await.unwrap();
        let chain = &self.chain;
        let on_chain = |number: u64| chain.blocks.get(usize::try_from(number).unwrap());
        let ancestor = marks.iter().rev().find(|mark| on_chain(mark.number).is_some_and(|it| it.block == **mark));
        let mut next = 0;
        if let Some(ancestor) = ancestor {
            next = ancestor.number + 1;
            if marks.last() != Some(ancestor) {
                ledger.rewind(ancestor.number).await.unwrap();
            }
        } else {
            assert!(marks.is_empty(), "a reorganisation below the ground: {marks:?}");
        }
        while next <= self.chain.tip().number {
            let last = self.random.between(next, self.chain.tip().number);
            let range = &self.chain.blocks[usize::try_from(next).unwrap()..=usize::try_from(last).unwrap()];
            let mut inclusions: Vec<_> = range.iter().flat_map(|mined| mined.inclusions.clone()).collect();
            if self.random.one_in(2) {
                inclusions.reverse();
                inclusions.extend(inclusions.clone());
                // And of ranges before, of which the ledger knows as long as they are not final.
                let chain = &self.chain;
                let before = |number: u64| {
                    let mined = chain.blocks.get(usize::try_from(number).unwrap());
                    number < next && mined.is_some_and(|mined| !chain.is_final(mined.block))
                };
                inclusions.extend(chain.executed().filter(|(at, _)| before(*at)).map(|(_, it)| *it));
            }
            let after =
                next.checked_sub(1).map(|number| self.chain.blocks[usize::try_from(number).unwrap()].block.hash);
            let blocks = Blocks { after, tip: range.last().unwrap().block, inclusions };
            ledger.follow(blocks.clone()).await.unwrap();
            if self.random.one_in(3) {
                self.process().follow(blocks).await.unwrap();
            }
            next = last + 1;
        }
    }

    /// The most that could yet be drawn, and what the ledger says of it, are within the limits.
    async fn judge(&mut self, when: &str) {
        let worst = self.worst();
        let ledger = self.process();
        for (bucket, (limit, drawn)) in worst {
            let (name, at) = bucket;
            let period = if name == "period" { PERIOD } else { 0 };
            let usage = ledger.usage(&[(&name, period, at * PERIOD)]).await.unwrap()[0];
            assert!(drawn <= limit, "{when}: {drawn} of {limit} could be drawn of {name} {at}");
            assert!(usage.total() <= U256::from(limit), "{when}: {name} {at} has {usage:?} of {limit}");
            assert!(U256::from(drawn) <= usage.total(), "{when}: {name} {at}: {drawn} could be drawn, {usage:?}");
        }
    }

    /// By bucket: limit, and what is or may yet be executed in the worst case, with all that may be undone.
    fn worst(&self) -> BTreeMap<(String, u64), (u64, u64)> {
        let ground = self.chain.ground();
        let executed: BTreeMap<Place, _> = self.chain.executed().map(|(at, it)| (it.place, (at, it))).collect();
        let mut worst = BTreeMap::new();
        let mut draw = |name: String, window: u64, limit: u64, amount: u64| {
            worst.entry((name, window)).or_insert((limit, 0)).1 += amount;
        };
        for signature in self.signatures.values().flatten() {
            draw("period".into(), signature.window, PER_PERIOD, 0);
        }
        for (place, signatures) in &self.signatures {
            let done = executed.get(place).filter(|(at, _)| *at <= ground.number).map(|(_, it)| it);
            let mut windows: BTreeMap<u64, u64> = BTreeMap::new();
            for signature in signatures.iter().filter(|it| it.valid_until > ground.timestamp) {
                let most = windows.entry(signature.window).or_default();
                *most = signature.cost.max(*most);
            }
            // What is executed for good is what it cost. Nobody knows by which signature: of the period, none is held.
            let (most, counts) = match done {
                Some(inclusion) => {
                    windows.clear();
                    (if inclusion.ours { inclusion.cost.to() } else { 0 }, u64::from(inclusion.ours))
                }
                None => (windows.values().copied().max().unwrap_or(0), u64::from(!windows.is_empty())),
            };
            draw("all".into(), 0, TOTAL, most);
            draw(format!("sender/{}", place.sender), 0, PER_SENDER, most);
            draw(format!("count/{}", place.sender), 0, OPERATIONS, counts);
            for (window, most) in windows {
                draw("period".into(), window, PER_PERIOD, most);
            }
        }
        worst
    }

    /// Once all has expired and is final, exactly what was executed is charged, and nothing is held.
    async fn settle_everything(&mut self, when: &str) {
        let none = Signatures::new();
        for seconds in [600, 10, 10, 10, 10, 10] {
            self.chain.mine(&mut self.random, seconds, &none);
            self.sync().await;
        }
        let cost = self.chain.executed().filter(|(_, it)| it.ours).map(|(_, it)| it.cost).sum::<U256>();
        let ledger = self.process();
        let usage = ledger.usage(&[("all", 0, 0)]).await.unwrap()[0];
        assert_eq!((usage.reserved, usage.settled), (U256::ZERO, cost), "{when}");
        let standing = ledger.standing().await.unwrap();
        assert_eq!((standing.spent, standing.unreserved, standing.deep_reorgs), (cost, U256::ZERO, 0), "{when}");
    }
}
