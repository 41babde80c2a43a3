//! Checks that need no EVM: gas and fees within what we can carry.

use erc4337::{EntryPointVersion, UserOperation};

use crate::{
    Config, Head, Rejection, fees,
    gas::{self, Alone},
    l1_fee::compressed,
    transaction::MAX_BYTES,
};

/// Refuses what cannot be carried, without running it.
pub(crate) fn check(
    op: &UserOperation,
    version: EntryPointVersion,
    config: &Config,
    head: &Head,
) -> Result<(), Rejection> {
    at_most("verificationGasLimit", op.verification_gas_limit, config.max_verification_gas)?;
    if let Some(paymaster) = &op.paymaster {
        at_most("paymasterVerificationGasLimit", paymaster.verification_gas_limit, config.max_verification_gas)?;
    }
    let limit = u128::from(config.chain.max_transaction_gas.min(head.block.gas_limit));
    let bundle_gas = gas::bundle_gas_limit([op], version);
    if bundle_gas > limit {
        let field = largest(gas_limits(op));
        return Err(Rejection::TooLarge { field, given: bundle_gas, limit, unit: "gas" });
    }
    let alone = Alone::new(op, version);
    size(op, version, &alone, head)?;
    at_least("preVerificationGas", op.pre_verification_gas, alone.pre_verification_gas(op, version, head))?;
    if op.max_priority_fee_per_gas > op.max_fee_per_gas {
        let (field, given) = ("maxFeePerGas", op.max_fee_per_gas);
        return Err(Rejection::TooLow { field, given, required: op.max_priority_fee_per_gas });
    }
    fees::accept(op.max_fee_per_gas, op.max_priority_fee_per_gas, config, head.fees)
}

/// Refuses what no node or no block takes, even alone in its transaction.
fn size(op: &UserOperation, version: EntryPointVersion, alone: &Alone, head: &Head) -> Result<(), Rejection> {
    let bytes = alone.bytes.len().max(gas::Load::of(op, version).bytes());
    let footprint = head.l1.map_or(0, |prices| prices.footprint(compressed(&alone.bytes)));
    for (given, limit, unit) in [
        (bytes as u128, MAX_BYTES as u128, "bytes"),
        (footprint.into(), head.block.gas_limit.into(), "gas that its data counts for"),
    ] {
        if given > limit {
            return Err(Rejection::TooLarge { field: largest(lengths(op, version)), given, limit, unit });
        }
    }
    Ok(())
}

fn gas_limits(op: &UserOperation) -> [(&'static str, u128); 4] {
    let paymaster = op.paymaster.as_ref();
    [
        ("callGasLimit", op.call_gas_limit),
        ("verificationGasLimit", op.verification_gas_limit),
        ("paymasterVerificationGasLimit", paymaster.map_or(0, |paymaster| paymaster.verification_gas_limit)),
        ("paymasterPostOpGasLimit", paymaster.map_or(0, |paymaster| paymaster.post_op_gas_limit)),
    ]
}

fn lengths(op: &UserOperation, version: EntryPointVersion) -> [(&'static str, u128); 4] {
    let (factory, payer) =
        if version.is_packed() { ("factoryData", "paymasterData") } else { ("initCode", "paymasterAndData") };
    let paymaster = op.paymaster.as_ref().map_or(0, |paymaster| paymaster.data.len() + paymaster.signature.len());
    let initializer = op.initializer.as_ref().map_or(0, |_| op.init_code().len());
    [
        ("callData", op.call_data.len() as u128),
        (factory, initializer as u128),
        (payer, paymaster as u128),
        ("signature", op.signature.len() as u128),
    ]
}

/// The field to make smaller; the first of those that are alike.
fn largest(fields: [(&'static str, u128); 4]) -> &'static str {
    fields.into_iter().rev().max_by_key(|(_, size)| *size).map_or("callData", |(field, _)| field)
}

fn at_least(field: &'static str, given: u128, required: u128) -> Result<(), Rejection> {
    if given < required { Err(Rejection::TooLow { field, given, required }) } else { Ok(()) }
}

fn at_most(field: &'static str, given: u128, limit: u128) -> Result<(), Rejection> {
    if given > limit { Err(Rejection::TooHigh { field, given, limit }) } else { Ok(()) }
}
