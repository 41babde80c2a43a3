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

mod records;
mod tasks;
mod upkeep;

use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};
use erc4337::UserOperation;
use tokio::sync::{mpsc, oneshot, watch};

use records::Records;
pub use records::{Record, Status};

use crate::{
    Config, Head, Rejection,
    admission::Admitted,
    builder::{self, Proven},
    config::BundlingMode,
    follower::Inclusion,
    mempool::{Blame, Counts, Inserted, Mempool, Reputation, ReputationStatus},
    node::{NodeClient, NodeError},
    submitter::{InFlight, Submitter},
};

/// What the engine is told or asked.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take this operation.
    Add(Box<Admitted>, oneshot::Sender<Result<B256, Rejection>>),
    /// Is there a reason not even to validate this operation?
    Screen(Screening, oneshot::Sender<Result<Screened, Rejection>>),
    /// What is pending under this nonce's key?
    Lane { entry_point: Address, sender: Address, nonce: U256, answer: oneshot::Sender<Vec<Arc<UserOperation>>> },
    /// What is known of this operation?
    Look(B256, oneshot::Sender<Option<Record>>),
    /// What is in the mempool, oldest first?
    Dump(oneshot::Sender<Vec<Admitted>>),
    /// Forget pending operations, reputations, or both.
    Clear { operations: bool, reputations: bool, done: oneshot::Sender<()> },
    /// Set these reputations.
    SetReputation(Vec<(Address, Counts)>, oneshot::Sender<()>),
    /// How does everyone stand?
    DumpReputation(oneshot::Sender<Vec<(Address, Counts, ReputationStatus)>>),
    /// A new head, and what was mined since the last.
    Head(Box<Head>, Vec<Inclusion>),
    /// Bundle now, whatever the mode; answers when the bundle is sent, with its transaction.
    BundleNow(oneshot::Sender<Option<B256>>),
    /// Bundle by itself or only when asked.
    SetMode(BundlingMode),
    /// Take nothing more, send what there is, answer when all is mined.
    Drain(oneshot::Sender<()>),
    /// Give up what is left.
    Abandon(oneshot::Sender<Vec<Left>>),
    /// Of our own tasks.
    Internal(Report),
}

/// What one of the engine's own tasks found out.
#[derive(Debug)]
pub(crate) enum Report {
    /// A bundle was proven, with the signer's next nonce.
    Proven(Box<Proven>, u64),
    /// It could not be: the operations go back.
    NotProven(Vec<B256>, String),
    /// These were validated again.
    Refreshed(Vec<(B256, Result<Admitted, Rejection>)>),
    /// The node took the transaction, or said why not.
    Broadcast(B256, Result<(), NodeError>),
    /// This nonce has been used: by ours, then with its success and block, or by somebody else's transaction.
    Settled { nonce: u64, mined: Option<Mined> },
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

/// A transaction of ours on chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mined {
    pub(crate) success: bool,
    pub(crate) block: u64,
}

/// An accepted operation that was not seen mined before shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its hash.
    pub user_op_hash: B256,
    /// The transaction it was sent in, which may still be mined; none if it was dropped unsent.
    pub transaction: Option<B256>,
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
    head: Head,
    mode: BundlingMode,
    /// Operations being proven.
    proving: bool,
    /// Operations being validated again.
    refreshing: bool,
    in_flight: Option<InFlight>,
    waiting_for_bundle: Vec<oneshot::Sender<Option<B256>>>,
    draining: Option<oneshot::Sender<()>>,
    closed: bool,
}

impl Engine {
    pub(crate) fn new(
        config: Arc<Config>,
        node: NodeClient,
        submitter: Submitter,
        heads: watch::Receiver<Head>,
        inbox: mpsc::Receiver<Command>,
        outbox: mpsc::WeakSender<Command>,
        reputation: Reputation,
    ) -> Self {
        let head = heads.borrow().clone();
        let mode = config.bundling;
        let mempool = Mempool::new(config.mempool.clone(), reputation);
        Self {
            config,
            node,
            submitter,
            heads,
            inbox,
            outbox,
            mempool,
            records: Records::default(),
            head,
            mode,
            proving: false,
            refreshing: false,
            in_flight: None,
            waiting_for_bundle: Vec::new(),
            draining: None,
            closed: false,
        }
    }

    /// Runs until every handle to it is gone.
    pub(crate) async fn run(mut self) {
        while let Some(command) = self.inbox.recv().await {
            self.handle(command);
            self.finish_drain();
        }
    }

