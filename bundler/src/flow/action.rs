//! What the flow wants done, and what it is told of the chain.

use std::sync::Arc;

use alloy::primitives::B256;

use crate::{
    builder::Bundle,
    submitter::{Attempt, Fees},
};

/// A nonce of one of our keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Which key.
    pub(crate) key: usize,
    /// Its nonce.
    pub(crate) nonce: u64,
}

/// A transaction of ours on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mined {
    pub(crate) transaction: B256,
    pub(crate) success: bool,
    pub(crate) block: u64,
    /// Wei that it cost, with what L1 and the operator of the chain took.
    pub(crate) cost: u128,
}

/// What a nonce was used by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The bundle.
    Executed(Mined),
    /// The bundle, which reverted.
    Reverted(Mined),
    /// The transaction that took the bundle's place.
    Cancelled(Mined),
    /// Nothing yet: the state had overtaken the bundle, and the node did not take it.
    Overtaken,
    /// Nothing yet: a dearer bundle has the nonce now.
    Displaced,
    /// Nothing: another bundle that had the nonce was mined.
    Superseded,
    /// A transaction that is not ours.
    Lost,
    /// Nothing: it was never signed, and is free again.
    Unsigned,
}

impl Outcome {
    /// The word for it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Executed(_) => "executed",
            Self::Reverted(_) => "reverted",
            Self::Cancelled(_) => "cancelled",
            Self::Overtaken => "overtaken",
            Self::Displaced => "displaced",
            Self::Superseded => "superseded",
            Self::Lost => "lost",
            Self::Unsigned => "unsigned",
        }
    }

    /// Our transaction that used it, if one of ours did.
    pub(crate) fn mined(&self) -> Option<Mined> {
        match self {
            Self::Executed(mined) | Self::Reverted(mined) | Self::Cancelled(mined) => Some(*mined),
            Self::Overtaken | Self::Displaced | Self::Superseded | Self::Lost | Self::Unsigned => None,
        }
    }

    /// Whether with that the nonce is done with.
    pub(crate) fn ends_the_nonce(&self) -> bool {
        !matches!(self, Self::Overtaken | Self::Displaced | Self::Superseded)
    }
}

/// What the flow wants done, in this order. Each is to be kept before it is acted on.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Sign this bundle, or without one a transfer of nothing to ourselves, and say so.
    Sign { place: Place, bundle: Option<Arc<Bundle>>, fees: Fees },
    /// The same for a bundle that was proven a while ago: it is to be proven again first.
    SignAgain { place: Place, bundle: Arc<Bundle>, fees: Fees },
    /// Keep this transaction, then send it.
    Broadcast { place: Place, attempt: Attempt },
    /// Which of these was mined? If asked again, after a while.
    Ask { place: Place, transactions: Vec<B256>, again: bool },
    /// The nonce is used, or the bundle will not use it; operations of the bundle that are not mined are free.
    Settled { place: Place, bundle: Option<Arc<Bundle>>, outcome: Outcome },
    /// What was settled is in flight again: its block has left the chain.
    Unmined { place: Place, bundle: Arc<Bundle> },
}
