//! What the flow wants done is done here, and what it says of operations goes to mempool and records.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy::primitives::{B256, U256};
use erc4337::EntryPointVersion;

use super::{Engine, Status};
use crate::{
    admission::Admitted,
    builder::{Bundle, Proven},
    flow::{Action, End, Entry, Mined, Outcome, Place},
    follower::Inclusion,
    journal::{self, Awaiting},
    lives::Milestone,
    mempool::{Blame, Trouble},
    node::{Answer, NodeError},
    rejection::Entity,
    signer::SignerError,
    submitter::{Attempt, Fees, KeyState, Treasury},
};

/// How long a floor of priority fees counts that was found out by a refusal, in milliseconds of chain time.
const FLOOR_LASTS: u64 = 30_000;

/// Why an operation waits that was sent and not mined.
const UNMINED: &str = "its transaction was not mined in time, and could not be made dearer";

/// What ends this soon may have to leave its bundle before that is mined.
const SOON: Duration = Duration::from_secs(60);

/// A mined operation whose block may leave the chain.
#[derive(Debug)]
pub(super) struct Recent {
    hash: B256,
    transaction: B256,
    /// Wei that it paid.
    paid: u128,
    before: Before,
}

/// What a mined operation was before it was mined.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// What it was in the mempool, if it was there.
    admitted: Option<Admitted>,
    /// Why it had been given up, if it had been.
    dropped: Option<String>,
}

impl Before {
    /// Of the two, what is known.
    fn or(self, other: Self) -> Self {
        Self { admitted: self.admitted.or(other.admitted), dropped: self.dropped.or(other.dropped) }
    }
}

