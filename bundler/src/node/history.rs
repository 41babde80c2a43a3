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

    /// Of the gas of the usual of these blocks, in thousandths, what those left who paid a higher priority fee than
    /// this one (wei per gas). The percentiles asked for cut each block's gas into quarters.
    pub(crate) fn left(&self, priority_fee: u128) -> u16 {
        let rewards = self.reward.iter().flatten().zip(&self.gas_used_ratio);
        let mut left: Vec<u16> = rewards
            .map(|(fees, used)| {
                let cheaper = fees.iter().filter(|fee| **fee <= U256::from(priority_fee)).count();
                let dearer = 1.0 - 0.25 * cheaper.min(3) as f64;
                // Saturates, as casts from floats do: a share may be anything that a node says.
                (1_000.0 * (1.0 - used * dearer)).clamp(0.0, 1_000.0).round() as u16
            })
            .collect();
        left.sort_unstable();
        left.get(left.len() / 2).copied().unwrap_or(1_000)
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
