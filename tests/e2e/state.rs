//! A node that fails is no reason to say anything about an operation.

use std::time::Duration;

use alloy::primitives::{B256, U256};
use erc4337::{EntryPointVersion, UserOperation};
use serde_json::json;
use tests::{
    Anvil, Bench, Proxy,
    bench::{answer, answer_from},
    programs::{asm::op, piece::Piece},
    proxy::Fault,
};

/// Internal error, and limit exceeded: "ask again", in ERC-7769's and EIP-1474's words.
const NO_VERDICTS: [i32; 2] = [-32603, -32005];

async fn bench() -> (Bench, Proxy) {
    let anvil = Anvil::start().await.unwrap();
    let proxy = Proxy::start(&anvil.url).await.unwrap();
    (Bench::on(anvil, &proxy.url, EntryPointVersion::V0_8).await, proxy)
}

/// Valid only once slot 5 of the account is not zero.
fn once_written() -> Piece {
    let code =
        [op::PUSH0 + 1, 5, op::SLOAD, op::ISZERO, op::PUSH0, op::MSTORE, op::PUSH0 + 1, 32, op::PUSH0, op::RETURN];
    Piece::Raw(code.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_read_fails_and_however_there_is_no_verdict_until_the_node_recovers() {
    let (bench, proxy) = bench().await;
    let faults = [
        Fault::HangUp,
        Fault::Unavailable,
        Fault::UnknownBlock,
        Fault::Limited,
        Fault::RefusedBatch,
        Fault::ShortBatch,
        Fault::Nonsense,
        Fault::Null,
    ];
    let methods = ["eth_getBalance", "eth_getTransactionCount", "eth_getCode", "eth_getStorageAt"];
    // What is sure to be read goes first, slot 5 in a second trip.
    let mut plans: Vec<_> =
        methods.into_iter().flat_map(|method| faults.clone().map(|fault| (0, method, fault))).collect();
    plans.extend(faults.map(|fault| (1, "eth_getStorageAt", fault)));

    let refused = || bench.account(vec![answer(U256::from(1))]);
    let valid = || bench.account(vec![answer_from(5)]);
    let mut ops = bench.place(plans.iter().flat_map(|_| [valid(), refused()])).await;
    // Of the same shape as one before, it would be known what they read.
    for (index, op) in ops.iter_mut().enumerate() {
        op.signature = vec![1; index].into();
    }
    for ((spared, method, fault), ops) in plans.into_iter().zip(ops.chunks(2)) {
        let what = format!("{fault:?} of {method} after {spared}");
        proxy.fail_after(spared, method, fault);
        let said = bench.send(&ops[0]).await.expect_err(&what);
        assert!(NO_VERDICTS.contains(&said.code), "{what}: {said:?}");
        assert!(proxy.met() > 0, "{what} did not happen");
        if spared == 0 {
            let said = bench.send(&ops[1]).await.expect_err(&what);
            assert!(NO_VERDICTS.contains(&said.code), "{what}: {said:?}");
        }
        assert_eq!(bench.dump().await.len(), 0);

        proxy.release();
        bench.send(&ops[0]).await.unwrap_or_else(|said| panic!("after {what}: {said:?}"));
        assert_eq!(bench.send(&ops[1]).await.unwrap_err().code, -32507);
        bench.ask("debug_bundler_clearMempool", vec![]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_repeated_while_the_node_does_not_tell_its_newest_block() {
    let (bench, proxy) = bench().await;
    let op = bench.place([bench.account(vec![once_written()])]).await.remove(0);
    assert_eq!(bench.send(&op).await.unwrap_err().code, -32507);
    for fault in [Fault::HangUp, Fault::Limited, Fault::Null, Fault::Nonsense] {
        proxy.fail("eth_getBlockByNumber", fault.clone());
        let said = bench.send(&op).await.unwrap_err();
        assert!(NO_VERDICTS.contains(&said.code), "{fault:?}: {said:?}");
        proxy.release();
        assert_eq!(bench.send(&op).await.unwrap_err().code, -32507);
    }
    proxy.fail("eth_getBlockByNumber", Fault::HangUp);
    bench.write(op.sender, U256::from(5)).await;
    let said = bench.send(&op).await.unwrap_err();
    assert!(NO_VERDICTS.contains(&said.code), "{said:?}");
    proxy.release();
    bench.send(&op).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_falls_back_to_an_older_block_changes_nothing() {
    let (bench, proxy) = bench().await;
    let [op, other] =
        bench.place([bench.account(vec![once_written()]), bench.account(vec![])]).await.try_into().unwrap();
    bench.write(op.sender, U256::from(5)).await;
    let first = bench.send(&other).await.unwrap();
    bench.bundle().await;
    bench.until(first, "included").await;
    let next = bench.send(&tests::bench::with_nonce(&other, 0, 1)).await.unwrap();
    let number: U256 = serde_json::from_value(bench.anvil("eth_blockNumber", vec![]).await).unwrap();
    // Before the first operation was mined, and before the slot was written.
    proxy.fail("eth_getBlockByNumber", Fault::Lagging(number.to::<u64>() - 2));
    proxy.struck().await;
    tokio::time::sleep(Duration::from_millis(300)).await;

    assert_eq!(bench.status(next).await["status"], "pending");
    bench.send(&op).await.unwrap();
    proxy.release();
    bench.catch_up().await;
    bench.bundle().await;
    bench.until(next, "included").await;
}

/// Holds a validation up in the middle, does something to the chain, and lets it go on; what is said then.
async fn amid_validation(
    bench: &Bench,
    proxy: &Proxy,
    op: &UserOperation,
    act: impl AsyncFnOnce(),
) -> Result<B256, tests::bench::Refusal> {
    proxy.fail("eth_getStorageAt", Fault::Held);
    let meanwhile = async {
        proxy.struck().await;
        act().await;
        proxy.release();
    };
    tokio::join!(bench.send(op), meanwhile).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_reverted_amid_validation_gives_no_verdict_by_its_state() {
    let (bench, proxy) = bench().await;
    let scenarios = [bench.account(vec![once_written()]), bench.account(vec![answer_from(5)])];
    let [later_valid, now_valid] = bench.place(scenarios).await.try_into().unwrap();
    let snapshot = bench.anvil("evm_snapshot", vec![]).await;
    bench.write(later_valid.sender, U256::from(5)).await;
    bench.write(now_valid.sender, U256::from(5)).await;
    bench.catch_up().await;

    // Valid in the block that goes, not in the one before it.
    let revert = async || drop(bench.anvil("evm_revert", vec![snapshot.clone()]).await);
    let said = amid_validation(&bench, &proxy, &later_valid, revert).await.unwrap_err();
    assert!(said.code == -32507 || NO_VERDICTS.contains(&said.code), "{said:?}");
    bench.catch_up().await;
    assert_eq!(bench.send(&later_valid).await.unwrap_err().code, -32507);

    // And the other way round.
    let snapshot = bench.anvil("evm_snapshot", vec![]).await;
    bench.write(now_valid.sender, U256::from(5)).await;
    bench.catch_up().await;
    let revert = async || drop(bench.anvil("evm_revert", vec![snapshot.clone()]).await);
    if let Err(said) = amid_validation(&bench, &proxy, &now_valid, revert).await {
        assert!(NO_VERDICTS.contains(&said.code), "{said:?}");
    }
    bench.catch_up().await;
    bench.send(&now_valid).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_amid_validation_gives_no_verdict_by_the_blocks_that_went() {
    let (bench, proxy) = bench().await;
    let op = bench.place([bench.account(vec![once_written()])]).await.remove(0);
    let block = bench.write(op.sender, U256::from(5)).await;
    bench.catch_up().await;
    let reorganise = async || bench.stack.anvil.reorganise(block).await.unwrap();
    let said = amid_validation(&bench, &proxy, &op, reorganise).await.unwrap_err();
    assert!(said.code == -32507 || NO_VERDICTS.contains(&said.code), "{said:?}");
    bench.catch_up().await;
    assert_eq!(bench.send(&op).await.unwrap_err().code, -32507);
    bench.write(op.sender, U256::from(5)).await;
    bench.send(&op).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_on_a_block_that_went_is_judged_by_what_came_instead() {
    let (bench, _) = bench().await;
    let scenarios = [bench.account(vec![once_written()]), bench.account(vec![answer_from(5)])];
    let [loses, stays] = bench.place(scenarios).await.try_into().unwrap();
    let block = bench.write(loses.sender, U256::from(5)).await;
    bench.catch_up().await;
    let (of_loses, of_stays) = (bench.send(&loses).await.unwrap(), bench.send(&stays).await.unwrap());
    bench.stack.anvil.reorganise(block).await.unwrap();
    assert_eq!(bench.reason(of_loses).await, "signature: AA24 signature error");
    assert_eq!(bench.status(of_stays).await["status"], "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_of_the_block_that_a_reorganisation_has_put_the_bundle_in() {
    let (bench, _) = bench().await;
    let op = bench.place([bench.account(vec![])]).await.remove(0);
    let hash = bench.send(&op).await.unwrap();
    let transaction = bench.bundle().await;
    bench.until(hash, "included").await;
    let place = async || {
        let receipt = bench.ask("eth_getUserOperationReceipt", vec![json!(hash)]).await.unwrap();
        serde_json::from_value::<B256>(receipt["receipt"]["blockHash"].clone()).unwrap()
    };
    let before = place().await;
    bench.anvil("evm_mine", vec![]).await;
    bench.anvil("evm_mine", vec![]).await;
    bench.catch_up().await;

    // It is mined again at the same height, below two other blocks.
    let raw = bench.anvil("eth_getRawTransactionByHash", vec![json!(transaction)]).await;
    bench.anvil("anvil_reorg", vec![json!(3), json!([[raw, 0]])]).await;
    let receipt = bench.anvil("eth_getTransactionReceipt", vec![json!(transaction)]).await;
    let now: B256 = serde_json::from_value(receipt["blockHash"].clone()).unwrap();
    assert_ne!(before, now);
    bench.catch_up().await;
    assert_eq!(place().await, now);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_the_node_fails_to_take_is_sent_again_and_mined_once() {
    let (bench, proxy) = bench().await;
    let faults = [
        ("eth_sendRawTransaction", Fault::HangUp),
        ("eth_sendRawTransaction", Fault::Limited),
        // It arrives, but that is not said.
        ("eth_sendRawTransaction", Fault::Nonsense),
    ];
    let ops = bench.place(faults.iter().map(|_| bench.account(vec![]))).await;
    for ((method, fault), op) in faults.into_iter().zip(&ops) {
        let what = format!("{fault:?} of {method}");
        let hash = bench.send(op).await.unwrap();
        proxy.fail(method, fault);
        assert_eq!(bench.ask("debug_bundler_sendBundleNow", vec![]).await, Ok(json!(null)), "{what}");
        assert!(proxy.met() > 0, "{what} did not happen");
        proxy.release();
        bench.ask("debug_bundler_setBundlingMode", vec![json!("auto")]).await.unwrap();
        for _ in 0..100 {
            if bench.status(hash).await["status"] == "included" {
                break;
            }
            bench.anvil("evm_mine", vec![]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bench.ask("debug_bundler_setBundlingMode", vec![json!("manual")]).await.unwrap();
        bench.until(hash, "included").await;
        let filter = json!({ "fromBlock": "0x0", "topics": [null, hash] });
        let events = bench.anvil("eth_getLogs", vec![filter]).await;
        assert_eq!(events.as_array().unwrap().len(), 1, "{what}");
    }
}

tests::on_base!(
    a_node_that_falls_back_to_an_older_block_changes_nothing,
    a_block_reverted_amid_validation_gives_no_verdict_by_its_state,
    a_reorganisation_amid_validation_gives_no_verdict_by_the_blocks_that_went,
    what_was_accepted_on_a_block_that_went_is_judged_by_what_came_instead,
    a_bundle_that_the_node_fails_to_take_is_sent_again_and_mined_once,
);
