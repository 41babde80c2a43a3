//! Where the paymaster's budgets are kept, and how they hear of the chain: by standard reads, from the last block that
//! the ledger has taken in, so that nothing mined while we were away is missed. Blocks that cannot have executed an
//! operation, which their headers tell, are taken in without a question, and once a second.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, U256},
    rpc::types::{Filter, Header},
    sol_types::SolEvent,
};
use anyhow::{Context, Result, bail};
use bundler::{
    Bundler, Head, Mark, Trail,
    node::{BatchReader, NodeClient},
};
use erc4337::{
    abi::entry_point_v08::UserOperationEvent,
    storage::{self, DepositInfo},
};
use paymaster::{
    Deployed, Ledger,
    ledger::{self, Block, Blocks, Denied, Inclusion, Rules, Store, StoreError},
};
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

/// Blocks whose logs are asked for at once: what every provider gives, and no time.
const RANGE: u64 = 1_000;
/// After a failure.
const REST: Duration = Duration::from_millis(250);

/// The chain as the bundler follows it.
pub struct Heads {
    heads: watch::Receiver<Head>,
    trail: Arc<Trail>,
}

impl Heads {
    /// Those of this bundler.
    pub fn of(bundler: &Bundler) -> Self {
        Self { heads: bundler.heads(), trail: Arc::clone(bundler.trail()) }
    }

    fn newest(&mut self) -> Block {
        let block = self.heads.borrow_and_update().block;
        Block { number: block.number, hash: block.hash, timestamp: block.timestamp }
    }
}

/// Where budgets are kept.
#[derive(Clone)]
pub enum Place {
    /// Nowhere: forgotten with the process.
    Memory,
    /// In a file of this folder.
    Folder(PathBuf),
    /// On the Redis at this URL, which may have a password.
    Redis(String),
}

impl Place {
    /// Redis if it is named, else the folder.
    pub fn chosen(redis: Option<String>, folder: Option<PathBuf>) -> Self {
        match (redis, folder) {
            (Some(url), _) => Self::Redis(url),
            (None, Some(folder)) => Self::Folder(folder),
            (None, None) => Self::Memory,
        }
    }

    async fn open(&self, chain_id: u64) -> Result<Store, StoreError> {
        match self {
            Self::Memory => Store::in_memory(),
            Self::Folder(folder) => Store::file(&folder.join(format!("budgets-{chain_id}.redb"))),
            Self::Redis(url) => Store::redis(url, &format!("fabstir:budgets:{chain_id}")).await,
        }
    }
}

/// Opens the ledger, brings it up to the chain and keeps it there.
///
/// # Errors
/// If the store or the node cannot be used: nothing is sponsored without either.
pub async fn start(
    place: &Place,
    config: &paymaster::Config,
    node: NodeClient,
    heads: Heads,
) -> Result<(Ledger, JoinHandle<()>)> {
    start_on(place.open(config.chain_id).await?, config, node, heads).await
}

/// The same on this store.
///
/// # Errors
/// As [`start`].
pub async fn start_on(
    store: Store,
    config: &paymaster::Config,
    node: NodeClient,
    mut heads: Heads,
) -> Result<(Ledger, JoinHandle<()>)> {
    let ledger = Ledger::start(store, Rules::default());
    let mut follower = Follower {
        ledger: ledger.clone(),
        node,
        trail: Arc::clone(&heads.trail),
        paymasters: config.paymasters.clone(),
        seen: None,
        reconciled: false,
        drifted: false,
    };
    let newest = heads.newest();
    follower.catch_up(newest).await.context("bringing the budgets up to the chain")?;
    let task = tokio::spawn(async move {
        let mut failed = false;
        loop {
            if failed {
                tokio::time::sleep(REST).await;
            } else if heads.heads.changed().await.is_err() {
                return;
            }
            let newest = heads.newest();
            let caught_up = follower.catch_up(newest).await;
            failed = caught_up.is_err();
            if let Err(error) = caught_up {
                tracing::warn!("the budgets do not hear of the chain, nothing is released: {error:#}");
            }
        }
    });
    Ok((ledger, task))
}

struct Follower {
    ledger: Ledger,
    node: NodeClient,
    trail: Arc<Trail>,
    paymasters: BTreeMap<Address, Deployed>,
    /// The newest block that the ledger was brought up to.
    seen: Option<Block>,
    /// Whether the deposits need not be looked at again before one of ours is mined.
    reconciled: bool,
    /// Whether they did not agree the last time.
    drifted: bool,
}

fn marked(mark: Mark) -> Block {
    Block { number: mark.number, hash: mark.hash, timestamp: mark.timestamp }
}

fn block_of(header: &Header) -> Block {
    Block { number: header.number, hash: header.hash, timestamp: header.timestamp }
}

impl Follower {
    async fn catch_up(&mut self, latest: Block) -> Result<()> {
        if self.seen == Some(latest) || self.pass_by().await? {
            return Ok(());
        }
        loop {
            match self.step(latest).await {
                Ok(true) => break,
                Ok(false) => {}
                // Another process has gone on meanwhile; from there, then.
                Err(error) if matches!(error.downcast_ref(), Some(Denied::Store(StoreError::Gap))) => {
                    tokio::task::yield_now().await;
                }
                Err(error) => return Err(error),
            }
        }
        self.seen = Some(latest);
        Ok(())
    }

