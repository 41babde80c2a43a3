//! A chain, a node with a pool, a mempool that holds what is not in flight, and a clock that only moves by our hand.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use alloy::primitives::{Address, B256, Bytes, U256};
use erc4337::{EntryPointVersion, UserOperation, ValidationData};

use crate::{
    admission::{Admitted, Validated},
    builder::Bundle,
    fees::FeeSuggestion,
    flow::{Action, Flow, Mined, Opening, Outcome, Place, Policy},
    submitter::{Attempt, Fees},
};

const KEYS: usize = 2;
const OPERATIONS: u64 = 24;
/// Milliseconds.
const BLOCK_TIME: u64 = 200;
/// Blocks of trouble; after them the chain is quiet, and everything must come to its end.
const TROUBLE: u64 = 60;
const DEADLINE: u64 = 600;
const DEPTH: u64 = 16;

/// What a run met.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) reorgs: u64,
    pub(super) unmined: u64,
    pub(super) stolen: u64,
    pub(super) lost: u64,
    pub(super) overtaken: u64,
    pub(super) cancelled: u64,
    pub(super) dearer: u64,
    pub(super) vanished: u64,
    pub(super) refused: u64,
    pub(super) displaced: u64,
    pub(super) superseded: u64,
    pub(super) reduced: u64,
    included: u64,
    dropped: u64,
}

impl Seen {
    pub(super) fn add(&mut self, other: &Self) {
        self.reorgs += other.reorgs;
        self.unmined += other.unmined;
        self.stolen += other.stolen;
        self.lost += other.lost;
        self.overtaken += other.overtaken;
        self.cancelled += other.cancelled;
        self.dearer += other.dearer;
        self.vanished += other.vanished;
        self.refused += other.refused;
        self.displaced += other.displaced;
        self.superseded += other.superseded;
        self.reduced += other.reduced;
        self.included += other.included;
        self.dropped += other.dropped;
    }
}

/// SplitMix64: the same numbers for the same seed, everywhere.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn chance(&mut self, of: f64) -> bool {
        (self.below(1_000_000) as f64) < of * 1e6
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Pending,
    InFlight,
    Included,
    Dropped(&'static str),
}

/// A transaction as the node has it.
#[derive(Clone, Debug)]
struct Transaction {
    hash: B256,
    place: Place,
    operations: Vec<B256>,
    fees: Fees,
}

#[derive(Clone, Debug, Default)]
struct Block {
    transactions: Vec<(Transaction, bool)>,
}

/// What is on its way to the flow.
#[derive(Clone, Debug)]
enum Event {
    Signed(Place, Attempt, Option<Arc<Bundle>>),
    NotSigned(Place, Option<Arc<Bundle>>),
    Refused(Place, B256),
    Taken(Place, B256),
    NotNow(Place, B256),
    Overtaken(Place, B256),
    Answer(Place, Vec<B256>),
}

