//! Many processes on one Redis.
//!
//! ```text
//!  wallet ─► rpc ─► admission ─► Relay ──request──► stream of the sender's partition ──► Seat ─► Engine ─► node
//!                                  ▲                                                      │        │
//!                                  └───────────── answers, a list of each rpc ◄───────────┘        ▼
//!                                                                      journal, fenced by the lease's token
//! ```
//!
//! - Senders are dealt out to partitions. Each has a mempool, keys and a journal of its own, and at any time at most one
//!   builder whose writes count: the one that took the lease last. Whoever held it before is refused by the store, not
//!   by its own clock, so that a process that slept through its lease can do no harm when it wakes.
//! - An rpc node keeps nothing: it validates in process, and acknowledges when the builder has stored the operation.
//! - Redis away: nothing is accepted and no new transaction is sent until it is back. What was signed before stays
//!   what it is.
//!
//! All keys of a partition share a hash tag, so that they lie on one node of a Redis Cluster.

mod asks;
mod connection;
mod lease;
mod relay;
mod seat;
mod store;
#[cfg(test)]
mod tests;
mod wire;

use std::{fmt, sync::Arc, time::Duration};

use crate::world;

pub(crate) use asks::Asks;
pub(crate) use connection::{Connection, Redis};
pub(crate) use relay::Relay;
pub use seat::{Builder, SeatState};
pub use wire::Refusal;
pub(crate) use {lease::Lease, store::SharedStore};

/// How processes that share a Redis work together. All of them are to be told the same.
#[derive(Clone)]
pub struct ClusterConfig {
    /// `redis://` or, with TLS, `rediss://`; with user and password if it wants them.
    pub url: String,
    /// Into how many the senders are dealt out.
    pub partitions: u16,
    /// How long a builder that is not heard of keeps its partitions.
    pub lease: Duration,
    /// Replicas that must have a write before it counts.
    pub replicas: u32,
    /// What stands for the Redis at that URL in a simulated world.
    pub simulated: Option<Arc<dyn world::Redis>>,
}

impl fmt::Debug for ClusterConfig {
    // Without the URL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, partitions, lease, replicas, simulated: _ } = self;
        f.debug_struct("ClusterConfig")
            .field("partitions", partitions)
            .field("lease", lease)
            .field("replicas", replicas)
            .finish_non_exhaustive()
    }
}

/// Why processes cannot work together.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Redis did not answer as it should.
    #[error("redis: {0}")]
    Redis(String),
    /// Others deal the senders out otherwise.
    #[error("the processes on this redis have {found} partitions, this one is configured for {configured}")]
    Partitions {
        /// Theirs.
        found: String,
        /// Ours.
        configured: u16,
    },
    /// A partition without a key sends nothing.
    #[error("{partitions} partitions need as many bundler keys, {keys} are given")]
    Keys {
        /// Partitions.
        partitions: u16,
        /// Keys.
        keys: usize,
    },
    /// Somebody else writes the journal.
    #[error("another process holds partition {0} and renews its lease")]
    Held(u16),
}

impl From<redis::RedisError> for ClusterError {
    // The category alone: what Redis says may repeat what it was told.
    fn from(error: redis::RedisError) -> Self {
        Self::Redis(error.category().to_owned())
    }
}
