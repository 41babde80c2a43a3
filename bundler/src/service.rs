//! Wiring: the tasks, the channels between them, and the handle that the RPC layer holds.

mod lookout;
mod operator;
mod snapshot;
mod unknown;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, Bytes},
    rpc::types::state::StateOverride,
};
use erc4337::{EntryPointVersion, UserOperation, UserOperationRequest, storage::DepositInfo};
use tokio::{
    sync::{
        Notify, Semaphore, SemaphorePermit,
        mpsc::{self, error::TrySendError},
        oneshot, watch,
    },
    task::JoinHandle,
};

use serde_json::value::RawValue;

use crate::{
    Config, Head, Rejection, Trail,
    admission::{self, Admitted, Examination, Grounds, entry_point_version},
    cluster::{Asks, ClusterConfig, ClusterError, Connection, Relay},
    config::BundlingMode,
    engine::{
        Channels, Command, Engine, InclusionRecord, Interest, Left, Record, Resumed, Screened, Screening, Stage,
        Status, Vitals, WAITING, places,
    },
    estimation::{self, Estimate},
    evm::{BlockPin, NextBlock, SelfTestError, Wanted, self_test},
    flow::{Flow, Ledger, Policy},
    follower::{self, Activity},
    index::{Event, Index, IndexError, Logs, ResumeError},
    journal::{File, Journal, JournalError, Replay},
    lives::{Arrival, Lives},
    mempool::store::{self, StoreError},
    node::{NodeClient, NodeError},
    signal::Signal,
    signer::Signer,
    submitter::Submitter,
    world,
};

use lookout::Lookout;

/// Messages that may wait for the engine; senders wait when it is full.
const INBOX: usize = 1_024;

/// How long an operation waits for its turn to be validated.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait for a head that the node is known to have.
const CATCH_UP: Duration = Duration::from_secs(2);

/// How long to wait for what is left to be written at shutdown.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Stands for whichever key will send a bundle, where validation needs one: an address without code.
const SOME_BUNDLER: Address = Address::repeat_byte(0xb0);

/// Why a bundler did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The node did not answer.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The node is on another chain.
    #[error("the node is on chain {node}, but the configuration is for chain {configured}")]
    WrongChain {
        /// Of the node.
        node: u64,
        /// Of the configuration.
        configured: u64,
    },
    /// There is no contract where an EntryPoint should be.
    #[error("no contract at {address}, where EntryPoint {version} is configured")]
    NoEntryPoint {
        /// Where.
        address: Address,
        /// Of which version.
        version: EntryPointVersion,
    },
    /// Our EVM is not the chain's.
    #[error(transparent)]
    SelfTest(#[from] SelfTestError),
    /// Reputations from before cannot be read.
    #[error(transparent)]
    Reputation(#[from] StoreError),
    /// There is nothing to sign with.
    #[error("no bundler key")]
    NoKey,
    /// The index of what was executed cannot be used.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// What was accepted before cannot be taken up.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It cannot work with others.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A transaction of a key that is not configured any more may still be mined.
    #[error(
        "the journal has transactions of the bundler key {0}, which is not configured: start with it until the bundler \
         stops with nothing left, then take it away"
    )]
    MissingKey(Address),
    /// EntryPoint v0.9 takes bundles only from accounts without code.
    #[error("the bundler key {0} is EIP-7702-delegated; EntryPoint v0.9 refuses its bundles")]
    DelegatedKey(Address),
}

impl From<ResumeError> for StartError {
    fn from(error: ResumeError) -> Self {
        match error {
            ResumeError::Node(error) => error.into(),
            ResumeError::Index(error) => error.into(),
        }
    }
}

