//! Beside the heads, and only while somebody waits for it: what is in the block being built, and what is safe.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use alloy::{eips::BlockNumberOrTag, primitives::B256};
use tokio::sync::{mpsc, watch};

use crate::{
    Config, Head,
    engine::{Command, Interest},
    node::NodeClient,
};

/// Between two questions for the safe block, when the node is asked for it.
const SAFE_INTERVAL: Duration = Duration::from_secs(1);

/// Looks at the block being built while a transaction of ours may be in it. For chains with flashblocks alone: elsewhere
/// `pending` says nothing of what will be mined.
pub(crate) async fn preconfirm(
    node: NodeClient,
    every: Duration,
    mut interest: watch::Receiver<Interest>,
    engine: mpsc::WeakSender<Command>,
) {
    let mut told = (0, BTreeSet::new());
    while interest.wait_for(|interest| interest.pending).await.is_ok() {
        match node.block(BlockNumberOrTag::Pending).await {
            Ok(Some(block)) => {
                let seen: (u64, BTreeSet<B256>) = (block.header.number, block.transactions.hashes().collect());
                if seen != told {
                    told.clone_from(&seen);
                    let Some(engine) = engine.upgrade() else { return };
                    let _ = engine.send(Command::Preconfirmed { block: seen.0, transactions: seen.1 }).await;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "the block being built could not be read"),
        }
        tokio::time::sleep(every).await;
    }
}

/// Tells which blocks are safe while somebody waits for one: those of a certain age, or what the node calls so.
pub(crate) async fn safety(
    node: NodeClient,
    config: Arc<Config>,
    mut heads: watch::Receiver<Head>,
    mut interest: watch::Receiver<Interest>,
    engine: mpsc::WeakSender<Command>,
) {
    while interest.wait_for(|interest| interest.safe).await.is_ok() {
        let head = heads.borrow_and_update().block.number;
        let safe = match config.chain.safe_after {
            Some(age) => head.checked_sub(config.blocks_in(age)),
            None => match node.block(BlockNumberOrTag::Safe).await {
                Ok(block) => block.map(|block| block.header.number),
                Err(error) => {
                    tracing::debug!(%error, "the safe block could not be read");
                    None
                }
            },
        };
        if let Some(safe) = safe {
            let Some(engine) = engine.upgrade() else { return };
            let _ = engine.send(Command::Safe(safe)).await;
        }
        // With the next head, or sooner if somebody new has come to wait.
        let pause = async {
            if config.chain.safe_after.is_none() {
                tokio::time::sleep(SAFE_INTERVAL).await;
            }
            heads.changed().await
        };
        tokio::select! {
            biased;
            gone = pause => if gone.is_err() { return },
            gone = interest.changed() => if gone.is_err() { return },
        }
    }
}
