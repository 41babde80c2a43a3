//! A bundler in one process: from `eth_sendUserOperation` to the receipt.
//!
//! ```text
//!  wallet ─► rpc ─► admission ─► mempool ─► builder ─► submitter ─► node
//!             ▲     limits, then    └────── engine ───────┘          │
//!             │     the EVM (evm)              ▲                     │
//!             └──────── records ◄──────────────┴──── follower ◄──────┘
//! ```
//!
//! - [`rpc`]: ERC-7769 methods; parameters in, JSON out.
//! - `admission`: static limits, EIP-7702 authorizations, then the EntryPoint itself; its answer is ours.
//! - [`rules`]: ERC-7562, judged on the record of that run.
//! - [`estimation`]: limits from measured frames, proven by a second run.
//! - [`fees`]: what to bid, and what an operation must offer. [`gas`]: what is asked for what the EntryPoint does not
//!   meter. [`l1_fee`]: what an OP-stack chain charges beside gas.
//! - [`evm`]: revm over state of one pinned block, fetched with standard `eth_*` calls.
//! - [`mempool`], `builder`, `submitter`: pure; what is accepted, what goes together, what is signed.
//! - `flow`: pure; keys, nonces, transactions in flight and what came of them.
//! - `engine`: the one owner of those three and of what became of each operation.
//! - `follower`: heads and inclusions, from the chain back to the engine; [`chain_time`], by which limits of time are
//!   counted; [`Trail`], by which most blocks need not be asked about.
//! - `journal`: what must outlive the process, and how it is taken up again.
//! - `lives`: each operation's steps with their times, for those who watch.
//! - `cluster`: many processes on one Redis: who holds what, and what they say to each other.
//! - `index`: where each operation was executed, at any age, across restarts.
//! - [`signer`]: the key that bundles are sent from.
//! - [`node`]: the few methods we ask a node for; never `debug_*` or `trace_*`.
//! - [`work`]: how much was simulated for a call.
//! - [`world`]: clock, threads, disk: the system's, or a simulated one's.
//!
//! Invariants: state that cannot be read is an error and never a verdict; an accepted operation is included or
//! dropped with a reason that can be asked for; it is never live under two nonces; no bundle is sent that was not
//! executed whole in process first.

mod admission;
mod base_fee;
mod bounds;
mod builder;
pub mod chain_time;
mod cluster;
pub mod config;
mod engine;
pub mod estimation;
pub mod evm;
pub mod fees;
mod flow;
mod follower;
pub mod gas;
mod head;
mod index;
mod journal;
pub mod l1_fee;
mod lives;
pub mod mempool;
pub mod node;
mod rejection;
pub mod rpc;
pub mod rules;
mod service;
mod signal;
pub mod signer;
mod submitter;
mod trail;
mod transaction;
pub mod work;
pub mod world;

pub use admission::{Admitted, Conduct, Evidence, Validated};
pub use cluster::{Builder, ClusterConfig, ClusterError, Refusal, SeatState};
pub use config::{BundlingMode, Config};
pub use engine::{KeyVitals, Left, Record, Status, Vitals};
pub use flow::{Ledger, LossCause};
pub use head::Head;
pub use index::IndexError;
pub use journal::JournalError;
pub use lives::{Checked, Life, Lives, Milestone, Step};
pub use rejection::{Entity, Rejection};
pub use service::{Bundler, StartError};
pub use signer::{Signer, SignerError};
pub use submitter::Keeping;
pub use trail::{Mark, Trail};
