//! One sender, many operations: nonces that queue, keys that do not, and operations that take another's place.

use alloy::primitives::{B256, U256};
use erc4337::EntryPointVersion;
use serde_json::{Value, json};
use tests::{
    Bench,
    bench::{dearer, with_nonce},
};

async fn bench_with_one_account() -> (Bench, erc4337::UserOperation) {
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    let op = bench.place([bench.account(vec![])]).await.remove(0);
    (bench, op)
}

#[tokio::test(flavor = "multi_thread")]
async fn consecutive_nonces_are_taken_before_they_can_be_mined_and_mined_in_one_bundle_in_their_order() {
    let (bench, op) = bench_with_one_account().await;
    let mut hashes = Vec::new();
    for sequence in 0..3 {
        hashes.push(bench.send(&with_nonce(&op, 0, sequence)).await.unwrap());
    }
    let gap = bench.send(&with_nonce(&op, 0, 5)).await.unwrap_err();
    assert_eq!((gap.code, gap.message.as_str()), (-32500, "AA25 invalid account nonce"));
    assert_eq!(bench.dump().await.len(), 3);

    let transaction = bench.bundle().await;
    for hash in &hashes {
        bench.until(*hash, "included").await;
        assert_eq!(bench.status(*hash).await["transactionHash"], json!(transaction));
    }
    let receipt = bench.anvil("eth_getTransactionReceipt", vec![json!(transaction)]).await;
    let logs = receipt["logs"].as_array().unwrap().iter().filter_map(|log| log["topics"].get(1));
    let executed: Vec<_> = logs.filter(|topic| hashes.iter().any(|hash| **topic == json!(hash))).collect();
    assert_eq!(executed, hashes.iter().map(|hash| json!(hash)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    // The gap is none now that the next to come is 3.
    assert_eq!(bench.send(&with_nonce(&op, 0, 4)).await.unwrap_err().code, -32500);
    bench.send(&with_nonce(&op, 0, 3)).await.unwrap();
    bench.send(&with_nonce(&op, 0, 4)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nonce_keys_do_not_wait_for_one_another() {
    let (bench, op) = bench_with_one_account().await;
    let of_three = bench.send(&with_nonce(&op, 3, 0)).await.unwrap();
    let of_two = bench.send(&with_nonce(&op, 2, 0)).await.unwrap();
    let second_of_two = bench.send(&with_nonce(&op, 2, 1)).await.unwrap();
    // What is pending under other keys does not stand in for what is missing here.
    assert_eq!(bench.send(&with_nonce(&op, 1, 1)).await.unwrap_err().message, "AA25 invalid account nonce");

    // Key 3 loses its operation; key 2 goes on.
    let in_its_place = bench.send(&dearer(&with_nonce(&op, 3, 0), 10)).await.unwrap();
    bench.bundle().await;
    bench.until(of_two, "included").await;
    bench.until(second_of_two, "included").await;
    bench.until(in_its_place, "included").await;
    bench.until(of_three, "dropped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_per_cent_more_of_both_fees_take_an_operations_place_and_less_does_not() {
    let (bench, op) = bench_with_one_account().await;
    let old = bench.send(&op).await.unwrap();
    let refused = bench.send(&dearer(&op, 9)).await.unwrap_err();
    assert_eq!(refused.code, -32602);
    assert_eq!(refused.data, json!({ "field": "maxFeePerGas", "required": U256::from(3_300_000_000_u64) }));
    let mut one_fee = dearer(&op, 10);
    one_fee.max_priority_fee_per_gas = op.max_priority_fee_per_gas;
    assert_eq!(bench.send(&one_fee).await.unwrap_err().data["field"], "maxPriorityFeePerGas");
    assert_eq!(bench.status(old).await["status"], "pending");

    let new = bench.send(&dearer(&op, 10)).await.unwrap();
    let status = bench.status(old).await;
    assert_eq!(status, json!({ "userOpHash": old, "status": "dropped", "reason": format!("replaced by {new}") }));
    assert_eq!(bench.dump().await.len(), 1);
    bench.bundle().await;
    bench.until(new, "included").await;
    assert_eq!(bench.status(old).await, status);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stage_of_an_operation_has_pimlicos_word_for_it() {
    let (bench, op) = bench_with_one_account().await;
    let says = async |hash: B256| bench.ask("pimlico_getUserOperationStatus", vec![json!(hash)]).await.unwrap();
    let word = |status: &str, transaction: Option<B256>| json!({ "status": status, "transactionHash": transaction });
    assert_eq!(says(B256::repeat_byte(7)).await, word("not_found", None));
    assert_eq!(bench.status(B256::repeat_byte(7)).await, Value::Null);

    let old = bench.send(&op).await.unwrap();
    assert_eq!(says(old).await, word("not_submitted", None));
    let new = bench.send(&dearer(&op, 20)).await.unwrap();
    assert_eq!(says(old).await, word("rejected", None));

    bench.stack.anvil.hold().await.unwrap();
    let transaction = bench.bundle().await;
    assert_eq!(says(new).await, word("submitted", Some(transaction)));
    let submitted = json!({ "userOpHash": new, "status": "submitted", "transactionHash": transaction });
    assert_eq!(bench.status(new).await, submitted);
    // What is on its way can no longer be replaced.
    let late = bench.send(&dearer(&op, 50)).await.unwrap_err();
    assert_eq!((late.code, late.message.contains("in a bundle already")), (-32602, true), "{late:?}");

    bench.anvil("evm_mine", vec![]).await;
    bench.until(new, "included").await;
    assert_eq!(says(new).await, word("included", Some(transaction)));
}

tests::on_base!(
    consecutive_nonces_are_taken_before_they_can_be_mined_and_mined_in_one_bundle_in_their_order,
    nonce_keys_do_not_wait_for_one_another,
    ten_per_cent_more_of_both_fees_take_an_operations_place_and_less_does_not,
    each_stage_of_an_operation_has_pimlicos_word_for_it,
);