/// A running bundler. Cheap to clone; it stops when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Bundler {
    pub(crate) config: Arc<Config>,
    pub(crate) node: NodeClient,
    heads: watch::Receiver<Head>,
    /// There is another head, or there will be none any more.
    moved: Signal,
    engine: mpsc::Sender<Command>,
    address: Address,
    /// Operations that may be validated at once to be taken.
    lanes: Arc<Semaphore>,
    /// Estimates, rehearsals and explanations that may be made at once, behind those.
    studies: Arc<Semaphore>,
    /// Whether no new operation is taken.
    intake_paused: Arc<AtomicBool>,
    index: Arc<Index>,
    logs: Arc<Logs>,
    trail: Arc<Trail>,
    /// Has the follower look for a new head at once.
    wake: Arc<Notify>,
    /// Has it look often for a while.
    activity: Arc<Activity>,
    lives: Arc<Lives>,
}

/// One operation's validation, laid open.
#[derive(Debug)]
pub(crate) struct Explanation {
    pub(crate) op: Arc<UserOperation>,
    pub(crate) version: EntryPointVersion,
    /// Its hash, or why it was not even to be run.
    pub(crate) screened: Result<B256, Rejection>,
    pub(crate) examination: Examination,
    pub(crate) block: BlockPin,
}

impl Bundler {
    /// Checks the node and the keys, then starts following, admitting and bundling. The funder fills up keys that run
    /// low ([`Config::keeping`]).
    ///
    /// # Errors
    /// If the node is not the one configured, an EntryPoint is missing, or the key cannot be used.
    pub async fn start(
        config: Config,
        node: NodeClient,
        signers: Vec<Signer>,
        funder: Option<Signer>,
    ) -> Result<(Self, JoinHandle<()>), StartError> {
        // Before anything else: a process that is not alone is not to do anything.
        let kept = journal_of(&config).await?;
        Self::start_on(config, node, signers, funder, kept).await
    }

