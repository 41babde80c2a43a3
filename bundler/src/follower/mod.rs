//! Watches the chain: each new head becomes a [`Head`] for the other stages, and what it mined an [`Inclusion`].

mod ancestry;
pub(crate) mod finality;
mod heads;
mod inclusion;
mod lookup;
mod nested;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use alloy::{
    primitives::{Address, B256},
    rpc::types::TransactionReceipt,
};
use futures::future::try_join_all;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

use ancestry::Ancestry;
pub(crate) use ancestry::fallen_back;
pub(crate) use heads::Activity;
use heads::{HeadTimer, Look};
pub(crate) use inclusion::Inclusion;
pub(crate) use lookup::{inclusion as inclusion_at, operation as operation_at, search_gap};

use crate::{
    Config, Head, base_fee,
    chain_time::{TimedHeader, millis},
    engine::{Command, Interest},
    evm::{BlockPin, Shared, StateView},
    fees::FeeSuggestion,
    index::{Index, Logs},
    l1_fee::L1Prices,
    node::{NodeClient, NodeError},
    trail::Trail,
};

/// How old, in chain time, what others bid and what L1 costs may be while somebody asks or something is pending, and
/// while not. The base fee is always the newest header's.
const PRICES_LAST: Duration = Duration::from_secs(1);
const PRICES_LAST_IDLE: Duration = Duration::from_secs(60);
/// Base fees in a row that were not what the header led to, after which the node is asked with each head.
const DOUBTS: u32 = 3;
/// How long a look at the head may take before it is begun anew: four times what the last one took, within these. A
/// question that nobody answers holds up nobody for longer, and a slow node is still followed.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(600));
/// How long a node may tell of blocks that ours comes from, and not of ours: it, or the one of several behind its URL, has
/// fallen back. After that it is the chain that was taken back, as those of tests are.
const BEHIND: Duration = Duration::from_secs(10);

/// What a new head brought.
#[derive(Debug)]
pub(crate) struct Mined {
    pub(crate) inclusions: Vec<Inclusion>,
    /// After a reorganisation: the first block that was looked through again. What was mined from there on, and is
    /// not among `inclusions`, is not on the chain any more.
    pub(crate) from: Option<u64>,
}

/// What rests on the head just now.
#[derive(Clone, Copy, Debug)]
struct Rests {
    /// Somebody asks, or something is pending.
    busy: bool,
    /// Something is in the mempool.
    pool: bool,
}

/// Follows the head of one node.
#[derive(Debug)]
pub(crate) struct Follower {
    node: NodeClient,
    config: Arc<Config>,
    shared: Arc<Shared>,
    index: Arc<Index>,
    logs: Arc<Logs>,
    trail: Arc<Trail>,
    /// Whose transactions' receipts are kept.
    own: BTreeSet<Address>,
    /// Chain time when the node was last asked what is bid, and what L1 costs.
    bids_at: u64,
    l1_at: u64,
    /// The base fee that headers lead to has been the node's.
    agreed: bool,
    /// How often in a row it was another since. A node that is one block ahead tells another: that is no reason yet.
    doubts: u32,
    /// Since when the node has told of older blocks only.
    behind_since: Option<Instant>,
}

impl Follower {
    pub(crate) fn new(
        node: NodeClient,
        config: Arc<Config>,
        index: Arc<Index>,
        logs: Arc<Logs>,
        trail: Arc<Trail>,
        own: BTreeSet<Address>,
    ) -> Self {
        Self {
            node,
            config,
            shared: Arc::default(),
            index,
            logs,
            trail,
            own,
            bids_at: 0,
            l1_at: 0,
            agreed: false,
            doubts: 0,
            behind_since: None,
        }
    }

