//! What the engine does to keep its mempool and its records in step with the chain.

use alloy::primitives::{Address, B256};

use super::{Command, Engine, Report, Screened, Screening, Status};
use crate::{
    Head, Rejection,
    admission::{self, Admitted, Grounds},
    head::unix_now,
    mempool::{Counts, Dropped, ReputationStatus},
};

/// Operations validated again at a time; the others wait for their turn.
const REFRESHED_AT_ONCE: usize = 256;

impl Engine {
    pub(super) fn screen(&self, asked: &Screening) -> Result<Screened, Rejection> {
        if self.closed {
            return Err(Rejection::ShuttingDown);
        }
        let included = |status: &Status| matches!(status, Status::Included(_));
        if self.mempool.contains(asked.hash) || self.records.get(asked.hash).is_some_and(|it| included(&it.status)) {
            return Ok(Screened::Known);
        }
        let lane = self.mempool.lane(asked.entry_point, asked.op.sender, asked.op.nonce);
        // What takes another's place is not one more.
        if lane.iter().all(|pending| pending.nonce != asked.op.nonce) {
            self.mempool.screen(&asked.op)?;
        }
        Ok(Screened::Validate(lane))
    }

    /// Brings the mempool to the new head.
    pub(super) fn keep_up(&mut self, previous: &Head) {
        let now = unix_now();
        let mut busy = self.submitter.addresses();
        busy.push(self.head.block.beneficiary);
        let dropped = self.mempool.advance(&self.head, &previous.view, &busy, now);
        self.record_drops(dropped);
        if self.mempool.reputation_mut().decay(now) {
            self.persist_reputation();
        }
    }

    /// Has what rests on changed state validated again, beside the engine.
    pub(super) fn refresh(&mut self) {
        if self.refreshing {
            return;
        }
        let stale = self.mempool.stale(REFRESHED_AT_ONCE);
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
            let mut results = Vec::with_capacity(work.len());
            for (admitted, queued) in work {
                let on = Grounds { config: &config, head: &head, bundler };
                results.push((admitted.hash, admission::revalidate(&admitted, &queued, on).await));
            }
            // The engine is gone only when nobody needs the report.
            let _ = outbox.send(Command::Internal(Report::Refreshed(results))).await;
        });
    }

    pub(super) fn refreshed(&mut self, results: Vec<(B256, Result<Admitted, Rejection>)>) {
        self.refreshing = false;
        let mut unreadable = false;
        for (hash, result) in results {
            // A head has come since: it is judged by that one.
            if result.as_ref().is_ok_and(|again| again.evidence.block != self.head.block.hash) {
                continue;
            }
            unreadable |= result.as_ref().is_err_and(|rejection| !rejection.is_verdict());
            let dropped = self.mempool.refresh(hash, result);
            self.record_drops(dropped);
        }
        let orphans = self.mempool.take_out_orphans();
        self.record_drops(orphans);
        // The node is asked again with the next head, not at once.
        if !unreadable {
            self.try_bundle(false);
        }
    }

    pub(super) fn record_drops(&mut self, dropped: Vec<Dropped>) {
        for Dropped { hash, reason } in dropped {
            tracing::info!(user_op_hash = %hash, reason, "dropped");
            self.records.set(hash, Status::Dropped { reason });
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
    pub(super) fn persist_reputation(&self) {
        let Some(file) = &self.config.reputation_file else { return };
        // A few kilobytes, and rarely: not worth a task that a shutdown could overtake.
        if let Err(error) = crate::mempool::store::write(file, self.mempool.reputation()) {
            tracing::error!(%error, file = %file.display(), "reputations could not be written");
        }
    }
}
