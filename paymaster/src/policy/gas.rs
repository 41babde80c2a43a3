//! How much gas is sponsored, and how dear.

use erc4337::UserOperation;

use super::denial::Denial;
use crate::{
    chain::Fees,
    rehearsal::{Needs, Signatures},
};

/// Thousandths of what an operation needs that its limits may be, where the policy does not say: what is above the need is
/// partly paid to whoever bundles (a tenth of it, since v0.7).
const TIMES_NEEDED: u64 = 1_100;
/// Gas that a limit of the call, or of `postOp`, may be above that: contracts do not take the same gas twice.
const SLACK: u128 = 10_000;
/// A limit for validation that is never out of proportion: passkeys' wallets ask for so much whatever they need, and what is
/// not used of it is paid to nobody.
const VERIFICATION: u128 = 1_000_000;
/// Thousandths of what the chain asks for as a tip that are sponsored, where the policy does not say.
const TIMES_PRIORITY_FEE: u64 = 1_000;
/// Bytes of a signature, or of what stands for it: passkeys' and sessions' have less.
const SIGNATURE: u128 = 2_048;
/// So many times what the chain asks for now it may come to ask before the operation is in a block.
const FEES_RISE: u128 = 3;

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
    /// Each limit may be so many thousandths of what the operation needs; `None`: those that nobody gains by.
    pub times_simulated: Option<u64>,
    /// The tip may be so many thousandths of what the chain asks for; `None`: as much.
    pub times_priority_fee: Option<u64>,
}

/// What a simulation needed, of what was left open.
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

fn times(amount: u128, thousandths: u64) -> u128 {
    amount.saturating_mul(u128::from(thousandths)) / 1_000
}

impl GasRules {
    /// Whether so much is sponsored. Fees and limits that are not known yet are zero.
    ///
    /// # Errors
    /// The first ceiling that it is above.
    pub fn admit(&self, op: &UserOperation, fees: Fees) -> Result<(), Denial> {
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
        // Its bytes are paid for as they are now, and it may be shorter in the end.
        let (given, limit) = (op.signature.len() as u128, SIGNATURE);
        if given > limit {
            return Err(Denial::Gas { field: "signature", given, limit });
        }
        // A tip that nobody needs is a gift to whoever bundles, and that may be who asks.
        let tip = times(fees.priority_fee, self.times_priority_fee.unwrap_or(TIMES_PRIORITY_FEE)).max(1);
        let fee = fees.base_fee.saturating_add(tip).saturating_mul(FEES_RISE);
        for (field, given, limit) in
            [("maxPriorityFeePerGas", op.max_priority_fee_per_gas, tip), ("maxFeePerGas", op.max_fee_per_gas, fee)]
        {
            if given > limit {
                return Err(Denial::Price { field, given, limit });
            }
        }
        Ok(())
    }

