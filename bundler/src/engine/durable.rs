//! What the engine writes down before it acts on it, and how it takes up what an earlier process wrote.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::{Address, B256};
use tokio::{sync::oneshot, time::Instant};

use super::{Answer, Command, Engine, Left, Record, Report, Screened, Screening, Status};
use crate::{
    Rejection,
    admission::Admitted,
    builder::Bundle,
    chain_time::millis,
    flow::{Action, Flow, Place, Restored},
    follower::Inclusion,
    journal::{Awaiting, Entry, JournalError, Kept, Replay, Rows, crash_point},
    lives::Milestone,
};

/// Chain time between two looks for what is final.
const FINALISED_EVERY: Duration = Duration::from_secs(32);

/// After a failure to write, until it is tried again.
const REST: Duration = Duration::from_millis(500);

/// Whoever sent an operation.
type Taken = oneshot::Sender<Result<B256, Rejection>>;

/// What there was before a restart, and what the chain says of it.
#[derive(Debug)]
pub(crate) struct Resumed {
    pub(crate) operations: Vec<Admitted>,
    /// Where, which, why.
    pub(crate) dropped: Vec<(Address, B256, String)>,
    /// What was executed since the first of the operations came.
    pub(crate) inclusions: Vec<Inclusion>,
    /// What the flow wants done.
    pub(crate) actions: Vec<Action>,
}

/// Puts nonces from before a restart into the flow at this chain time (milliseconds); `keys` are ours in their order.
///
/// # Errors
/// The address of a key that we do not have any more, though a nonce of its is open.
pub(crate) fn places(replay: &Replay, keys: &[Address], flow: &mut Flow, now: u64) -> Result<(), Address> {
    let operations: HashMap<B256, &Admitted> = replay.operations.iter().map(|it| (it.hash, it)).collect();
    let mut places: Vec<&Kept> = replay.places.iter().collect();
    // Should an operation be in two of them, then the later is the one that it was moved to.
    places.sort_by_key(|kept| std::cmp::Reverse(kept.last));
    for kept in places {
        let Some(key) = keys.iter().position(|key| *key == kept.key) else {
            if kept.settled.is_none() {
                return Err(kept.key);
            }
            continue;
        };
        let carried = kept.attempts.iter().rev().map(|(_, carried)| carried).find(|carried| !carried.is_empty());
        let now_carried = carried.cloned().unwrap_or_default();
        let earlier = kept.attempts.iter().flat_map(|(_, operations)| operations);
        let earlier = earlier.filter(|hash| !now_carried.contains(*hash)).copied().collect();
        let carried: Vec<Admitted> =
            carried.into_iter().flatten().filter_map(|hash| operations.get(hash).copied().cloned()).collect();
        let bundle = carried
            .first()
            .map(|first| (first.entry_point, first.version))
            .map(|(entry_point, version)| Arc::new(Bundle::new(entry_point, version, carried)));
        let restored = Restored {
            bundle,
            attempts: kept.attempts.iter().map(|(attempt, _)| attempt.clone()).collect(),
            cancelled_by: kept
                .attempts
                .iter()
                .filter(|(_, carried)| carried.is_empty())
                .map(|(attempt, _)| attempt.transaction)
                .collect(),
            earlier,
            settled: kept.settled,
        };
        flow.restore(Place { key, nonce: kept.nonce }, restored, now);
    }
    Ok(())
}

impl Engine {
    /// Takes up what there was before a restart.
    pub(crate) fn resume(&mut self, resumed: Resumed) {
        let Resumed { operations, dropped, inclusions, actions } = resumed;
        for (entry_point, hash, reason) in dropped {
            self.records.restore_dropped(hash, entry_point, reason);
        }
        let pending = operations.len();
        let mut replaced = Vec::new();
        for admitted in operations {
            self.lives.resume(admitted.hash, admitted.op.sender, admitted.entry_point);
            self.records.insert(admitted.hash, Record::pending(&admitted));
            replaced.extend(self.mempool.restore(admitted, &self.head.block));
        }
        let in_flight = self.flow.in_flight();
        if pending > 0 {
            tracing::info!(pending, in_flight = in_flight.len(), "operations are taken up again");
        }
        for (hash, transaction) in in_flight {
            self.mempool.mark_bundled(&[hash]);
            self.records.set(hash, Status::Submitted { transaction });
        }
        self.include(inclusions, BTreeMap::new());
        self.record_drops(replaced);
        self.act(actions);
        self.write();
    }

    /// Takes an operation; it is acknowledged once it is durable.
    pub(super) fn take(&mut self, admitted: Admitted, answer: Taken) {
        match self.add(admitted) {
            Ok(hash) => self.when_written(Awaiting::Acknowledge(hash, answer)),
            // Whoever asked may have gone: an answer that nobody takes is no error.
            Err(rejection) => drop(answer.send(Err(rejection))),
        }
    }

    pub(super) fn answer_screening(
        &mut self,
        screening: &Screening,
        answer: oneshot::Sender<Result<Screened, Rejection>>,
    ) {
        match self.screen(screening) {
            // That it is known says that it is accepted.
            Ok(Screened::Known) => self.when_written(Awaiting::Known(answer)),
            other => drop(answer.send(other)),
        }
    }

