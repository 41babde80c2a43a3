//! One life of the node's process after the other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::clock::Clock;

/// Which life it is, and whether it is over. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Life(Arc<Standing>);

#[derive(Debug, Default)]
struct Standing {
    number: AtomicU64,
    over: AtomicBool,
    /// Milliseconds of the world until which the process stands still.
    frozen_until: AtomicU64,
    ended: Notify,
}

impl Life {
    /// Of how many.
    pub fn number(&self) -> u64 {
        self.0.number.load(Ordering::Relaxed)
    }

    /// From here on nothing that it does has any effect.
    pub fn end(&self) {
        self.0.over.store(true, Ordering::Relaxed);
        self.0.ended.notify_one();
    }

    /// Whether it is.
    pub fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Relaxed)
    }

    /// It stands still until then, and knows nothing of it.
    pub fn freeze(&self, until: u64) {
        self.0.frozen_until.store(until, Ordering::Relaxed);
    }

    /// Returns when it does not.
    pub async fn thaw(&self, clock: &Clock) {
        let left = self.0.frozen_until.load(Ordering::Relaxed).saturating_sub(clock.now());
        if left > 0 {
            tokio::time::sleep(Duration::from_millis(left)).await;
        }
    }

    /// The next one.
    pub fn renew(&self) {
        self.0.number.fetch_add(1, Ordering::Relaxed);
        self.0.over.store(false, Ordering::Relaxed);
        self.0.frozen_until.store(0, Ordering::Relaxed);
    }

    /// Returns when it is over.
    pub async fn ended(&self) {
        while !self.is_over() {
            self.0.ended.notified().await;
        }
    }
}
