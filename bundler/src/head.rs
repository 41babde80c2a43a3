//! The chain's head as every stage sees it: one block, its state, its fees.

use std::sync::Arc;

use crate::{
    evm::{BlockPin, StateView},
    fees::FeeSuggestion,
    l1_fee::L1Prices,
    world,
};

/// A consistent picture of one block. Replaced whole, never changed.
#[derive(Clone, Debug)]
pub struct Head {
    /// The block.
    pub block: BlockPin,
    /// Its state.
    pub view: Arc<StateView>,
    /// What to bid for the next.
    pub fees: FeeSuggestion,
    /// What data on L1 costs, where the chain charges for it.
    pub l1: Option<L1Prices>,
}

/// Seconds since 1970 by this machine's clock.
pub(crate) fn unix_now() -> u64 {
    world::unix().as_secs()
}
