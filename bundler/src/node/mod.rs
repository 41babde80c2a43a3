//! The Ethereum node, spoken to with standard `eth_*` methods only.

mod client;
mod endpoint;
mod error;
mod nodes;
mod redact;

pub use client::{BatchReader, FeeSuggestion, NodeClient};
pub use error::NodeError;
