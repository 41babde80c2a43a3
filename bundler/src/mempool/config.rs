//! What an operator may set, with ERC-7562's constants as defaults.

use std::{collections::HashSet, time::Duration};

use alloy::primitives::Address;

/// Limits of the mempool and of reputations.
#[derive(Clone, Debug)]
pub struct MempoolConfig {
    /// Operations of one unstaked sender (`SAME_SENDER_MEMPOOL_COUNT`).
    pub same_sender: usize,
    /// Operations of a new, unstaked paymaster (`SAME_UNSTAKED_ENTITY_MEMPOOL_COUNT`).
    pub same_unstaked_entity: usize,
    /// Inclusions that raise what an unstaked paymaster may have pending, at most (`MAX_OPS_ALLOWED_UNSTAKED_ENTITY`).
    pub max_counted_inclusions: u64,
    /// Operations of a throttled entity (`THROTTLED_ENTITY_MEMPOOL_COUNT`).
    pub throttled: usize,
    /// How long those may stay, in chain time. ERC-7562 counts ten blocks (`THROTTLED_ENTITY_LIVE_BLOCKS`), by which it
    /// means that they are not to be held for long, yet to have several chances: ten blocks of 200 ms would be less than
    /// one raise of a bid. We read them as blocks of two seconds, on every chain.
    pub throttled_live: Duration,
    /// Of those, in one bundle (`THROTTLED_ENTITY_BUNDLE_COUNT`).
    pub throttled_in_bundle: usize,
    /// Operations seen for each that should have been included (`MIN_INCLUSION_RATE_DENOMINATOR`).
    pub inclusion_rate_denominator: u64,
    /// Missing inclusions after which an entity is throttled (`THROTTLING_SLACK`).
    pub throttling_slack: u64,
    /// Missing inclusions after which an entity is banned (`BAN_SLACK`).
    pub ban_slack: u64,
    /// Operations that an entity which fails a bundle counts as having sent (`BAN_OPS_SEEN_PENALTY`).
    pub ban_penalty: u64,
    /// Operations held at most.
    pub max_operations: usize,
    /// Bytes of operations held at most.
    pub max_bytes: usize,
    /// Entities that no limit and no reputation holds back: the operator's own.
    pub allowed: HashSet<Address>,
    /// Addresses whose operations are refused, whatever their part in them.
    pub blocked: HashSet<Address>,
}

impl Default for MempoolConfig {
    fn default() -> Self {
        Self {
            same_sender: 4,
            same_unstaked_entity: 10,
            max_counted_inclusions: 10_000,
            throttled: 4,
            throttled_live: Duration::from_secs(20),
            throttled_in_bundle: 4,
            inclusion_rate_denominator: 10,
            throttling_slack: 10,
            ban_slack: 50,
            ban_penalty: 10_000,
            max_operations: 20_000,
            max_bytes: 256 * 1024 * 1024,
            allowed: HashSet::new(),
            blocked: HashSet::new(),
        }
    }
}
