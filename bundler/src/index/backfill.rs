//! Fills the index with what was executed before we watched, newest blocks first, beside everything else.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use erc4337::abi::entry_point_v08::UserOperationEvent;

use super::{Event, Index, ranges::Width};
use crate::{
    node::{NodeClient, NodeError},
    world,
};

/// Between two looks for gaps, and after a failure.
const REST: Duration = Duration::from_secs(1);

/// Asks for the events of the served EntryPoints, as many blocks at a time as the node likes.
#[derive(Debug)]
pub(crate) struct Logs {
    node: NodeClient,
    entry_points: Vec<Address>,
    width: Mutex<Width>,
}

impl Logs {
    pub(crate) fn new(node: NodeClient, entry_points: BTreeSet<Address>) -> Self {
        Self { node, entry_points: entry_points.into_iter().collect(), width: Mutex::new(Width::new()) }
    }

    /// A filter for these events, whatever the blocks.
    pub(crate) fn filter(&self) -> Filter {
        Filter::new().address(self.entry_points.clone()).event_signature(UserOperationEvent::SIGNATURE_HASH)
    }

    /// Events of the newest blocks of `from..=to`, and the first block that they are of.
    ///
    /// # Errors
    /// If the node does not answer, or refuses even one block.
    pub(crate) async fn newest(&self, from: u64, to: u64) -> Result<(u64, Vec<Log>), NodeError> {
        self.newest_of(&self.filter(), from, to).await
    }

    async fn newest_of(&self, filter: &Filter, from: u64, to: u64) -> Result<(u64, Vec<Log>), NodeError> {
        loop {
            let blocks = self.width(|width| width.blocks()).min(to - from + 1);
            let first = to - (blocks - 1);
            match self.node.logs(&filter.clone().from_block(first).to_block(to)).await {
                Ok(logs) => {
                    self.width(Width::answered);
                    return Ok((first, logs));
                }
                Err(error) if too_much(&error) && self.width(|width| width.refused(blocks)) => {
                    tracing::debug!(blocks, %error, "fewer blocks at a time");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Events of all of these blocks.
    ///
    /// # Errors
    /// As [`Self::newest`].
    pub(crate) async fn all(&self, from: u64, to: u64) -> Result<Vec<Log>, NodeError> {
        let (mut parts, mut to) = (Vec::new(), to);
        loop {
            let (first, logs) = self.newest(from, to).await?;
            parts.push(logs);
            if first <= from {
                return Ok(parts.into_iter().rev().flatten().collect());
            }
            to = first - 1;
        }
    }

    /// The newest event of a sender's operation of this nonce in these blocks, whichever operation that is.
    ///
    /// # Errors
    /// As [`Self::newest`].
    pub(crate) async fn of_nonce(
        &self,
        entry_point: Address,
        (sender, nonce): (Address, U256),
        from: u64,
        mut to: u64,
    ) -> Result<Option<Log>, NodeError> {
        let filter = self.filter().topic2(sender.into_word());
        let is_its = |log: &Log| {
            log.address() == entry_point
                && UserOperationEvent::decode_log(&log.inner).is_ok_and(|event| event.nonce == nonce)
        };
        loop {
            let (first, logs) = self.newest_of(&filter, from, to).await?;
            if let Some(log) = logs.into_iter().rev().find(is_its) {
                return Ok(Some(log));
            }
            if first <= from {
                return Ok(None);
            }
            to = first - 1;
        }
    }

    /// The events of one operation in these blocks.
    ///
    /// # Errors
    /// If the node does not answer, or refuses.
    pub(crate) async fn of(&self, hash: B256, from: u64, to: u64) -> Result<Vec<Log>, NodeError> {
        self.node.logs(&self.filter().topic1(hash).from_block(from).to_block(to)).await
    }

    fn width<T>(&self, work: impl FnOnce(&mut Width) -> T) -> T {
        work(&mut self.width.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether asking for less may help. Nodes have no common code for it, so every refusal counts; a node that is away
/// does not become better by being asked for less.
fn too_much(error: &NodeError) -> bool {
    match error {
        NodeError::Refused { .. } => true,
        NodeError::Transport { reason, .. } => {
            let reason = reason.to_ascii_lowercase();
            ["timeout", "timed out", "too large", "too big", "exceed", "413"].iter().any(|word| reason.contains(word))
        }
        _ => false,
    }
}

/// Where a log says that an operation was executed; `None` if it is no such event of a mined block.
pub(crate) fn event_of(log: &Log) -> Option<Event> {
    let event = UserOperationEvent::decode_log(&log.inner).ok()?;
    Some(Event {
        hash: event.userOpHash,
        entry_point: log.address(),
        transaction: log.transaction_hash?,
        block: log.block_number?,
        block_hash: log.block_hash?,
        log_index: log.log_index?,
        success: event.success,
    })
}

/// Fills gaps until the index is gone.
pub(crate) async fn run(index: Weak<Index>, logs: Arc<Logs>) {
    let mut told = false;
    loop {
        let Some(held) = index.upgrade() else { return };
        let Some(gap) = held.gap() else {
            if std::mem::take(&mut told) {
                tracing::info!("the index knows all blocks that are wanted");
            }
            drop(held);
            tokio::time::sleep(REST).await;
            continue;
        };
        if !std::mem::replace(&mut told, true) {
            tracing::info!(from = gap.from, to = gap.to, "filling the index");
        }
        match logs.newest(gap.from, gap.to).await {
            Ok((first, found)) => {
                let events: Vec<Event> = found.iter().filter_map(event_of).collect();
                let filled = world::blocking(move || held.fill(&gap, first..=gap.to, &events)).await;
                if let Ok(Err(error)) = filled {
                    tracing::error!(%error, "the index could not be filled");
                    tokio::time::sleep(REST).await;
                }
            }
            Err(error) => {
                drop(held);
                tracing::warn!(%error, from = gap.from, to = gap.to, "older blocks could not be read; asking again");
                tokio::time::sleep(REST).await;
            }
        }
    }
}
