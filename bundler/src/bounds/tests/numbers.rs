//! The room that is asked for is what the real bytecode takes at the worst, and hardly more.

use alloy::{primitives::Address, sol_types::SolEvent};
use erc4337::{EntryPointVersion, Paymaster, UserOperation, abi::entry_point_v08::UserOperationEvent};
use revm::context::result::ExecutionResult;

use super::{
    super::beside,
    code::{End, When, Worst, account, paymaster},
    property::{admit_at_the_least, examine},
    world::{BASE_FEE, Mined, World},
};
use crate::{builder::Bundle, fees::FeeSuggestion, gas, submitter::Fees};

const CALL_GAS: u128 = 200_000;
const POST_OP_GAS: u128 = 200_000;

/// Gas that an operation of so much call data takes beside its limits, if its account and its paymaster, which returned a
/// context of so many bytes, burn all that they have and revert with as much as is copied; and what is reckoned with.
async fn at_the_worst(version: EntryPointVersion, data: usize, context: u64) -> (u128, u128) {
    let (sender, payer) = (Address::repeat_byte(0xa1), Address::repeat_byte(0xa2));
    let mut world = World::new(version);
    let worst = Worst { burn: Some(280), end: End::Revert(2_048), ..Worst::NOTHING };
    world.put(sender, account(version, worst));
    world.deposit(sender, false);
    // In v0.6 it is asked again, and then has to let it be.
    let when = if version == EntryPointVersion::V0_6 { When::First } else { When::Always };
    world.put(payer, paymaster(version, context, Worst { when, ..worst }));
    world.deposit(payer, true);
    let packed = version.is_packed();
    let op = UserOperation {
        sender,
        call_data: vec![0; data].into(),
        call_gas_limit: CALL_GAS,
        verification_gas_limit: 400_000,
        max_fee_per_gas: 3 * BASE_FEE,
        max_priority_fee_per_gas: 10_000_000,
        paymaster: (context > 0).then(|| Paymaster {
            address: payer,
            verification_gas_limit: if packed { 200_000 } else { 0 },
            post_op_gas_limit: if packed { POST_OP_GAS } else { 0 },
            ..Paymaster::default()
        }),
        ..UserOperation::default()
    };
    let head = world.head(FeeSuggestion::flat(BASE_FEE, 5_000_000), None);
    let mut admitted = admit_at_the_least(op, &world, &head).await;
    let (metered, _) = examine(&admitted.op, &world, &head).await;
    // Nothing is to be cut short, nor any calldata to be dearer than what is executed.
    let op = std::sync::Arc::make_mut(&mut admitted.op);
    if packed {
        op.verification_gas_limit = 1_000_000;
    }
    let (limit, op) = (op.verification_gas_limit, op.clone());
    let bundle = Bundle::new(version.canonical_address(), version, vec![admitted]);
    let bid = Fees { max_fee: 2 * BASE_FEE, priority_fee: 5_000_000 };
    let input = bundle.transaction(31_337, Some(1), bid, Address::ZERO).input().to_vec();
    let result = world.mine(&bundle, 16_000_000, bid, Mined::FORESEEN);
    let ExecutionResult::Success { ref logs, .. } = result else { panic!("{version} {data} {context}: {result:?}") };
    let of_post_op = match (context, packed) {
        (0, _) => 0,
        (_, true) => POST_OP_GAS,
        (_, false) => 0,
    };
    let taken = if packed {
        let calldata: u128 = input.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum();
        let words = input.len().div_ceil(32) as u128;
        let paid = 21_000 + calldata + gas::unmetered(version) + gas::UNMETERED_PER_WORD * words;
        u128::from(result.tx_gas_used()) - paid
    } else {
        let event = logs.iter().find_map(|log| UserOperationEvent::decode_log(log).ok()).unwrap();
        // Of the limit that `postOp` had, all was burnt.
        let burnt = if context > 0 { limit } else { 0 };
        u128::try_from(event.actualGasUsed).unwrap() - op.pre_verification_gas - burnt
    };
    (taken - metered.charged - CALL_GAS - of_post_op, beside(&op, version, context as usize))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_execution_takes_beside_its_limits_is_no_more_than_is_reckoned_with_and_hardly_less() {
    for version in EntryPointVersion::ALL {
        for data in [32, 1_000, 8_192] {
            for context in [0, 32, 500, 2_048] {
                let (taken, reckoned) = at_the_worst(version, data, context).await;
                println!(
                    "{version}, {data} bytes of call data, {context} of context: {taken} taken, {reckoned} reckoned"
                );
                assert!((taken..taken + 4_000).contains(&reckoned), "{version} {data} {context}: {taken}, {reckoned}");
            }
        }
    }
}

#[test]
fn lim_030_each_verification_limit_exceeds_what_was_used_by_the_slack() {
    let metered = super::super::Metered { account: 60_000, paymaster: 20_000, charged: 90_000 };
    for version in EntryPointVersion::ALL.into_iter().filter(|version| version.is_packed()) {
        let refused = |account: u128, payer: u128| {
            let op = UserOperation {
                verification_gas_limit: account,
                pre_verification_gas: 1_000_000,
                max_fee_per_gas: 100,
                paymaster: Some(Paymaster { verification_gas_limit: payer, ..Paymaster::default() }),
                ..UserOperation::default()
            };
            match metered.check(&op, version, 0, 1) {
                Ok(()) => None,
                Err(crate::Rejection::TooLow { field, required, .. }) => Some((field, required)),
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(refused(64_000, 24_000), None, "{version}");
        assert_eq!(refused(63_999, 24_000), Some(("verificationGasLimit", 64_000)), "{version}");
        assert_eq!(refused(64_000, 23_999), Some(("paymasterVerificationGasLimit", 24_000)), "{version}");
    }
}
