//! Watches the chain: each new head becomes a [`Head`] for the other stages, and what it mined an [`Inclusion`].

pub(crate) mod finality;
mod heads;
mod inclusion;
mod lookup;
mod nested;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256},
    rpc::types::{Header, TransactionReceipt},
};
use futures::future::try_join_all;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

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
/// Blocks that are remembered as told.
const TOLD: usize = 1_024;
/// Blocks between two heads whose headers are asked for, to see how they hang together; past this, that is asked.
const STRIDE: u64 = 64;

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

/// What rests on the head just now.
#[derive(Clone, Copy, Debug)]
struct Rests {
    /// Somebody asks, or something is pending.
    busy: bool,
    /// Something is in the mempool.
    pool: bool,
}

/// Where a new head comes from.
enum Ancestry {
    /// From the block that is known, by these, the newest last.
    Ours(Vec<TimedHeader>),
    /// From another block of its height.
    Others,
    /// That is not seen: headers are missing, or there are too many.
    Unseen,
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
    /// The blocks that heads were told of, and those between, by height: what was mined in them is known.
    told: BTreeMap<u64, B256>,
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
            told: BTreeMap::new(),
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
        self.told = BTreeMap::from([(block.number, block.hash)]);
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
        let (path, extended) = match self.path(known, headers).await? {
            Ancestry::Ours(path) => (Some(path), true),
            Ancestry::Others => (None, false),
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
        let time = match &path {
            Some(path) => path.iter().fold(previous.time, |time, header| {
                let number = header.header.number;
                header.time(Some((number - 1, time)), block_time)
            }),
            None => newest.time(before, block_time),
        };
        let branch = match &path {
            Some(_) => None,
            None => self.branch(&newest).await?,
        };
        match path.as_ref().or(branch.as_ref()) {
            Some(path) => {
                path.first().into_iter().for_each(|first| self.trail.rewind(first.header.number));
                path.iter().for_each(|header| self.trail.extend(&header.header));
            }
            None => self.trail.begin(latest),
        }
        // What was mined before a reorganisation may have been mined again in any block since the last that is in both.
        let from = if extended {
            known.number + 1
        } else if let Some(first) = branch.as_ref().and_then(|branch| branch.first()) {
            first.header.number
        } else {
            (known.number + 1).saturating_sub(self.config.reorg_blocks()).min(number)
        };
        let last = millis(if rests.busy { PRICES_LAST } else { PRICES_LAST_IDLE });
        let fresh = |asked_at: u64| Some(previous).filter(|_| extended && time < asked_at.saturating_add(last));
        // What is asked of an operation and what a bundle is about to cost is reckoned at this head's prices.
        let (bids, l1) = (fresh(self.bids_at), fresh(self.l1_at).filter(|_| !rests.busy));
        let (block, fees) = self.pin(&newest, time, bids).await?;
        let view = previous.view.follow(&block, time, extended);
        let warm = async { if rests.pool { view.warm_up(&previous.view).await } else { Ok(()) } };
        let inclusions = async {
            match path.as_ref().or(branch.as_ref()) {
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
        self.tell(path.as_ref().or(branch.as_ref()), (number, block.hash));
        let mined = Mined { inclusions, from: (!extended).then_some(from) };
        Ok(Some((Head { block, time, view: Arc::new(view), fees, l1 }, mined)))
    }

    /// Whether `latest` comes from `known`; `None` if the node only tells of older blocks, none of them another than ours.
    async fn comes_from(&self, known: &BlockPin, latest: &Header) -> Result<Option<bool>, NodeError> {
        if latest.number < known.number
            && let Some(ours) = self.told.get(&latest.number)
        {
            return Ok((*ours != latest.hash).then_some(false));
        }
        let block = self.node.block(BlockNumberOrTag::Number(known.number)).await?;
        Ok(block.map(|block| block.header.hash == known.hash))
    }

    /// How the last of these hangs together with `known`.
    async fn path(&self, known: &BlockPin, headers: Vec<TimedHeader>) -> Result<Ancestry, NodeError> {
        let Some(newest) = headers.last() else { return Ok(Ancestry::Unseen) };
        let (first, last) = (known.number + 1, newest.header.number);
        if last < first || last - first > STRIDE {
            return Ok(Ancestry::Unseen);
        }
        // The last to be said of each height counts.
        let mut by_height: BTreeMap<u64, TimedHeader> = headers.into_iter().map(|it| (it.header.number, it)).collect();
        let mut child = by_height.get(&last).cloned();
        let missing: Vec<u64> = (first..last).filter(|number| !by_height.contains_key(number)).collect();
        if let (Some(from), Some(to)) = (missing.first(), missing.last()) {
            let fetched = self.node.headers(*from..*to + 1).await?;
            by_height.extend(fetched.into_iter().flatten().map(|it| (it.header.number, it)));
        }
        let mut path = Vec::new();
        while let Some(header) = child {
            let (number, parent) = (header.header.number, header.header.parent_hash);
            path.push(header);
            if number == first {
                path.reverse();
                return Ok(if parent == known.hash { Ancestry::Ours(path) } else { Ancestry::Others });
            }
            child = by_height.remove(&(number - 1)).filter(|it| it.header.hash == parent);
        }
        Ok(Ancestry::Unseen)
    }

    /// All of these are looked through, up to the newest; if they are not known, it alone.
    fn tell(&mut self, path: Option<&Vec<TimedHeader>>, newest: (u64, B256)) {
        match path.and_then(|path| path.first()) {
            Some(first) => drop(self.told.split_off(&first.header.number)),
            None => self.told.clear(),
        }
        self.told.extend(path.into_iter().flatten().map(|it| (it.header.number, it.header.hash)));
        self.told.insert(newest.0, newest.1);
        while self.told.len() > TOLD {
            self.told.pop_first();
        }
    }

    /// The blocks that this one comes from and that are not known yet, back to the last that is remembered; `None` if it is not
    /// seen that one is.
    async fn branch(&self, newest: &TimedHeader) -> Result<Option<Vec<TimedHeader>>, NodeError> {
        let mut branch = vec![newest.clone()];
        let deepest = newest.header.number.saturating_sub(self.config.reorg_blocks());
        let mut asked: Vec<TimedHeader> = Vec::new();
        loop {
            let Some(first) = branch.last().map(|it| &it.header) else { return Ok(None) };
            let (number, parent) = (first.number.saturating_sub(1), first.parent_hash);
            if self.told.get(&number) == Some(&parent) {
                branch.reverse();
                return Ok(Some(branch));
            }
            if number <= deepest {
                return Ok(None);
            }
            if asked.is_empty() {
                let from = (number + 1).saturating_sub(STRIDE).max(deepest);
                asked = self.node.headers(from..number + 1).await?.into_iter().flatten().collect();
            }
            match asked.pop().filter(|it| it.header.hash == parent) {
                Some(header) => branch.push(header),
                None => return Ok(None),
            }
        }
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
        let loud: Vec<(u64, B256)> = path
            .iter()
            .map(|header| (header.header.number, header.header.hash))
            .filter(|(_, hash)| self.trail.may_have_logs(*hash, &entry_points))
            .collect();
        // By their hashes: of a range, a node that has not come as far tells what it has.
        let each = loud.iter().map(|(number, hash)| self.inclusions(*number, *number, *hash));
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
mod tests {
    use std::sync::Mutex;

    use jsonrpsee::{RpcModule, server::Server, types::ErrorObjectOwned};
    use serde_json::{Value, json};

    use super::*;
    use crate::index::Wanted;

    fn header(number: u64, parent: B256, branch: u8) -> Value {
        let inner = alloy::consensus::Header {
            number,
            parent_hash: parent,
            timestamp: 1_800_000_000 + number / 5,
            gas_limit: 30_000_000,
            base_fee_per_gas: Some(7),
            beneficiary: Address::repeat_byte(branch),
            ..Default::default()
        };
        let header = Header { hash: inner.hash_slow(), inner, ..Default::default() };
        let mut block = serde_json::to_value(header).unwrap();
        block["transactions"] = json!([]);
        block["uncles"] = json!([]);
        block
    }

    fn hash(block: &Value) -> B256 {
        block["hash"].as_str().unwrap().parse().unwrap()
    }

    /// A node that has these blocks by height, the newest last.
    async fn node(blocks: Vec<Value>) -> (jsonrpsee::server::ServerHandle, NodeClient, Arc<Mutex<Vec<Value>>>) {
        let blocks = Arc::new(Mutex::new(blocks));
        let mut module = RpcModule::new(Arc::clone(&blocks));
        let block = |tag: Value, blocks: &Mutex<Vec<Value>>| {
            let blocks = blocks.lock().unwrap();
            match tag.as_str() {
                Some("latest") => blocks.last().cloned(),
                number => blocks.iter().find(|it| it["number"].as_str() == number).cloned(),
            }
        };
        module
            .register_method("eth_getBlockByNumber", move |params, blocks, _| {
                let (tag, _): (Value, bool) = params.parse().unwrap();
                block(tag, blocks).unwrap_or(Value::Null)
            })
            .unwrap();
        // Of a range it would tell what it has. There is nothing before the first block of these tests.
        module
            .register_method("eth_getLogs", |params, _, _| {
                let filter: Value = params.one()?;
                let unknown = || ErrorObjectOwned::owned(-32000, "no ranges", None::<()>);
                let before = filter["fromBlock"].as_str().is_some_and(|from| from < "0x3e8");
                if before || filter.get("blockHash").is_some() { Ok(json!([])) } else { Err(unknown()) }
            })
            .unwrap();
        module
            .register_method("eth_feeHistory", |_, _, _| json!({"oldestBlock": "0x1", "baseFeePerGas": ["0x7", "0x7"]}))
            .unwrap();
        module.register_method("eth_maxPriorityFeePerGas", |_, _, _| json!("0x1")).unwrap();
        let server = Server::builder().build("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        (server.start(module), NodeClient::new(&url).unwrap(), blocks)
    }

    fn follower(node: &NodeClient) -> Follower {
        let config = Arc::new(Config::new(erc4337::ChainPreset::local()));
        let index =
            Arc::new(Index::open(Arc::clone(&config.disk), None, config.chain.chain_id, Wanted::of(&config)).unwrap());
        let logs = Arc::new(Logs::new(node.clone(), config.entry_points.keys().copied().collect()));
        Follower::new(node.clone(), config, index, logs, Arc::default(), BTreeSet::new())
    }

    #[tokio::test]
    async fn a_block_with_another_parent_is_a_reorganisation_though_a_backend_has_the_old_block_yet() {
        let old = header(1_000, B256::ZERO, 1);
        let (_server, node, blocks) = node(vec![old.clone()]).await;
        let mut follower = follower(&node);
        let (head, _) = follower.first(None).await.unwrap();
        let other = header(1_000, B256::ZERO, 2);
        let child = header(1_001, hash(&other), 2);
        // Announced by one backend; the one that is asked has the branch that was left.
        blocks.lock().unwrap().push(child.clone());
        let rests = Rests { busy: true, pool: false };
        for look in [Look::Announced(vec![serde_json::from_value(child).unwrap()]), Look::Ask(0)] {
            let (new, mined) = follower.step(&head, look, rests).await.unwrap().unwrap();
            assert_eq!(new.block.number, 1_001);
            assert!(mined.from.is_some_and(|from| from <= 1_000), "{mined:?}");
        }
        // Its own child is none.
        let child = header(1_001, hash(&old), 1);
        let look = Look::Announced(vec![serde_json::from_value(child).unwrap()]);
        let (_, mined) = follower.step(&head, look, rests).await.unwrap().unwrap();
        assert_eq!(mined.from, None);
    }

    /// So many blocks after this one, all of which may have logged something.
    fn branch_of(parent: &Value, count: u64, branch: u8) -> Vec<Value> {
        let mut blocks = vec![parent.clone()];
        for _ in 0..count {
            let last = &blocks[blocks.len() - 1];
            let number = u64::from_str_radix(last["number"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
            let mut inner: alloy::consensus::Header =
                serde_json::from_value::<Header>(header(number + 1, hash(last), branch)).unwrap().inner;
            inner.gas_used = 1;
            let made = Header { hash: inner.hash_slow(), inner, ..Default::default() };
            let mut block = serde_json::to_value(made).unwrap();
            block["transactions"] = json!([]);
            block["uncles"] = json!([]);
            blocks.push(block);
        }
        blocks.split_off(1)
    }

    #[tokio::test]
    async fn a_reorganisation_is_looked_through_from_where_it_began_block_by_block() {
        let root = header(1_000, B256::ZERO, 1);
        let ours = branch_of(&root, 6, 1);
        let theirs = branch_of(&ours[1], 30, 2);
        let (_server, node, blocks) = node(vec![root.clone()]).await;
        let mut follower = follower(&node);
        let (mut head, _) = follower.first(None).await.unwrap();
        let rests = Rests { busy: true, pool: false };
        blocks.lock().unwrap().extend(ours.clone());
        head = follower.step(&head, Look::Ask(9), rests).await.unwrap().unwrap().0;
        assert_eq!(head.block.number, 1_006);
        *blocks.lock().unwrap() = [vec![root], ours[..2].to_vec(), theirs].concat();
        let (head, mined) = follower.step(&head, Look::Ask(0), rests).await.unwrap().unwrap();
        assert_eq!((head.block.number, mined.from), (1_032, Some(1_003)));
    }

    #[tokio::test]
    async fn a_node_that_only_tells_of_older_blocks_of_ours_is_waited_for_and_followed_in_the_end() {
        let root = header(1_000, B256::ZERO, 1);
        let ours = branch_of(&root, 6, 1);
        let (_server, node, blocks) = node(vec![root.clone()]).await;
        let mut follower = follower(&node);
        let (mut head, _) = follower.first(None).await.unwrap();
        let rests = Rests { busy: true, pool: false };
        blocks.lock().unwrap().extend(ours.clone());
        head = follower.step(&head, Look::Ask(9), rests).await.unwrap().unwrap().0;
        *blocks.lock().unwrap() = vec![root, ours[0].clone(), ours[1].clone()];
        assert!(follower.step(&head, Look::Ask(0), rests).await.unwrap().is_none());
        // It is the chain that was taken back.
        follower.behind_since = Instant::now().checked_sub(BEHIND);
        let (head, mined) = follower.step(&head, Look::Ask(0), rests).await.unwrap().unwrap();
        assert_eq!((head.block.number, mined.from), (1_002, Some(1_002)));
    }
}
