//! When to look for a new head: when the node announces one, or else often while it matters and seldom while not.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use jsonrpsee::core::client::Subscription;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::{engine::Interest, node::NodeClient};

/// Longest pause between questions, however long blocks take.
const LONGEST: Duration = Duration::from_millis(250);
/// Between two attempts to subscribe.
const RESUBSCRIBE: Duration = Duration::from_secs(1);

/// Says when to look.
pub(super) struct HeadTimer {
    node: NodeClient,
    /// Shortest pause.
    interval: Duration,
    longest: Duration,
    pause: Duration,
    announced: Option<Subscription<Value>>,
    resubscribe_at: tokio::time::Instant,
    /// Somebody knows that there is a new head.
    wake: Arc<Notify>,
    interest: watch::Receiver<Interest>,
}

impl HeadTimer {
    pub(super) fn new(
        node: NodeClient,
        interval: Duration,
        block_time: Duration,
        wake: Arc<Notify>,
        interest: watch::Receiver<Interest>,
    ) -> Self {
        let longest = (block_time / 8).min(LONGEST).max(interval);
        let resubscribe_at = tokio::time::Instant::now();
        Self { node, interval, longest, pause: interval, announced: None, resubscribe_at, wake, interest }
    }

    /// Returns when it is time to look; `found` is whether the last look found a new head.
    pub(super) async fn next(&mut self, found: bool) {
        if self.announced.is_none() && tokio::time::Instant::now() >= self.resubscribe_at {
            self.resubscribe_at = tokio::time::Instant::now() + RESUBSCRIBE;
            self.announced = self.node.new_heads().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "no subscription to new heads; asking for them");
                None
            });
        }
        let hurry = found || self.interest.borrow().pending;
        self.pause = if hurry { self.interval } else { (self.pause * 5 / 4).min(self.longest) };
        let Some(announced) = &mut self.announced else {
            tokio::select! {
                biased;
                () = tokio::time::sleep(self.pause) => {}
                () = self.wake.notified() => {}
            }
            return;
        };
        // Looked for all the same now and then: an announcement may be lost with a connection that seems to live.
        let lost = tokio::select! {
            biased;
            head = announced.next() => head.is_none(),
            () = tokio::time::sleep(self.longest * 8) => false,
            () = self.wake.notified() => false,
        };
        // Of several that have come meanwhile, one look sees the newest.
        while let Some(Some(_)) = announced.next().now_or_never() {}
        if lost {
            self.announced = None;
        }
    }
}
