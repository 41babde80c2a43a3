//! The one owner of mempool, records and transactions in flight.
//!
//! ```text
//!  rpc ──Add──► ┌────────┐ ──choose──► prove (blocking thread) ──Proven──► sign, keep ──► broadcast
//!  follower ──► │ Engine │ ◄──────────────────────────────────────────────────────────────┘
//!      Head     └────────┘
//! ```
//!
//! A task that only passes messages: whatever waits for the node or computes for long runs beside it and reports
//! back. A transaction is kept before it is broadcast; an operation is live under one nonce only.

mod durable;
mod inflight;
mod operator;
mod records;
mod tasks;
mod truth;
mod upkeep;
mod vitals;
mod watchers;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::state::StateOverride,
};
use erc4337::UserOperation;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use durable::{Resumed, places};
pub(crate) use operator::Order;
pub(crate) use records::{InclusionRecord, Interest, Records};
pub use records::{Record, Status};
use tasks::NotProven;
pub use vitals::{KeyVitals, Vitals};
pub(crate) use watchers::{Stage, WAITING};

use crate::{
    Config, Head, Rejection,
    admission::Admitted,
    builder::{self, Bundle, Objection, Proven, Room, Terms},
    chain_time::millis,
    config::BundlingMode,
    flow::{Flow, Ledger, Mined, Opening, Place},
    follower::{Inclusion, Mined as Brought},
    index::Event,
    journal::{Entry, Journal, JournalError, Rows},
    lives::{Lives, Milestone},
    mempool::{Blame, Counts, Inserted, Mempool, Reputation, ReputationStatus, Trouble},
    node::{NodeClient, NodeError},
    signer::SignerError,
    submitter::{Attempt, Fees, KeyState, Submitter, Treasury},
};

/// Chain time after which the keys are looked at again though nothing uses them.
const KEYS_LAST: Duration = Duration::from_secs(20);

/// Whoever asked something that another process may have to be asked for.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Rejection>>;

/// What the engine is told or asked.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take this operation.
    Add(Box<Admitted>, oneshot::Sender<Result<B256, Rejection>>),
    /// Is there a reason not even to validate this operation?
    Screen(Screening, oneshot::Sender<Result<Screened, Rejection>>),
    /// What is pending under this nonce's key?
    Lane { entry_point: Address, sender: Address, nonce: U256, answer: Answer<Vec<Arc<UserOperation>>> },
    /// What is known of this operation?
    Look(B256, Answer<Option<Record>>),
    /// What is in the mempool, oldest first?
    Dump(Answer<Vec<Admitted>>),
    /// Forget pending operations, reputations, or both.
    Clear { operations: bool, reputations: bool, done: oneshot::Sender<()> },
    /// Set these reputations.
    SetReputation(Vec<(Address, Counts)>, oneshot::Sender<()>),
    /// How does everyone stand?
    DumpReputation(oneshot::Sender<Vec<(Address, Counts, ReputationStatus)>>),
    /// A new head, and what was mined since the last.
    Head(Box<Head>, Brought),
    /// Tell this subscriber what becomes of the operation, which the index knows so; whether there is room.
    Watch(B256, Option<Event>, mpsc::Sender<Stage>, oneshot::Sender<bool>),
    /// A subscriber of the operation has gone.
    Unwatch(B256),
    /// The operator wants this; the operations that it is done to.
    Order(Order, Answer<Vec<B256>>),
    /// These transactions are in the block that is being built.
    Preconfirmed {
        /// Its number.
        block: u64,
        /// What is in it.
        transactions: BTreeSet<B256>,
    },
    /// This block and those before it are safe.
    Safe(u64),
    /// Bundle now, whatever the mode; answers when the bundle is sent, with its transaction.
    BundleNow(oneshot::Sender<Option<B256>>),
    /// Bundle by itself or only when asked.
    SetMode(BundlingMode),
    /// Take nothing more, send what there is, answer when all is mined.
    Drain(oneshot::Sender<()>),
    /// What was earned and lost so far?
    Ledger(oneshot::Sender<Ledger>),
    /// How do you do?
    Vitals(oneshot::Sender<Vitals>),
    /// Give up what is left.
    Abandon(oneshot::Sender<Vec<Left>>),
    /// Of our own tasks.
    Internal(Report),
}

