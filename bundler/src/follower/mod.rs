//! Watches the chain: each new head becomes a [`Head`] for the other stages, and what it mined an [`Inclusion`].

mod inclusion;
mod lookup;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use alloy::{
    primitives::B256,
    rpc::types::{Filter, Header, TransactionReceipt},
    sol_types::SolEvent,
};
use erc4337::abi::entry_point_v08::UserOperationEvent;
use tokio::sync::{mpsc, watch};

pub(crate) use inclusion::Inclusion;
pub(crate) use lookup::{find_inclusion, find_operation};

use crate::{
    Config, Head,
    engine::Command,
    evm::{BlockPin, Shared, StateView},
    l1_fee::L1Prices,
    node::{FeeSuggestion, NodeClient, NodeError},
};

/// Blocks searched for one user operation whose inclusion was not watched.
pub(crate) const LOOKBACK: u64 = 9_999;

/// Whether the node, or the one of several behind its URL, has only fallen back: its newest block is older than
/// `known`, which is still in the chain. To follow it there would drop what rests on the blocks in between.
///
/// # Errors
/// If the node does not tell.
pub(crate) async fn fallen_back(node: &NodeClient, known: &BlockPin, latest: &Header) -> Result<bool, NodeError> {
    Ok(latest.number < known.number && node.has_block(known.number, known.hash).await?)
}

/// What a new head brought.
#[derive(Debug)]
pub(crate) struct Mined {
    pub(crate) inclusions: Vec<Inclusion>,
    /// After a reorganisation: the first block that was looked through again. What was mined from there on, and is
    /// not among `inclusions`, is not on the chain any more.
    pub(crate) from: Option<u64>,
}

/// Follows the head of one node.
#[derive(Debug)]
pub(crate) struct Follower {
    node: NodeClient,
    config: Arc<Config>,
    shared: Arc<Shared>,
}

impl Follower {
    pub(crate) fn new(node: NodeClient, config: Arc<Config>) -> Self {
        Self { node, config, shared: Arc::default() }
    }

    /// The head as it is now.
    ///
    /// # Errors
    /// If the node does not tell.
    pub(crate) async fn first(&self) -> Result<Head, NodeError> {
        let (block, fees) = self.pin(&self.node.latest().await?).await?;
        let view = StateView::new(self.node.clone(), block.hash, Arc::clone(&self.shared));
        self.head(block, view, fees).await
    }

    /// Publishes heads until nobody listens. A node that fails is asked again at the next interval.
    pub(crate) async fn run(self, heads: watch::Sender<Head>, engine: mpsc::WeakSender<Command>) {
        let mut interval = tokio::time::interval(self.config.poll_interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            if engine.strong_count() == 0 {
                return;
            }
            let previous = heads.borrow().clone();
            match self.step(&previous).await {
                Ok(None) => {}
                Ok(Some((head, mined))) => {
                    let Some(engine) = engine.upgrade() else { return };
                    if engine.send(Command::Head(Box::new(head.clone()), mined)).await.is_err() {
                        return;
                    }
                    heads.send_replace(head);
                }
                Err(error) => tracing::warn!(%error, "the head could not be followed; asking again"),
            }
        }
    }

    /// The new head and what was mined since `previous`, if there is a new one.
    async fn step(&self, previous: &Head) -> Result<Option<(Head, Mined)>, NodeError> {
        let block = self.node.latest().await?;
        if block.hash == previous.block.hash || fallen_back(&self.node, &previous.block, &block).await? {
            return Ok(None);
        }
        let number = block.number;
        let known = &previous.block;
        let extended = block.parent_hash == known.hash || self.node.has_block(known.number, known.hash).await?;
        // What was mined before a reorganisation may have been mined again in any block since it.
        let from = if extended {
            known.number + 1
        } else {
            (known.number + 1).saturating_sub(self.config.reorg_depth).min(number)
        };
        let (block, fees) = self.pin(&block).await?;
        let (view, inclusions) = tokio::try_join!(previous.view.advance_to(&block), self.inclusions(from, number))?;
        let mined = Mined { inclusions, from: (!extended).then_some(from) };
        Ok(Some((self.head(block, view, fees).await?, mined)))
    }

    async fn head(&self, block: BlockPin, view: StateView, fees: FeeSuggestion) -> Result<Head, NodeError> {
        let l1 = if self.config.chain.l1_data_fee {
            view.prefetch(&L1Prices::reads()).await?;
            L1Prices::of(&view)
        } else {
            None
        };
        Ok(Head { block, view: Arc::new(view), fees, l1 })
    }

    async fn pin(&self, block: &Header) -> Result<(BlockPin, FeeSuggestion), NodeError> {
        let fees = self.node.fees().await?;
        Ok((BlockPin::new(block, fees.base_fee), fees))
    }

    /// Every operation that the served EntryPoints executed in these blocks.
    async fn inclusions(&self, from: u64, to: u64) -> Result<Vec<Inclusion>, NodeError> {
        let filter = Filter::new()
            .address(self.config.entry_points.keys().copied().collect::<Vec<_>>())
            .event_signature(UserOperationEvent::SIGNATURE_HASH)
            .from_block(from)
            .to_block(to);
        let events = self.node.logs(&filter).await?;
        let transactions: BTreeSet<B256> = events.iter().filter_map(|log| log.transaction_hash).collect();
        let mut receipts: HashMap<B256, Arc<TransactionReceipt>> = HashMap::new();
        for transaction in transactions {
            // A node that has the logs but not the receipt yet is asked again: nothing mined may be missed.
            let receipt = self.node.receipt(transaction).await?.ok_or_else(|| NodeError::Unreadable {
                method: "eth_getTransactionReceipt",
                reason: format!("no receipt of {transaction}, whose logs are there"),
            })?;
            receipts.insert(transaction, Arc::new(receipt));
        }
        Ok(events
            .iter()
            .filter_map(|event| Inclusion::new(event, Arc::clone(receipts.get(&event.transaction_hash?)?)))
            .collect())
    }
}
