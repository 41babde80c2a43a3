//! What the engine has done beside itself: proving, broadcasting, asking after transactions.

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{B256, Bytes, U256},
    rpc::types::state::StateOverride,
};
use serde_json::json;
use tokio::sync::mpsc;

use super::{Command, Engine, Report};
use crate::{
    builder::{self, Bundle, Proven, Unproven},
    evm::{SimulationError, overlay},
    flow::{Mined, Place},
    mempool::Trouble,
    node::{BatchReader, NodeClient, NodeError},
    service::is_delegation,
    submitter::{Attempt, Fees, KeyState, Refill},
    world,
};

/// Times that the nonces of a head are asked for.
const ASKED: u32 = 5;

/// Longest that operations wait for others to share a bundle with.
const GATHER: Duration = Duration::from_millis(200);

/// A bundle that could not be executed.
#[derive(Debug)]
pub(crate) struct NotProven {
    pub(super) why: String,
    /// What that says of its operations.
    pub(super) trouble: Option<Trouble>,
    /// Those of them that took too much of it.
    pub(super) culprits: Vec<B256>,
}

impl Engine {
    /// Reports after an eighth of the time between blocks, or [`GATHER`].
    pub(super) fn gather(&self) {
        self.gather_for((self.config.chain.block_time / 8).min(GATHER));
    }

    /// Whether an operation may come to be valid with no new head: where blocks are made on demand, none comes before
    /// the operation is sent.
    pub(super) fn passes_without_heads(&self) -> bool {
        !self.config.chain.op_stack && self.mempool.waits_for_time()
    }

    /// Looks again in a moment.
    pub(super) fn wait_for_time(&mut self) {
        if !self.gathering {
            self.gathering = true;
            self.gather_for(GATHER);
        }
    }