/// What one of the engine's own tasks found out.
#[derive(Debug)]
pub(crate) enum Report {
    /// A bundle was proven, for this nonce.
    Proven(Box<Proven>, Place),
    /// It could not be: the operations go back. Without a trouble of theirs, until the next head.
    NotProven(Vec<B256>, NotProven),
    /// A bundle that is to be signed again was proven again, or could not be.
    ProvenAgain { place: Place, bundle: Arc<Bundle>, fees: Fees, proven: Result<Box<Proven>, String> },
    /// Enough has been waited for more operations.
    Gathered,
    /// These were validated again.
    Refreshed(Vec<(B256, Result<Admitted, Rejection>)>),
    /// The node took the transaction, or said why not.
    Broadcast(Place, B256, Result<(), NodeError>),
    /// The transaction of a nonce is signed, or why not; with the bundle that it carries.
    Signed(Place, Result<Attempt, SignerError>, Option<Arc<Bundle>>),
    /// How each key stands at this head, and the funder last if there is one.
    Keys(B256, Vec<Option<KeyState>>),
    /// What was to be written down is durable, or is not known to be.
    Written(Rows, Result<(), JournalError>),
    /// After a failure: it may be tried again.
    Rested,
    /// The node took the refill, or said why not.
    Refilled(Result<B256, String>),
    /// Which transaction of ours used this nonce; none if none did.
    Settled(Place, Option<Mined>),
    /// What used the nonce of an operation that is to be dropped for this reason; the operation's own execution, if it was
    /// that.
    Sought(B256, String, Option<Box<Inclusion>>),
}

/// An operation before its validation.
#[derive(Debug)]
pub(crate) struct Screening {
    pub(crate) op: Arc<UserOperation>,
    pub(crate) hash: B256,
    pub(crate) entry_point: Address,
}

/// What there is to say about an operation before its validation.
#[derive(Debug)]
pub(crate) enum Screened {
    /// It is pending or mined already.
    Known,
    /// Validate it; of its nonce key, these are pending, lowest first.
    Validate(Vec<Arc<UserOperation>>),
}

/// An accepted operation that was not seen mined before shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its hash.
    pub user_op_hash: B256,
    /// The transaction it was sent in, which may still be mined; none if it was not sent.
    pub transaction: Option<B256>,
    /// Whether it is taken up again at the next start; otherwise, what was not sent is dropped.
    pub kept: bool,
}

/// What connects the engine with the other stages.
#[derive(Debug)]
pub(crate) struct Channels {
    pub(crate) heads: watch::Receiver<Head>,
    pub(crate) inbox: mpsc::Receiver<Command>,
    /// To give to tasks.
    pub(crate) outbox: mpsc::WeakSender<Command>,
    /// What the chain is to be asked for, as it changes.
    pub(crate) interest: watch::Sender<Interest>,
    /// Where each step is noted.
    pub(crate) lives: Arc<Lives>,
}