impl Engine {
    pub(super) fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Sign { place, bundle, fees } => self.sign(place, bundle, fees),
                Action::SignAgain { place, bundle, fees } => self.prove_again(place, bundle, fees),
                Action::Broadcast { place, attempt } => {
                    let transaction = attempt.transaction;
                    if let Some(now) = self.journal.when_kept(transaction, Awaiting::Broadcast(place, attempt)) {
                        self.go_on(now);
                    }
                }
                Action::Ask { place, transactions, again } => self.ask(place, transactions, again),
                Action::Settled { place, bundle, outcome } => self.settled(place, bundle.as_deref(), outcome),
                Action::Unmined { place, bundle } => self.unmined(place, &bundle),
            }
        }
    }

    /// What still works of a bundle that is to be signed again goes on; what does not leaves it, and is free once the nonce
    /// is settled.
    pub(super) fn proven_again(
        &mut self,
        place: Place,
        bundle: &Arc<Bundle>,
        fees: Fees,
        proven: Result<Box<Proven>, String>,
    ) {
        let proven = match proven {
            Ok(proven) => *proven,
            Err(why) => {
                tracing::warn!(why, ?place, "not proven again, and so not made dearer yet");
                let actions = self.flow.not_signed(place, Some(bundle));
                return self.act(actions);
            }
        };
        let (before, left) = (bundle.operations.len(), proven.bundle.operations.len());
        if left == 0 || proven.objection.is_some() {
            let why = proven.objection;
            tracing::info!(
                ?place,
                operations = before,
                ?why,
                "nothing of a bundle works any more: its nonce is filled"
            );
            return self.flow.withdraw(place, bundle);
        }
        if left == before {
            return self.sign(place, Some(Arc::clone(bundle)), fees);
        }
        tracing::info!(
            ?place,
            operations = before,
            left,
            "some of a bundle does not work any more: it goes on without"
        );
        let all = self.flow.hashes_at(place);
        if let Some((_, changes)) = self.changes.iter_mut().find(|(hashes, _)| *hashes == all) {
            *changes = proven.changes;
        }
        if let Some(rest) = self.flow.reduce(place, bundle, Bundle { bid: None, ..proven.bundle }) {
            self.sign(place, Some(rest), fees);
        }
    }

    /// A transaction of ours is what may be mined under its nonce from now on.
    pub(super) fn signed(&mut self, place: Place, result: Result<Attempt, SignerError>, bundle: Option<Arc<Bundle>>) {
        let actions = match result {
            Ok(attempt) => {
                let (transaction, fees) = (attempt.transaction, attempt.fees);
                let actions = self.flow.signed(place, attempt.clone(), bundle.as_ref());
                if !actions.is_empty() {
                    let (key, nonce) = (self.submitter.key(place.key), place.nonce);
                    let operations = bundle.as_ref().map(|bundle| bundle.hashes()).unwrap_or_default();
                    self.note(journal::Entry::Signed { key, nonce, operations, attempt });
                }
                if let (false, Some(bundle)) = (actions.is_empty(), &bundle) {
                    let operations = bundle.operations.len();
                    tracing::info!(?place, operations, %transaction, ?fees, "transaction signed");
                    match self.flow.attempts(place) {
                        0 | 1 => metrics::counter!("fabstir_bundles_submitted_total").increment(1),
                        _ => metrics::counter!("fabstir_bundles_replaced_total").increment(1),
                    }
                    bundle.hashes().into_iter().for_each(|it| self.records.set(it, Status::Submitted { transaction }));
                }
                actions
            }
            Err(error) => {
                tracing::error!(%error, ?place, "not signed");
                self.flow.not_signed(place, bundle.as_ref())
            }
        };
        self.act(actions);
    }

    pub(super) fn broadcasted(&mut self, place: Place, transaction: B256, result: Result<(), NodeError>) {
        match result {
            Ok(()) => {
                tracing::debug!(%transaction, "broadcast");
                let hashes = self.flow.hashes_at(place);
                self.lives.note_all(&hashes, Milestone::Broadcast);
                self.flow.taken(place, transaction);
                if let (Some(_), Some(bid)) =
                    (self.flow.carried(place, transaction), self.flow.bid_of(place, transaction))
                {
                    let freed = self.mempool.went(&hashes, Some(bid));
                    // The floor was guessed by doubling: it is no higher than what was taken.
                    if let Some((floor, _)) = &mut self.floor {
                        *floor = bid.priority_fee.min(*floor);
                    }
                    if freed {
                        self.try_bundle(false);
                    }
                }
                self.answer_bundle_requests(Some(transaction));
            }
            Err(error @ NodeError::Overtaken { .. }) => {
                tracing::info!(%transaction, %error, "the state has overtaken a bundle: its operations go into another");
                self.answer_bundle_requests(None);
                let actions = self.flow.overtaken(place, transaction);
                self.act(actions);
            }
            Err(error) => {
                tracing::warn!(%transaction, %error, "the node did not take the transaction");
                self.answer_bundle_requests(None);
                match error.of_a_transaction() {
                    Answer::Unknown => self.flow.taken(place, transaction),
                    Answer::NotNow => self.flow.not_now(place, transaction),
                    Answer::Outbid => {
                        self.flow.taken(place, transaction);
                        let _ = self.flow.refused(place, transaction);
                    }
                    Answer::Underpriced => self.underpriced(place, transaction, &error),
                    Answer::No { passing } => self.refused(place, transaction, passing, &error),
                }
            }
        }
    }

    /// No node takes so small a bid. If it was the market's, the next ones are twice that, for a while.
    fn underpriced(&mut self, place: Place, transaction: B256, error: &NodeError) {
        let bid = self.flow.bid_of(place, transaction).unwrap_or_default().priority_fee;
        if bid < self.head.fees.slow_priority_fee {
            return self.refused(place, transaction, true, error);
        }
        let until = self.head.time.saturating_add(FLOOR_LASTS);
        self.floor = Some((bid.saturating_mul(2).max(1), until));
        self.raise_to_floor();
        let Some(bundle) = self.flow.refused(place, transaction) else { return };
        self.note(journal::Entry::Refused { key: self.submitter.key(place.key), nonce: place.nonce });
        bundle.hashes().into_iter().for_each(|hash| self.records.unsubmit(hash));
        self.mempool.give_back(&bundle.hashes());
        self.try_bundle(false);
    }

    /// No node took this transaction. Its bundle is halved, or if it is one operation, that waits or goes.
    fn refused(&mut self, place: Place, transaction: B256, passing: bool, error: &NodeError) {
        let bid = self.flow.bid_of(place, transaction).unwrap_or_default();
        let Some(bundle) = self.flow.refused(place, transaction) else { return };
        let hashes = bundle.hashes();
        metrics::counter!("fabstir_bundles_ended_total", "end" => "refused").increment(1);
        self.note(journal::Entry::Refused { key: self.submitter.key(place.key), nonce: place.nonce });
        hashes.iter().for_each(|hash| self.records.unsubmit(*hash));
        let words = match error {
            NodeError::Refused { message, .. } => message.clone(),
            other => other.to_string(),
        };
        let why = format!("no node takes a transaction with it: {words}");
        self.set_back(&hashes, Trouble::Refused { bid, passing }, &why);
        self.try_bundle(false);
    }

    /// How the keys stand at this head, and the funder after them.
    pub(super) fn keys(&mut self, head: B256, states: &[Option<KeyState>]) {
        // A newer head has been asked for already.
        if head != self.head.block.hash {
            return;
        }
        let (number, now, fees) = (self.head.block.number, self.head.time, self.head.fees);
        let (keys, funder) = states.split_at(self.submitter.addresses().len().min(states.len()));
        self.keys = keys.to_vec();
        let next: Vec<_> = keys.iter().map(|state| state.map(|state| state.nonce)).collect();
        let block = self.next_block();
        let (is_over, ends_soon) = (
            |admitted: &Admitted| admitted.validated.is_running_out(&block),
            |admitted: &Admitted| admitted.validated.ends_within(&block, SOON),
        );
        self.flow.hurry(&next, is_over, ends_soon);
        self.flow.await_nonces(&next, |hash| self.mempool.contains(hash) && !self.mempool.is_bundled(hash));
        let actions = self.flow.advance(&next, number, now, fees);
        self.reorganised &= next.iter().any(Option::is_none);
        self.act(actions);
        self.judge_keys();
        if let Some(refill) = self.treasury.advance(keys, funder.first().copied().flatten(), now, fees) {
            self.refill(refill);
        }
        self.try_bundle(false);
    }

    /// Bars keys that cannot pay for a bundle, or whose bundles EntryPoint v0.9 refuses.
    fn judge_keys(&mut self) {
        let strict = self.config.entry_points.values().any(|version| *version == EntryPointVersion::V0_9);
        for (key, state) in self.keys.clone().into_iter().enumerate() {
            let Some(state) = state else { continue };
            let barred = strict && state.delegated;
            if self.flow.set_usable(key, !barred && Treasury::is_enough(self.spare(key), &self.head)) {
                let address = self.submitter.key(key);
                let KeyState { balance, delegated, .. } = state;
                tracing::error!(key, %address, %balance, delegated, "no bundles from this key: too poor, or delegated");
            }
        }
    }

    /// Wei that a key has beside what is in flight; without limit before its balance is known.
    pub(super) fn spare(&self, key: usize) -> U256 {
        let Some(state) = self.keys.get(key).copied().flatten() else { return U256::MAX };
        state.balance.saturating_sub(U256::from(self.flow.promised(key)))
    }

    /// Takes what is mined out of the mempool, and remembers it for as long as its block may leave the chain.
    pub(super) fn include(&mut self, inclusions: Vec<Inclusion>, mut gone: BTreeMap<B256, Before>) {
        for inclusion in inclusions {
            let (hash, transaction) = (inclusion.hash, inclusion.transaction());
            let admitted = self.mempool.remove_included(hash);
            if let Some(admitted) = &admitted {
                tracing::info!(
                    user_op_hash = %hash, sender = %admitted.op.sender, %transaction,
                    success = inclusion.event.success, "included"
                );
            }
            let dropped = match self.records.get(hash).map(|record| record.status) {
                Some(Status::Dropped { reason }) => Some(reason),
                _ => None,
            };
            let before = Before { admitted: admitted.map(|it| it.summary()), dropped };
            let before = before.or(gone.remove(&hash).unwrap_or_default());
            let paid = u128::try_from(inclusion.event.actualGasCost).unwrap_or(u128::MAX);
            let block = inclusion.receipt.block_number.unwrap_or(self.head.block.number);
            let recent = self.recent.entry(block).or_default();
            // It was told already by whoever sought it.
            if !recent.iter().any(|other| other.hash == hash) {
                recent.push(Recent { hash, transaction, paid, before });
            }
            self.records.include(inclusion.event());
        }
        for (hash, Before { admitted, dropped }) in gone {
            match (admitted, dropped) {
                (Some(admitted), _) => {
                    tracing::warn!(user_op_hash = %hash, "its block has left the chain: pending again");
                    self.records.reopen(hash, Status::Pending);
                    self.take_back(admitted);
                }
                // It was given up before it was mined. If a transaction of ours has it still, that takes it back.
                (None, Some(before)) => {
                    self.records.reopen(hash, Status::Pending);
                    let reason = format!("its block has left the chain, and it had been given up before: {before}");
                    self.records.set(hash, Status::Dropped { reason });
                }
                // Ours, and not at hand any more when it was seen to be mined.
                (None, None) if self.records.get(hash).is_some_and(|record| record.op.is_some()) => {
                    self.records.reopen(hash, Status::Pending);
                    let reason = "its block has left the chain, and it had been given up before".into();
                    self.records.set(hash, Status::Dropped { reason });
                }
                // It never was ours to tell of: another bundler's, or of another partition.
                (None, None) => self.records.forget(hash),
            }
        }
        let oldest = self.head.block.number.saturating_sub(self.config.reorg_blocks());
        self.recent = self.recent.split_off(&oldest);
    }

    /// What was mined from this block on, which is not on the chain unless it is found there again.
    pub(super) fn unmine(&mut self, from: u64) -> BTreeMap<B256, Before> {
        self.reorganised = true;
        let gone = self.recent.split_off(&from).into_values().flatten();
        gone.fold(BTreeMap::new(), |mut all, Recent { hash, before, .. }| {
            let other: Before = all.remove(&hash).unwrap_or_default();
            all.insert(hash, other.or(before));
            all
        })
    }

    /// Back into the mempool, to be validated again.
    fn take_back(&mut self, admitted: Admitted) {
        let (noted, block) = (Box::new(admitted.clone()), self.head.block.number);
        let dropped = self.mempool.take_back(admitted, &self.head.block);
        self.note(journal::Entry::Admitted { admitted: noted, block });
        self.record_drops(dropped);
    }

    /// A transaction of ours is in flight again: its operations are bound to its nonce, and to no other.
    fn unmined(&mut self, place: Place, bundle: &Bundle) {
        tracing::warn!(?place, operations = bundle.operations.len(), "a mined bundle is in flight again");
        self.note(journal::Entry::Unmined { key: self.submitter.key(place.key), nonce: place.nonce });
        for admitted in &bundle.operations {
            let hash = admitted.hash;
            // On the new chain somebody else's transaction may have executed it.
            let included = self.recent.values().flatten().any(|recent| recent.hash == hash);
            if included {
                continue;
            }
            if !self.mempool.contains(hash) {
                self.take_back(admitted.clone());
            }
            self.mempool.mark_bundled(&[hash]);
            if let Some(transaction) = self.flow.transaction_of(hash) {
                self.records.reopen(hash, Status::Submitted { transaction });
            }
        }
    }

    fn settled(&mut self, place: Place, bundle: Option<&Bundle>, outcome: Outcome) {
        // Operations that were included are gone from the mempool already; what is left did not make it.
        let hashes = bundle.map(Bundle::hashes).unwrap_or_default();
        tracing::info!(?place, ?outcome, operations = hashes.len(), "nonce used");
        metrics::counter!("fabstir_bundles_ended_total", "end" => outcome.name()).increment(1);
        let (key, nonce) = (self.submitter.key(place.key), place.nonce);
        let block = outcome.mined().map_or(self.head.block.number, |mined| mined.block);
        if outcome.ends_the_nonce() {
            self.note(journal::Entry::Settled { key, nonce, block });
        } else if outcome == Outcome::Overtaken && self.flow.is_left(place) {
            self.note(journal::Entry::Refused { key, nonce });
        }
        let below_market = bundle.is_some_and(|bundle| bundle.below_market);
        match outcome {
            Outcome::Executed(mined) => {
                self.book(mined, bundle, End::Executed);
                self.mempool.give_back(&hashes);
            }
            Outcome::Reverted(mined) => {
                self.book(mined, bundle, End::Reverted);
                match bundle.map(|bundle| bundle.operations.as_slice()) {
                    Some([alone]) if self.mempool.is_uncontained(alone) => self.reverted_alone(alone, mined),
                    // What its proof did not show, only halves of it do.
                    _ => self.set_back(
                        &hashes,
                        Trouble::Reverted { block: mined.block },
                        "its bundle of it alone was mined, and reverted",
                    ),
                }
            }
            // Fees have left it behind, or somebody sees to it that it is not mined.
            Outcome::Cancelled(mined) => {
                self.book(mined, None, End::Cancelled);
                self.set_back(&hashes, Trouble::Unmined, UNMINED);
            }
            Outcome::Displaced if !below_market => self.set_back(&hashes, Trouble::Unmined, UNMINED),
            // On the state of the next head it is seen what has become of them.
            Outcome::Overtaken => self.mempool.hold(&hashes, "what it rests on has changed since it was bundled"),
            Outcome::Unsigned => self.set_back(&hashes, Trouble::Unsigned, "its bundle could not be signed"),
            Outcome::Displaced | Outcome::Superseded | Outcome::Lost => self.mempool.give_back(&hashes),
        }
        for hash in hashes {
            if self.records.get(hash).is_some_and(|record| matches!(record.status, Status::Included(_))) {
                self.lives.note(hash, Milestone::Settled, None, None);
            }
            self.records.unsubmit(hash);
        }
        if outcome == Outcome::Unsigned {
            self.answer_bundle_requests(None);
        }
    }

    /// Whether this transaction executed operations in a block of the chain that we follow.
    pub(super) fn has_seen_mined(&self, transaction: B256) -> bool {
        self.recent.values().flatten().any(|recent| recent.transaction == transaction)
    }

    /// It was alone in a transaction that was mined and reverted, at our cost, and only its paymaster can have done that: it
    /// goes, and nothing of the paymaster's is taken any more.
    fn reverted_alone(&mut self, admitted: &Admitted, mined: Mined) {
        let why = "alone in its transaction, it was mined and reverted";
        tracing::warn!(user_op_hash = %admitted.hash, transaction = %mined.transaction, why);
        let dropped = self.mempool.take_out(admitted.hash, why.into(), Some(Blame::Bundle(Entity::Paymaster)));
        self.record_drops(dropped);
        self.persist_reputation();
    }

    fn book(&mut self, mined: Mined, bundle: Option<&Bundle>, end: End) {
        let ours = self.recent.values().flatten().filter(|recent| recent.transaction == mined.transaction);
        let (operations, revenue) = ours.fold((0, 0), |(count, sum), recent| (count + 1, sum + recent.paid));
        let expected = bundle.map(|bundle| bundle.expected).unwrap_or_default();
        self.ledger.book(Entry { end, operations, revenue, cost: mined.cost, expected });
    }
}
