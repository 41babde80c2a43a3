//! What to bid for a transaction, and what an operation must offer to be taken.
//!
//! The base fee is the protocol's. The priority fee is the node's suggestion, held against what the last blocks' were
//! paid (`eth_feeHistory`): a node alone may know nothing, as on a chain without traffic, and history alone is led by
//! a few who overbid.

use crate::{
    Config, Rejection,
    node::{FeeHistory, NodeClient, NodeError},
};

/// Blocks of history.
const BLOCKS: u64 = 5;
/// Of the priority fees in a block, weighed by gas, in per cent from the lowest: for those who can wait, those who want
/// the next block, those who must have it.
const PERCENTILES: [f64; 3] = [25.0, 50.0, 75.0];
/// Whatever history says, haste costs no more than this many times the usual.
const MOST_FOR_HASTE: u128 = 10;

/// What to bid, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeSuggestion {
    /// Base fee of the next block.
    pub base_fee: u128,
    /// Priority fee for the next block.
    pub priority_fee: u128,
    /// Priority fee for when there is no hurry; at most the usual.
    pub slow_priority_fee: u128,
    /// Priority fee for when there is; above the usual.
    pub fast_priority_fee: u128,
    /// The most that any bundle bids per gas, base fee included.
    pub cap: u128,
    /// Of a block's gas, in thousandths, what is left after those who pay a higher priority fee than the usual one.
    pub left_per_mille: u16,
}

/// Bounds of what is bid and of what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeePolicy {
    /// Wei per gas below which no priority fee is bid, but where operations pay less.
    pub min_priority_fee: u128,
    /// The most that any bundle bids per gas, base fee included, in wei.
    pub cap: u128,
    /// Per cent of the next base fee, and of the least priority fee, that an operation must offer to be taken. Under
    /// 100 it may wait in the mempool for fees to fall.
    pub accept_per_cent: u128,
}

impl FeePolicy {
    /// No bounds.
    pub const UNBOUND: Self = Self { min_priority_fee: 0, cap: u128::MAX, accept_per_cent: 100 };
}

impl FeeSuggestion {
    /// What this node and its history suggest for the next block.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn ask(node: &NodeClient, policy: &FeePolicy) -> Result<Self, NodeError> {
        let (history, suggested) = tokio::try_join!(node.fee_history(BLOCKS, &PERCENTILES), node.max_priority_fee())?;
        Ok(Self::of(&history, suggested, policy))
    }

    /// The same priority fee for everybody, and no cap.
    pub fn flat(base_fee: u128, priority_fee: u128) -> Self {
        Self {
            base_fee,
            priority_fee,
            slow_priority_fee: priority_fee,
            fast_priority_fee: priority_fee.saturating_mul(125).div_ceil(100),
            cap: u128::MAX,
            left_per_mille: 1_000,
        }
    }

    /// From history and the node's own suggestion, if it has one.
    fn of(history: &FeeHistory, suggested: Option<u128>, policy: &FeePolicy) -> Self {
        let [slow, usual, fast] = [0, 1, 2].map(|tier| history.median(tier));
        let usual = suggested.or(usual).unwrap_or_default().max(policy.min_priority_fee);
        let least_fast = usual.saturating_mul(125).div_ceil(100).max(usual);
        Self {
            base_fee: history.next_base_fee(),
            priority_fee: usual,
            slow_priority_fee: slow.unwrap_or(usual).clamp(policy.min_priority_fee, usual),
            fast_priority_fee: fast
                .unwrap_or(least_fast)
                .clamp(least_fast, usual.saturating_mul(MOST_FOR_HASTE).max(least_fast)),
            cap: policy.cap,
            left_per_mille: history.left(usual),
        }
    }
}

