//! The block that state is read from, and the one that operations would run in.

use alloy::{
    primitives::{B256, U256},
    rpc::types::Header,
};
use revm::{context::BlockEnv, context_interface::block::BlobExcessGasAndPrice, primitives::Address};

/// A head: its state is what we read, its child is where operations would run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPin {
    /// Hash of the head.
    pub hash: B256,
    /// Hash of its parent.
    pub parent: B256,
    /// Height of the head.
    pub number: u64,
    /// Seconds since 1970 at the head.
    pub timestamp: u64,
    /// Gas limit of the head.
    pub gas_limit: u64,
    /// Fee recipient of the head, taken for the child's too.
    pub beneficiary: Address,
    /// Wei per gas in the child.
    pub next_base_fee: u128,
    /// Randomness of the head, taken for the child's too.
    pub prevrandao: B256,
}

impl BlockPin {
    /// Pins a header; `next_base_fee` is in wei per gas.
    pub fn new(header: &Header, next_base_fee: u128) -> Self {
        Self {
            hash: header.hash,
            parent: header.parent_hash,
            number: header.number,
            timestamp: header.timestamp,
            gas_limit: header.gas_limit,
            beneficiary: header.beneficiary,
            next_base_fee,
            prevrandao: header.mix_hash,
        }
    }

    /// The environment of the next block, built at `now` (seconds since 1970) or just after the head.
    pub(super) fn next_env(&self, now: u64) -> BlockEnv {
        BlockEnv {
            number: U256::from(self.number + 1),
            beneficiary: self.beneficiary,
            timestamp: U256::from(self.next_timestamp(now)),
            gas_limit: self.gas_limit,
            basefee: u64::try_from(self.next_base_fee).unwrap_or(u64::MAX),
            difficulty: U256::ZERO,
            prevrandao: Some(self.prevrandao),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
            slot_num: 0,
        }
    }

    /// Seconds since 1970 at which the next block would be, built at `now`.
    pub fn next_timestamp(&self, now: u64) -> u64 {
        now.max(self.timestamp + 1)
    }
}