    /// Takes in blocks that cannot have executed anything; whether there were no others.
    async fn pass_by(&mut self) -> Result<bool> {
        let entry_points: Vec<Address> = self.paymasters.keys().copied().collect();
        let Some((seen, tip)) =
            self.seen.zip(self.seen.and_then(|seen| self.trail.quiet_since(seen.hash, &entry_points)))
        else {
            return Ok(false);
        };
        // Signatures expire, and blocks become final, by the second.
        if !self.reconciled || tip.timestamp <= seen.timestamp {
            return Ok(self.reconciled);
        }
        match self.ledger.follow(Blocks { after: Some(seen.hash), tip: marked(tip), inclusions: vec![] }).await {
            Ok(()) => {
                self.seen = Some(marked(tip));
                Ok(true)
            }
            // Another process has gone on meanwhile.
            Err(Denied::Store(StoreError::Gap)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// One range of blocks; whether it was the last.
    async fn step(&mut self, latest: Block) -> Result<bool> {
        let marks = self.ledger.marks().await?;
        let Some((ground, last)) = marks.first().zip(marks.last()) else {
            // Nothing was promised before: nothing is to be settled.
            self.ledger.follow(Blocks { after: None, tip: latest, inclusions: vec![] }).await?;
            return Ok(true);
        };
        if latest.number < ground.number {
            bail!("the node is at block {}, final here is {}", latest.number, ground.number);
        }
        let ancestor = self.ancestor(&marks).await?;
        if ancestor.is_none_or(|ancestor| ancestor != *last) {
            let down_to = ancestor.map_or(ground.number.saturating_sub(1), |ancestor| ancestor.number);
            tracing::warn!(from = last.number, to = down_to, deep = ancestor.is_none(), "blocks were reorganised");
            self.ledger.rewind(down_to).await?;
        }
        // Below a final block nothing is taken back; what the other chain has above it is.
        let ancestor = ancestor.unwrap_or(*ground);
        if latest.number <= ancestor.number {
            return Ok(true);
        }
        let end = latest.number.min(ancestor.number + RANGE);
        let tip = if end == latest.number { latest } else { self.block(end).await? };
        let inclusions = self.inclusions(ancestor.number + 1, end).await?;
        // The range is of one chain only if its end is still there: that hash stands for all before it.
        if !self.node.has_block(tip.number, tip.hash).await? {
            bail!("the chain was reorganised while it was read");
        }
        let ours = inclusions.iter().any(|inclusion| inclusion.ours);
        self.ledger.follow(Blocks { after: Some(ancestor.hash), tip, inclusions }).await?;
        if ours || !self.reconciled {
            self.reconcile(tip).await?;
        }
        Ok(end == latest.number)
    }

    /// The newest mark that is still in the chain.
    async fn ancestor(&self, marks: &[Block]) -> Result<Option<Block>> {
        for mark in marks.iter().rev() {
            if self.node.has_block(mark.number, mark.hash).await? {
                return Ok(Some(*mark));
            }
        }
        Ok(None)
    }

    async fn block(&self, number: u64) -> Result<Block> {
        let block = self.node.block(number.into()).await?;
        Ok(block_of(&block.with_context(|| format!("the node has no block {number}"))?.header))
    }

    /// Every operation that the served EntryPoints executed in these blocks.
    async fn inclusions(&self, from: u64, to: u64) -> Result<Vec<Inclusion>> {
        let filter = Filter::new()
            .address(self.paymasters.keys().copied().collect::<Vec<_>>())
            .event_signature(UserOperationEvent::SIGNATURE_HASH)
            .from_block(from)
            .to_block(to);
        let logs = self.node.logs(&filter).await?;
        let inclusion = |log: &alloy::rpc::types::Log| {
            let event = UserOperationEvent::decode_log(&log.inner).context("a UserOperationEvent that is none")?;
            let (entry_point, paymaster) = (log.address(), event.paymaster);
            Ok(Inclusion {
                place: ledger::Place { entry_point, sender: event.sender, nonce: event.nonce },
                ours: self.paymasters.get(&entry_point).is_some_and(|deployed| deployed.paymaster == paymaster),
                cost: event.actualGasCost,
                success: event.success,
            })
        };
        logs.iter().map(inclusion).collect()
    }

    /// Holds the deposits at this block against what was spent of them.
    async fn reconcile(&mut self, at: Block) -> Result<()> {
        let mut batch = BatchReader::new(&self.node, at.hash);
        for (entry_point, deployed) in &self.paymasters {
            for slot in storage::deposit_slots(deployed.paymaster) {
                batch.read("eth_getStorageAt", &[json!(entry_point), json!(slot)]);
            }
        }
        let words = batch.send().await?;
        for ((entry_point, deployed), words) in self.paymasters.iter().zip(words.chunks_exact(2)) {
            let word = |index: usize| words.get(index).map_or(U256::ZERO, |bytes| U256::from_be_slice(bytes));
            let deposit = DepositInfo::read(deployed.version, [word(0), word(1)]).deposit;
            self.ledger.reconcile(*entry_point, at.hash, deposit).await?;
        }
        let standing = self.ledger.standing().await?;
        let (drift, unreserved) = (standing.drift, standing.unreserved);
        self.reconciled = drift.is_zero();
        // A node that is just making a block may answer with its state for the one before: twice is not by chance.
        if !unreserved.is_zero() || self.drifted && !drift.is_zero() {
            tracing::error!(%drift, %unreserved, "paymaster deposits and budgets do not agree");
        }
        self.drifted = !drift.is_zero();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_shared_where_there_is_a_redis_and_else_on_the_disk() {
        let (redis, folder) = (Some("redis://a".to_owned()), Some(PathBuf::from("/data")));
        assert!(matches!(Place::chosen(redis.clone(), folder.clone()), Place::Redis(url) if url == "redis://a"));
        assert!(matches!(Place::chosen(redis, None), Place::Redis(_)));
        assert!(matches!(Place::chosen(None, folder), Place::Folder(path) if path.to_str() == Some("/data")));
        assert!(matches!(Place::chosen(None, None), Place::Memory));
    }
}
