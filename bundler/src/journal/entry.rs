//! What happens that must be remembered.

use alloy::primitives::{Address, B256};

use crate::{admission::Admitted, mempool::Reputation, submitter::Attempt};

/// Something that happened. Keys are named by their addresses: their order may be another one after a restart.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// An operation is in the mempool, at this height.
    Admitted { admitted: Box<Admitted>, block: u64 },
    /// A transaction was signed that carries these operations; without any it only fills its nonce.
    Signed { key: Address, nonce: u64, operations: Vec<B256>, attempt: Attempt },
    /// No node took the last transaction that was signed for a nonce: it is void, and its operations are free.
    Refused { key: Address, nonce: u64 },
    /// A nonce is used: in this block, or that was found out at this height.
    Settled { key: Address, nonce: u64, block: u64 },
    /// It is free again: its block has left the chain.
    Unmined { key: Address, nonce: u64 },
    /// An operation was executed in this block.
    Included { hash: B256, block: u64 },
    /// It is pending again: its block has left the chain.
    Reopened { hash: B256 },
    /// It will not be executed by us.
    Dropped { hash: B256, reason: String },
    /// Reputations as they are now.
    Reputation(Reputation),
    /// This block and those before it stay in the chain.
    Final { block: u64 },
}
