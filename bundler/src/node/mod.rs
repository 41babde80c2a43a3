//! The Ethereum node, spoken to with standard `eth_*` methods only.

mod client;
mod condition;
mod endpoint;
mod error;
mod history;
mod nodes;
mod receipt;
mod redact;

pub(crate) use client::PaidCall;
pub use client::{BatchReader, NodeClient};
pub(crate) use condition::{Condition, Word};
pub(crate) use error::Answer;
pub use error::NodeError;
pub(crate) use history::FeeHistory;
