//! Which operations are meant: by hash, sender, transaction, job or session.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use bundler::{Life, Rejection};
use erc4337::abi::entry_point_v08::UserOperationEvent;
use serde_json::{Value, json};

use super::{Explorer, MOST};

/// How long ago what was logged is looked through.
const LOOKBACK: Duration = Duration::from_secs(6 * 3_600);
/// Blocks whose logs are asked for at once: what providers give, and no time.
const RANGE: u64 = 10_000;

impl Explorer {
    /// What the text names, and the operations that have to do with it, newest first.
    pub(super) async fn search(self: Arc<Self>, text: &str) -> Result<Value, Rejection> {
        if let Ok(sender) = text.parse::<Address>() {
            return self.of_sender(sender).await;
        }
        let Ok(hash) = text.parse::<B256>() else {
            return Ok(json!({ "kind": "nothing", "operations": [] }));
        };
        let known = self.ask("fabstir_getUserOperationStatus", hash).await?;
        if !known.is_null() || self.bundler.lives().get(hash).is_some() {
            return Ok(json!({ "kind": "operation", "operations": [{ "userOpHash": hash }] }));
        }
        if let Some(receipt) = self.node.receipt(hash).await? {
            let operations: Vec<_> = receipt.inner.logs().iter().filter_map(|log| self.of_log(log)).collect();
            return Ok(json!({ "kind": "transaction", "operations": operations }));
        }
        self.of_job(hash).await
    }

    /// Those that went through this node, and those that the chain knows of.
    async fn of_sender(&self, sender: Address) -> Result<Value, Rejection> {
        let filter = Filter::new().event_signature(UserOperationEvent::SIGNATURE_HASH).topic2(sender.into_word());
        let filter = filter.address(self.entry_points().into_iter().map(|(address, _)| address).collect::<Vec<_>>());
        let logs = self.recent(filter, MOST).await?;
        let mut found: Vec<Value> = self.bundler.lives().of_sender(sender, MOST).iter().map(of_life).collect();
        for operation in logs.iter().rev().filter_map(|log| self.of_log(log)) {
            if found.len() < MOST && found.iter().all(|known| known["userOpHash"] != operation["userOpHash"]) {
                found.push(operation);
            }
        }
        Ok(json!({ "kind": "sender", "operations": found }))
    }

    /// What happened to a job or a session, and by which operations.
    async fn of_job(&self, id: B256) -> Result<Value, Rejection> {
        let deployment = &self.deployment;
        let (jobs, sessions) = (deployment.job_marketplace, deployment.session_marketplace);
        // All of them: its first event says what it is.
        let logs = self.recent(Filter::new().address(vec![jobs, sessions]).topic1(id), usize::MAX).await?;
        let kind = match logs.first().map(|log| log.address()) {
            Some(contract) if contract == sessions => "session",
            Some(_) => "job",
            None => "nothing",
        };
        let mut by_transaction: BTreeMap<(u64, B256), Vec<u64>> = BTreeMap::new();
        for log in &logs {
            if let (Some(block), Some(transaction), Some(index)) =
                (log.block_number, log.transaction_hash, log.log_index)
            {
                by_transaction.entry((block, transaction)).or_default().push(index);
            }
        }
        let mut operations = Vec::new();
        for ((_, transaction), indices) in by_transaction.into_iter().rev().take(MOST) {
            let Some(receipt) = self.node.receipt(transaction).await? else { continue };
            for index in indices {
                // An operation's own logs come before the event that says it is over.
                let after = receipt.inner.logs().iter().filter(|log| log.log_index.is_some_and(|it| it > index));
                if let Some(operation) = after.filter_map(|log| self.of_log(log)).next()
                    && !operations.contains(&operation)
                {
                    operations.push(operation);
                }
            }
        }
        Ok(json!({ "kind": kind, "operations": operations }))
    }

    /// What was logged of late, oldest first: the newest, and no further back than it takes for `enough` of them.
    async fn recent(&self, filter: Filter, enough: usize) -> Result<Vec<Log>, Rejection> {
        let head = self.bundler.head().block.number;
        let first = head.saturating_sub(self.bundler.blocks_in(LOOKBACK));
        let (mut parts, mut found, mut to) = (Vec::new(), 0, head);
        loop {
            let from = to.saturating_sub(RANGE - 1).max(first);
            let logs = self.node.logs(&filter.clone().from_block(from).to_block(to)).await?;
            found += logs.len();
            parts.push(logs);
            if from <= first || found >= enough {
                return Ok(parts.into_iter().rev().flatten().collect());
            }
            to = from - 1;
        }
    }

    /// An operation that was executed, if this log says so.
    fn of_log(&self, log: &Log) -> Option<Value> {
        let event = UserOperationEvent::decode_log(&log.inner).ok()?.data;
        self.entry_points().iter().find(|(address, _)| *address == log.address())?;
        Some(json!({
            "userOpHash": event.userOpHash, "sender": event.sender, "stage": "mined", "success": event.success,
            "blockNumber": log.block_number.map(U256::from), "transactionHash": log.transaction_hash,
        }))
    }
}

/// An operation that went through this node, in a line.
pub(super) fn of_life(life: &Life) -> Value {
    let (first, last) = (life.steps.first(), life.steps.last());
    json!({
        "userOpHash": life.hash, "sender": life.sender, "stage": last.map(|step| step.milestone.name()),
        "reason": last.and_then(|step| step.reason.as_deref()), "blockNumber": last.map(|step| U256::from(step.block)),
        "at": first.map(|step| step.at.as_secs_f64() * 1e3),
    })
}