/// The engine's state.
pub(crate) struct Engine {
    config: Arc<Config>,
    node: NodeClient,
    submitter: Submitter,
    heads: watch::Receiver<Head>,
    inbox: mpsc::Receiver<Command>,
    /// To give to tasks.
    outbox: mpsc::WeakSender<Command>,
    mempool: Mempool,
    records: Records,
    /// For those who watch.
    lives: Arc<Lives>,
    head: Head,
    mode: BundlingMode,
    /// The operator wants no new bundles.
    bundling_paused: bool,
    /// A bundle is being proven: one at a time, because each builds on what those before leave.
    proving: bool,
    /// A proven bundle that waits for the answer to what goes before it, its changes, and its nonce.
    ready: Option<(Bundle, StateOverride, Place)>,
    /// How many nonces before that of the bundle being proven were left when it was chosen.
    left: usize,
    /// A node takes no priority fee below this, in wei per gas, as was found out; until that chain time.
    floor: Option<(u128, u64)>,
    /// What bundles in flight change, each on top of those before it, with the operations of each.
    changes: Vec<(Vec<B256>, StateOverride)>,
    /// Operations of the last bundle of native calls: nothing is built upon what it does, which only the node can tell.
    native: Vec<B256>,
    /// Such a bundle was the last: others go first now.
    native_had_its_turn: bool,
    /// Keys as they stood at the last head that this was read at.
    keys: Vec<Option<KeyState>>,
    /// Looks after the keys' balances.
    treasury: Treasury,
    /// Operations being validated again.
    refreshing: bool,
    /// How many at a time: fewer when a head came before they were done.
    refreshed_at_once: usize,
    /// More operations are waited for, for a moment.
    gathering: bool,
    flow: Flow,
    journal: Journal,
    /// Chain time when a block was last called final in the journal.
    finalised: u64,
    /// Chain time of the head at which the keys were last asked for.
    keys_asked: Option<u64>,
    /// What was mined of late, by block: it may leave the chain.
    recent: BTreeMap<u64, Vec<inflight::Recent>>,
    /// Blocks have left the chain, and which nonces are free again is not known yet.
    reorganised: bool,
    ledger: Ledger,
    waiting_for_bundle: Vec<oneshot::Sender<Option<B256>>>,
    /// Theirs is placed, and not yet with the node.
    waiting_for_transaction: Vec<oneshot::Sender<Option<B256>>>,
    draining: Option<oneshot::Sender<()>>,
    closed: bool,
}

impl Engine {
    pub(crate) fn new(
        config: Arc<Config>,
        node: NodeClient,
        submitter: Submitter,
        flow: Flow,
        reputation: Reputation,
        journal: Journal,
        Channels { heads, inbox, outbox, interest, lives }: Channels,
    ) -> Self {
        let keeping = config.keeping;
        let head = heads.borrow().clone();
        let (mode, bundling_paused) = (config.bundling, config.bundling_paused);
        let mut mempool = Mempool::new(config.mempool.clone(), reputation);
        mempool.begin_at(head.time);
        lives.advance(head.block.number);
        Self {
            config,
            node,
            submitter,
            heads,
            inbox,
            outbox,
            mempool,
            records: Records::new(interest, Arc::clone(&lives)),
            lives,
            head,
            mode,
            bundling_paused,
            proving: false,
            ready: None,
            left: 0,
            floor: None,
            changes: Vec::new(),
            native: Vec::new(),
            native_had_its_turn: false,
            keys: Vec::new(),
            treasury: Treasury::new(keeping),
            refreshing: false,
            refreshed_at_once: upkeep::REFRESHED_AT_MOST,
            gathering: false,
            flow,
            journal,
            finalised: 0,
            keys_asked: None,
            recent: BTreeMap::new(),
            reorganised: false,
            ledger: Ledger::default(),
            waiting_for_bundle: Vec::new(),
            waiting_for_transaction: Vec::new(),
            draining: None,
            closed: false,
        }
    }

    /// Runs until every handle to it is gone.
    pub(crate) async fn run(mut self) {
        while let Some(command) = self.inbox.recv().await {
            self.handle(command);
            self.finish_drain();
            self.records.rest_on_the_head(!self.mempool.is_empty());
            self.write();
        }
    }

