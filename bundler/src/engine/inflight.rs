//! What the flow wants done is done here, and what it says of operations goes to mempool and records.

use std::collections::{HashMap, VecDeque};

use alloy::primitives::B256;

use super::{Engine, Status};
use crate::{
    admission::Admitted,
    builder::Bundle,
    flow::{Action, LossCause, Mined, Outcome, Place},
    follower::Inclusion,
    node::NodeError,
};

/// A mined operation whose block may leave the chain.
#[derive(Debug)]
pub(super) struct Recent {
    hash: B256,
    transaction: B256,
    /// Wei that it paid.
    paid: u128,
    /// What it was in the mempool, if it was there.
    admitted: Option<Admitted>,
}

impl Engine {
    pub(super) fn act(&mut self, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Sign { place, bundle, fees } => match self.submitter.sign(place, bundle.as_deref(), fees) {
                    Ok(attempt) => {
                        let transaction = attempt.transaction;
                        let hashes = bundle.as_ref().map(|bundle| bundle.hashes()).unwrap_or_default();
                        tracing::info!(
                            ?place, operations = hashes.len(), %transaction, ?fees, "transaction signed"
                        );
                        for hash in hashes {
                            self.records.set(hash, Status::Submitted { transaction });
                        }
                        actions.extend(self.flow.signed(place, attempt, bundle.is_none()));
                    }
                    Err(error) => {
                        tracing::error!(%error, ?place, "not signed");
                        actions.extend(self.flow.not_signed(place));
                    }
                },
                Action::Broadcast { place, attempt } => self.broadcast(place, attempt),
                Action::Ask { place, transactions, again } => self.ask(place, transactions, again),
                Action::Settled { place, bundle, outcome } => self.settled(place, bundle.as_deref(), outcome),
                Action::Unmined { place, bundle } => self.unmined(place, &bundle),
            }
        }
    }

    pub(super) fn broadcasted(&mut self, place: Place, transaction: B256, result: Result<(), NodeError>) {
        match result {
            Ok(()) => {
                tracing::debug!(%transaction, "broadcast");
                self.answer_bundle_requests(Some(transaction));
            }
            Err(error) => {
                tracing::warn!(%transaction, %error, "the node did not take the transaction");
                self.answer_bundle_requests(None);
                // It may have arrived all the same. That it is there, or that its nonce is used, is no refusal.
                if let NodeError::Refused { message, .. } = &error
                    && !message.contains("already")
                    && !message.contains("nonce too low")
                {
                    self.flow.refused(place, transaction);
                }
            }
        }
    }

    pub(super) fn nonces(&mut self, head: B256, next: &[Option<u64>]) {
        // A newer head has been asked for already.
        if head != self.head.block.hash {
            return;
        }
        let actions = self.flow.advance(next, self.head.block.number, self.head.fees);
        self.reorganised &= next.iter().any(Option::is_none);
        self.act(actions);
        self.bundle_all();
    }

    /// Takes what is mined out of the mempool, and remembers it for as long as its block may leave the chain.
    pub(super) fn include(&mut self, inclusions: Vec<Inclusion>, mut gone: HashMap<B256, Option<Admitted>>) {
        for inclusion in inclusions {
            let (hash, transaction) = (inclusion.hash, inclusion.transaction());
            let admitted = self.mempool.remove_included(hash);
            if let Some(admitted) = &admitted {
                tracing::info!(
                    user_op_hash = %hash, sender = %admitted.op.sender, %transaction,
                    success = inclusion.event.success, "included"
                );
            }
            let admitted = admitted.or_else(|| gone.remove(&hash).flatten());
            gone.remove(&hash);
            let paid = u128::try_from(inclusion.event.actualGasCost).unwrap_or(u128::MAX);
            let block = inclusion.receipt.block_number.unwrap_or(self.head.block.number);
            self.recent.entry(block).or_default().push(Recent { hash, transaction, paid, admitted });
            self.records.include(inclusion.event());
        }
        for (hash, admitted) in gone {
            tracing::warn!(user_op_hash = %hash, "its block has left the chain: pending again");
            self.records.reopen(hash, Status::Pending);
            match admitted {
                Some(admitted) => self.take_back(admitted),
                // It was given up before it was mined. If a transaction of ours has it still, that takes it back.
                None => {
                    let reason = "its block has left the chain, and it had been given up before".into();
                    self.records.set(hash, Status::Dropped { reason });
                }
            }
        }
        let oldest = self.head.block.number.saturating_sub(self.config.reorg_depth);
        self.recent = self.recent.split_off(&oldest);
    }

    /// What was mined from this block on, which is not on the chain unless it is found there again.
    pub(super) fn unmine(&mut self, from: u64) -> HashMap<B256, Option<Admitted>> {
        self.reorganised = true;
        let gone = self.recent.split_off(&from).into_values().flatten();
        gone.map(|recent| (recent.hash, recent.admitted)).collect()
    }

    /// Back into the mempool, to be validated again.
    fn take_back(&mut self, admitted: Admitted) {
        let dropped = self.mempool.take_back(admitted, &self.head.block);
        self.record_drops(dropped);
    }

    /// A transaction of ours is in flight again: its operations are bound to its nonce, and to no other.
    fn unmined(&mut self, place: Place, bundle: &Bundle) {
        tracing::warn!(?place, operations = bundle.operations.len(), "a mined bundle is in flight again");
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
        let given_up = match outcome {
            Outcome::Executed(mined) => {
                self.book(mined, LossCause::Underpaid);
                self.mempool.give_back(&hashes);
                Vec::new()
            }
            Outcome::Reverted(mined) => {
                self.book(mined, LossCause::Reverted);
                // What its proof did not show, only going alone does.
                self.mempool.set_apart(&hashes);
                self.mempool.give_back_failed(&hashes, "its bundle was mined and reverted")
            }
            Outcome::Cancelled(mined) => {
                self.book(mined, LossCause::Cancelled);
                self.mempool.give_back_failed(&hashes, "its bundle was not mined and could not be made dearer")
            }
            Outcome::Lost | Outcome::Unsigned => {
                self.mempool.give_back(&hashes);
                Vec::new()
            }
        };
        for hash in hashes {
            self.records.unsubmit(hash);
        }
        self.record_drops(given_up);
        if outcome == Outcome::Unsigned {
            self.answer_bundle_requests(None);
        }
    }

    fn book(&mut self, mined: Mined, cause: LossCause) {
        let ours = self.recent.values().flatten().filter(|recent| recent.transaction == mined.transaction);
        let (operations, revenue) = ours.fold((0, 0), |(count, sum), recent| (count + 1, sum + recent.paid));
        self.ledger.book(operations, revenue, mined.cost, cause);
    }
}