    fn gather_for(&self, pause: Duration) {
        let Some(outbox) = self.outbox() else { return };
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            tell(&outbox, Report::Gathered).await;
        });
    }

    /// Executes the bundle in process and once on the node, then reports.
    pub(super) fn prove(&mut self, bundle: Bundle, place: Place) {
        let Some(outbox) = self.outbox() else { return };
        let hashes = bundle.hashes();
        let displaced = self.flow.hashes_at(place);
        let in_flight = self.changes_in_flight(|hashes| !hashes.iter().any(|hash| displaced.contains(hash)));
        let proof = self.proof(bundle, place.key, in_flight);
        tokio::spawn(async move {
            let report = match proof.await {
                Ok(proven) => Report::Proven(Box::new(proven), place),
                Err(why) => Report::NotProven(hashes, why),
            };
            tell(&outbox, report).await;
        });
    }

    /// The same for a bundle that is in flight and to be signed again, at this bid: time has passed, and the state gone on.
    pub(super) fn prove_again(&mut self, place: Place, bundle: Arc<Bundle>, fees: Fees) {
        let Some(outbox) = self.outbox() else { return };
        let own = self.flow.hashes_at(place);
        let mut before = true;
        let in_flight = self.changes_in_flight(|hashes| {
            before &= hashes != own;
            before
        });
        let proof = self.proof(Bundle { bid: Some(fees), ..(*bundle).clone() }, place.key, in_flight);
        tokio::spawn(async move {
            let proven = proof.await.map(Box::new).map_err(|not| not.why);
            tell(&outbox, Report::ProvenAgain { place, bundle, fees, proven }).await;
        });
    }

    /// Executes a bundle of this key after what is in flight, in process and on the node.
    fn proof(
        &self,
        bundle: Bundle,
        key: usize,
        in_flight: StateOverride,
    ) -> impl Future<Output = Result<Proven, NotProven>> + use<> {
        let (node, bundler, chain) = (self.node.clone(), self.submitter.key(key), self.config.chain.clone());
        let heads = self.heads.clone();
        // The newest head there is, which may be newer than the one last handled.
        let newest = heads.borrow().clone();
        let mut head = if newest.block.number > self.head.block.number { newest } else { self.head.clone() };
        head.fees.priority_fee = head.fees.priority_fee.max(self.floor.map_or(0, |(floor, _)| floor));
        let same_state = head.block.hash == self.head.block.hash;
        async move {
            let next = head.block.next(&chain, world::unix());
            let (block, fees, pending) = (head.block, head.fees, in_flight.clone());
            let rules = chain.clone();
            let proof =
                world::blocking(move || builder::prove(bundle, &head, next, &pending, same_state, &rules, bundler));
            let proof = proof.await.map_err(|error| NotProven {
                why: error.to_string(),
                trouble: Some(Trouble::Unprovable { for_good: false }),
                culprits: Vec::new(),
            })?;
            let mut proven = proof.map_err(|Unproven { error, culprits }| NotProven {
                why: error.to_string(),
                trouble: unprovable(&error, in_flight.is_empty()),
                culprits,
            })?;
            let at = next.first();
            let decided = builder::decide(&node, &mut proven, &in_flight, bundler, (block.hash, at), fees).await;
            decided.map_err(|error| NotProven { why: error.to_string(), trouble: None, culprits: Vec::new() })?;
            // The last look is at what has come to be the newest head meanwhile.
            let newest = heads.borrow().clone();
            let now = newest.block.next(&chain, world::unix()).first();
            proven.objection =
                builder::contest(&node, &proven.bundle, in_flight, bundler, (&block, at), &newest, now).await;
            Ok(proven)
        }
    }

    /// What these bundles in flight will have changed, each on top of those placed before it. What is mined is in the head's
    /// state already, even if its nonce is not settled yet.
    fn changes_in_flight(&mut self, mut these: impl FnMut(&[B256]) -> bool) -> StateOverride {
        let waits = |hash: &B256| self.flow.holds(*hash) && self.mempool.contains(*hash);
        self.changes.retain(|(hashes, _)| hashes.iter().any(waits));
        let mut all = StateOverride::default();
        let changes = self.changes.iter().filter(|(hashes, _)| these(hashes));
        changes.for_each(|(_, changes)| overlay(&mut all, changes.clone()));
        all
    }

    /// Signs: a key that is kept elsewhere takes its time.
    pub(super) fn sign(&self, place: Place, bundle: Option<Arc<Bundle>>, fees: Fees) {
        let Some(outbox) = self.outbox() else { return };
        let submitter = self.submitter.clone();
        tokio::spawn(async move {
            let signed = submitter.sign(place, bundle.as_deref(), fees).await;
            tell(&outbox, Report::Signed(place, signed, bundle)).await;
        });
    }

    /// Fills a key up.
    pub(super) fn refill(&self, refill: Refill) {
        let Some(outbox) = self.outbox() else { return };
        let (submitter, node) = (self.submitter.clone(), self.node.clone());
        tokio::spawn(async move {
            let sent = async {
                let attempt = submitter.sign_refill(refill).await.map_err(|error| error.to_string())?;
                node.send_raw_transaction(&attempt.raw).await.map_err(|error| error.to_string())
            };
            tell(&outbox, Report::Refilled(sent.await)).await;
        });
    }

    /// Sends a transaction.
    pub(super) fn broadcast(&self, place: Place, attempt: Attempt) {
        let Some(outbox) = self.outbox() else { return };
        let node = self.node.clone();
        let carried = self.flow.carried(place, attempt.transaction);
        let condition = carried.map(|bundle| builder::condition(bundle, &self.head, self.config.chain.block_time));
        tokio::spawn(async move {
            let result = node.send_bundle(&attempt.raw, condition.as_ref()).await.map(|_| ());
            tell(&outbox, Report::Broadcast(place, attempt.transaction, result)).await;
        });
    }

    /// Reads how each key stands at the head, that very block, and the funder after them.
    pub(super) fn read_keys(&mut self) {
        let Some(outbox) = self.outbox() else { return };
        self.keys_asked = Some(self.head.time);
        let (node, head, pause) = (self.node.clone(), self.head.block.hash, self.config.moment());
        let mut accounts = self.submitter.addresses();
        accounts.extend(self.submitter.funder());
        tokio::spawn(async move {
            for _ in 0..ASKED {
                let mut reader = BatchReader::new(&node, head);
                for (account, method) in accounts.iter().flat_map(|account| STANDING.map(|method| (account, method))) {
                    reader.read(method, &[json!(account)]);
                }
                match reader.send().await {
                    Ok(answers) => {
                        let keys = answers.chunks(STANDING.len()).map(standing).collect();
                        return tell(&outbox, Report::Keys(head, keys)).await;
                    }
                    Err(error) => tracing::warn!(%error, "the keys' nonces and balances could not be read"),
                }
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// Asks which of these transactions was mined; if again, after a while.
    pub(super) fn ask(&self, place: Place, transactions: Vec<B256>, again: bool) {
        let Some(outbox) = self.outbox() else { return };
        let (node, pause) = (self.node.clone(), if again { self.config.moment() } else { Duration::ZERO });
        // Whose block is on the chain that we follow.
        let seen = transactions.iter().copied().find(|it| self.has_seen_mined(*it));
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            match outcome(&node, &transactions, seen).await {
                Ok(mined) => tell(&outbox, Report::Settled(place, mined)).await,
                Err(error) => tracing::warn!(%error, "asking again after the bundle with the next head"),
            }
        });
    }
}

/// What it says of a bundle's operations that it could not be executed; nothing if only state could not be read.
fn unprovable(error: &SimulationError, alone: bool) -> Option<Trouble> {
    match error {
        SimulationError::Node(_) => None,
        // What is in flight may be to blame.
        SimulationError::TooManyReads(_) | SimulationError::TooManySteps(_) | SimulationError::TooManyCalls => {
            Some(Trouble::Unprovable { for_good: alone })
        }
        SimulationError::MalformedCode(_) | SimulationError::Evm(_) => Some(Trouble::Unprovable { for_good: false }),
    }
}

/// What is asked of each key.
const STANDING: [&str; 3] = ["eth_getTransactionCount", "eth_getBalance", "eth_getCode"];

/// The answers to [`STANDING`].
fn standing(answers: &[Bytes]) -> Option<KeyState> {
    let [nonce, balance, code] = answers else { return None };
    Some(KeyState {
        nonce: U256::try_from_be_slice(nonce)?.try_into().ok()?,
        balance: U256::try_from_be_slice(balance)?,
        delegated: is_delegation(code),
    })
}

/// Which of our transactions was mined; `None` if the nonce went to somebody else's. A node may keep the receipt of a
/// block that has left the chain: unless we have `seen` the transaction in a block of the chain, its block is asked for.
async fn outcome(node: &NodeClient, transactions: &[B256], seen: Option<B256>) -> Result<Option<Mined>, NodeError> {
    for transaction in seen.iter().chain(transactions.iter().filter(|it| Some(**it) != seen)) {
        let Some(receipt) = node.op_receipt(*transaction).await? else { continue };
        let (cost, receipt) = (receipt.cost(), receipt.receipt);
        let block = receipt.block_number.unwrap_or(u64::MAX);
        let hash = receipt.block_hash.unwrap_or_default();
        if Some(*transaction) != seen && !node.has_block(block, hash).await? {
            tracing::warn!(%transaction, block, "the node has a receipt of a block that has left the chain");
            continue;
        }
        return Ok(Some(Mined { transaction: *transaction, success: receipt.status(), block, cost }));
    }
    Ok(None)
}

async fn tell(outbox: &mpsc::Sender<Command>, report: Report) {
    // The engine is gone only when nobody needs the report.
    let _ = outbox.send(Command::Internal(report)).await;
}

#[cfg(test)]
mod tests {
    use alloy::consensus::Header as Consensus;
    use jsonrpsee::{RpcModule, server::Server};
    use serde_json::Value;

    use super::*;

    const BLOOM: usize = 512;

    fn receipt(transaction: B256, block_hash: B256) -> Value {
        json!({
            "transactionHash": transaction, "transactionIndex": "0x0", "blockHash": block_hash, "blockNumber": "0x7",
            "from": format!("0x{}", "11".repeat(20)), "to": format!("0x{}", "22".repeat(20)), "contractAddress": null,
            "cumulativeGasUsed": "0x1", "gasUsed": "0x1", "effectiveGasPrice": "0x1", "logs": [], "status": "0x1",
            "logsBloom": format!("0x{}", "0".repeat(BLOOM)), "type": "0x2",
        })
    }

    #[tokio::test]
    async fn a_receipt_that_stays_when_its_block_has_left_the_chain_settles_nothing() {
        let [orphaned, mined, stays, gone] = [1, 2, 3, 4].map(B256::repeat_byte);
        let mut module = RpcModule::new(());
        module
            .register_method("eth_getTransactionReceipt", move |params, (), _| {
                let transaction: B256 = params.one().unwrap();
                let blocks = [(orphaned, gone), (mined, stays)];
                blocks.iter().find(|(it, _)| *it == transaction).map_or(Value::Null, |(it, block)| receipt(*it, *block))
            })
            .unwrap();
        module
            .register_method("eth_getBlockByNumber", move |_, (), _| {
                let mut header = serde_json::to_value(alloy::rpc::types::Header::<Consensus>::default()).unwrap();
                header["hash"] = json!(stays);
                header["number"] = json!("0x7");
                header["transactions"] = json!([]);
                header["uncles"] = json!([]);
                header
            })
            .unwrap();
        let server = Server::builder().build("127.0.0.1:0").await.unwrap();
        let node = NodeClient::new(&format!("http://{}", server.local_addr().unwrap())).unwrap();
        let _server = server.start(module);
        let of = async |transactions: &[B256], seen| {
            outcome(&node, transactions, seen).await.unwrap().map(|mined| mined.transaction)
        };
        assert_eq!(of(&[orphaned, mined], None).await, Some(mined));
        assert_eq!(of(&[orphaned], None).await, None);
        // What the follower has seen is on the chain.
        assert_eq!(of(&[orphaned, mined], Some(mined)).await, Some(mined));
    }
}
