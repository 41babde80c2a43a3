//! The chain's node: whether it is the right one, quick enough, up to date, and has the methods that are used.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy::{
    primitives::{Address, Bytes},
    rpc::types::{Filter, Header, state::StateOverride},
};
use bundler::{
    fees::{FeePolicy, FeeSuggestion},
    node::{BatchReader, NodeClient, NodeError},
};
use serde_json::json;

use super::Finding;
use crate::deployment::Deployment;

/// Answers that the latency is the median of.
const ASKED: usize = 9;
/// Above this, operations that nobody has seen the like of take noticeably long.
const SLOW: Duration = Duration::from_millis(100);
/// Difference of the clocks from which on validity windows are judged wrongly.
const SKEW: u64 = 30;
/// A head older than this is no head.
const OLD: u64 = 300;

/// Looks at the node; its head if it can be used at all.
pub(super) async fn examine(node: &NodeClient, deployment: &Deployment, findings: &mut Vec<Finding>) -> Option<Header> {
    match node.chain_id().await {
        Ok(id) if id == deployment.chain_id => findings.push(Finding::ok("chain id", id)),
        Ok(id) => {
            let seen = format!("{id}; the deployment is on {}", deployment.chain_id);
            findings.push(Finding::failure("chain id", seen, "give the node of the deployment's chain"));
            return None;
        }
        Err(error) => {
            findings.push(Finding::failure("node", error, "check --node-url, and that the node runs"));
            return None;
        }
    }
    let head = match node.latest().await {
        Ok(head) => head,
        Err(error) => {
            findings.push(Finding::failure("head", error, "the node must answer eth_getBlockByNumber"));
            return None;
        }
    };
    findings.push(latency(node).await);
    findings.push(clock(&head));
    methods(node, &head, deployment, findings).await;
    Some(head)
}

async fn latency(node: &NodeClient) -> Finding {
    let mut times = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let start = Instant::now();
        if let Err(error) = node.chain_id().await {
            return Finding::failure("latency", error, "the node answers now and then only");
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let median = times[ASKED / 2];
    let seen = format!("{:.1} ms, median of {ASKED}", median.as_secs_f64() * 1_000.0);
    if median <= SLOW {
        Finding::ok("latency", seen)
    } else {
        Finding::warning("latency", seen, "use a node that is nearer")
    }
}

fn clock(head: &Header) -> Finding {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seen = format!("head {} is of {}, our clock says {now}", head.number, head.timestamp);
    if head.timestamp > now + SKEW {
        Finding::failure("clock", seen, "our clock is behind, or the node's chain is ahead of time")
    } else if now > head.timestamp + OLD {
        Finding::warning("clock", seen, "the node does not follow its chain, or our clock is ahead")
    } else {
        Finding::ok("clock", seen)
    }
}

/// Each method that is used beside the most ordinary ones, asked as it is asked in use.
async fn methods(node: &NodeClient, head: &Header, deployment: &Deployment, findings: &mut Vec<Finding>) {
    let some = deployment.payment_escrow;
    let mut reader = BatchReader::new(node, head.hash);
    reader.read("eth_getBalance", &[json!(some)]);
    reader.read("eth_getTransactionCount", &[json!(some)]);
    reader.read("eth_getCode", &[json!(some)]);
    reader.read("eth_getStorageAt", &[json!(some), json!("0x0")]);
    let state = reader.send().await.map(drop);
    findings.push(method("state by block hash, in a batch", state, "the node must know EIP-1898 and JSON-RPC batches"));

    let mut pretended = StateOverride::default();
    // Returns its own address's code length; without overrides an account without code returns nothing.
    pretended.entry(Address::with_last_byte(1)).or_default().balance = Some(Default::default());
    let called = node.call_from(some, some, Bytes::new(), 100_000, head.hash, &pretended).await;
    // That the contract does not like the call is an answer too.
    let called = match called {
        Err(NodeError::Refused { message, .. }) if message.contains("revert") => Ok(()),
        other => other.map(drop),
    };
    findings.push(method("eth_call with state overrides", called, "the safety net before sending needs it"));

    let filter = Filter::new().at_block_hash(head.hash).address(some);
    findings.push(method("eth_getLogs", node.logs(&filter).await.map(drop), "the index needs it"));
    let fees = FeeSuggestion::ask(node, &FeePolicy::UNBOUND).await.map(drop);
    findings.push(method("eth_feeHistory, eth_maxPriorityFeePerGas", fees, "bids are made from these"));
}

fn method(check: &str, answer: Result<(), NodeError>, why: &str) -> Finding {
    match answer {
        Ok(()) => Finding::ok(check, "answered"),
        Err(error) => Finding::failure(check, error, why),
    }
}
