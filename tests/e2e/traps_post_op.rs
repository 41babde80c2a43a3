//! v0.6 lets one operation revert the whole bundle in execution: that is no reason for its neighbours not to be mined.

use alloy::primitives::Bytes;
use erc4337::{EntryPointVersion, UserOperation, wire};
use serde_json::json;
use tests::{
    Bench,
    programs::{
        Scenario,
        asm::{Asm, op},
        scenario::Stake,
    },
};

const VERSION: EntryPointVersion = EntryPointVersion::V0_6;

/// Code that leaves on the stack whether to revert.
type When = fn(&mut Asm);

/// Always.
const ALWAYS: When = |asm| {
    asm.number(1);
};
/// If the sender of the bundle bids more than the base fee, as in no simulation but one that is made at its price.
const IF_PAID: When = |asm| {
    asm.op(op::GASPRICE).op(op::BASEFEE).op(LT);
};
/// If it is later than anybody could know when the bundle was made.
const IF_LATE: When = |asm| {
    asm.number(LATER).op(op::TIMESTAMP).op(GT);
};

const LT: u8 = 0x10;
const GT: u8 = 0x11;
/// Seconds since 1970, far ahead.
const LATER: usize = 4_000_000_000;

/// Sponsors with a context, so that `postOp` is called, which then reverts with these bytes.
fn paymaster(revert_with: &[u8], when: When) -> Bytes {
    paymaster_of(VERSION, revert_with, when)
}

fn paymaster_of(version: EntryPointVersion, revert_with: &[u8], when: When) -> Bytes {
    let mut asm = Asm::default();
    let (asked, reverts) = (asm.label(), asm.label());
    asm.op(op::PUSH0).op(op::CALLDATALOAD).number(224).op(op::SHR);
    let selector = u32::from_be_bytes(version.selectors().validate_paymaster_user_op);
    asm.number(selector as usize).op(op::EQ).jump_if(asked);
    when(&mut asm);
    asm.jump_if(reverts).op(op::STOP);
    asm.place(reverts).memory(0, revert_with).number(revert_with.len()).op(op::PUSH0).op(op::REVERT);
    asm.place(asked);
    for (index, word) in [64, 0, 32, 1].into_iter().enumerate() {
        asm.number(word).number(32 * index).op(op::MSTORE);
    }
    asm.number(128).op(op::PUSH0).op(op::RETURN);
    asm.finish()
}

