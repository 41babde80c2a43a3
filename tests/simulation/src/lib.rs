//! A whole bundler in a simulated world, in one process and under virtual time: docs/simulation.md.
//!
//! ```text
//!            ┌───────────────────────── world: one seed, one history ─────────────────────────┐
//!  users ──► │ the bundler's own RPC ─► admission ─► engine ─► journal ─► disk                │
//!            │                                        └──────► network ─► chain (revm)         │ ──► oracle
//!            └────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! - [`plan`]: what a seed comes to. - [`world`]: the bundler's lives, and what happens around them.
//! - [`chain`]: blocks, a pool, reorganisations, a node's methods. - [`network`], [`disk`]: what they do wrong.
//! - [`siege`]: who attacks.
//! - [`users`]: who sends. - [`oracle`]: what they may expect; it knows nothing of the bundler.

#![allow(clippy::expect_used, clippy::panic, missing_docs, reason = "a harness fails its test by panicking")]

pub mod chain;
pub mod clock;
pub mod disk;
pub mod life;
pub mod network;
pub mod node;
pub mod oracle;
pub mod plan;
pub mod planted;
pub mod random;
pub mod redis;
pub mod shrink;
pub mod siege;
pub mod users;
pub mod world;

/// Where the node's files are on the simulated disk.
pub const FOLDER: &str = "/node";
/// The journal.
pub const JOURNAL: &str = "/node/journal.redb";
/// The paymaster's ledger.
pub const BUDGETS: &str = "/node/budgets.redb";