    /// Lets the process end when all is written that it leaves.
    pub(super) fn leave(&mut self, answer: oneshot::Sender<Vec<Left>>) {
        let left = self.abandon();
        self.persist_reputation();
        self.when_written(Awaiting::Left(left, answer));
    }

    /// Takes note of something that must be remembered.
    pub(super) fn note(&mut self, entry: Entry) {
        self.note_records();
        self.journal.note(entry);
    }

    fn note_records(&mut self) {
        for entry in self.records.take_noted() {
            let dropped = if let Entry::Dropped { hash, .. } = &entry { Some(*hash) } else { None };
            self.journal.note(entry);
            if let Some(hash) = dropped
                && let Some(now) = self.journal.when_kept(hash, Awaiting::TellDropped(hash))
            {
                self.go_on(now);
            }
        }
    }

    fn when_written(&mut self, then: Awaiting) {
        self.note_records();
        if let Some(now) = self.journal.when_written(then) {
            self.go_on(now);
        }
    }

    /// Tells what has become of an operation. That it was dropped is told when that is durable: a restart must not take up
    /// again what its sender has given up.
    pub(super) fn tell(&mut self, hash: B256, answer: Answer<Option<Record>>) {
        let record = self.look(hash);
        if !record.as_ref().is_some_and(|record| matches!(record.status, Status::Dropped { .. })) {
            return drop(answer.send(Ok(record)));
        }
        self.note_records();
        if let Some(Awaiting::Tell(_, answer)) = self.journal.when_kept(hash, Awaiting::Tell(hash, answer)) {
            drop(answer.send(Ok(record)));
        }
    }

    /// What was waited for is durable.
    pub(super) fn go_on(&mut self, awaiting: Awaiting) {
        match awaiting {
            Awaiting::Acknowledge(hash, answer) => {
                crash_point("before acknowledgement");
                self.lives.note(hash, Milestone::Accepted, None, None);
                let _ = answer.send(Ok(hash));
            }
            Awaiting::Known(answer) => drop(answer.send(Ok(Screened::Known))),
            Awaiting::Broadcast(place, attempt) => {
                crash_point("before broadcast");
                self.broadcast(place, attempt);
            }
            Awaiting::Tell(hash, answer) => self.tell(hash, answer),
            Awaiting::TellDropped(hash) => self.records.tell_dropped(hash),
            Awaiting::Left(left, answer) => drop(answer.send(left)),
        }
    }

    /// Has what waits written, unless something is being written: that gathers meanwhile.
    pub(super) fn write(&mut self) {
        self.note_records();
        let Some(outbox) = self.outbox() else { return };
        let Some((store, rows)) = self.journal.batch() else { return };
        tokio::spawn(async move {
            let begun = Instant::now();
            let result = store.commit(&rows).await;
            metrics::histogram!("fabstir_journal_commit_seconds").record(begun.elapsed());
            // The engine is gone only when nobody needs the report.
            let _ = outbox.send(Command::Internal(Report::Written(rows, result))).await;
        });
    }

    pub(super) fn written(&mut self, rows: Rows, result: Result<(), JournalError>) {
        match result {
            Ok(()) => {
                let before = self.journal.failure().is_some();
                let due = self.journal.written();
                due.into_iter().for_each(|then| self.go_on(then));
                if before {
                    tracing::info!("operations can be stored again");
                    self.try_bundle(false);
                }
            }
            Err(error) => {
                tracing::error!(%error, "nothing is accepted or sent before this can be written");
                metrics::counter!("fabstir_journal_failures_total").increment(1);
                for refused in self.journal.failed(rows, &error) {
                    match refused {
                        Awaiting::Acknowledge(hash, answer) => {
                            self.refuse(hash);
                            let _ = answer.send(Err(Rejection::Unwritable));
                        }
                        Awaiting::Known(answer) => drop(answer.send(Err(Rejection::Unwritable))),
                        Awaiting::Tell(_, answer) => drop(answer.send(Err(Rejection::Unwritable))),
                        Awaiting::Broadcast(..) | Awaiting::TellDropped(_) | Awaiting::Left(..) => {}
                    }
                }
                self.rest();
            }
        }
    }

    /// Its sender is told that it was not taken: then it is not, unless it is on its way already.
    fn refuse(&mut self, hash: B256) {
        if !self.mempool.is_bundled(hash) {
            let dropped = self.mempool.take_out(hash, "it could not be stored".into(), None);
            self.record_drops(dropped);
        }
    }

    fn rest(&self) {
        let Some(outbox) = self.outbox() else { return };
        tokio::spawn(async move {
            tokio::time::sleep(REST).await;
            let _ = outbox.send(Command::Internal(Report::Rested)).await;
        });
    }

    /// From time to time: forgets what no reorganisation undoes, and writes reputations down.
    pub(super) fn finalise(&mut self) {
        let (number, now) = (self.head.block.number, self.head.time);
        if !self.journal.is_kept() || now < self.finalised.saturating_add(millis(FINALISED_EVERY)) {
            return;
        }
        self.finalised = now;
        if self.config.reputation_file.is_none() {
            self.persist_reputation();
        }
        self.note(Entry::Final { block: number.saturating_sub(self.config.reorg_blocks() + 1) });
    }
}
