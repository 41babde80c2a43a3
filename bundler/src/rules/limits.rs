//! LIM-010 and LIM-070: what an operation weighs by itself.

use erc4337::{EntryPointVersion, UserOperation};

use super::RuleConfig;
use crate::gas;

/// The least `preVerificationGas` by the text (LIM-070): the calldata of the serialized operation, and an overhead; 0 where
/// no overhead is set, as what its bundle costs is then all that is asked for.
pub(crate) fn least_pre_verification_gas(op: &UserOperation, version: EntryPointVersion, rules: &RuleConfig) -> u128 {
    match rules.pre_verification_overhead {
        0 => 0,
        overhead => overhead.saturating_add(gas::serialized(op, version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lim_070_an_overhead_is_asked_beside_the_calldata_of_the_operation() {
        let op = UserOperation { call_data: vec![7; 320].into(), ..UserOperation::default() };
        for version in EntryPointVersion::ALL {
            let least = |overhead| {
                let rules = RuleConfig { pre_verification_overhead: overhead, ..RuleConfig::default() };
                least_pre_verification_gas(&op, version, &rules)
            };
            assert_eq!(least(0), 0);
            // 16 gas for each byte of the call that is not zero, and at most for all of some 900 bytes.
            assert!((50_000 + 320 * 16..50_000 + 900 * 16).contains(&least(50_000)), "{version}: {}", least(50_000));
        }
    }
}
