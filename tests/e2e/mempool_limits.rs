//! What one sender or paymaster may have pending, and who may be what to whom.

use alloy::primitives::U256;
use erc4337::{EntryPointVersion, UserOperation};
use serde_json::json;
use tests::{
    Bench,
    bench::{Refusal, YES, with_nonce},
    programs::piece::{Access, CallKind, Piece, Who, Word},
};

/// Refused with this code, and this in `data`.
fn assert_refused(result: Result<alloy::primitives::B256, Refusal>, code: i32, data: &serde_json::Value) {
    let refusal = result.unwrap_err();
    assert_eq!((refusal.code, &refusal.data), (code, data), "{}", refusal.message);
}

/// The same operation paid for by the paymaster of another.
fn paid_like(op: &UserOperation, other: &UserOperation) -> UserOperation {
    UserOperation { paymaster: other.paymaster.clone(), ..op.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn urep_010_an_unstaked_sender_may_have_four_pending() {
    let bench = Bench::new(EntryPointVersion::V0_7).await;
    let mut staked = bench.account(vec![]);
    staked.account.stake = Some(tests::programs::Stake::enough());
    let [op, staked] = bench.place([bench.account(vec![]), staked]).await.try_into().unwrap();
    for key in 0..4 {
        bench.send(&with_nonce(&op, key, 0)).await.unwrap();
    }
    let chain = erc4337::ChainPreset::local();
    let of_sender = json!({
        "rule": "UREP-010", "entity": "account", "entityAddress": op.sender,
        "minimumStake": U256::from(chain.min_stake), "minimumUnstakeDelay": U256::from(chain.min_unstake_delay),
    });
    assert_refused(bench.send(&with_nonce(&op, 4, 0)).await, -32505, &of_sender);
    assert_refused(bench.send(&with_nonce(&op, 0, 1)).await, -32505, &of_sender);
    for key in 0..6 {
        bench.send(&with_nonce(&staked, key, 0)).await.unwrap();
    }
    // Room is made as they are mined.
    bench.bundle().await;
    tokio::time::timeout(std::time::Duration::from_secs(5), async {
        while bench.send(&with_nonce(&op, 4, 0)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn erep_010_a_paymaster_with_a_deposit_for_two_does_not_pay_for_a_third() {
    for version in [EntryPointVersion::V0_6, EntryPointVersion::V0_8] {
        let bench = Bench::new(version).await;
        let ops = bench.place((0..4).map(|_| bench.sponsored(vec![]))).await;
        // Of the one ether that each paymaster has deposited.
        let gas = ops[0].max_gas(version);
        let fee = 450_000_000_000_000_000 / gas;
        let ops: Vec<_> =
            ops.iter().map(|op| UserOperation { max_fee_per_gas: fee, ..paid_like(op, &ops[0]) }).collect();
        let first = bench.send(&ops[0]).await.unwrap();
        bench.send(&ops[1]).await.unwrap();
        let refusal = bench.send(&ops[2]).await.unwrap_err();
        assert_eq!(refusal.code, -32508, "{}", refusal.message);
        let expected = json!({
            "rule": "EREP-010",
            "paymaster": ops[0].paymaster_address(),
            "deposit": U256::from(1_000_000_000_000_000_000_u64),
            "required": U256::from(gas * fee * 3),
        });
        assert_eq!(refusal.data, expected);
        // What it costs is released when it is mined, but for what it has cost.
        let cheap = UserOperation { max_fee_per_gas: 2_000_000_000, ..ops[3].clone() };
        bench.send(&cheap).await.unwrap();
        bench.bundle().await;
        bench.until(first, "included").await;
        bench.send(&ops[2]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sto_040_no_address_is_a_sender_and_an_entity_at_once() {
    let bench = Bench::new(EntryPointVersion::V0_7).await;
    let [sponsored, plain] = bench.place([bench.sponsored(vec![]), bench.account(vec![])]).await.try_into().unwrap();
    let paymaster = sponsored.paymaster_address().unwrap();
    // The paymaster would do as an account too.
    bench.set_code(paymaster, YES).await;
    let as_sender = UserOperation { sender: paymaster, ..plain.clone() };

    bench.send(&sponsored).await.unwrap();
    let data = json!({ "rule": "STO-040", "entity": "account", "entityAddress": paymaster });
    assert_refused(bench.send(&as_sender).await, -32502, &data);

    bench.ask("debug_bundler_clearState", vec![]).await.unwrap();
    bench.send(&as_sender).await.unwrap();
    let data = json!({ "rule": "STO-040", "entity": "paymaster", "entityAddress": paymaster, "paymaster": paymaster });
    assert_refused(bench.send(&sponsored).await, -32502, &data);
    bench.send(&plain).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sto_041_associated_storage_does_not_lie_in_the_sender_of_another_operation() {
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    let contract = bench.account(vec![]).place("0", bench.entry_point).op.sender;
    let reads = Piece::Store {
        access: Access::Sload,
        slot: Word::associated(Who::Sender, 1, 0),
        at: Who::Literal(contract),
        route: vec![CallKind::Call],
    };
    let scenarios = [bench.account(vec![]), bench.account(vec![reads])];
    let [as_sender, reader] = bench.place(scenarios).await.try_into().unwrap();
    assert_eq!(as_sender.sender, contract);

    bench.send(&as_sender).await.unwrap();
    let data = json!({ "rule": "STO-041", "contract": contract });
    assert_refused(bench.send(&reader).await, -32502, &data);
    bench.ask("debug_bundler_clearMempool", vec![]).await.unwrap();
    bench.send(&reader).await.unwrap();
}
