//! The Ethereum node, spoken to with standard `eth_*` methods only.

mod client;
mod error;

pub use client::{BatchReader, FeeSuggestion, NodeClient};
pub use error::NodeError;
