//! The chain's head as every stage sees it: one block, its state, its fees.

use std::sync::Arc;

use crate::{
    evm::{BlockPin, StateView},
    fees::FeeSuggestion,
    l1_fee::L1Prices,
};

/// A consistent picture of one block. Replaced whole, never changed.
#[derive(Clone, Debug)]
pub struct Head {
    /// The block.
    pub block: BlockPin,
    /// When it was made, in milliseconds of [chain time](crate::chain_time).
    pub time: u64,
    /// Its state.
    pub view: Arc<StateView>,
    /// What to bid for the next.
    pub fees: FeeSuggestion,
    /// What is charged beside gas, on a chain of the OP stack.
    pub l1: Option<L1Prices>,
}
