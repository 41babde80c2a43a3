//! What the chain did, as the ledger is told.

use alloy::primitives::{B256, U256};
use serde::{Deserialize, Serialize};

use super::Place;

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its time, in seconds since 1970: by this, not by our clock, signatures expire.
    pub timestamp: u64,
}

/// An executed operation, from its `UserOperationEvent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inclusion {
    /// EntryPoint, account and nonce.
    pub place: Place,
    /// Whether one of our paymasters paid. If another did, the nonce is used all the same.
    pub ours: bool,
    /// `actualGasCost`, in wei.
    pub cost: U256,
    /// Whether the account's calls went through.
    pub success: bool,
}

/// A range of blocks with everything that served EntryPoints executed in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Hash of the block before the first; none if the ledger has seen no block yet.
    pub after: Option<B256>,
    /// The last of the range.
    pub tip: Block,
    /// In any order; the same one twice counts once.
    pub inclusions: Vec<Inclusion>,
}
