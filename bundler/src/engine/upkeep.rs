//! What the engine does to keep its mempool and its records in step with the chain.

use alloy::primitives::{Address, B256};
use erc4337::UserOperation;
use futures::stream::{self, StreamExt};

use super::{Command, Engine, Report, Screened, Screening, Status};
use crate::{
    Head, Rejection,
    admission::{self, Admitted, Grounds},
    evm::NextBlock,
    journal::Entry,
    mempool::{Counts, ReputationStatus},
    world,
};

/// Operations validated again at a time, at most; the others wait for their turn.
pub(super) const REFRESHED_AT_MOST: usize = 256;
/// At least: fewer would not be done sooner.
const REFRESHED_AT_LEAST: usize = 16;
/// Of these, how many at the same time: most wait for nothing, as what they read was fetched for all of them.
const TOGETHER: usize = 8;

impl Engine {
    pub(super) fn screen(&self, asked: &Screening) -> Result<Screened, Rejection> {
        if self.closed {
            return Err(Rejection::ShuttingDown);
        }
        if let Some(refusal) = self.journal.refusal() {
            return Err(refusal);
        }
        self.mempool.remembers(asked.hash)?;
        let included = |status: &Status| matches!(status, Status::Included(_));
        if self.mempool.contains(asked.hash) || self.records.get(asked.hash).is_some_and(|it| included(&it.status)) {
            return Ok(Screened::Known);
        }
        self.replaces_nothing_that_may_be_mined(asked.entry_point, &asked.op)?;
        self.mempool.screen(&asked.op, asked.entry_point)?;
        Ok(Screened::Validate(self.mempool.lane(asked.entry_point, asked.op.sender, asked.op.nonce)))
    }

    /// What has left its bundle may be mined with it yet: nothing takes its place before that is settled.
    pub(super) fn replaces_nothing_that_may_be_mined(
        &self,
        entry_point: Address,
        op: &UserOperation,
    ) -> Result<(), Rejection> {
        match self.mempool.standing(entry_point, op) {
            Some(hash) if self.flow.is_bound(hash) => Err(Rejection::AlreadyBundled { nonce: op.nonce }),
            _ => Ok(()),
        }
    }

    /// The block that what is bundled now may be in first.
    pub(super) fn next_block(&self) -> NextBlock {
        self.head.block.next(&self.config.chain, world::unix())
    }

    /// Brings the mempool to the new head.
    pub(super) fn keep_up(&mut self, previous: &Head) {
        let mut busy = self.submitter.addresses();
        busy.push(self.head.block.beneficiary);
        let dropped = self.mempool.advance(&self.head, &previous.view, &busy, self.next_block());
        self.record_drops(dropped);
        if self.mempool.reputation_mut().decay(self.head.block.timestamp) {
            self.persist_reputation();
        }
    }

    /// Has what rests on changed state validated again, beside the engine.
    pub(super) fn refresh(&mut self) {
        if self.refreshing {
            return;
        }
        let stale = self.mempool.stale(self.refreshed_at_once);
        let (false, Some(outbox)) = (stale.is_empty(), self.outbox()) else { return };
        self.refreshing = true;
        let (config, head, bundler) = (self.config.clone(), self.head.clone(), self.submitter.address());
        let work: Vec<_> = stale
            .into_iter()
            .map(|admitted| {
                let queued = self.mempool.lane(admitted.entry_point, admitted.op.sender, admitted.op.nonce);
                (admitted, queued)
            })
            .collect();
        tokio::spawn(async move {
            let on = Grounds { config: &config, head: &head, bundler };
            // One after the other they would be at it for longer than a block lasts. What fails here fails there too.
            let _ = admission::prefetch_again(work.iter().map(|(admitted, _)| admitted), on).await;
            let again = |(admitted, queued): (Admitted, Vec<_>)| async move {
                (admitted.hash, admission::revalidate(&admitted, &queued, on).await)
            };
            let results = stream::iter(work).map(again).buffered(TOGETHER).collect().await;
            // The engine is gone only when nobody needs the report.
            let _ = outbox.send(Command::Internal(Report::Refreshed(results))).await;
        });
    }

    pub(super) fn refreshed(&mut self, results: Vec<(B256, Result<Admitted, Rejection>)>) {
        self.refreshing = false;
        let (mut unreadable, mut late) = (false, false);
        for (hash, result) in results {
            // A head has come since: it is judged by that one.
            if result.as_ref().is_ok_and(|again| again.evidence.block != self.head.block.hash) {
                late = true;
                continue;
            }
            unreadable |= result.as_ref().is_err_and(|rejection| !rejection.is_verdict());
            let dropped = self.mempool.refresh(hash, result);
            self.record_drops(dropped);
        }
        let count = if late { self.refreshed_at_once / 2 } else { self.refreshed_at_once * 2 };
        self.refreshed_at_once = count.clamp(REFRESHED_AT_LEAST, REFRESHED_AT_MOST);
        let orphans = self.mempool.take_out_orphans();
        self.record_drops(orphans);
        // The node is asked again with the next head, not at once.
        if !unreadable {
            self.try_bundle(false);
        }
    }

    pub(super) fn clear(&mut self, operations: bool, reputations: bool) {
        if operations {
            for hash in self.mempool.clear() {
                self.records.set(hash, Status::Dropped { reason: "cleared by the operator".into() });
            }
        }
        if reputations {
            self.mempool.reputation_mut().clear();
        }
    }

    pub(super) fn reputations(&self) -> Vec<(Address, Counts, ReputationStatus)> {
        let (reputation, config) = (self.mempool.reputation(), self.mempool.config());
        reputation.all().map(|(address, counts)| (address, counts, reputation.status(address, config))).collect()
    }

    /// Writes reputations down, so that nobody is rid of a bad one by our restart.
    pub(super) fn persist_reputation(&mut self) {
        let Some(file) = &self.config.reputation_file else {
            return self.note(Entry::Reputation(self.mempool.reputation().clone()));
        };
        // A few kilobytes, and rarely: not worth a task that a shutdown could overtake.
        if let Err(error) = crate::mempool::store::write(file, self.mempool.reputation()) {
            tracing::error!(%error, file = %file.display(), "reputations could not be written");
        }
    }
}
