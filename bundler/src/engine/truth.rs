//! That an operation is dropped is final and true: it is not said before the chain was asked for the operation's own event.
//!
//! While the operation's nonce is unused at the head, that is the chain's answer. Once it is used, the event that used it is
//! looked for: the operation's own makes it included, another's makes it dropped. A node whose index of logs is behind its
//! state says nothing for a while.

use std::time::Duration;

use alloy::primitives::{B256, U256};

use super::{Command, Engine, Report, Status};
use crate::{
    admission::sequence_on_chain,
    follower::{self, Inclusion},
    index::{Logs, event_of},
    mempool::{Dropped, Trouble},
    node::{NodeClient, NodeError},
};

/// Times that a node says that there is no event before it is believed: a nonce can be used without one.
const ANSWERS: u32 = 6;
/// First pause between two questions, which doubles.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What is looked for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    hash: B256,
    entry_point: alloy::primitives::Address,
    sender: alloy::primitives::Address,
    nonce: U256,
}

/// What used a nonce.
enum Used {
    By(Box<Inclusion>),
    Another,
    Unknown,
}

impl Engine {
    /// Says that these are dropped, unless the chain may have executed them: it is asked first.
    pub(super) fn record_drops(&mut self, dropped: Vec<Dropped>) {
        for Dropped { hash, reason } in dropped {
            let record = self.records.get(hash);
            let Some((op, entry_point)) = record.and_then(|record| Some((record.op?, record.entry_point))) else {
                self.say_dropped(hash, reason);
                continue;
            };
            let used = sequence_on_chain(&op, entry_point, &self.head.view);
            if used.is_some_and(|next| next <= op.nonce_sequence()) {
                self.say_dropped(hash, reason);
            } else {
                self.seek(Wanted { hash, entry_point, sender: op.sender, nonce: op.nonce }, reason);
            }
        }
    }

    fn say_dropped(&mut self, hash: B256, reason: String) {
        tracing::info!(user_op_hash = %hash, reason, "dropped");
        self.records.set(hash, Status::Dropped { reason });
    }

    /// Takes operations back whose bundle came to nothing.
    pub(super) fn set_back(&mut self, hashes: &[B256], trouble: Trouble, why: &str) {
        let dropped = self.mempool.set_back(hashes, trouble, why);
        self.record_drops(dropped);
    }

    /// Looks for what used the nonce of an operation that we do not hold any more.
    fn seek(&self, wanted: Wanted, reason: String) {
        let outbox = self.outbox.clone();
        let logs = Logs::new(self.node.clone(), self.config.entry_points.keys().copied().collect());
        let (node, head, depth) = (self.node.clone(), self.head.block.number, self.config.reorg_blocks());
        tokio::spawn(async move {
            let (mut answers, mut pause) = (0, PAUSE);
            let inclusion = loop {
                // Blocks that came since are looked at too.
                let to = node.latest().await.map_or(head, |latest| latest.number).max(head);
                match used_by(&node, &logs, wanted, (head.saturating_sub(depth), to)).await {
                    Ok(Used::By(inclusion)) => break Some(inclusion),
                    Ok(Used::Another) => break None,
                    Ok(Used::Unknown) => answers += 1,
                    Err(error) => tracing::warn!(%error, "it could not be asked what used an operation's nonce"),
                }
                if answers >= ANSWERS {
                    break None;
                }
                // The engine may be gone meanwhile: it is not kept.
                if outbox.upgrade().is_none() {
                    return;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            };
            if let Some(outbox) = outbox.upgrade() {
                let _ = outbox.send(Command::Internal(Report::Sought(wanted.hash, reason, inclusion))).await;
            }
        });
    }

    /// What was looked for is found, or is known not to be there.
    pub(super) fn sought(&mut self, hash: B256, reason: String, inclusion: Option<Box<Inclusion>>) {
        let ended = |status: &Status| matches!(status, Status::Included(_) | Status::Dropped { .. });
        // It was seen mined meanwhile, or has come back.
        if self.mempool.contains(hash) || self.records.get(hash).is_none_or(|record| ended(&record.status)) {
            return;
        }
        match inclusion {
            Some(inclusion) => self.include(vec![*inclusion], std::collections::BTreeMap::new()),
            None => self.say_dropped(hash, reason),
        }
    }
}

async fn used_by(
    node: &NodeClient,
    logs: &Logs,
    Wanted { hash, entry_point, sender, nonce }: Wanted,
    (from, to): (u64, u64),
) -> Result<Used, NodeError> {
    let Some(log) = logs.of_nonce(entry_point, (sender, nonce), from, to).await? else { return Ok(Used::Unknown) };
    let Some(event) = event_of(&log) else { return Ok(Used::Unknown) };
    if event.hash != hash {
        return Ok(Used::Another);
    }
    Ok(follower::inclusion_at(node, &event).await?.map_or(Used::Unknown, |inclusion| Used::By(Box::new(inclusion))))
}
