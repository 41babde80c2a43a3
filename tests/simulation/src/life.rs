//! One life of the node's process after the other.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::sync::Notify;

/// Which life it is, and whether it is over. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Life(Arc<Standing>);

#[derive(Debug, Default)]
struct Standing {
    number: AtomicU64,
    over: AtomicBool,
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

    /// The next one.
    pub fn renew(&self) {
        self.0.number.fetch_add(1, Ordering::Relaxed);
        self.0.over.store(false, Ordering::Relaxed);
    }

    /// Returns when it is over.
    pub async fn ended(&self) {
        while !self.is_over() {
            self.0.ended.notified().await;
        }
    }
}
