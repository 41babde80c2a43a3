//! Checks that need no EVM: gas and fees within what we can carry.

use erc4337::{EntryPointVersion, UserOperation};

use crate::{
    Config, Head, Rejection, fees,
    gas::{self, Alone},
    l1_fee::compressed,
    rules,
    transaction::MAX_BYTES,
};

pub(super) fn check(
    op: &UserOperation,
    version: EntryPointVersion,
    config: &Config,
    head: &Head,
) -> Result<(), Rejection> {
    // LIM-060.
    let most = config.most_verification_gas();
    at_most("verificationGasLimit", op.verification_gas_limit, most)?;
    if let Some(paymaster) = &op.paymaster {
        at_most("paymasterVerificationGasLimit", paymaster.verification_gas_limit, most)?;
    }
    let limit = u128::from(config.chain.max_transaction_gas.min(head.block.gas_limit));
    let bundle_gas = gas::bundle_gas_limit([op], version);
    if bundle_gas > limit {
        let field = largest(gas_limits(op));
        return Err(Rejection::TooLarge { field, given: bundle_gas, limit, unit: "gas" });
    }
    let alone = Alone::new(op, version);
    size(op, version, &alone, config, head)?;
    let least = alone.pre_verification_gas(op, version, head);
    let least = least.max(rules::least_pre_verification_gas(op, version, &config.rules));
    at_least("preVerificationGas", op.pre_verification_gas, least)?;
    if op.max_priority_fee_per_gas > op.max_fee_per_gas {
        let (field, given) = ("maxFeePerGas", op.max_fee_per_gas);
        return Err(Rejection::TooLow { field, given, required: op.max_priority_fee_per_gas });
    }
    fees::accept(op.max_fee_per_gas, op.max_priority_fee_per_gas, config, head.fees)
}

/// Refuses what is too long (LIM-010), and what no node or no block takes, even alone in its transaction.
fn size(
    op: &UserOperation,
    version: EntryPointVersion,
    alone: &Alone,
    config: &Config,
    head: &Head,
) -> Result<(), Rejection> {
    let (given, limit) = (gas::encoded_size(op, version), config.rules.max_user_op_size);
    if given > limit {
        let (field, given, limit) = (largest(lengths(op, version)), given as u128, limit as u128);
        return Err(Rejection::TooLarge { field, given, limit, unit: "bytes" });
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use erc4337::{ChainPreset, Paymaster};

    use super::*;
    use crate::{
        evm::{Shared, StateView},
        fees::FeeSuggestion,
        mempool::tests::block,
        node::NodeClient,
    };

    fn refused(op: &UserOperation, config: &Config) -> Option<(&'static str, u128)> {
        let node = NodeClient::new("http://127.0.0.1:1").unwrap();
        let block = block(1);
        let view = Arc::new(StateView::new(node, block.hash, 0, Arc::<Shared>::default()));
        let head = Head { block, time: 0, view, fees: FeeSuggestion::flat(1, 1), l1: None };
        match check(op, EntryPointVersion::V0_8, config, &head) {
            Ok(()) => None,
            Err(Rejection::TooHigh { field, limit, .. } | Rejection::TooLarge { field, limit, .. }) => {
                Some((field, limit))
            }
            Err(Rejection::TooLow { field, required, .. }) => Some((field, required)),
            Err(other) => panic!("{other}"),
        }
    }

    fn operation() -> UserOperation {
        UserOperation {
            verification_gas_limit: 499_999,
            pre_verification_gas: 400_000,
            max_fee_per_gas: 100,
            max_priority_fee_per_gas: 100,
            ..UserOperation::default()
        }
    }

    fn canonical() -> Config {
        let mut config = Config::new(ChainPreset::local());
        rules::make_canonical(&mut config);
        config
    }

    #[tokio::test]
    async fn lim_060_each_verification_limit_is_lower_than_the_most() {
        let config = canonical();
        assert_eq!(refused(&operation(), &config), None);
        let of_account = UserOperation { verification_gas_limit: 500_000, ..operation() };
        assert_eq!(refused(&of_account, &config), Some(("verificationGasLimit", 499_999)));
        let paymaster = |limit| Some(Paymaster { verification_gas_limit: limit, ..Paymaster::default() });
        let of_paymaster = |limit| UserOperation { paymaster: paymaster(limit), ..operation() };
        assert_eq!(refused(&of_paymaster(499_999), &config), None);
        assert_eq!(refused(&of_paymaster(500_000), &config), Some(("paymasterVerificationGasLimit", 499_999)));
        let operators = Config::new(ChainPreset::local());
        assert_eq!(refused(&of_account, &operators), None);
        let most = UserOperation { verification_gas_limit: 5_000_000, ..operation() };
        assert_eq!(refused(&most, &operators), Some(("verificationGasLimit", 4_999_999)));
    }

    #[tokio::test]
    async fn lim_010_an_operation_is_no_longer_than_the_text_says_or_a_node_takes() {
        let (canonical, operators) = (canonical(), Config::new(ChainPreset::local()));
        // Beside call data: its offset, nine fields, and a length for each of the four that are bytes.
        let of = |bytes: usize| {
            let call_data = vec![0; bytes - 32 * (1 + 9 + 4)].into();
            UserOperation { call_data, pre_verification_gas: 9_000_000, ..operation() }
        };
        assert_eq!(refused(&of(8_192), &canonical), None);
        assert_eq!(refused(&of(8_224), &canonical), Some(("callData", 8_192)));
        assert_eq!(refused(&of(8_224), &operators), None);
        assert_eq!(refused(&of(140_000 / 32 * 32), &operators), Some(("callData", MAX_BYTES as u128)));
    }

    #[tokio::test]
    async fn lim_070_an_operation_pays_for_its_calldata_and_an_overhead() {
        let config = canonical();
        let op = UserOperation { pre_verification_gas: 50_000, ..operation() };
        let (field, least) = refused(&op, &config).unwrap();
        assert!(field == "preVerificationGas" && least > 50_000, "{least}");
        assert_eq!(refused(&UserOperation { pre_verification_gas: least, ..op.clone() }, &config), None);
        assert!(refused(&UserOperation { pre_verification_gas: least - 1, ..op }, &config).is_some());
    }
}