    /// The same on this journal, and what it holds.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) async fn start_on(
        config: Config,
        node: NodeClient,
        signers: Vec<Signer>,
        funder: Option<Signer>,
        (journal, replay): (Journal, Replay),
    ) -> Result<(Self, JoinHandle<()>), StartError> {
        if signers.is_empty() {
            return Err(StartError::NoKey);
        }
        let config = checked(config, &node).await?;
        node.try_conditions().await;
        for signer in &signers {
            check_key(&config, &node, signer.address()).await?;
        }
        let reputation = match config.reputation_file.as_deref() {
            Some(file) => store::read(file)?,
            None => replay.reputation.clone().unwrap_or_default(),
        };
        let submitter = Submitter::new(signers, funder, config.chain.chain_id);
        let since = replay.since.map(|block| block.saturating_sub(config.reorg_blocks()));
        let (lookout, inclusions) = Lookout::start(&config, &node, submitter.addresses(), since).await?;
        let mut nonces = Vec::new();
        for key in submitter.addresses() {
            nonces.push(Some(node.transaction_count(key).await?));
        }
        let (engine, inbox) = mpsc::channel(INBOX);
        let (interest, interested) = watch::channel(Interest::default());
        let (address, head) = (submitter.address(), lookout.heads.borrow().clone());
        let mut flow = Flow::new(nonces.len(), Policy::of(&config));
        places(&replay, &submitter.addresses(), &mut flow, head.time).map_err(StartError::MissingKey)?;
        let actions = flow.advance(&nonces, head.block.number, head.time, head.fees);
        let (heads, outbox) = (lookout.heads.subscribe(), engine.downgrade());
        let channels = Channels { heads, inbox, outbox, interest, lives: Arc::clone(&lookout.lives) };
        let mut engine_task =
            Engine::new(Arc::clone(&config), node.clone(), submitter, flow, reputation, journal, channels);
        engine_task.resume(Resumed { operations: replay.operations, dropped: replay.dropped, inclusions, actions });
        let task = tokio::spawn(engine_task.run());
        Ok((lookout.watch(config, node, engine, interested, address), task))
    }

    /// Checks the node and starts following and admitting; what is admitted is stored, bundled and sent by builders
    /// elsewhere.
    ///
    /// # Errors
    /// As [`Self::start`], and if Redis does not answer or others are configured otherwise.
    pub async fn relay(
        config: Config,
        node: NodeClient,
        cluster: ClusterConfig,
    ) -> Result<(Self, JoinHandle<()>), StartError> {
        let config = checked(config, &node).await?;
        let connection = Connection::open(cluster, config.chain.chain_id).await?;
        let asks = Asks::start(connection).await?;
        let (lookout, _) = Lookout::start(&config, &node, Vec::new(), None).await?;
        let (engine, inbox) = mpsc::channel(INBOX);
        let (interest, interested) = watch::channel(Interest::default());
        let lives = Arc::clone(&lookout.lives);
        let task = tokio::spawn(Relay::new(Arc::clone(&config), asks, inbox, interest, lives).run());
        Ok((lookout.watch(config, node, engine, interested, SOME_BUNDLER), task))
    }

    /// The key that bundles are sent from.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The head that operations are judged by.
    pub fn head(&self) -> Head {
        self.heads.borrow().clone()
    }

    /// The block that comes after the head, as far as it is known: when what is signed now has to hold.
    pub fn next_block(&self) -> NextBlock {
        self.heads.borrow().block.next(&self.config.chain, world::unix())
    }

    /// What the newest blocks can have logged.
    pub fn trail(&self) -> &Arc<Trail> {
        &self.trail
    }

    /// How many blocks come in this time, by the chain's preset.
    pub fn blocks_in(&self, duration: Duration) -> u64 {
        self.config.blocks_in(duration)
    }

    /// Heads as they come.
    pub fn heads(&self) -> watch::Receiver<Head> {
        self.heads.clone()
    }

    /// Validates an operation and takes it into the mempool; its `userOpHash`.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn send(&self, op: UserOperation, entry_point: Address) -> Result<B256, Rejection> {
        let arrival = Arrival::new(&self.lives);
        let result = self.take_in(Arc::new(op), entry_point, &arrival).await;
        arrival.end(result)
    }

    async fn take_in(
        &self,
        op: Arc<UserOperation>,
        entry_point: Address,
        arrival: &Arrival<'_>,
    ) -> Result<B256, Rejection> {
        let _lane = self.lane().await?;
        let admitted = self.at_the_head(|head| self.admit(Arc::clone(&op), entry_point, head, arrival)).await?;
        self.add(admitted).await
    }

    /// Into the mempool, unless it is known already.
    async fn add(&self, admitted: Result<Admitted, B256>) -> Result<B256, Rejection> {
        match admitted {
            Ok(admitted) => self.ask(|answer| Command::Add(Box::new(admitted), answer)).await?,
            Err(known) => Ok(known),
        }
    }

    /// Validates an operation against this head as [`Self::send`] would, and leaves the mempool out of it.
    ///
    /// # Errors
    /// If it would be refused for what it is, whatever else is pending.
    pub async fn validate(
        &self,
        op: Arc<UserOperation>,
        entry_point: Address,
        head: &Head,
    ) -> Result<Admitted, Rejection> {
        let on = self.grounds(head);
        let hash = admission::screen(&op, entry_point, on).await?;
        admission::admit(op, hash, entry_point, &[], on).await
    }

    /// Validates; the hash alone if the operation is pending or mined already.
    async fn admit(
        &self,
        op: Arc<UserOperation>,
        entry_point: Address,
        head: Head,
        arrival: &Arrival<'_>,
    ) -> Result<Result<Admitted, B256>, Rejection> {
        let on = self.grounds(&head);
        let hash = admission::screen(&op, entry_point, on).await?;
        let (screening, sender) = (Screening { op: Arc::clone(&op), hash, entry_point }, op.sender);
        match self.ask(|answer| Command::Screen(screening, answer)).await?? {
            Screened::Known => Ok(Err(hash)),
            Screened::Validate(_) if self.is_intake_paused() => Err(Rejection::IntakePaused),
            Screened::Validate(lane) => {
                arrival.is(hash, sender, entry_point);
                let admitted = admission::admit(op, hash, entry_point, &lane, on).await?;
                arrival.validated(&admitted);
                Ok(Ok(admitted))
            }
        }
    }

    /// The EntryPoint that is meant if none is named: the newest that is released, or else the newest served.
    pub(crate) fn preferred_entry_point(&self) -> Address {
        let served = &self.config.entry_points;
        let default = served.iter().find(|(_, version)| **version == EntryPointVersion::V0_8);
        default.or_else(|| served.iter().max_by_key(|(_, version)| **version)).map_or(Address::ZERO, |(it, _)| *it)
    }

    /// Takes an operation into the mempool whatever its validation says (`debug_bundler_addUserOps`).
    ///
    /// # Errors
    /// If state cannot be read, or the mempool's own limits stand against it.
    pub(crate) async fn add_unchecked(&self, op: UserOperation, entry_point: Address) -> Result<(), Rejection> {
        let head = self.head();
        let admitted = admission::take_as_valid(op, entry_point, self.grounds(&head)).await?;
        self.ask(|answer| Command::Add(Box::new(admitted), answer)).await??;
        Ok(())
    }

    /// Everything there is to know about an operation's validation, whatever comes of it.
    ///
    /// # Errors
    /// If there was nothing to look at: state that could not be read, a malformed authorization.
    pub(crate) async fn explain(&self, op: UserOperation, entry_point: Address) -> Result<Explanation, Rejection> {
        let version = entry_point_version(&self.config, entry_point)?;
        let _study = self.study().await?;
        let head = self.head();
        let on = self.grounds(&head);
        let screened = admission::screen(&op, entry_point, on).await;
        let op = Arc::new(op);
        let lane = match &screened {
            Ok(hash) => {
                let screening = Screening { op: Arc::clone(&op), hash: *hash, entry_point };
                match self.ask(|answer| Command::Screen(screening, answer)).await? {
                    Ok(Screened::Validate(lane)) => lane,
                    _ => Vec::new(),
                }
            }
            Err(rejection) if !rejection.is_verdict() => return Err(screened.err().unwrap_or(Rejection::ShuttingDown)),
            Err(_) => Vec::new(),
        };
        let examination = admission::examine(Arc::clone(&op), entry_point, version, &lane, on).await?;
        let examination = examination.with_room(&op, version, on);
        Ok(Explanation { op, version, screened, examination, block: head.block })
    }

    /// How an address is staked in an EntryPoint, at the node's newest block.
    ///
    /// # Errors
    /// If the EntryPoint is not served here, or state cannot be read.
    pub(crate) async fn stake(&self, address: Address, entry_point: Address) -> Result<DepositInfo, Rejection> {
        let version = entry_point_version(&self.config, entry_point)?;
        self.catch_up().await?;
        let view = self.head().view;
        let slots = erc4337::storage::deposit_slots(address);
        let wanted = Wanted { slots: slots.map(|slot| (entry_point, slot)).into_iter().collect(), ..Wanted::default() };
        view.prefetch(&wanted).await?;
        Ok(DepositInfo::read(version, slots.map(|slot| view.slot(entry_point, slot).unwrap_or_default())))
    }

    /// Forgets pending operations, reputations, or both.
    ///
    /// # Errors
    /// If the bundler has stopped.
    pub(crate) async fn clear(&self, operations: bool, reputations: bool) -> Result<(), Rejection> {
        self.ask(|done| Command::Clear { operations, reputations, done }).await
    }

    fn grounds<'a>(&'a self, head: &'a Head) -> Grounds<'a> {
        Grounds { config: &self.config, head, bundler: self.address }
    }

    /// Somebody asks for what rests on the head: it is looked for often from now on for a while, and at once after a pause.
    pub(crate) fn stir(&self) {
        if self.activity.touch() {
            self.wake.notify_one();
        }
    }

    /// A place among those that validate to take. Waits a little: a burst passes, a flood does not.
    async fn lane(&self) -> Result<SemaphorePermit<'_>, Rejection> {
        self.place_in(&self.lanes, "too many operations are being validated").await
    }

    /// A place among those that only look, of which no sender of operations has to wait.
    async fn study(&self) -> Result<SemaphorePermit<'_>, Rejection> {
        self.place_in(&self.studies, "too many operations are being estimated").await
    }

    async fn place_in<'a>(&self, lanes: &'a Semaphore, why: &'static str) -> Result<SemaphorePermit<'a>, Rejection> {
        self.stir();
        let busy = || Rejection::Busy(why);
        tokio::time::timeout(PATIENCE, lanes.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())
    }

    /// Estimates the gas limits that a request leaves open.
    ///
    /// # Errors
    /// If the operation would fail for another reason than its signature.
    pub async fn estimate(
        &self,
        request: UserOperationRequest,
        entry_point: Address,
        overrides: StateOverride,
    ) -> Result<Estimate, Rejection> {
        let _study = self.study().await?;
        self.at_the_head(|head| {
            let (request, overrides) = (request.clone(), overrides.clone());
            async move {
                let lane = async |op: &UserOperation| self.lane_of(op, entry_point).await;
                estimation::estimate(request, entry_point, overrides, &self.config, &head, self.address, lane).await
            }
        })
        .await
    }

    /// Where an operation stands, if it came through here.
    ///
    /// # Errors
    /// If the bundler has stopped.
    pub async fn record(&self, hash: B256) -> Result<Option<Record>, Rejection> {
        self.ask(|answer| Command::Look(hash, answer)).await?
    }

    /// The mempool, oldest first.
    ///
    /// # Errors
    /// If the bundler has stopped.
    pub async fn mempool(&self) -> Result<Vec<Admitted>, Rejection> {
        self.ask(Command::Dump).await?
    }

    /// Sends a bundle now; its transaction, or nothing if there was nothing to bundle. It is made on the node's newest
    /// block, and the block that came of it where one comes at once has been read when this answers.
    ///
    /// # Errors
    /// If the bundler has stopped, or the node does not answer.
    pub async fn bundle_now(&self) -> Result<Option<B256>, Rejection> {
        self.catch_up().await?;
        let sent = self.ask(Command::BundleNow).await?;
        self.catch_up().await?;
        Ok(sent)
    }

    /// Returns when the node's newest block has been read.
    async fn catch_up(&self) -> Result<(), Rejection> {
        self.reach(self.node.latest().await?.number).await
    }

    /// What bundles earned, cost and lost since the start.
    ///
    /// # Errors
    /// If the bundler has stopped.
    pub async fn ledger(&self) -> Result<Ledger, Rejection> {
        self.ask(Command::Ledger).await
    }

    /// How the engine does; within this much time it answers, or it does not do well.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn vitals(&self, patience: Duration) -> Result<Vitals, Rejection> {
        let late = |_| Rejection::Busy("the engine does not answer");
        tokio::time::timeout(patience, self.ask(Command::Vitals)).await.map_err(late)?
    }

    /// The operations' lives, step by step.
    pub fn lives(&self) -> &Arc<Lives> {
        &self.lives
    }

    /// How long ago the node last answered anything.
    pub fn node_silence(&self) -> Duration {
        self.node.silence()
    }

    /// Holds our EVM against the node's once more: the chain may have been upgraded since the start.
    ///
    /// # Errors
    /// The first difference, or that the node does not answer.
    pub async fn self_test(&self) -> Result<(), SelfTestError> {
        self_test::run(&self.config.chain, &self.node, &self.head().block).await
    }

    /// Chooses when bundles are sent.
    ///
    /// # Errors
    /// If the bundler has stopped.
    pub async fn set_mode(&self, mode: BundlingMode) -> Result<(), Rejection> {
        self.engine.send(Command::SetMode(mode)).await.map_err(|_| Rejection::ShuttingDown)
    }

    /// Takes nothing more, sends what there is and waits for it to be mined, at most as long as configured.
    /// What is left then is given up, and returned.
    pub async fn drain(&self) -> Vec<Left> {
        let drained = self.ask(Command::Drain);
        let _ = tokio::time::timeout(self.config.drain_timeout, drained).await;
        // What cannot be written by now will not be.
        let left = tokio::time::timeout(LAST_WRITE, self.ask(Command::Abandon)).await;
        left.unwrap_or(Ok(Vec::new())).unwrap_or_default()
    }

    /// Where an operation was executed, by the index; before it knows all blocks, by the node too.
    pub(crate) async fn executed(&self, hash: B256) -> Result<Option<Event>, Rejection> {
        if let Some(event) = self.indexed(hash)? {
            return Ok(Some(event));
        }
        if self.index.gap().is_none() {
            return Ok(None);
        }
        // What is pending with us has not been executed in any block that we have not seen. What was included has, though
        // an index that was opened anew does not know yet.
        if let Some(record) = self.record(hash).await? {
            return Ok(inclusion_of(&record.status).copied());
        }
        Ok(follower::search_gap(&self.index, &self.logs, hash).await?)
    }

    fn indexed(&self, hash: B256) -> Result<Option<Event>, Rejection> {
        self.index.find(hash).map_err(unreadable)
    }

    /// The answer of `eth_getUserOperationReceipt`: from the index alone for transactions of ours.
    pub(crate) async fn receipt(&self, hash: B256) -> Result<Option<Box<RawValue>>, Rejection> {
        let Some(event) = self.executed(hash).await? else { return Ok(None) };
        if let Some(receipt) = self.index.receipt(&event).map_err(unreadable)? {
            return Ok(Some(receipt));
        }
        let Some(inclusion) = follower::inclusion_at(&self.node, &event).await? else { return Ok(None) };
        serde_json::value::to_raw_value(&inclusion.to_json())
            .map(Some)
            .map_err(|_| Rejection::Internal("a receipt could not be written"))
    }

    /// The operation and EntryPoint version of one that was executed, from its transaction.
    pub(crate) async fn recover(&self, event: &Event) -> Result<Option<(UserOperation, EntryPointVersion)>, Rejection> {
        let version = entry_point_version(&self.config, event.entry_point)?;
        let op = follower::operation_at(&self.node, &self.config, event).await?;
        Ok(op.map(|op| (op, version)))
    }

    /// What becomes of an operation: how it stands now, if it is known, and each step from there. The channel ends
    /// after the last step, or when it is not read.
    ///
    /// # Errors
    /// If there are too many subscribers, or the bundler has stopped.
    pub(crate) async fn watch(&self, hash: B256) -> Result<Watch, Rejection> {
        let (sender, stages) = mpsc::channel(WAITING);
        let known = self.indexed(hash)?;
        let watch = Watch { hash, stages, engine: self.engine.downgrade() };
        match self.ask(|answer| Command::Watch(hash, known, sender, answer)).await? {
            true => Ok(watch),
            false => Err(Rejection::Busy("too many subscriptions")),
        }
    }

    /// Judges at the head we know and, if that refuses for reasons of state, once more at the node's if it is newer:
    /// whoever has just seen a transaction mined may build on it at once.
    async fn at_the_head<T, F>(&self, judge: impl Fn(Head) -> F) -> Result<T, Rejection>
    where
        F: Future<Output = Result<T, Rejection>>,
    {
        let head = self.head();
        let known = head.block;
        match judge(head).await {
            Err(rejection) if rejection.depends_on_state() => match self.head_after(&known).await? {
                Some(head) => judge(head).await,
                None => Err(rejection),
            },
            other => other,
        }
    }

    /// Returns when the head is as high as this.
    ///
    /// # Errors
    /// If it does not come to be in time.
    pub(crate) async fn reach(&self, height: u64) -> Result<(), Rejection> {
        if self.heads.borrow().block.number < height {
            self.wake.notify_one();
        }
        let reached = self.next_head(|head| head.block.number >= height);
        let reached = tokio::time::timeout(CATCH_UP, reached).await;
        let behind = |_| Rejection::Busy("the block it was validated on has not been read yet");
        reached.map_err(behind)?.map(drop)
    }

    /// The first head from now on that is as wanted.
    async fn next_head(&self, wanted: impl Fn(&Head) -> bool) -> Result<Head, Rejection> {
        let find = || {
            let head = self.heads.borrow();
            if wanted(&head) {
                return Some(Ok(head.clone()));
            }
            self.heads.has_changed().is_err().then_some(Err(Rejection::ShuttingDown))
        };
        self.moved.until(find).await
    }

    /// The head that follows `known`, if the node has one.
    ///
    /// # Errors
    /// If that cannot be told: the refusal may be out of date then, and is not to be repeated.
    async fn head_after(&self, known: &BlockPin) -> Result<Option<Head>, Rejection> {
        let latest = self.node.latest().await?;
        if latest.hash == known.hash || follower::fallen_back(&self.node, known, &latest).await? {
            return Ok(None);
        }
        let behind = || Rejection::Busy("the newest block is still being read");
        self.wake.notify_one();
        let caught_up = self.next_head(|head| head.block.hash != known.hash && head.block.number >= latest.number);
        tokio::time::timeout(CATCH_UP, caught_up).await.map_err(|_| behind())?.map(Some)
    }

    pub(crate) async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Rejection> {
        let (answer, answered) = oneshot::channel();
        self.engine.send(question(answer)).await.map_err(|_| Rejection::ShuttingDown)?;
        answered.await.map_err(|_| Rejection::ShuttingDown)
    }
}

