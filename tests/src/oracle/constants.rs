//! The table of constants, as far as the validation of one operation depends on them.

use alloy::primitives::U256;

/// Constants of ERC-7562, by their names there.
#[derive(Clone, Debug)]
pub struct Constants {
    /// `MIN_STAKE_VALUE`, wei: each chain's own, the text has no number.
    pub min_stake: U256,
    /// `MIN_UNSTAKE_DELAY`, seconds.
    pub min_unstake_delay: u32,
    /// `MAX_USEROP_SIZE`, bytes.
    pub max_user_op_size: usize,
    /// `MAX_CONTEXT_SIZE`, bytes.
    pub max_context_size: U256,
    /// `VALIDATION_GAS_SLACK`, gas.
    pub validation_gas_slack: u64,
    /// `MAX_VERIFICATION_GAS`, gas.
    pub max_verification_gas: u128,
    /// `PRE_VERIFICATION_OVERHEAD_GAS`, gas; none: `preVerificationGas` is not looked at.
    pub pre_verification_overhead: Option<u128>,
}

impl Constants {
    /// The text's, on a chain where this many wei are enough of a stake.
    pub fn of_the_text(min_stake: U256) -> Self {
        Self {
            min_stake,
            min_unstake_delay: 86_400,
            max_user_op_size: 8_192,
            max_context_size: U256::from(2_048),
            validation_gas_slack: 4_000,
            max_verification_gas: 500_000,
            pre_verification_overhead: Some(50_000),
        }
    }

    /// An operator's who limits neither gas nor sizes (LIM-*).
    pub fn without_limits(min_stake: U256, min_unstake_delay: u32) -> Self {
        Self {
            min_unstake_delay,
            max_user_op_size: usize::MAX,
            max_context_size: U256::MAX,
            validation_gas_slack: 0,
            max_verification_gas: u128::MAX,
            pre_verification_overhead: None,
            ..Self::of_the_text(min_stake)
        }
    }
}
