//! `eth_feeHistory`, as nodes answer it.

use alloy::primitives::U256;

/// Fees of the last blocks, oldest first.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FeeHistory {
    /// Of each block, and of the next.
    base_fee_per_gas: Vec<U256>,
    /// Priority fees at the percentiles asked for; without them for a chain that is too young.
    #[serde(default)]
    reward: Option<Vec<Vec<U256>>>,
    /// Share of its gas that each block used.
    #[serde(default)]
    gas_used_ratio: Vec<f64>,
}

impl FeeHistory {
    /// Wei per gas of the next block.
    pub(crate) fn next_base_fee(&self) -> u128 {
        self.base_fee_per_gas.last().map_or(0, |fee| fee.saturating_to())
    }

    /// The median of the blocks' priority fees at the percentile of this index, in wei per gas. Blocks without
    /// transactions have none.
    pub(crate) fn median(&self, percentile: usize) -> Option<u128> {
        let rewards = self.reward.iter().flatten().zip(&self.gas_used_ratio);
        let used = rewards.filter(|(_, used)| **used > 0.0);
        let mut fees: Vec<u128> = used.filter_map(|(fees, _)| Some(fees.get(percentile)?.saturating_to())).collect();
        fees.sort_unstable();
        fees.get(fees.len() / 2).copied()
    }
}

#[cfg(test)]
impl FeeHistory {
    pub(crate) fn new(base_fees: Vec<u128>, rewards: Vec<Vec<u128>>, gas_used_ratio: Vec<f64>) -> Self {
        let word = |fees: Vec<u128>| fees.into_iter().map(U256::from).collect::<Vec<_>>();
        let reward = Some(rewards.into_iter().map(word).collect());
        Self { base_fee_per_gas: word(base_fees), reward, gas_used_ratio }
    }
}