/// What becomes of an operation, as it comes. Given up, it is looked after no more.
#[derive(Debug)]
pub(crate) struct Watch {
    hash: B256,
    stages: mpsc::Receiver<Stage>,
    /// Held weakly: who watches does not keep the bundler up.
    engine: mpsc::WeakSender<Command>,
}

impl Watch {
    /// The next step; none after the last, or if this was not read for too long.
    pub(crate) async fn next(&mut self) -> Option<Stage> {
        self.stages.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stages.close();
        let Some(engine) = self.engine.upgrade() else { return };
        if let Err(TrySendError::Full(unwatch)) = engine.try_send(Command::Unwatch(self.hash))
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { engine.send(unwatch).await });
        }
    }
}

/// The inclusion in a record, if it has come to that.
pub(crate) fn inclusion_of(status: &Status) -> Option<&Event> {
    match status {
        Status::Included(InclusionRecord(event)) => Some(event),
        _ => None,
    }
}

fn unreadable(error: IndexError) -> Rejection {
    tracing::error!(%error, "the index could not be read");
    Rejection::Internal("the index could not be read")
}

/// What was accepted before, and where to write on; nothing without a folder.
async fn journal_of(config: &Config) -> Result<(Journal, Replay), JournalError> {
    let Some(folder) = &config.data_dir else { return Ok((Journal::default(), Replay::default())) };
    let path = folder.join("journal.redb");
    let file = File::open(Arc::clone(&config.disk), &path, config.chain.chain_id)?;
    Journal::open(Arc::new(file), &path.display().to_string()).await
}

