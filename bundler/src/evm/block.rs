//! The block that state is read from, and the one that operations would run in.

use std::time::Duration;

use alloy::primitives::{B256, U256};
use revm::{context::BlockEnv, context_interface::block::BlobExcessGasAndPrice, primitives::Address};

use super::Moment;
use crate::{chain_time::TimedHeader, world};

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
    /// Milliseconds of its time beyond that, where the chain tells them.
    pub millis: Option<u16>,
    /// When we saw it first by our clock, as time since 1970.
    pub seen: Duration,
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
    /// Pins a header that has just come; `next_base_fee` is in wei per gas.
    pub(crate) fn new(timed: &TimedHeader, next_base_fee: u128) -> Self {
        let header = &timed.header;
        Self {
            hash: header.hash,
            parent: header.parent_hash,
            number: header.number,
            timestamp: header.timestamp,
            millis: timed.millis(),
            seen: world::unix(),
            gas_limit: header.gas_limit,
            beneficiary: header.beneficiary,
            next_base_fee,
            prevrandao: header.mix_hash,
        }
    }

    /// The environment of a block to come.
    pub(super) fn env_at(&self, moment: Moment) -> BlockEnv {
        BlockEnv {
            number: U256::from(moment.number),
            beneficiary: self.beneficiary,
            timestamp: U256::from(moment.timestamp),
            gas_limit: self.gas_limit,
            basefee: u64::try_from(self.next_base_fee).unwrap_or(u64::MAX),
            difficulty: U256::ZERO,
            prevrandao: Some(self.prevrandao),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
            slot_num: 0,
        }
    }
}