/// Refuses what offers too little to be carried soon.
pub(crate) fn accept(max_fee: u128, priority_fee: u128, config: &Config, fees: FeeSuggestion) -> Result<(), Rejection> {
    let policy = &config.fees;
    let share = |of: u128| (of.saturating_mul(policy.accept_per_cent)).div_ceil(100);
    for (field, given, required) in [
        ("maxFeePerGas", max_fee, share(fees.base_fee)),
        ("maxPriorityFeePerGas", priority_fee, share(policy.min_priority_fee)),
    ] {
        if given < required {
            return Err(Rejection::TooLow { field, given, required });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: FeePolicy = FeePolicy { min_priority_fee: 10, cap: 1_000, accept_per_cent: 100 };

    fn history(rewards: &[[u128; 3]], used: &[f64]) -> FeeHistory {
        FeeHistory::new(vec![100, 200], rewards.iter().map(|of| of.to_vec()).collect(), used.to_vec())
    }

    #[test]
    fn empty_blocks_say_nothing_of_what_is_paid() {
        let history = history(&[[20, 30, 60], [0, 0, 0], [40, 50, 80]], &[0.5, 0.0, 0.1]);
        let fees = FeeSuggestion::of(&history, None, &POLICY);
        assert_eq!((fees.base_fee, fees.priority_fee), (200, 50));
        assert_eq!((fees.slow_priority_fee, fees.fast_priority_fee), (40, 80));
    }

    #[test]
    fn the_nodes_word_counts_and_tiers_stay_in_order() {
        let fees = FeeSuggestion::of(&history(&[[500, 700, 90_000]], &[0.9]), Some(100), &POLICY);
        assert_eq!((fees.slow_priority_fee, fees.priority_fee, fees.fast_priority_fee), (100, 100, 1_000));
        let fees = FeeSuggestion::of(&history(&[[0, 0, 1]], &[0.9]), Some(100), &POLICY);
        assert_eq!((fees.slow_priority_fee, fees.fast_priority_fee), (10, 125), "the chain's least");
    }

    #[test]
    fn without_history_and_without_the_nodes_word_the_chains_least_is_bid() {
        let fees = FeeSuggestion::of(&history(&[], &[]), None, &POLICY);
        assert_eq!((fees.slow_priority_fee, fees.priority_fee, fees.fast_priority_fee), (10, 10, 13));
        assert_eq!(fees.cap, 1_000);
    }

    #[test]
    fn what_a_block_has_left_is_what_those_who_pay_more_do_not_take() {
        let left = |rewards: &[[u128; 3]], used: &[f64]| {
            FeeSuggestion::of(&history(rewards, used), Some(100), &POLICY).left_per_mille
        };
        // All of it goes to those who pay more, three quarters, half, a quarter.
        assert_eq!(left(&[[101, 102, 103]], &[0.6]), 400);
        assert_eq!(left(&[[100, 102, 103]], &[0.6]), 550);
        assert_eq!(left(&[[100, 100, 103]], &[0.6]), 700);
        assert_eq!(left(&[[100, 100, 100]], &[0.6]), 850);
        // The usual block counts, not the one that was full.
        assert_eq!(left(&[[200; 3], [200; 3], [200; 3]], &[1.0, 0.5, 0.2]), 500);
        assert_eq!(left(&[], &[]), 1_000);
    }

    #[test]
    fn whatever_a_node_says_is_no_more_than_a_number() {
        let most = u128::MAX;
        let history = || FeeHistory::new(vec![most, most], vec![vec![most; 3]], vec![f64::NAN, -1.0]);
        for suggested in [None, Some(most)] {
            let fees = FeeSuggestion::of(&history(), suggested, &FeePolicy::UNBOUND);
            assert!(fees.slow_priority_fee <= fees.priority_fee && fees.priority_fee <= fees.fast_priority_fee);
            assert!(accept(1, 1, &Config::new(erc4337::ChainPreset::local()), fees).is_err());
        }
    }

    #[test]
    fn an_operation_offers_its_share_of_the_base_fee_and_of_the_least_priority_fee() {
        let mut config = Config::new(erc4337::ChainPreset::local());
        config.fees = FeePolicy { accept_per_cent: 50, ..POLICY };
        let fees = FeeSuggestion::flat(100, 20);
        assert!(accept(50, 5, &config, fees).is_ok());
        let field = |result: Result<(), Rejection>| match result {
            Err(Rejection::TooLow { field, given, required }) => (field, given, required),
            other => panic!("{other:?}"),
        };
        assert_eq!(field(accept(49, 5, &config, fees)), ("maxFeePerGas", 49, 50));
        assert_eq!(field(accept(50, 4, &config, fees)), ("maxPriorityFeePerGas", 4, 5));
    }
}
