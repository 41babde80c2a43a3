//! What the engine has done beside itself: proving, broadcasting, asking after transactions.

use std::time::Duration;

use alloy::primitives::{B256, U256};
use erc4337::pack;
use serde_json::json;
use tokio::sync::mpsc;

use super::{Command, Engine, Report};
use crate::{
    builder::{self, Bundle},
    flow::{Mined, Place},
    node::{BatchReader, NodeClient, NodeError},
    submitter::Attempt,
};

/// Times that the nonces of a head are asked for.
const ASKED: u32 = 5;

/// Longest that operations wait for others to share a bundle with.
const GATHER: Duration = Duration::from_millis(200);

impl Engine {
    /// Reports after an eighth of the time between blocks, or [`GATHER`].
    pub(super) fn gather(&self) {
        let Some(outbox) = self.outbox() else { return };
        let pause = (Duration::from_secs(self.config.chain.block_time) / 8).min(GATHER);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            tell(&outbox, Report::Gathered).await;
        });
    }

    /// Executes the bundle in process and once on the node, then reports.
    pub(super) fn prove(&self, bundle: Bundle, key: usize) {
        let Some(outbox) = self.outbox() else { return };
        let (node, bundler, chain) = (self.node.clone(), self.submitter.key(key), self.config.chain.clone());
        // The newest head there is, which may be newer than the one last handled.
        let newest = self.heads.borrow().clone();
        let head = if newest.block.number > self.head.block.number { newest } else { self.head.clone() };
        let same_state = head.block.hash == self.head.block.hash;
        tokio::spawn(async move {
            let hashes = bundle.hashes();
            let block = head.block.hash;
            let proof = tokio::task::spawn_blocking(move || builder::prove(bundle, &head, same_state, &chain, bundler));
            let report = match proof.await {
                Ok(Ok(mut proven)) => {
                    proven.disagreement = disagreement(&node, &proven.bundle, bundler, block).await;
                    Report::Proven(Box::new(proven), key)
                }
                Ok(Err(error)) => Report::NotProven(hashes, error.to_string(), key),
                Err(error) => Report::NotProven(hashes, error.to_string(), key),
            };
            tell(&outbox, report).await;
        });
    }

    /// Sends a transaction.
    pub(super) fn broadcast(&self, place: Place, attempt: Attempt) {
        let Some(outbox) = self.outbox() else { return };
        let node = self.node.clone();
        tokio::spawn(async move {
            let result = node.send_raw_transaction(&attempt.raw).await.map(|_| ());
            tell(&outbox, Report::Broadcast(place, attempt.transaction, result)).await;
        });
    }

    /// Reads the next nonce of each key at the head, that very block.
    pub(super) fn read_nonces(&self) {
        let Some(outbox) = self.outbox() else { return };
        let (node, keys, head) = (self.node.clone(), self.submitter.addresses(), self.head.block.hash);
        let pause = self.config.poll_interval;
        tokio::spawn(async move {
            for _ in 0..ASKED {
                let mut reader = BatchReader::new(&node, head);
                keys.iter().for_each(|key| reader.read("eth_getTransactionCount", &[json!(key)]));
                match reader.send().await {
                    Ok(next) => {
                        let next = next.iter().map(|word| U256::try_from_be_slice(word)?.try_into().ok()).collect();
                        return tell(&outbox, Report::Nonces(head, next)).await;
                    }
                    Err(error) => tracing::warn!(%error, "the keys' nonces could not be read"),
                }
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// Asks which of these transactions was mined; if again, after a while.
    pub(super) fn ask(&self, place: Place, transactions: Vec<B256>, again: bool) {
        let Some(outbox) = self.outbox() else { return };
        let (node, pause) = (self.node.clone(), if again { self.config.poll_interval } else { Duration::ZERO });
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            match outcome(&node, &transactions).await {
                Ok(mined) => tell(&outbox, Report::Settled(place, mined)).await,
                Err(error) => tracing::warn!(%error, "asking again after the bundle with the next head"),
            }
        });
    }
}

/// What the node says against a bundle on this block. Nothing if it cannot be asked.
async fn disagreement(
    node: &NodeClient,
    bundle: &Bundle,
    bundler: alloy::primitives::Address,
    block: B256,
) -> Option<String> {
    let mut operations = bundle.operations.iter().map(|admitted| &*admitted.op);
    // The call has no authorizations.
    if bundle.operations.is_empty() || operations.clone().any(|op| op.eip7702_auth.is_some()) {
        return None;
    }
    let input = pack::handle_ops(bundle.version, &mut operations, bundler);
    match node.call_from(bundler, bundle.entry_point, input, bundle.gas_limit(), block).await {
        Err(NodeError::Refused { message, .. }) if message.contains("revert") => Some(message),
        Err(error) => {
            tracing::warn!(%error, "the node did not say what it makes of the bundle");
            None
        }
        Ok(_) => None,
    }
}

/// Which of our transactions was mined; `None` if the nonce went to somebody else's.
async fn outcome(node: &NodeClient, transactions: &[B256]) -> Result<Option<Mined>, NodeError> {
    for transaction in transactions {
        if let Some(receipt) = node.receipt(*transaction).await? {
            return Ok(Some(Mined {
                transaction: *transaction,
                success: receipt.status(),
                block: receipt.block_number.unwrap_or(u64::MAX),
                cost: u128::from(receipt.gas_used).saturating_mul(receipt.effective_gas_price),
            }));
        }
    }
    Ok(None)
}

async fn tell(outbox: &mpsc::Sender<Command>, report: Report) {
    // The engine is gone only when nobody needs the report.
    let _ = outbox.send(Command::Internal(report)).await;
}
