//! Checks that need no EVM: gas and fees within what we can carry.

use erc4337::{EntryPointVersion, UserOperation};

use crate::{Config, Head, Rejection, fees, gas};

pub(super) fn check(
    op: &UserOperation,
    version: EntryPointVersion,
    config: &Config,
    head: &Head,
) -> Result<(), Rejection> {
    at_most("verificationGasLimit", op.verification_gas_limit, config.max_verification_gas)?;
    if let Some(paymaster) = &op.paymaster {
        at_most("paymasterVerificationGasLimit", paymaster.verification_gas_limit, config.max_verification_gas)?;
    }
    let limit = u128::from(config.chain.max_transaction_gas);
    let bundle_gas = gas::bundle_gas_limit([op], version);
    if bundle_gas > limit {
        return Err(Rejection::TooHigh { field: "callGasLimit", given: bundle_gas, limit });
    }
    at_least("preVerificationGas", op.pre_verification_gas, gas::pre_verification_gas(op, version, head))?;
    if op.max_priority_fee_per_gas > op.max_fee_per_gas {
        let (field, given) = ("maxFeePerGas", op.max_fee_per_gas);
        return Err(Rejection::TooLow { field, given, required: op.max_priority_fee_per_gas });
    }
    fees::accept(op.max_fee_per_gas, op.max_priority_fee_per_gas, config, head.fees)
}

fn at_least(field: &'static str, given: u128, required: u128) -> Result<(), Rejection> {
    if given < required { Err(Rejection::TooLow { field, given, required }) } else { Ok(()) }
}

fn at_most(field: &'static str, given: u128, limit: u128) -> Result<(), Rejection> {
    if given > limit { Err(Rejection::TooHigh { field, given, limit }) } else { Ok(()) }
}
