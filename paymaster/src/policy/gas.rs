//! How much gas is sponsored, and how dear.

use erc4337::UserOperation;

use super::denial::Denial;

/// Ceilings; `None` for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GasRules {
    /// Wei per gas.
    pub max_fee_per_gas: Option<u128>,
    /// Wei per gas above the base fee: goes to whoever bundles.
    pub max_priority_fee_per_gas: Option<u128>,
    /// Gas; goes to whoever bundles, used or not.
    pub pre_verification_gas: Option<u128>,
    /// Gas.
    pub verification_gas_limit: Option<u128>,
    /// Gas.
    pub call_gas_limit: Option<u128>,
    /// Each limit may be so many thousandths of what a simulation needs.
    pub times_simulated: Option<u64>,
}

/// What a simulation needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Simulated {
    /// It runs with so much gas.
    Needs {
        /// Gas.
        pre_verification_gas: u128,
        /// Gas.
        verification_gas_limit: u128,
        /// Gas.
        call_gas_limit: u128,
    },
    /// It does not run.
    Fails(String),
}

/// Below this, a limit is never out of proportion.
const SLACK: u128 = 30_000;

impl GasRules {
    /// Whether a simulation must come first.
    pub fn asks(&self) -> bool {
        self.times_simulated.is_some()
    }

    /// Whether so much is sponsored. `simulated` is there if [`Self::asks`] and the limits are known already.
    ///
    /// # Errors
    /// The first ceiling that it is above.
    pub fn admit(&self, op: &UserOperation, simulated: Option<&Simulated>) -> Result<(), Denial> {
        let ceilings = [
            ("preVerificationGas", op.pre_verification_gas, self.pre_verification_gas),
            ("verificationGasLimit", op.verification_gas_limit, self.verification_gas_limit),
            ("callGasLimit", op.call_gas_limit, self.call_gas_limit),
            ("maxFeePerGas", op.max_fee_per_gas, self.max_fee_per_gas),
            ("maxPriorityFeePerGas", op.max_priority_fee_per_gas, self.max_priority_fee_per_gas),
        ];
        for (field, given, limit) in ceilings {
            if let Some(limit) = limit.filter(|limit| given > *limit) {
                return Err(Denial::Gas { field, given, limit });
            }
        }
        let (Some(thousandths), Some(simulated)) = (self.times_simulated, simulated) else { return Ok(()) };
        let (pre, verification, call) = match simulated {
            Simulated::Needs { pre_verification_gas, verification_gas_limit, call_gas_limit } => {
                (*pre_verification_gas, *verification_gas_limit, *call_gas_limit)
            }
            Simulated::Fails(why) => return Err(Denial::Fails(why.clone())),
        };
        let proportions = [
            ("preVerificationGas", op.pre_verification_gas, pre),
            ("verificationGasLimit", op.verification_gas_limit, verification),
            ("callGasLimit", op.call_gas_limit, call),
        ];
        for (field, given, simulated) in proportions {
            let limit = (simulated.saturating_mul(u128::from(thousandths)) / 1_000).max(SLACK);
            if given > limit {
                return Err(Denial::Simulated { field, given, simulated, limit });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op() -> UserOperation {
        UserOperation {
            pre_verification_gas: 50_000,
            verification_gas_limit: 100_000,
            call_gas_limit: 200_000,
            max_fee_per_gas: 7,
            max_priority_fee_per_gas: 3,
            ..UserOperation::default()
        }
    }

    #[test]
    fn each_ceiling_admits_what_is_at_it_and_denies_what_is_above() {
        type Set = fn(&mut GasRules, u128);
        let ceilings: [(&str, u128, Set); 5] = [
            ("preVerificationGas", 50_000, |rules, limit| rules.pre_verification_gas = Some(limit)),
            ("verificationGasLimit", 100_000, |rules, limit| rules.verification_gas_limit = Some(limit)),
            ("callGasLimit", 200_000, |rules, limit| rules.call_gas_limit = Some(limit)),
            ("maxFeePerGas", 7, |rules, limit| rules.max_fee_per_gas = Some(limit)),
            ("maxPriorityFeePerGas", 3, |rules, limit| rules.max_priority_fee_per_gas = Some(limit)),
        ];
        for (field, given, set) in ceilings {
            let mut rules = GasRules::default();
            set(&mut rules, given);
            assert_eq!(rules.admit(&op(), None), Ok(()));
            set(&mut rules, given - 1);
            assert_eq!(rules.admit(&op(), None), Err(Denial::Gas { field, given, limit: given - 1 }));
        }
    }

    #[test]
    fn limits_out_of_proportion_to_a_simulation_are_denied() {
        let rules = GasRules { times_simulated: Some(1_500), ..GasRules::default() };
        let needs = |call_gas_limit| Simulated::Needs {
            pre_verification_gas: 50_000,
            verification_gas_limit: 70_000,
            call_gas_limit,
        };
        assert_eq!(rules.admit(&op(), Some(&needs(140_000))), Ok(()));
        let denied = rules.admit(&op(), Some(&needs(100_000)));
        let (field, given, simulated, limit) = ("callGasLimit", 200_000, 100_000, 150_000);
        assert_eq!(denied, Err(Denial::Simulated { field, given, simulated, limit }));
        let fails = rules.admit(&op(), Some(&Simulated::Fails("reverts".into())));
        assert_eq!(fails, Err(Denial::Fails("reverts".into())));
    }
}