    fn handle(&mut self, command: Command) {
        // Whoever asked may have gone: an answer that nobody takes is no error.
        match command {
            Command::Add(admitted, answer) => {
                self.take(*admitted, answer);
            }
            Command::Screen(screening, answer) => {
                self.answer_screening(&screening, answer);
            }
            Command::Clear { operations, reputations, done } => {
                self.clear(operations, reputations);
                let _ = done.send(());
            }
            Command::SetReputation(entries, done) => {
                let dropped = self.mempool.set_reputation(entries);
                self.record_drops(dropped);
                self.persist_reputation();
                let _ = done.send(());
            }
            Command::DumpReputation(answer) => {
                let _ = answer.send(self.reputations());
            }
            Command::Lane { entry_point, sender, nonce, answer } => {
                let _ = answer.send(Ok(self.mempool.lane(entry_point, sender, nonce)));
            }
            Command::Look(hash, answer) => self.tell(hash, answer),
            Command::Dump(answer) => {
                let _ = answer.send(Ok(self.mempool.all().cloned().collect()));
            }
            Command::Head(head, brought) => self.advance(*head, brought),
            Command::Ledger(answer) => {
                let _ = answer.send(self.ledger.clone());
            }
            Command::Vitals(answer) => {
                let _ = answer.send(self.vitals());
            }
            Command::Watch(hash, known, sender, answer) => {
                let _ = answer.send(self.records.watch(hash, known, sender));
            }
            Command::Unwatch(hash) => drop(self.records.unwatch(hash)),
            Command::Order(order, answer) => {
                let _ = answer.send(self.obey(order));
            }
            Command::Preconfirmed { block, transactions } => self.records.preconfirm(block, &transactions),
            Command::Safe(block) => self.records.safe(block),
            Command::BundleNow(answer) => {
                self.waiting_for_bundle.push(answer);
                self.try_bundle(true);
            }
            Command::SetMode(mode) => {
                self.mode = mode;
                self.try_bundle(false);
            }
            Command::Drain(answer) => {
                self.closed = true;
                self.draining = Some(answer);
                self.persist_reputation();
                self.try_bundle(true);
            }
            Command::Abandon(answer) => self.leave(answer),
            Command::Internal(report) => self.report(report),
        }
    }

    fn add(&mut self, admitted: Admitted) -> Result<B256, Rejection> {
        if self.closed {
            return Err(Rejection::ShuttingDown);
        }
        if let Some(refusal) = self.journal.refusal() {
            return Err(refusal);
        }
        let hash = admitted.hash;
        // Admitted on an older head than we have handled since.
        if self.records.get(hash).is_some_and(|record| matches!(record.status, Status::Included(_))) {
            return Ok(hash);
        }
        self.replaces_nothing_that_may_be_mined(admitted.entry_point, &admitted.op)?;
        let record = Record::pending(&admitted);
        let noted = Box::new(admitted.clone());
        match self.mempool.insert(admitted, &self.head.block)? {
            Inserted::Known => return Ok(hash),
            Inserted::New(dropped) => self.record_drops(dropped),
        }
        self.records.insert(hash, record);
        self.note(Entry::Admitted { admitted: noted, block: self.head.block.number });
        // With others on their way it goes together with those that come in a moment.
        if self.flow.is_idle() && !self.proving {
            self.try_bundle(false);
        } else if !self.gathering {
            self.gathering = true;
            self.gather();
        }
        Ok(hash)
    }

    fn advance(&mut self, head: Head, brought: Brought) {
        let previous = std::mem::replace(&mut self.head, head);
        self.raise_to_floor();
        self.lives.advance(self.head.block.number);
        let gone = brought.from.map(|from| self.unmine(from)).unwrap_or_default();
        self.include(brought.inclusions, gone);
        self.records.confirm(self.head.block.number);
        self.keep_up(&previous);
        self.finalise();
        if self.keys_matter() {
            self.read_keys();
        }
        self.try_bundle(false);
    }

    /// Whether the keys' nonces and balances are worth a question at this head: while anything may use them, and now and
    /// then, because somebody may have paid one.
    fn keys_matter(&self) -> bool {
        let used = !self.flow.is_idle() || !self.mempool.is_empty() || self.treasury.is_waiting() || self.reorganised;
        let last = self.keys_asked.map(|last| last.saturating_add(millis(KEYS_LAST)));
        used || last.is_none_or(|due| self.head.time >= due)
    }