    /// Whether its limits are in proportion to what it needed when it was run. `post_op` is the least limit that the paymaster
    /// itself insists on. What comes with its user's signature is not handed back to be bundled elsewhere.
    ///
    /// # Errors
    /// The first limit that is not.
    pub fn in_proportion(
        &self,
        op: &UserOperation,
        needs: &Needs,
        post_op: u128,
        signatures: Signatures,
    ) -> Result<(), Denial> {
        let share = self.times_simulated.unwrap_or(TIMES_NEEDED);
        let with_slack = |needed| times(needed, share) + SLACK;
        let validation = |needed| with_slack(needed).max(VERIFICATION);
        // Paid whether it is used or not: what needs no room has none.
        let room = if signatures == Signatures::Given { SLACK } else { 0 };
        let pre_verification = times(needs.pre_verification_gas, self.times_simulated.unwrap_or(1_000)) + room;
        let after = needs.paymaster_post_op_gas_limit;
        let after_at_most = if after == 0 { post_op } else { with_slack(after).max(post_op) };
        let (paymaster, post_op_given) =
            op.paymaster.as_ref().map_or((0, 0), |own| (own.verification_gas_limit, own.post_op_gas_limit));
        let (verification, call) = (needs.verification_gas_limit, needs.call_gas_limit);
        let paymaster_needs = needs.paymaster_verification_gas_limit;
        for (field, given, simulated, limit) in [
            ("preVerificationGas", op.pre_verification_gas, needs.pre_verification_gas, pre_verification),
            ("verificationGasLimit", op.verification_gas_limit, verification, validation(verification)),
            ("callGasLimit", op.call_gas_limit, call, with_slack(call)),
            ("paymasterVerificationGasLimit", paymaster, paymaster_needs, validation(paymaster_needs)),
            ("paymasterPostOpGasLimit", post_op_given, after, after_at_most),
        ] {
            if given > limit {
                return Err(Denial::Simulated { field, given, simulated, limit });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use erc4337::Paymaster;

    use super::*;

    /// More than anything here pays.
    const DEAR: Fees = Fees { base_fee: 1_000_000, priority_fee: 1_000_000 };

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

    fn needs() -> Needs {
        Needs {
            pre_verification_gas: 50_000,
            verification_gas_limit: 70_000,
            call_gas_limit: 180_000,
            ..Needs::default()
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
            assert_eq!(rules.admit(&op(), DEAR), Ok(()));
            set(&mut rules, given - 1);
            assert_eq!(rules.admit(&op(), DEAR), Err(Denial::Gas { field, given, limit: given - 1 }));
        }
    }

    #[test]
    fn a_tip_is_what_the_chain_asks_for_and_the_fee_has_room_for_it_to_rise() {
        let asked = |base_fee, priority_fee, rules: GasRules| rules.admit(&op(), Fees { base_fee, priority_fee });
        let default = GasRules::default();
        assert_eq!(asked(0, 3, default), Ok(()));
        let (field, given, limit) = ("maxPriorityFeePerGas", 3, 2);
        assert_eq!(asked(100, 2, default), Err(Denial::Price { field, given, limit }));
        let doubled = GasRules { times_priority_fee: Some(1_500), ..default };
        assert_eq!(asked(100, 2, doubled), Ok(()));
        let high = UserOperation { max_fee_per_gas: 13, ..op() };
        let (field, given, limit) = ("maxFeePerGas", 13, 12);
        let denied = default.admit(&high, Fees { base_fee: 1, priority_fee: 3 });
        assert_eq!(denied, Err(Denial::Price { field, given, limit }));
        assert_eq!(default.admit(&UserOperation::default(), Fees::default()), Ok(()), "not known yet");
    }

    #[test]
    fn limits_out_of_proportion_to_what_was_needed_are_denied() {
        let rules = GasRules::default();
        assert_eq!(rules.in_proportion(&op(), &needs(), 0, Signatures::Awaited), Ok(()));
        let denied = |op: &UserOperation, needs: &Needs| match rules.in_proportion(op, needs, 0, Signatures::Awaited) {
            Err(Denial::Simulated { field, given, simulated, limit }) => (field, given, simulated, limit),
            other => panic!("{other:?}"),
        };
        let less = Needs { pre_verification_gas: 49_999, ..needs() };
        assert_eq!(denied(&op(), &less), ("preVerificationGas", 50_000, 49_999, 49_999));
        assert_eq!(rules.in_proportion(&op(), &less, 0, Signatures::Given), Ok(()), "it is bundled by us");
        let less = Needs { call_gas_limit: 170_000, ..needs() };
        assert_eq!(denied(&op(), &less), ("callGasLimit", 200_000, 170_000, 197_000));
        let much = UserOperation { verification_gas_limit: 1_000_001, ..op() };
        assert_eq!(denied(&much, &needs()), ("verificationGasLimit", 1_000_001, 70_000, 1_000_000));
        let with = |verification_gas_limit, post_op_gas_limit| UserOperation {
            paymaster: Some(Paymaster { verification_gas_limit, post_op_gas_limit, ..Paymaster::default() }),
            ..op()
        };
        assert_eq!(denied(&with(60_000, 1), &needs()), ("paymasterPostOpGasLimit", 1, 0, 0));
        assert_eq!(
            rules.in_proportion(&with(60_000, 60_000), &needs(), 60_000, Signatures::Awaited),
            Ok(()),
            "the contract insists on it"
        );
        let used = Needs { paymaster_post_op_gas_limit: 40_000, ..needs() };
        assert_eq!(denied(&with(60_000, 60_001), &used), ("paymasterPostOpGasLimit", 60_001, 40_000, 54_000));
        let field = denied(&with(1_000_001, 0), &needs()).0;
        assert_eq!(field, "paymasterVerificationGasLimit");
    }

    #[test]
    fn an_operator_may_be_more_generous() {
        let rules = GasRules { times_simulated: Some(1_500), ..GasRules::default() };
        let less = Needs { pre_verification_gas: 34_000, call_gas_limit: 130_000, ..needs() };
        assert_eq!(rules.in_proportion(&op(), &less, 0, Signatures::Awaited), Ok(()));
        let less = Needs { pre_verification_gas: 33_000, ..less };
        let (field, given, simulated, limit) = ("preVerificationGas", 50_000, 33_000, 49_500);
        let denied = rules.in_proportion(&op(), &less, 0, Signatures::Awaited);
        assert_eq!(denied, Err(Denial::Simulated { field, given, simulated, limit }));
    }
}