    /// The head as it is now, and what was executed from this block on, or in the head alone; the index takes that in.
    ///
    /// # Errors
    /// If the node does not tell.
    pub(crate) async fn first(&mut self, from: Option<u64>) -> Result<(Head, Vec<Inclusion>), NodeError> {
        let newest = self.node.newest(0..0).await?;
        let header = newest.last().ok_or(NodeError::UnknownBlock(B256::ZERO))?;
        let time = header.time(None, self.config.chain.block_time);
        self.trail.begin(&header.header);
        let (block, fees) = self.pin(header, time, None).await?;
        let view = StateView::new(self.node.clone(), block.hash, time, Arc::clone(&self.shared));
        let from = from.map_or(block.number, |from| from.min(block.number));
        let inclusions = self.inclusions(from, block.number, block.hash).await?;
        if let Err(error) = self.index.advance((block.number, block.hash), from, &inclusions, &self.own) {
            tracing::error!(%error, "the index did not take block {}; it is fetched again later", block.number);
        }
        let l1 = self.l1(&view, time, None).await?;
        Ok((Head { block, time, view: Arc::new(view), fees, l1 }, inclusions))
    }

    /// Publishes heads until nobody listens. A node that fails is asked again at the next occasion.
    pub(crate) async fn run(
        mut self,
        heads: watch::Sender<Head>,
        engine: mpsc::WeakSender<Command>,
        wake: Arc<Notify>,
        interest: watch::Receiver<Interest>,
        activity: Arc<Activity>,
    ) {
        let (block_time, fixed) = (self.config.chain.block_time, self.config.poll_interval);
        let mut timer = HeadTimer::new(self.node.clone(), fixed, block_time, wake, interest.clone(), activity);
        let mut patience = PATIENCE.0;
        loop {
            let look = timer.next().await;
            if engine.strong_count() == 0 {
                return;
            }
            let previous = heads.borrow().clone();
            timer.saw(previous.block.number, previous.time);
            let rests = Rests { busy: timer.is_busy(), pool: interest.borrow().pool };
            let begun = Instant::now();
            let Ok(looked) = tokio::time::timeout(patience, self.step(&previous, look, rests)).await else {
                patience = (patience * 2).min(PATIENCE.1);
                tracing::warn!("the node does not answer what the head is; asking again");
                continue;
            };
            patience = (begun.elapsed() * 4).clamp(PATIENCE.0, PATIENCE.1);
            match looked {
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
    async fn step(&mut self, previous: &Head, look: Look, rests: Rests) -> Result<Option<(Head, Mined)>, NodeError> {
        let known = &previous.block;
        let headers = match look {
            Look::Ask(expected) => self.node.newest(known.number + 1..known.number + 1 + expected).await?,
            Look::Announced(headers) => headers,
        };
        let Some(newest) = headers.last().cloned() else { return Ok(None) };
        let latest = &newest.header;
        if latest.hash == known.hash || !self.node.follows(latest) {
            return Ok(None);
        }
        let number = latest.number;
        // Not asked where the headers have said it: another backend may have the branch yet that was left. And asked once:
        // of several nodes behind one URL the next may say otherwise, and the head would go back and not be undone.
        let (path, extended) = match self.ancestry(known, headers).await? {
            Ancestry::Seen(path) => {
                let extends = path.first().is_some_and(|first| first.header.number == known.number + 1);
                (Some(path), extends)
            }
            Ancestry::Apart => (None, false),
            Ancestry::Unseen => match self.comes_from(known, latest).await? {
                Some(extended) => (None, extended),
                None if self.behind_since.get_or_insert_with(Instant::now).elapsed() < BEHIND => return Ok(None),
                None => (None, false),
            },
        };
        self.behind_since = None;
        if extended && number <= known.number {
            return Ok(None);
        }
        let (block_time, before) = (self.config.chain.block_time, extended.then_some((known.number, previous.time)));
        let time = match path.as_ref().filter(|_| extended) {
            Some(path) => path.iter().fold(previous.time, |time, header| {
                let number = header.header.number;
                header.time(Some((number - 1, time)), block_time)
            }),
            None => newest.time(before, block_time),
        };
        // What was mined before a reorganisation may have been mined again in any block since the last that is in both.
        let from = if extended {
            known.number + 1
        } else {
            let fork = path.as_ref().and_then(|path| path.first()).map(|first| first.header.number);
            fork.unwrap_or_else(|| (known.number + 1).saturating_sub(self.config.reorg_blocks()).min(number))
        };
        let last = millis(if rests.busy { PRICES_LAST } else { PRICES_LAST_IDLE });
        let fresh = |asked_at: u64| Some(previous).filter(|_| extended && time < asked_at.saturating_add(last));
        // What is asked of an operation and what a bundle is about to cost is reckoned at this head's prices.
        let (bids, l1) = (fresh(self.bids_at), fresh(self.l1_at).filter(|_| !rests.busy));
        let (block, fees) = self.pin(&newest, time, bids).await?;
        let view = previous.view.follow(&block, time, extended);
        let warm = async { if rests.pool { view.warm_up(&previous.view).await } else { Ok(()) } };
        let inclusions = async {
            match &path {
                Some(path) => self.inclusions_along(path).await,
                None => self.inclusions(from, number, block.hash).await,
            }
        };
        let ((), inclusions) = tokio::try_join!(warm, inclusions)?;
        let l1 = self.l1(&view, time, l1).await?;
        // Before anybody is told: whoever hears of an inclusion finds its receipt.
        if let Err(error) = self.index.advance((number, block.hash), from, &inclusions, &self.own) {
            tracing::error!(%error, "the index did not take block {number}; it is fetched again later");
        }
        // Only now: of a look that failed half way nothing counts as looked through.
        match &path {
            Some(path) => path.iter().for_each(|header| self.trail.extend(&header.header)),
            None => self.trail.begin(latest),
        }
        let mined = Mined { inclusions, from: (!extended).then_some(from) };
        Ok(Some((Head { block, time, view: Arc::new(view), fees, l1 }, mined)))
    }

    /// What L1 costs: as at a head that is fresh enough, or as the chain has it now.
    async fn l1(&mut self, view: &StateView, time: u64, fresh: Option<&Head>) -> Result<Option<L1Prices>, NodeError> {
        if !self.config.chain.op_stack {
            return Ok(None);
        }
        if let Some(prices) = fresh.and_then(|head| head.l1) {
            return Ok(Some(prices));
        }
        let prices = L1Prices::read(view).await?;
        self.l1_at = time;
        Ok(Some(prices))
    }

    /// The block, and what to bid for the next: beside the base fee as at a head that is fresh enough, or as the node has
    /// it now.
    async fn pin(
        &mut self,
        timed: &TimedHeader,
        time: u64,
        fresh: Option<&Head>,
    ) -> Result<(BlockPin, FeeSuggestion), NodeError> {
        let derived = base_fee::after(&timed.header);
        let fees = match (fresh, derived) {
            (Some(head), Some(base_fee)) if self.agreed && self.doubts < DOUBTS => {
                FeeSuggestion { base_fee, ..head.fees }
            }
            _ => {
                let asked = FeeSuggestion::ask(&self.node, &self.config.fees).await?;
                self.bids_at = time;
                let agree = derived == Some(asked.base_fee);
                self.agreed |= agree;
                self.doubts = if agree { 0 } else { self.doubts.saturating_add(1) };
                asked
            }
        };
        Ok((BlockPin::new(timed, fees.base_fee), fees))
    }

    /// Every operation that the served EntryPoints executed in these blocks.
    async fn inclusions_along(&self, path: &[TimedHeader]) -> Result<Vec<Inclusion>, NodeError> {
        let entry_points: Vec<Address> = self.config.entry_points.keys().copied().collect();
        let loud = path.iter().map(|it| &it.header).filter(|header| self.trail.may_have_logs(header, &entry_points));
        // By their hashes: of a range, a node that has not come as far tells what it has.
        let each = loud.map(|header| self.inclusions(header.number, header.number, header.hash));
        Ok(try_join_all(each).await?.into_iter().flatten().collect())
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

#[cfg(test)]
mod tests;