    /// Starts a bundle if there is something to bundle and a key for it. The next one starts when it is placed.
    fn try_bundle(&mut self, asked: bool) {
        self.refresh();
        if self.bundling_paused {
            return self.refuse_bundle_requests();
        }
        if self.reorganised || self.proving || self.journal.failure().is_some() || self.waits_for_native() {
            return;
        }
        if self.flow.next_keys().is_empty() {
            return;
        }
        self.mempool.look_to(self.next_block());
        let wanted = asked || self.closed || self.mode == BundlingMode::Auto || !self.waiting_for_bundle.is_empty();
        match wanted.then(|| self.choose()).flatten() {
            Some((bundle, place)) => {
                self.native_had_its_turn = bundle.native;
                self.mempool.mark_bundled(&bundle.hashes());
                self.records.bundled(&bundle.hashes());
                self.proving = true;
                self.left = self.flow.left_before(place);
                self.prove(bundle, place);
            }
            // What is being validated again may come to be bundled yet.
            None if self.refreshing => {}
            None => {
                self.refuse_bundle_requests();
                if wanted && self.passes_without_heads() {
                    self.wait_for_time();
                }
            }
        }
    }

    /// The next bundle, and the nonce that it is for.
    fn choose(&self) -> Option<(Bundle, Place)> {
        // In turns, so that neither waits for more than one bundle of the other kind.
        let first = !self.native_had_its_turn;
        self.flow.next_keys().into_iter().find_map(|key| {
            let room = Room::new(&self.head, &self.config.chain, self.spare(key)).within(&self.config.rules);
            self.flow.openings(key).into_iter().find_map(|Opening { place, least_bid, quiet }| {
                let choose = |native| {
                    let terms = Terms { room: &room, fees: self.head.fees, native, least_bid, quiet };
                    builder::choose(&self.mempool, &terms, |hash| self.flow.may_go(hash, place))
                };
                Some((choose(first).or_else(|| choose(!first))?, place))
            })
        })
    }

    /// What is known of an operation, with what it waits for.
    fn look(&self, hash: B256) -> Option<Record> {
        let mut record = self.records.get(hash)?;
        if matches!(record.status, Status::Pending) {
            let below = record.op.as_ref().is_some_and(|op| builder::is_below_market(op, self.head.fees));
            let below = below.then_some("it offers less than is paid now: it waits for fees to fall");
            let why = self.mempool.waits_for(hash).or(below).or_else(|| self.waits_for_its_turn(hash));
            record.waits_for = why.map(str::to_owned);
        }
        Some(record)
    }

