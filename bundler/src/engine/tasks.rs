//! What the engine has done beside itself: proving, broadcasting, asking after transactions.

use tokio::sync::mpsc;

use super::{Command, Engine, Mined, Report};
use crate::{
    builder::{self, Bundle},
    node::{NodeClient, NodeError},
    submitter::InFlight,
};

impl Engine {
    /// Executes the bundle in process and asks for the signer's nonce, then reports.
    pub(super) fn prove(&self, bundle: Bundle) {
        let Some(outbox) = self.outbox() else { return };
        let (node, bundler, chain) = (self.node.clone(), self.submitter.address(), self.config.chain.clone());
        // The newest head there is, which may be newer than the one last handled.
        let newest = self.heads.borrow().clone();
        let head = if newest.block.number > self.head.block.number { newest } else { self.head.clone() };
        let same_state = head.block.hash == self.head.block.hash;
        tokio::spawn(async move {
            let hashes = bundle.hashes();
            let proof = tokio::task::spawn_blocking(move || builder::prove(bundle, &head, same_state, &chain, bundler));
            let (proof, nonce) = tokio::join!(proof, node.transaction_count(bundler));
            let report = match (proof, nonce) {
                (Ok(Ok(proven)), Ok(nonce)) => Report::Proven(Box::new(proven), nonce),
                (Ok(Err(error)), _) => Report::NotProven(hashes, error.to_string()),
                (Err(error), _) => Report::NotProven(hashes, error.to_string()),
                (_, Err(error)) => Report::NotProven(hashes, error.to_string()),
            };
            tell(&outbox, report).await;
        });
    }

    /// Sends the newest transaction of the bundle in flight.
    pub(super) fn broadcast(&self) {
        let (Some(outbox), Some(attempt)) =
            (self.outbox(), self.in_flight.as_ref().and_then(|in_flight| in_flight.attempts.last()).cloned())
        else {
            return;
        };
        let node = self.node.clone();
        tokio::spawn(async move {
            let result = node.send_raw_transaction(&attempt.raw).await.map(|_| ());
            tell(&outbox, Report::Broadcast(attempt.transaction, result)).await;
        });
    }

    /// Asks whether the nonce in flight has been used, and by which transaction.
    pub(super) fn check_in_flight(&self) {
        let (Some(outbox), Some(in_flight)) = (self.outbox(), self.in_flight.clone()) else { return };
        let (node, bundler) = (self.node.clone(), self.submitter.address());
        tokio::spawn(async move {
            match node.transaction_count(bundler).await {
                Ok(next) if next <= in_flight.nonce => {}
                Ok(_) => match outcome(&node, &in_flight).await {
                    Ok(mined) => tell(&outbox, Report::Settled { nonce: in_flight.nonce, mined }).await,
                    Err(error) => tracing::warn!(%error, "asking again after the bundle with the next head"),
                },
                Err(error) => tracing::warn!(%error, "asking again after the bundle with the next head"),
            }
        });
    }
}

/// Which of our transactions was mined; `None` if the nonce went to somebody else's.
async fn outcome(node: &NodeClient, in_flight: &InFlight) -> Result<Option<Mined>, NodeError> {
    for attempt in &in_flight.attempts {
        if let Some(receipt) = node.receipt(attempt.transaction).await? {
            let block = receipt.block_number.unwrap_or(u64::MAX);
            return Ok(Some(Mined { success: receipt.status(), block }));
        }
    }
    Ok(None)
}

async fn tell(outbox: &mpsc::Sender<Command>, report: Report) {
    // The engine is gone only when nobody needs the report.
    let _ = outbox.send(Command::Internal(report)).await;
}