/// The configuration, if it is for this node, with what only the node tells.
async fn checked(mut config: Config, node: &NodeClient) -> Result<Arc<Config>, StartError> {
    check_chain(&config, node).await?;
    unknown::learn(&mut config.chain, node).await?;
    Ok(Arc::new(config))
}

async fn check_chain(config: &Config, node: &NodeClient) -> Result<(), StartError> {
    let (chain, configured) = (node.chain_id().await?, config.chain.chain_id);
    if chain != configured {
        return Err(StartError::WrongChain { node: chain, configured });
    }
    for (address, version) in &config.entry_points {
        if node.code(*address).await?.is_empty() {
            return Err(StartError::NoEntryPoint { address: *address, version: *version });
        }
    }
    Ok(())
}

async fn check_key(config: &Config, node: &NodeClient, key: Address) -> Result<(), StartError> {
    let serves_v0_9 = config.entry_points.values().any(|version| *version == EntryPointVersion::V0_9);
    if serves_v0_9 && is_delegation(&node.code(key).await?) {
        return Err(StartError::DelegatedKey(key));
    }
    Ok(())
}

/// Whether this code is an EIP-7702 delegation.
pub(crate) fn is_delegation(code: &Bytes) -> bool {
    code.starts_with(&[0xef, 0x01, 0x00])
}