    fn handle(&mut self, command: Command) {
        // Whoever asked may have gone: an answer that nobody takes is no error.
        match command {
            Command::Add(admitted, answer) => {
                let _ = answer.send(self.add(*admitted));
            }
            Command::Screen(screening, answer) => {
                let _ = answer.send(self.screen(&screening));
            }
            Command::Clear { operations, reputations, done } => {
                self.clear(operations, reputations);
                let _ = done.send(());
            }
            Command::SetReputation(entries, done) => {
                entries.into_iter().for_each(|(entity, counts)| self.mempool.reputation_mut().set(entity, counts));
                let _ = done.send(());
            }
            Command::DumpReputation(answer) => {
                let _ = answer.send(self.reputations());
            }
            Command::Lane { entry_point, sender, nonce, answer } => {
                let _ = answer.send(self.mempool.lane(entry_point, sender, nonce));
            }
            Command::Look(hash, answer) => {
                let _ = answer.send(self.records.get(hash));
            }
            Command::Dump(answer) => {
                let _ = answer.send(self.mempool.all().cloned().collect());
            }
            Command::Head(head, inclusions) => self.advance(*head, inclusions),
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
            Command::Abandon(answer) => {
                let _ = answer.send(self.abandon());
            }
            Command::Internal(report) => self.report(report),
        }
    }

    fn add(&mut self, admitted: Admitted) -> Result<B256, Rejection> {
        if self.closed {
            return Err(Rejection::ShuttingDown);
        }
        let hash = admitted.hash;
        // Admitted on an older head than we have handled since.
        if self.records.get(hash).is_some_and(|record| matches!(record.status, Status::Included(_))) {
            return Ok(hash);
        }
        let record = Record::pending(&admitted);
        match self.mempool.insert(admitted, &self.head.block)? {
            Inserted::Known => return Ok(hash),
            Inserted::New(dropped) => self.record_drops(dropped),
        }
        self.records.insert(hash, record);
        self.try_bundle(false);
        Ok(hash)
    }

    fn advance(&mut self, head: Head, inclusions: Vec<Inclusion>) {
        let previous = std::mem::replace(&mut self.head, head);
        for inclusion in inclusions {
            if let Some(admitted) = self.mempool.remove_included(inclusion.hash) {
                tracing::info!(
                    user_op_hash = %inclusion.hash, sender = %admitted.op.sender,
                    transaction = %inclusion.transaction(), success = inclusion.event.success, "included"
                );
            }
            self.records.include(inclusion);
        }
        self.keep_up(&previous);
        if let Some(in_flight) = &mut self.in_flight {
            let overdue = self.head.block.number >= in_flight.sent_at + self.config.blocks_before_escalation;
            if overdue {
                match self.submitter.escalate(in_flight, self.head.fees, self.head.block.number) {
                    Ok(true) => self.broadcast(),
                    // Its operations do not pay for more: they wait until they can, and others go first.
                    Ok(false) => self.release("its bundle was not mined and could not be made dearer"),
                    Err(error) => tracing::error!(%error, "not escalated"),
                }
            }
            self.check_in_flight();
        }
        self.try_bundle(false);
    }

    /// Starts a bundle if there is something to bundle and the signer is free.
    fn try_bundle(&mut self, asked: bool) {
        self.refresh();
        if self.proving || self.in_flight.is_some() {
            return;
        }
        let wanted = asked || self.closed || self.mode == BundlingMode::Auto || !self.waiting_for_bundle.is_empty();
        let chosen = wanted
            .then(|| {
                let max_gas = self.config.chain.max_transaction_gas;
                builder::choose(&self.mempool, max_gas, self.head.fees.base_fee)
            })
            .flatten();
        match chosen {
            Some(bundle) => {
                self.mempool.mark_bundled(&bundle.hashes());
                self.proving = true;
                self.prove(bundle);
            }
            // What is being validated again may come to be bundled yet.
            None if self.refreshing => {}
            None => self.answer_bundle_requests(None),
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Proven(proven, nonce) => self.send(*proven, nonce),
            Report::NotProven(hashes, why) => {
                tracing::warn!(why, "bundle not proven; trying again with the next head");
                self.mempool.give_back(&hashes);
                self.proving = false;
                self.answer_bundle_requests(None);
            }
            Report::Refreshed(results) => self.refreshed(results),
            Report::Broadcast(transaction, Ok(())) => {
                tracing::debug!(%transaction, "broadcast");
                self.answer_bundle_requests(Some(transaction));
            }
            Report::Broadcast(transaction, Err(error)) => {
                tracing::warn!(%transaction, %error, "the node did not take the transaction");
                self.answer_bundle_requests(None);
                let first = self.in_flight.as_ref().is_some_and(|in_flight| {
                    in_flight.attempts.len() == 1 && in_flight.attempts[0].transaction == transaction
                });
                if first && matches!(error, NodeError::Refused { .. }) {
                    self.release("the node refused its bundle");
                } else {
                    // It may have arrived all the same. The nonce tells, with the next head.
                    self.check_in_flight();
                }
            }
            Report::Settled { nonce, mined } => self.settle(nonce, mined),
        }
    }

    /// Gives the bundle in flight up. Whatever is sent next bears the same nonce, so that only one can be mined.
    fn release(&mut self, why: &str) {
        let Some(in_flight) = self.in_flight.take() else { return };
        let hashes = in_flight.bundle.hashes();
        let given_up = self.mempool.give_back_failed(&hashes, why);
        self.record_drops(given_up);
        for hash in hashes {
            self.records.unsubmit(hash);
        }
    }

