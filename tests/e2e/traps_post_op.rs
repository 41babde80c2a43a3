//! v0.6 lets one operation revert the whole bundle in execution: that is no reason for its neighbours not to be mined.

use alloy::primitives::Bytes;
use erc4337::{EntryPointVersion, UserOperation, wire};
use serde_json::json;
use tests::{
    Bench,
    programs::asm::{Asm, op},
};

const VERSION: EntryPointVersion = EntryPointVersion::V0_6;

/// Sponsors with a context, so that `postOp` is called, which reverts with these bytes; or, if it is sly, only if
/// whoever sends the bundle gets something for it, as in no simulation.
fn paymaster(revert_with: &[u8], sly: bool) -> Bytes {
    const LT: u8 = 0x10;
    let mut asm = Asm::default();
    let (asked, paid) = (asm.label(), asm.label());
    asm.op(op::PUSH0).op(op::CALLDATALOAD).number(224).op(op::SHR);
    let selector = u32::from_be_bytes(VERSION.selectors().validate_paymaster_user_op);
    asm.number(selector as usize).op(op::EQ).jump_if(asked);
    if sly {
        asm.op(op::GASPRICE).op(op::BASEFEE).op(LT).jump_if(paid).op(op::STOP);
    }
    asm.place(paid).memory(0, revert_with).number(revert_with.len()).op(op::PUSH0).op(op::REVERT);
    asm.place(asked);
    for (index, word) in [64, 0, 32, 1].into_iter().enumerate() {
        asm.number(word).number(32 * index).op(op::MSTORE);
    }
    asm.number(128).op(op::PUSH0).op(op::RETURN);
    asm.finish()
}

/// Sends the culprit among neighbours, at each place in turn, and bundles until all is settled; why each was dropped.
async fn among_neighbours(bench: &Bench, culprits: &[UserOperation; 3], good: &[UserOperation]) -> Vec<String> {
    let mut reasons = Vec::new();
    for (place, (culprit, good)) in culprits.iter().zip(good.chunks(2)).enumerate() {
        let mut order: Vec<_> = good.iter().collect();
        order.insert(place, culprit);
        let mut hashes = Vec::new();
        for op in order {
            hashes.push(bench.send(op).await.unwrap());
        }
        for _ in 0..12 {
            if bench.dump().await.is_empty() {
                break;
            }
            // Of what is not mined yet some is always to be sent, or dropped.
            bench.ask("debug_bundler_sendBundleNow", vec![]).await.unwrap();
            bench.catch_up().await;
        }
        let culprit = hashes.remove(place);
        for neighbour in hashes {
            bench.until(neighbour, "included").await;
        }
        reasons.push(bench.reason(culprit).await);
    }
    reasons
}

#[tokio::test(flavor = "multi_thread")]
async fn v0_6_a_post_op_that_reverts_shortly_does_not_take_its_neighbours_down() {
    for revert_with in [[].as_slice(), &[0xde, 0xad]] {
        let bench = Bench::new(VERSION).await;
        let scenarios = (0..3).map(|_| bench.sponsored(vec![])).chain((0..6).map(|_| bench.account(vec![])));
        let mut culprits = bench.place(scenarios).await;
        let good = culprits.split_off(3);
        for culprit in &culprits {
            bench.set_code(culprit.paymaster_address().unwrap(), paymaster(revert_with, false)).await;
        }
        let culprits = culprits.try_into().unwrap();
        for reason in among_neighbours(&bench, &culprits, &good).await {
            assert!(reason.contains("halted") || reason.contains("revert"), "{reason}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn v0_6_an_operation_charged_more_than_it_paid_for_does_not_take_its_neighbours_down() {
    let bench = Bench::new(VERSION).await;
    let mut culprits = bench.place((0..9).map(|_| bench.account(vec![]))).await;
    let good = culprits.split_off(3);
    let culprits: [UserOperation; 3] = culprits.try_into().unwrap();
    // What is charged is no less than what was paid for, gas for gas.
    let culprits = culprits.map(|op| UserOperation { max_priority_fee_per_gas: op.max_fee_per_gas, ..op });
    // The least that validation passes with pays for validation, and nothing else. In a bundle it takes a bit more.
    let accepted = async |limit: u128| {
        let tight = UserOperation { verification_gas_limit: limit, ..culprits[0].clone() };
        let params = vec![wire::to_json(&tight, VERSION), json!(bench.entry_point)];
        bench.ask("fabstir_explainUserOperation", params).await.unwrap()["accepted"] == true
    };
    let (mut too_low, mut enough) = (0, culprits[0].verification_gas_limit);
    while enough - too_low > 1 {
        let middle = too_low.midpoint(enough);
        if accepted(middle).await { enough = middle } else { too_low = middle }
    }
    let culprits = culprits.map(|op| UserOperation { verification_gas_limit: enough + 300, ..op });
    for reason in among_neighbours(&bench, &culprits, &good).await {
        assert!(reason.contains("AA51 prefund below actualGasCost"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn v0_6_a_post_op_that_reverts_only_on_chain_does_not_take_its_neighbours_down() {
    let bench = Bench::new(VERSION).await;
    let scenarios = (0..3).map(|_| bench.sponsored(vec![])).chain((0..6).map(|_| bench.account(vec![])));
    let mut culprits = bench.place(scenarios).await;
    let good = culprits.split_off(3);
    for culprit in &culprits {
        bench.set_code(culprit.paymaster_address().unwrap(), paymaster(&[], true)).await;
    }
    let culprits = culprits.try_into().unwrap();
    for reason in among_neighbours(&bench, &culprits, &good).await {
        assert_eq!(reason, "its bundle was mined and reverted, three times");
    }
}