pub(super) struct World {
    rng: Random,
    flow: Flow,
    seen: Seen,
    operations: HashMap<B256, (Admitted, Status, u32)>,
    arrivals: Vec<B256>,
    /// By transaction: every one ever signed.
    signed: HashMap<B256, Transaction>,
    chain: Vec<Block>,
    pool: BTreeMap<Place, Transaction>,
    queue: Vec<Event>,
    base_fee: u128,
    next_hash: u64,
    /// The next nonces that the flow was last told of.
    told: [u64; KEYS],
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let policy = Policy {
            per_key: 3,
            patience: 2 * BLOCK_TIME,
            cancel_after: 8 * BLOCK_TIME,
            cancel_max_fee: 100_000,
            reorg_depth: DEPTH,
        };
        let mut flow = Flow::new(KEYS, policy);
        flow.advance(&[Some(0); KEYS], 0, 0, FeeSuggestion::flat(100, 10));
        Self {
            rng: Random(seed),
            flow,
            seen: Seen::default(),
            operations: HashMap::new(),
            arrivals: Vec::new(),
            signed: HashMap::new(),
            chain: vec![Block::default()],
            pool: BTreeMap::new(),
            queue: Vec::new(),
            base_fee: 100,
            next_hash: 0,
            told: [0; KEYS],
        }
    }

    pub(super) fn run(mut self) -> Seen {
        for round in 0..DEADLINE {
            let trouble = round < TROUBLE;
            if trouble {
                self.meddle();
            } else {
                self.base_fee = 100;
            }
            self.bundle(trouble);
            self.deliver(trouble);
            self.mine(trouble);
            if !trouble || self.rng.chance(0.8) {
                self.head(trouble);
            }
            self.check();
            if round > TROUBLE && self.is_over() {
                return self.finish();
            }
        }
        let open: Vec<_> = self.operations.values().map(|(_, status, _)| *status).collect();
        panic!("not over after {DEADLINE} blocks: {open:?}\n{:#?}", self.flow);
    }

    fn hash(&mut self) -> B256 {
        self.next_hash += 1;
        B256::from(U256::from(self.next_hash))
    }

    /// Operations come, nonces are taken, transactions vanish, fees jump, blocks leave the chain.
    fn meddle(&mut self) {
        if self.arrivals.len() < OPERATIONS as usize && self.rng.chance(0.6) {
            let hash = self.hash();
            let max_fee_per_gas = [250, 400, 3_000][self.rng.below(3)];
            let op = UserOperation { max_fee_per_gas, max_priority_fee_per_gas: 60, ..UserOperation::default() };
            let admitted = Admitted {
                op: Arc::new(op),
                hash,
                entry_point: Address::ZERO,
                version: EntryPointVersion::V0_8,
                validated: Validated { account: ValidationData::VALID, paymaster: None, gas_used: 0 },
                evidence: Arc::default(),
            };
            self.operations.insert(hash, (admitted, Status::Pending, 0));
            self.arrivals.push(hash);
        }
        if self.rng.chance(0.1) {
            let key = self.rng.below(KEYS);
            let place = Place { key, nonce: self.next_nonce(key) };
            let hash = self.hash();
            let fees = Fees { max_fee: 50_000, priority_fee: 5_000 };
            self.pool.insert(place, Transaction { hash, place, operations: Vec::new(), fees });
            self.seen.stolen += 1;
        }
        if self.rng.chance(0.15) {
            let places: Vec<_> = self.pool.keys().copied().collect();
            if let Some(place) = places.get(self.rng.below(places.len().max(1))) {
                self.pool.remove(place);
                self.seen.vanished += 1;
            }
        }
        if self.rng.chance(0.08) {
            self.base_fee = if self.base_fee == 100 { 1_000 } else { 100 };
        }
        if self.rng.chance(0.1) {
            let depth = (1 + self.rng.below(8)).min(self.chain.len() - 1);
            let gone = self.chain.split_off(self.chain.len() - depth);
            // Some nodes take what was mined back into their pool, and some do not.
            for (transaction, _) in gone.into_iter().flat_map(|block| block.transactions) {
                if self.rng.chance(0.5) {
                    self.pool.entry(transaction.place).or_insert(transaction);
                }
            }
            // The new branch is longer.
            for _ in 0..=depth {
                self.mine(true);
            }
            self.seen.reorgs += 1;
        }
    }

    fn next_nonce(&self, key: usize) -> u64 {
        self.mined().filter(|(transaction, _)| transaction.place.key == key).count() as u64
    }

    fn mined(&self) -> impl Iterator<Item = &(Transaction, bool)> {
        self.chain.iter().flat_map(|block| &block.transactions)
    }

    fn on_chain(&self) -> BTreeSet<B256> {
        let executed = self.mined().filter(|(_, success)| *success);
        executed.flat_map(|(transaction, _)| transaction.operations.iter().copied()).collect()
    }

    fn suggestion(&self) -> FeeSuggestion {
        FeeSuggestion::flat(self.base_fee, 10)
    }

    /// Bundles what is pending and pays the base fee, as the engine would.
    fn bundle(&mut self, trouble: bool) {
        while self.flow.room() > 0 && (!trouble || self.rng.chance(0.5)) {
            let most = 1 + self.rng.below(3);
            let keys = self.flow.next_keys();
            let openings = keys.into_iter().flat_map(|key| self.flow.openings(key));
            let found = openings.map(|it| (it.place, self.choose(&it, most))).find(|(_, chosen)| !chosen.is_empty());
            let Some((place, chosen)) = found else { return };
            let hashes: Vec<_> = chosen.iter().map(|admitted| admitted.hash).collect();
            let mut bundle = Bundle::new(Address::ZERO, EntryPointVersion::V0_8, chosen);
            bundle.below_market = self.rng.chance(0.2);
            let (fees, now) = (self.suggestion(), self.now());
            let actions = self.flow.place(Arc::new(bundle), place, fees, now);
            assert!(!actions.is_empty(), "there was room for {hashes:?}");
            hashes.iter().for_each(|hash| self.set(*hash, Status::InFlight));
            self.act(actions);
        }
    }

    /// What may go under this nonce, and pays for what it has to bid there.
    fn choose(&self, opening: &Opening, most: usize) -> Vec<Admitted> {
        let base_fee = self.base_fee;
        let pays = |op: &UserOperation| {
            let offered = op.effective_gas_price(base_fee).saturating_sub(base_fee);
            let outbids = |least: Fees| op.max_fee_per_gas >= least.max_fee && offered >= least.priority_fee;
            op.max_fee_per_gas >= base_fee && opening.least_bid.is_none_or(outbids)
        };
        let pending = self.arrivals.iter().filter_map(|hash| self.operations.get(hash));
        pending
            .filter(|(admitted, status, _)| *status == Status::Pending && pays(&admitted.op))
            .filter(|(admitted, ..)| self.flow.may_go(admitted.hash, opening.place))
            .map(|(admitted, _, _)| admitted.clone())
            .take(most)
            .collect()
    }

    fn height(&self) -> u64 {
        self.chain.len() as u64 - 1
    }

    /// Milliseconds of chain time.
    fn now(&self) -> u64 {
        self.height() * BLOCK_TIME
    }

    fn set(&mut self, hash: B256, status: Status) {
        if let Some(entry) = self.operations.get_mut(&hash) {
            entry.1 = status;
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            let action = match action {
                // Nothing of a bundle, or all but one operation, may have stopped to work meanwhile.
                Action::SignAgain { place, bundle, fees } => {
                    let bundle = if self.rng.chance(0.2) && bundle.operations.len() > 1 {
                        let mut rest = (*bundle).clone();
                        rest.operations.pop();
                        self.seen.reduced += 1;
                        self.flow.reduce(place, &bundle, rest)
                    } else if self.rng.chance(0.02) {
                        self.flow.withdraw(place, &bundle);
                        None
                    } else {
                        Some(bundle)
                    };
                    let Some(bundle) = bundle else { continue };
                    Action::Sign { place, bundle: Some(bundle), fees }
                }
                other => other,
            };
            match action {
                Action::SignAgain { .. } => {}
                Action::Sign { place, bundle, fees } => {
                    if self.rng.chance(0.02) {
                        self.queue.push(Event::NotSigned(place, bundle));
                        continue;
                    }
                    let operations = bundle.as_ref().map(|bundle| bundle.hashes()).unwrap_or_default();
                    let transaction = self.hash();
                    self.signed.insert(transaction, Transaction { hash: transaction, place, operations, fees });
                    let attempt = Attempt { transaction, raw: Bytes::new(), fees };
                    self.queue.push(Event::Signed(place, attempt, bundle));
                }
                Action::Broadcast { place, attempt } => self.broadcast(place, attempt.transaction),
                Action::Ask { place, transactions, .. } => self.queue.push(Event::Answer(place, transactions)),
                Action::Settled { bundle, outcome, .. } => self.settled(bundle, outcome),
                Action::Unmined { bundle, .. } => {
                    self.seen.unmined += 1;
                    for hash in bundle.hashes() {
                        let included = self.operations[&hash].1 == Status::Included;
                        if !included || !self.on_chain().contains(&hash) {
                            self.set(hash, Status::InFlight);
                        }
                    }
                }
            }
        }
    }

    /// Its bundle has left its nonce.
    fn free(&mut self, hash: B256) {
        if self.operations[&hash].1 == Status::InFlight {
            self.set(hash, Status::Pending);
        }
    }

    fn settled(&mut self, bundle: Option<Arc<Bundle>>, outcome: Outcome) {
        let on_chain = self.on_chain();
        self.seen.overtaken += u64::from(outcome == Outcome::Overtaken);
        self.seen.displaced += u64::from(outcome == Outcome::Displaced);
        self.seen.superseded += u64::from(outcome == Outcome::Superseded);
        self.seen.lost += u64::from(outcome == Outcome::Lost);
        self.seen.cancelled += u64::from(matches!(outcome, Outcome::Cancelled(_)));
        for hash in bundle.map(|bundle| bundle.hashes()).unwrap_or_default() {
            let Some(entry) = self.operations.get_mut(&hash) else { continue };
            if entry.1 != Status::InFlight {
                continue;
            }
            entry.2 += u32::from(matches!(outcome, Outcome::Reverted(_) | Outcome::Cancelled(_)));
            entry.1 = match on_chain.contains(&hash) {
                true => Status::Included,
                false if entry.2 >= 5 => Status::Dropped("failed too often"),
                false => Status::Pending,
            };
        }
    }

    /// The node's pool, which may lose what it is sent, or refuse what is under-priced or too late.
    fn broadcast(&mut self, place: Place, hash: B256) {
        let transaction = self.signed[&hash].clone();
        self.seen.dearer += u64::from(self.pool.get(&place).is_some_and(|standing| standing.hash != hash));
        let standing = self.pool.get(&place).map(|standing| (standing.hash, standing.fees));
        let underpriced = standing.is_some_and(|(other, fees)| {
            other != hash
                && (transaction.fees.max_fee * 10 < fees.max_fee * 11
                    || transaction.fees.priority_fee * 10 < fees.priority_fee * 11)
        });
        if place.nonce < self.next_nonce(place.key) || underpriced || self.rng.chance(0.05) {
            let event = match self.rng.below(10) {
                0..3 => Event::Overtaken(place, hash),
                3..5 => Event::NotNow(place, hash),
                _ => Event::Refused(place, hash),
            };
            self.queue.push(event);
        } else if self.rng.chance(0.9) {
            self.pool.insert(place, transaction);
            self.queue.push(Event::Taken(place, hash));
        }
        // The answer to what was taken may say that it was refused.
        if self.rng.chance(0.03) {
            self.queue.push(Event::Refused(place, hash));
        } else if self.rng.chance(0.01) {
            self.queue.push(Event::Overtaken(place, hash));
        }
    }

    /// Answers come late, in any order, twice, or not at all.
    fn deliver(&mut self, trouble: bool) {
        for _ in 0..4 {
            let mut events = std::mem::take(&mut self.queue);
            (1..events.len()).for_each(|index| events.swap(index, self.rng.below(index + 1)));
            for event in events {
                // What was signed is in our own process: late, but not lost.
                let own = matches!(event, Event::Signed(..) | Event::NotSigned(..));
                if trouble && self.rng.chance(0.2) {
                    if own || self.rng.chance(0.5) {
                        self.queue.push(event);
                    }
                    continue;
                }
                if trouble && !own && self.rng.chance(0.1) {
                    self.queue.push(event.clone());
                }
                let actions = match event {
                    Event::Signed(place, attempt, bundle) => self.flow.signed(place, attempt, bundle.as_ref()),
                    Event::NotSigned(place, bundle) => self.flow.not_signed(place, bundle.as_ref()),
                    Event::Refused(place, hash) => {
                        if let Some(bundle) = self.flow.refused(place, hash) {
                            self.seen.refused += 1;
                            bundle.hashes().into_iter().for_each(|hash| self.free(hash));
                        }
                        Vec::new()
                    }
                    Event::Taken(place, hash) => {
                        self.flow.taken(place, hash);
                        Vec::new()
                    }
                    Event::NotNow(place, hash) => {
                        self.flow.not_now(place, hash);
                        Vec::new()
                    }
                    Event::Overtaken(place, hash) => self.flow.overtaken(place, hash),
                    Event::Answer(place, transactions) => {
                        let mined = self.receipt(&transactions);
                        let head = self.height();
                        self.flow.settle(place, mined, head)
                    }
                };
                self.act(actions);
                self.check();
            }
        }
    }

    fn receipt(&self, transactions: &[B256]) -> Option<Mined> {
        let blocks = self.chain.iter().enumerate();
        blocks.flat_map(|(block, it)| it.transactions.iter().map(move |mined| (block as u64, mined))).find_map(
            |(block, (transaction, success))| {
                let ours = transactions.contains(&transaction.hash);
                ours.then_some(Mined { transaction: transaction.hash, success: *success, block, cost: 0 })
            },
        )
    }

    fn mine(&mut self, trouble: bool) {
        let mut block = Block::default();
        let mut executed = self.on_chain();
        for key in 0..KEYS {
            let mut nonce = self.next_nonce(key);
            while let Some(transaction) = self.pool.get(&Place { key, nonce }).cloned() {
                if transaction.fees.max_fee < self.base_fee || (trouble && self.rng.chance(0.3)) {
                    break;
                }
                self.pool.remove(&transaction.place);
                // An operation has a nonce of its own: the EntryPoint does not execute it twice.
                let success = transaction.operations.iter().all(|hash| !executed.contains(hash));
                if success {
                    executed.extend(transaction.operations.iter().copied());
                }
                block.transactions.push((transaction, success));
                nonce += 1;
            }
        }
        self.chain.push(block);
        let next: Vec<_> = (0..KEYS).map(|key| self.next_nonce(key)).collect();
        self.pool.retain(|place, _| place.nonce >= next[place.key]);
    }

    /// The head reaches us: first what is included and what is not any more, then the nonces.
    fn head(&mut self, trouble: bool) {
        let on_chain = self.on_chain();
        for (hash, (_, status, _)) in &mut self.operations {
            match (on_chain.contains(hash), *status) {
                (true, _) => *status = Status::Included,
                // Its nonce, if it had one of ours, takes it back below.
                (false, Status::Included) => *status = Status::Pending,
                _ => {}
            }
        }
        let next: Vec<_> =
            (0..KEYS).map(|key| (!trouble || self.rng.chance(0.9)).then(|| self.next_nonce(key))).collect();
        let (head, now, fees) = (self.height(), self.now(), self.suggestion());
        next.iter().zip(&mut self.told).for_each(|(next, told)| *told = next.unwrap_or(*told));
        let actions = self.flow.advance(&next, head, now, fees);
        self.act(actions);
        // What came back to the pool but is bound to a nonce is not pending.
        let bound: Vec<_> = self.flow.held().map(|(hash, _)| hash).collect();
        for hash in bound {
            if self.operations[&hash].1 == Status::Pending {
                self.set(hash, Status::InFlight);
            }
        }
    }

    /// What must hold at every moment.
    fn check(&self) {
        // No operation is in bundles of two nonces.
        let mut places: HashMap<B256, Place> = HashMap::new();
        for (place, bundle) in self.flow.placed() {
            for hash in bundle.hashes() {
                if let Some(other) = places.insert(hash, place) {
                    panic!("{hash} is live under {other:?} and {place:?}");
                }
            }
        }
        // Nor could another transaction that was signed for it be mined without the flow's looking after its nonce.
        for transaction in self.signed.values().filter(|it| it.place.nonce >= self.told[it.place.key]) {
            let elsewhere = |hash: &B256| places.get(hash).is_some_and(|place| *place != transaction.place);
            assert!(
                !transaction.operations.iter().any(elsewhere) || self.flow.looks_after(transaction.place),
                "{transaction:?} can be mined, and {places:?}"
            );
        }
        // Nor executed twice, whatever the chain was.
        let mut executed = BTreeSet::new();
        for (transaction, _) in self.mined().filter(|(_, success)| *success) {
            assert!(transaction.operations.iter().all(|hash| executed.insert(*hash)), "twice: {transaction:?}");
        }
    }

    fn is_over(&self) -> bool {
        let ended = |status: Status| matches!(status, Status::Included | Status::Dropped(_));
        self.flow.is_idle() && self.operations.values().all(|(_, status, _)| ended(*status))
    }

    fn finish(mut self) -> Seen {
        let on_chain = self.on_chain();
        for (hash, (_, status, _)) in &self.operations {
            match status {
                Status::Included => assert!(on_chain.contains(hash), "{hash} is said to be included"),
                Status::Dropped(why) => assert!(!on_chain.contains(hash), "{hash} was dropped, {why}, and is there"),
                other => panic!("{hash} is {other:?}"),
            }
        }
        self.seen.included = on_chain.len() as u64;
        self.seen.dropped = self.operations.len() as u64 - self.seen.included;
        self.seen
    }
}
