//! Watches the chain: each new head becomes a [`Head`] for the other stages, and what it mined an [`Inclusion`].

pub(crate) mod finality;
mod heads;
mod inclusion;
mod lookup;
mod nested;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use alloy::{
    primitives::{Address, B256},
    rpc::types::{Header, TransactionReceipt},
};
use tokio::sync::{Notify, mpsc, watch};

use heads::HeadTimer;
pub(crate) use inclusion::Inclusion;
pub(crate) use lookup::{inclusion as inclusion_at, operation as operation_at, search_gap};

use crate::{
    Config, Head,
    engine::{Command, Interest},
    evm::{BlockPin, Shared, StateView},
    fees::FeeSuggestion,
    index::{Index, Logs},
    l1_fee::L1Prices,
    node::{NodeClient, NodeError},
};

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
    index: Arc<Index>,
    logs: Arc<Logs>,
    /// Whose transactions' receipts are kept.
    own: BTreeSet<Address>,
}

impl Follower {
    pub(crate) fn new(
        node: NodeClient,
        config: Arc<Config>,
        index: Arc<Index>,
        logs: Arc<Logs>,
        own: BTreeSet<Address>,
    ) -> Self {
        Self { node, config, shared: Arc::default(), index, logs, own }
    }

    /// The head as it is now, and what was executed from this block on, or in the head alone; the index takes that in.
    ///
    /// # Errors
    /// If the node does not tell.
    pub(crate) async fn first(&self, from: Option<u64>) -> Result<(Head, Vec<Inclusion>), NodeError> {
        let (block, fees) = self.pin(&self.node.latest().await?).await?;
        let view = StateView::new(self.node.clone(), block.hash, Arc::clone(&self.shared));
        let from = from.map_or(block.number, |from| from.min(block.number));
        let inclusions = self.inclusions(from, block.number, block.hash).await?;
        if let Err(error) = self.index.advance((block.number, block.hash), from, &inclusions, &self.own) {
            tracing::error!(%error, "the index did not take block {}; it is fetched again later", block.number);
        }
        Ok((self.head(block, view, fees).await?, inclusions))
    }

    /// Publishes heads until nobody listens. A node that fails is asked again at the next occasion.
    pub(crate) async fn run(
        self,
        heads: watch::Sender<Head>,
        engine: mpsc::WeakSender<Command>,
        wake: Arc<Notify>,
        interest: watch::Receiver<Interest>,
    ) {
        let block_time = self.config.chain.block_time;
        let mut timer = HeadTimer::new(self.node.clone(), self.config.poll_interval, block_time, wake, interest);
        let mut found = true;
        loop {
            timer.next(found).await;
            if engine.strong_count() == 0 {
                return;
            }
            let previous = heads.borrow().clone();
            found = false;
            match self.step(&previous).await {
                Ok(None) => {}
                Ok(Some((head, mined))) => {
                    let Some(engine) = engine.upgrade() else { return };
                    if engine.send(Command::Head(Box::new(head.clone()), mined)).await.is_err() {
                        return;
                    }
                    heads.send_replace(head);
                    found = true;
                }
                Err(error) => tracing::warn!(%error, "the head could not be followed; asking again"),
            }
        }
    }

    /// The new head and what was mined since `previous`, if there is a new one.
    async fn step(&self, previous: &Head) -> Result<Option<(Head, Mined)>, NodeError> {
        let block = self.node.latest().await?;
        let known = &previous.block;
        if block.hash == known.hash {
            return Ok(None);
        }
        let number = block.number;
        // Asked once: of several nodes behind one URL the next may say otherwise, and the head would go back and not be
        // undone.
        let extended = block.parent_hash == known.hash || self.node.has_block(known.number, known.hash).await?;
        if extended && number <= known.number {
            return Ok(None);
        }
        // What was mined before a reorganisation may have been mined again in any block since it.
        let from = if extended {
            known.number + 1
        } else {
            (known.number + 1).saturating_sub(self.config.reorg_depth).min(number)
        };
        let (block, fees) = self.pin(&block).await?;
        let (view, inclusions) =
            tokio::try_join!(previous.view.advance_to(&block), self.inclusions(from, number, block.hash))?;
        // Before anybody is told: whoever hears of an inclusion finds its receipt.
        if let Err(error) = self.index.advance((number, block.hash), from, &inclusions, &self.own) {
            tracing::error!(%error, "the index did not take block {number}; it is fetched again later");
        }
        let mined = Mined { inclusions, from: (!extended).then_some(from) };
        Ok(Some((self.head(block, view, fees).await?, mined)))
    }

    async fn head(&self, block: BlockPin, view: StateView, fees: FeeSuggestion) -> Result<Head, NodeError> {
        let l1 = if self.config.chain.op_stack {
            view.prefetch(&L1Prices::reads()).await?;
            L1Prices::of(&view)
        } else {
            None
        };
        Ok(Head { block, view: Arc::new(view), fees, l1 })
    }

    async fn pin(&self, block: &Header) -> Result<(BlockPin, FeeSuggestion), NodeError> {
        let fees = FeeSuggestion::ask(&self.node, &self.config.fees).await?;
        Ok((BlockPin::new(block, fees.base_fee), fees))
    }

    /// Every operation that the served EntryPoints executed in the blocks up to the one of this hash.
    async fn inclusions(&self, from: u64, to: u64, hash: B256) -> Result<Vec<Inclusion>, NodeError> {
        let events = if from == to {
            // By hash: whatever else becomes of the chain meanwhile, it is this block's.
            self.node.logs(&self.logs.filter().at_block_hash(hash)).await?
        } else {
            let events = self.logs.all(from, to).await?;
            if !self.node.has_block(to, hash).await? {
                return Err(NodeError::UnknownBlock(hash));
            }
            events
        };
        let transactions: Vec<B256> = events.iter().filter_map(|log| log.transaction_hash).collect();
        let transactions: BTreeSet<B256> = transactions.into_iter().collect();
        let fetched = self.node.receipts(transactions.iter().copied()).await?;
        let mut receipts: HashMap<B256, Arc<TransactionReceipt>> = HashMap::new();
        for (transaction, receipt) in transactions.into_iter().zip(fetched) {
            // A node that has the logs but not the receipt yet is asked again: nothing mined may be missed.
            let receipt = receipt.ok_or_else(|| NodeError::Unreadable {
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