/// With a paymaster that may return a context: one that is staked.
fn staked(bench: &Bench) -> Scenario {
    let mut scenario = bench.sponsored(vec![]);
    scenario.paymaster.get_or_insert_default().stake = Some(Stake::enough());
    scenario
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
        let scenarios = (0..3).map(|_| staked(&bench)).chain((0..6).map(|_| bench.account(vec![])));
        let mut culprits = bench.place(scenarios).await;
        let good = culprits.split_off(3);
        for culprit in &culprits {
            bench.set_code(culprit.paymaster_address().unwrap(), paymaster(revert_with, ALWAYS)).await;
        }
        let culprits = culprits.try_into().unwrap();
        for reason in among_neighbours(&bench, &culprits, &good).await {
            assert!(reason.contains("halted") || reason.contains("revert"), "{reason}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn v0_6_an_operation_that_could_be_charged_more_than_it_paid_for_is_told_what_is_enough() {
    let bench = Bench::new(VERSION).await;
    let mut ops = bench.place((0..9).map(|_| bench.account(vec![]))).await;
    let good = ops.split_off(3);
    let tight: [UserOperation; 3] = ops.try_into().unwrap();
    // What is charged is no less than what was paid for, gas for gas.
    let tight = tight.map(|op| UserOperation { max_priority_fee_per_gas: op.max_fee_per_gas, ..op });
    let refused = async |limit: u128| {
        let tight = UserOperation { verification_gas_limit: limit, ..tight[0].clone() };
        let params = vec![wire::to_json(&tight, VERSION), json!(bench.entry_point)];
        bench.ask("fabstir_explainUserOperation", params).await.unwrap()["error"].clone()
    };
    // The least that the EntryPoint passes validation with pays for validation, and nothing else.
    let (mut too_low, mut enough) = (0, tight[0].verification_gas_limit);
    while enough - too_low > 1 {
        let middle = too_low.midpoint(enough);
        let by_the_entry_point = refused(middle).await["message"].as_str().is_some_and(|it| it.contains("AA"));
        if by_the_entry_point { too_low = middle } else { enough = middle }
    }
    let error = refused(enough).await;
    assert_eq!((&error["code"], &error["data"]["field"]), (&json!(-32602), &json!("verificationGasLimit")), "{error}");
    let field: alloy::primitives::U256 = serde_json::from_value(error["data"]["required"].clone()).unwrap();
    let required: u128 = field.to();
    assert!((enough + 27_000..enough + 30_000).contains(&required), "{required} for {enough}");
    assert_eq!(refused(required - 1).await["data"]["required"], error["data"]["required"]);
    assert_eq!(refused(required).await, json!(null));
    let tight = tight.map(|op| UserOperation { verification_gas_limit: required, ..op });
    for op in tight.iter().chain(&good) {
        bench.send(op).await.unwrap();
    }
    for _ in 0..12 {
        if bench.dump().await.is_empty() {
            return;
        }
        bench.ask("debug_bundler_sendBundleNow", vec![]).await.unwrap();
        bench.catch_up().await;
    }
    panic!("not all were mined: {:?}", bench.dump().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn v0_6_a_post_op_that_spares_unpaid_simulations_is_found_out_before_anything_is_sent() {
    let bench = Bench::new(VERSION).await;
    let scenarios = (0..3).map(|_| staked(&bench)).chain((0..6).map(|_| bench.account(vec![])));
    let mut culprits = bench.place(scenarios).await;
    let good = culprits.split_off(3);
    for culprit in &culprits {
        bench.set_code(culprit.paymaster_address().unwrap(), paymaster(&[], IF_PAID)).await;
    }
    let culprits = culprits.try_into().unwrap();
    for reason in among_neighbours(&bench, &culprits, &good).await {
        assert!(!reason.contains("mined"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn v0_6_a_post_op_that_reverts_only_on_chain_does_not_take_its_neighbours_down() {
    let bench = Bench::new(VERSION).await;
    let scenarios = (0..1).map(|_| staked(&bench)).chain((0..2).map(|_| bench.account(vec![])));
    let mut ops = bench.place(scenarios).await;
    let good = ops.split_off(1);
    let culprit = ops.remove(0);
    bench.set_code(culprit.paymaster_address().unwrap(), paymaster(&[], IF_LATE)).await;
    let mut hashes = Vec::new();
    // The first to come goes first, and by itself.
    for op in [&culprit, &good[0], &good[1]] {
        hashes.push(bench.send(op).await.unwrap());
    }
    bench.stack.anvil.ask("evm_setNextBlockTimestamp", vec![json!(LATER + 1)]).await.unwrap();
    for _ in 0..12 {
        if bench.dump().await.is_empty() {
            break;
        }
        bench.ask("debug_bundler_sendBundleNow", vec![]).await.unwrap();
        bench.catch_up().await;
    }
    bench.until(hashes[1], "included").await;
    bench.until(hashes[2], "included").await;
    let reason = bench.reason(hashes[0]).await;
    assert!(reason.contains("mined and reverted"), "{reason}");
    // It cost one transaction, and there will be no other.
    let again = bench.send(&UserOperation { call_gas_limit: culprit.call_gas_limit + 1, ..culprit.clone() }).await;
    assert_eq!(again.unwrap_err().code, -32504);
    let newest: alloy::primitives::U256 = serde_json::from_value(bench.anvil("eth_blockNumber", vec![]).await).unwrap();
    let mut reverted = 0;
    for number in 0..=newest.to::<u64>() {
        let block = bench.anvil("eth_getBlockByNumber", vec![json!(format!("{number:#x}")), json!(true)]).await;
        for transaction in block["transactions"].as_array().unwrap() {
            let receipt = bench.anvil("eth_getTransactionReceipt", vec![transaction["hash"].clone()]).await;
            reverted += usize::from(transaction["to"] == json!(bench.entry_point) && receipt["status"] == "0x0");
        }
    }
    assert_eq!(reverted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paymaster_without_a_stake_may_not_return_a_context() {
    for version in EntryPointVersion::ALL {
        let bench = Bench::new(version).await;
        let mut unstaked = bench.sponsored(vec![]);
        unstaked.version = version;
        let op = bench.place([unstaked]).await.remove(0);
        bench.set_code(op.paymaster_address().unwrap(), paymaster_of(version, &[], ALWAYS)).await;
        let refusal = bench.send(&op).await.unwrap_err();
        assert_eq!((refusal.code, &refusal.data["rule"]), (-32502, &json!("EREP-050")), "{version}: {refusal:?}");
    }
}