    /// What a pending operation waits for that nothing is held against; none while a bundle is being made, which it may be in.
    fn waits_for_its_turn(&self, hash: B256) -> Option<&'static str> {
        if self.bundling_paused {
            return Some("bundling is paused");
        }
        let is_made = self.proving || self.gathering || self.refreshing || self.ready.is_some();
        if is_made || self.mempool.is_bundled(hash) {
            return None;
        }
        if let Some(why) = self.mempool.waits_behind(hash) {
            return Some(why);
        }
        if self.mode == BundlingMode::Manual {
            return Some("bundles are made when they are asked for");
        }
        if self.flow.next_keys().is_empty() {
            return Some("as many transactions of our keys are on their way as may be, or no key can pay for one");
        }
        Some("what is left of the next block, or of a transaction, has no room for it yet")
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Proven(proven, place) => self.send(*proven, place),
            Report::NotProven(mut hashes, NotProven { why, trouble, culprits }) => {
                tracing::warn!(why, operations = hashes.len(), culprits = culprits.len(), "bundle not proven");
                self.proving = false;
                self.refuse_bundle_requests();
                if trouble.is_some() && !culprits.is_empty() && culprits.len() < hashes.len() {
                    hashes.retain(|hash| !culprits.contains(hash));
                    self.mempool.give_back(&hashes);
                    self.mempool.put_last(&culprits, &why);
                    return self.try_bundle(false);
                }
                match trouble {
                    None => self.mempool.hold(&hashes, "its bundle could not be proven: state could not be read"),
                    Some(trouble) => {
                        self.set_back(&hashes, trouble, &why);
                        self.try_bundle(false);
                    }
                }
            }
            Report::Sought(hash, reason, inclusion) => self.sought(hash, reason, inclusion),
            Report::ProvenAgain { place, bundle, fees, proven } => self.proven_again(place, &bundle, fees, proven),
            Report::Gathered => {
                self.gathering = false;
                self.try_bundle(false);
            }
            Report::Refreshed(results) => self.refreshed(results),
            Report::Broadcast(place, transaction, result) => self.broadcasted(place, transaction, result),
            Report::Signed(place, result, bundle) => self.signed(place, result, bundle),
            Report::Keys(head, keys) => self.keys(head, &keys),
            Report::Written(rows, result) => self.written(rows, result),
            Report::Rested => self.journal.rested(),
            Report::Refilled(Ok(transaction)) => tracing::info!(%transaction, "a key is being filled up"),
            Report::Refilled(Err(why)) => tracing::error!(why, "a key could not be filled up; trying again"),
            Report::Settled(place, mined) => {
                let actions = self.flow.settle(place, mined, self.head.block.number);
                self.act(actions);
                self.try_bundle(false);
            }
        }
        self.put_ready();
    }

    /// Of what is bid, no less than what nodes take.
    fn raise_to_floor(&mut self) {
        self.floor.take_if(|(_, until)| *until < self.head.time);
        if let Some((floor, _)) = self.floor {
            let fees = &mut self.head.fees;
            fees.priority_fee = fees.priority_fee.max(floor);
            fees.slow_priority_fee = fees.slow_priority_fee.max(floor);
        }
    }

    /// Gives a proven bundle its nonce.
    fn send(&mut self, proven: Proven, place: Place) {
        self.proving = false;
        self.mempool.give_back(&proven.returned);
        self.mempool.set_native(&proven.native);
        self.mempool.give_back(&proven.native);
        self.mempool.hold(&proven.waiting, "what is in flight has to be mined before it, or its time has not come");
        if !proven.held.is_empty() {
            tracing::info!(operations = proven.held.len(), "held back: as fees are they do not pay for themselves");
            self.ledger.held += proven.held.len() as u64;
            self.mempool.hold(&proven.held, "as fees are it does not pay for what it costs");
        }
        if let Some((hashes, why)) = &proven.unexplained {
            self.set_back(hashes, Trouble::Unprovable { for_good: false }, why);
        }
        // Only on the state that they passed their second validation on, and alone, is a failure held against anybody.
        let same_state = proven.same_state;
        let reproved = !proven.misconduct.is_empty();
        for (hash, what) in proven.misconduct {
            let dropped = self.mempool.reprove(hash, what);
            self.record_drops(dropped);
        }
        let failed = reproved || !(proven.dropped.is_empty() && proven.disturbed.is_empty());
        for failed in proven.dropped {
            tracing::info!(user_op_hash = %failed.hash, failed.reason, "dropped from the bundle");
            let blame = failed.culprit.filter(|_| same_state).map(Blame::Bundle);
            let dropped = self.mempool.take_out(failed.hash, failed.reason, blame);
            self.record_drops(dropped);
        }
        for failed in proven.disturbed {
            // Alone it either works or is what fails.
            self.mempool.set_apart(&[failed.hash]);
            self.mempool.give_back(&[failed.hash]);
        }
        if failed {
            self.persist_reputation();
        }
        let hashes = proven.bundle.hashes();
        // Some may have been mined by others, or given up, while the proof ran: what it proved is no more.
        if hashes.is_empty() || hashes.iter().any(|hash| !self.mempool.contains(*hash)) {
            self.mempool.give_back(&hashes);
            self.try_bundle(false);
            return;
        }
        match proven.objection {
            Some(Objection::Disagrees(why)) => {
                self.ledger.disagreements += 1;
                tracing::error!(
                    why,
                    operations = hashes.len(),
                    "the node refuses a bundle that our EVM passed: not sent"
                );
                self.set_back(&hashes, Trouble::Disagreed, &format!("the node does not execute it as we do: {why}"));
                self.refuse_bundle_requests();
                self.try_bundle(false);
                return;
            }
            // With the next head it is seen what has become of them.
            Some(Objection::Overtaken(why)) => {
                tracing::info!(why, operations = hashes.len(), "the newest block has overtaken a bundle: not sent");
                self.mempool.hold(&hashes, "the newest block has overtaken its bundle");
                self.refuse_bundle_requests();
                self.try_bundle(false);
                return;
            }
            None => {}
        }
        self.mempool.went(&hashes, None);
        let expected = proven.bundle.expected;
        tracing::info!(operations = hashes.len(), ?expected, ?place, "bundle proven");
        self.lives.note_all(&hashes, Milestone::Proven);
        // Nothing else is proven meanwhile.
        self.proving = true;
        self.ready = Some((proven.bundle, proven.changes, place));
        self.put_ready();
    }

    /// Goes on with what is proven, unless it has to wait for the answer to what goes before it.
    fn put_ready(&mut self) {
        let Some((bundle, changes, place)) = self.ready.take() else { return };
        if self.flow.is_unsure(place) {
            self.ready = Some((bundle, changes, place));
            return;
        }
        self.proving = false;
        let hashes = bundle.hashes();
        // What it was to go behind is not there, or some of it was mined or given up meanwhile.
        if self.flow.left_before(place) > self.left || hashes.iter().any(|hash| !self.mempool.contains(*hash)) {
            self.mempool.give_back(&hashes);
            self.try_bundle(false);
            return;
        }
        self.put(bundle, changes, place);
    }

    /// Has a bundle signed for this nonce.
    fn put(&mut self, bundle: Bundle, changes: StateOverride, place: Place) {
        let hashes = bundle.hashes();
        self.changes.push((hashes.clone(), changes));
        if bundle.native {
            self.native.clone_from(&hashes);
        }
        let actions = self.flow.place(Arc::new(bundle), place, self.head.fees, self.head.time);
        if actions.is_empty() {
            self.mempool.give_back(&hashes);
            self.refuse_bundle_requests();
        }
        // Whoever asks for a bundle gets this one's transaction, once it is sent.
        self.waiting_for_transaction.append(&mut self.waiting_for_bundle);
        self.act(actions);
        self.try_bundle(false);
    }

    /// Whether a bundle of native calls is in flight.
    fn waits_for_native(&self) -> bool {
        self.native.iter().any(|hash| self.flow.holds(*hash) && self.mempool.contains(*hash))
    }

    fn drop_operation(&mut self, hash: B256, reason: String) {
        self.mempool.remove(hash);
        self.records.set(hash, Status::Dropped { reason });
    }

    /// There is no bundle for whoever asked for one.
    fn refuse_bundle_requests(&mut self) {
        for answer in self.waiting_for_bundle.drain(..) {
            let _ = answer.send(None);
        }
    }

    /// This is the transaction of whoever asked for a bundle; none if it was not to be had.
    fn answer_bundle_requests(&mut self, transaction: Option<B256>) {
        for answer in self.waiting_for_transaction.drain(..) {
            let _ = answer.send(transaction);
        }
    }

    fn finish_drain(&mut self) {
        if self.mempool.is_empty()
            && let Some(answer) = self.draining.take()
        {
            let _ = answer.send(());
        }
    }

    /// What is left at shutdown. What was not sent will not be; what was may still be mined.
    fn abandon(&mut self) -> Vec<Left> {
        let left: Vec<B256> = self.mempool.all().map(|admitted| admitted.hash).collect();
        left.into_iter()
            .map(|user_op_hash| {
                let (transaction, kept) = (self.flow.transaction_of(user_op_hash), self.journal.is_kept());
                if transaction.is_none() && !kept {
                    self.drop_operation(user_op_hash, "not sent before shutdown".into());
                }
                Left { user_op_hash, transaction, kept }
            })
            .collect()
    }

    /// Work for a task, which reports back. Without anyone left to ask, there is nobody to work for.
    fn outbox(&self) -> Option<mpsc::Sender<Command>> {
        self.outbox.upgrade()
    }
}