    /// Signs a proven bundle, keeps it, and only then sends it.
    fn send(&mut self, proven: Proven, nonce: u64) {
        self.proving = false;
        self.mempool.give_back(&proven.returned);
        // Only on the state that they passed their second validation on is a failure held against anybody.
        let same_state = proven.same_state;
        let failed = !(proven.dropped.is_empty() && proven.disturbed.is_empty());
        for failed in proven.dropped {
            tracing::info!(user_op_hash = %failed.hash, failed.reason, "dropped from the bundle");
            let blame = failed.culprit.filter(|_| same_state).map(Blame::Bundle);
            let dropped = self.mempool.take_out(failed.hash, failed.reason, blame);
            self.record_drops(dropped);
        }
        for failed in proven.disturbed {
            self.mempool.set_apart(&[failed.hash]);
            let given_up = self.mempool.give_back_failed(&[failed.hash], &failed.reason);
            self.record_drops(given_up);
            if let Some(culprit) = failed.culprit.filter(|_| same_state) {
                let dropped = self.mempool.blame(failed.hash, culprit, &failed.reason);
                self.record_drops(dropped);
            }
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
        match self.submitter.first(proven.bundle, nonce, self.head.fees, self.head.block.number) {
            Ok(in_flight) => {
                if let Some(attempt) = in_flight.attempts.last() {
                    tracing::info!(
                        operations = hashes.len(), gas = proven.gas_used, nonce,
                        transaction = %attempt.transaction, "bundle signed"
                    );
                    for hash in &hashes {
                        self.records.set(*hash, Status::Submitted { transaction: attempt.transaction });
                    }
                }
                self.in_flight = Some(in_flight);
                self.broadcast();
            }
            Err(error) => {
                tracing::error!(%error, "bundle not sent");
                self.mempool.give_back(&hashes);
                self.answer_bundle_requests(None);
            }
        }
    }

    fn settle(&mut self, nonce: u64, mined: Option<Mined>) {
        if self.in_flight.as_ref().is_none_or(|in_flight| in_flight.nonce != nonce) {
            return;
        }
        // The node may be ahead of the head we have handled, whose inclusions would then still be to come.
        if mined.is_some_and(|mined| mined.block > self.head.block.number) {
            return;
        }
        // One such answer may come of two backends that disagree, or of an attempt made since it was asked for.
        if let (None, Some(in_flight)) = (mined, &mut self.in_flight)
            && !std::mem::replace(&mut in_flight.unaccounted, true)
        {
            return;
        }
        let Some(in_flight) = self.in_flight.take() else { return };
        // Operations that were included are gone from the mempool already; what is left did not make it.
        let hashes = in_flight.bundle.hashes();
        let given_up = match mined {
            Some(Mined { success: false, .. }) => {
                // What its proof did not show, only going alone does.
                self.mempool.set_apart(&hashes);
                self.mempool.give_back_failed(&hashes, "its bundle was mined and reverted")
            }
            Some(_) | None => {
                self.mempool.give_back(&hashes);
                Vec::new()
            }
        };
        for hash in hashes {
            self.records.unsubmit(hash);
        }
        self.record_drops(given_up);
        self.try_bundle(false);
    }

    fn drop_operation(&mut self, hash: B256, reason: String) {
        self.mempool.remove(hash);
        self.records.set(hash, Status::Dropped { reason });
    }

    fn answer_bundle_requests(&mut self, transaction: Option<B256>) {
        for answer in self.waiting_for_bundle.drain(..) {
            let _ = answer.send(transaction);
        }
    }

    fn finish_drain(&mut self) {
        if self.mempool.is_empty()
            && self.in_flight.is_none()
            && let Some(answer) = self.draining.take()
        {
            let _ = answer.send(());
        }
    }

    /// What is left at shutdown. What was not sent will not be; what was may still be mined.
    fn abandon(&mut self) -> Vec<Left> {
        let sent = self
            .in_flight
            .as_ref()
            .and_then(|in_flight| Some((in_flight.bundle.hashes(), in_flight.attempts.last()?.transaction)));
        let left: Vec<B256> = self.mempool.all().map(|admitted| admitted.hash).collect();
        left.into_iter()
            .map(|user_op_hash| {
                let transaction = sent
                    .as_ref()
                    .filter(|(hashes, _)| hashes.contains(&user_op_hash))
                    .map(|(_, transaction)| *transaction);
                if transaction.is_none() {
                    self.drop_operation(user_op_hash, "not sent before shutdown".into());
                }
                Left { user_op_hash, transaction }
            })
            .collect()
    }

    /// Work for a task, which reports back. Without anyone left to ask, there is nobody to work for.
    fn outbox(&self) -> Option<mpsc::Sender<Command>> {
        self.outbox.upgrade()
    }
}
