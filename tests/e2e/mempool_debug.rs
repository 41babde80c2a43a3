//! `debug_bundler_*`: what test suites steer the bundler by, in the shapes they expect.

use alloy::primitives::{Address, U256};
use erc4337::{EntryPointVersion, UserOperation, wire};
use serde_json::{Value, json};
use tests::{
    Bench, Stack,
    bench::{answer, with_nonce},
    programs::Stake,
};

const METHODS: [&str; 10] = [
    "debug_bundler_dumpMempool",
    "debug_bundler_sendBundleNow",
    "debug_bundler_setBundlingMode",
    "debug_bundler_addUserOps",
    "debug_bundler_setReputation",
    "debug_bundler_dumpReputation",
    "debug_bundler_getStakeStatus",
    "debug_bundler_clearState",
    "debug_bundler_clearMempool",
    "debug_bundler_clearReputation",
];

async fn reputations(bench: &Bench) -> Value {
    bench.ask("debug_bundler_dumpReputation", vec![json!(bench.entry_point)]).await.unwrap()
}

async fn set_reputation(bench: &Bench, address: Address, seen: u64, included: u64) {
    let entry = json!({ "address": address, "opsSeen": U256::from(seen), "opsIncluded": U256::from(included) });
    let set = bench.ask("debug_bundler_setReputation", vec![json!([entry]), json!(bench.entry_point)]).await;
    assert_eq!(set, Ok(json!("ok")));
}

fn reputation(address: Address, seen: u64, included: u64, status: &str) -> Value {
    json!({
        "address": address, "opsSeen": U256::from(seen), "opsIncluded": U256::from(included), "status": status,
    })
}

/// Operations of their own senders, paid for by the same paymaster.
async fn of_one_paymaster(bench: &Bench, count: usize) -> (Vec<UserOperation>, Address) {
    let mut ops = bench.place((0..count).map(|_| bench.sponsored(vec![]))).await;
    let paymaster = ops[0].paymaster.clone();
    ops.iter_mut().for_each(|op| op.paymaster.clone_from(&paymaster));
    (ops, paymaster.unwrap().address)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_none_of_them_is_there() {
    let stack = Stack::start(&[]).await.unwrap();
    let entry_point = json!(EntryPointVersion::V0_8.canonical_address());
    for method in METHODS {
        let error = stack.node.ask(method, vec![entry_point.clone()]).await.unwrap_err();
        let jsonrpsee::core::ClientError::Call(error) = error else { panic!("{method}: {error}") };
        assert_eq!(error.code(), -32601, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grep_020_a_throttled_paymaster_has_four_pending_and_grep_010_a_banned_one_none() {
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    let (ops, paymaster) = of_one_paymaster(&bench, 6).await;
    // A tenth of what was seen should have been included: 11 are missing, of 10 that may be.
    set_reputation(&bench, paymaster, 110, 0).await;
    assert_eq!(reputations(&bench).await, json!([reputation(paymaster, 110, 0, "throttled")]));
    for op in &ops[..4] {
        bench.send(op).await.unwrap();
    }
    let throttled = bench.send(&ops[4]).await.unwrap_err();
    assert_eq!(throttled.code, -32504, "{}", throttled.message);
    let data =
        |rule: &str| json!({ "rule": rule, "entity": "paymaster", "entityAddress": paymaster, "paymaster": paymaster });
    assert_eq!(throttled.data, data("GREP-020"));

    // 51 are missing, of 50.
    set_reputation(&bench, paymaster, 510, 0).await;
    assert_eq!(reputations(&bench).await, json!([reputation(paymaster, 510, 0, "banned")]));
    bench.ask("debug_bundler_clearMempool", vec![]).await.unwrap();
    let banned = bench.send(&ops[5]).await.unwrap_err();
    assert_eq!(banned.code, -32504, "{}", banned.message);
    assert_eq!(banned.data, data("GREP-010"));

    assert_eq!(bench.ask("debug_bundler_clearReputation", vec![]).await, Ok(json!("ok")));
    assert_eq!(reputations(&bench).await, json!([]));
    bench.send(&ops[5]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_seen_and_what_is_included_is_counted() {
    let bench = Bench::new(EntryPointVersion::V0_7).await;
    let (ops, paymaster) = of_one_paymaster(&bench, 3).await;
    assert_eq!(reputations(&bench).await, json!([]));
    let mut hashes = Vec::new();
    for (seen, op) in ops.iter().enumerate() {
        hashes.push(bench.send(op).await.unwrap());
        assert_eq!(reputations(&bench).await, json!([reputation(paymaster, seen as u64 + 1, 0, "ok")]));
    }
    // The same again is nothing new.
    bench.send(&ops[0]).await.unwrap();
    assert_eq!(reputations(&bench).await, json!([reputation(paymaster, 3, 0, "ok")]));
    bench.bundle().await;
    for hash in hashes {
        bench.until(hash, "included").await;
    }
    assert_eq!(reputations(&bench).await, json!([reputation(paymaster, 3, 3, "ok")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_clear_forgets_what_its_name_says() {
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    let (ops, paymaster) = of_one_paymaster(&bench, 1).await;
    let seen = json!([reputation(paymaster, 1, 0, "ok")]);
    for (method, operations_left, reputations_left) in [
        ("debug_bundler_clearMempool", 0, true),
        ("debug_bundler_clearReputation", 1, false),
        ("debug_bundler_clearState", 0, false),
    ] {
        bench.ask("debug_bundler_clearState", vec![]).await.unwrap();
        let hash = bench.send(&ops[0]).await.unwrap();
        assert_eq!(reputations(&bench).await, seen);
        assert_eq!(bench.ask(method, vec![]).await, Ok(json!("ok")));
        assert_eq!(bench.dump().await.len(), operations_left, "{method}");
        assert_eq!(reputations(&bench).await == seen, reputations_left, "{method}");
        let status = bench.status(hash).await;
        assert_eq!(status["status"] == "dropped", operations_left == 0, "{method}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mempool_is_dumped_in_the_order_of_arrival_with_the_fields_of_the_version() {
    for (version, own) in [
        (EntryPointVersion::V0_6, ["initCode", "paymasterAndData"].as_slice()),
        (
            EntryPointVersion::V0_9,
            &["paymaster", "paymasterVerificationGasLimit", "paymasterPostOpGasLimit", "paymasterData"],
        ),
    ] {
        let bench = Bench::new(version).await;
        let ops = bench.place((0..4).map(|_| bench.sponsored(vec![]))).await;
        for index in [2, 0, 3, 1] {
            bench.send(&ops[index]).await.unwrap();
        }
        let dump = bench.dump().await;
        assert_eq!(dump, [2, 0, 3, 1].map(|index| wire::to_json(&ops[index], version)));
        let mut keys = vec![
            "sender",
            "nonce",
            "callData",
            "callGasLimit",
            "verificationGasLimit",
            "preVerificationGas",
            "maxFeePerGas",
            "maxPriorityFeePerGas",
            "signature",
        ];
        keys.extend(own);
        keys.sort_unstable();
        assert_eq!(dump[0].as_object().unwrap().keys().collect::<Vec<_>>(), keys);
        let elsewhere = json!(EntryPointVersion::V0_7.canonical_address());
        assert_eq!(bench.ask("debug_bundler_dumpMempool", vec![elsewhere]).await, Ok(json!([])));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_added_whatever_their_validation_says() {
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    let refused = bench.account(vec![answer(U256::from(1))]);
    let ops = bench.place([bench.account(vec![]), refused]).await;
    assert_eq!(bench.send(&ops[1]).await.unwrap_err().code, -32507);
    let added = ops.iter().map(|op| wire::to_json(op, bench.version)).collect::<Vec<_>>();
    let add = bench.ask("debug_bundler_addUserOps", vec![json!(added), json!(bench.entry_point)]).await;
    assert_eq!(add, Ok(json!("ok")));
    assert_eq!(bench.dump().await, added);
    // The bundle is proven all the same, and only what works is sent.
    bench.bundle().await;
    tokio::time::timeout(std::time::Duration::from_secs(5), async {
        while !bench.dump().await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    let next = bench.send(&with_nonce(&ops[0], 0, 0)).await;
    let included = bench.status(next.unwrap()).await;
    assert_eq!(included["status"], "included", "{included}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_sent_now_is_answered_with_its_transaction() {
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    let op = bench.place([bench.account(vec![])]).await.remove(0);
    assert_eq!(bench.ask("debug_bundler_sendBundleNow", vec![]).await, Ok(Value::Null), "nothing to send");
    let hash = bench.send(&op).await.unwrap();
    let sent = bench.ask("debug_bundler_sendBundleNow", vec![]).await.unwrap();
    assert!(sent.is_string(), "{sent}");
    assert_eq!(bench.until(hash, "included").await["transactionHash"], sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn stakes_are_told_as_decimal_strings_and_whether_they_are_enough() {
    for version in EntryPointVersion::ALL {
        let bench = Bench::new(version).await;
        let low = Stake { wei: U256::from(7), ..Stake::enough() };
        let hasty = Stake { delay: 86_399, ..Stake::enough() };
        let unlocked = Stake { locked: false, ..Stake::enough() };
        let stakes = [None, Some(Stake::enough()), Some(low), Some(hasty), Some(unlocked)];
        let scenarios = stakes.map(|stake| {
            let mut scenario = bench.account(vec![]);
            scenario.account.stake = stake;
            scenario
        });
        let ops = bench.place(scenarios).await;
        for (index, (op, stake)) in ops.iter().zip(stakes).enumerate() {
            let params = vec![json!(op.sender), json!(bench.entry_point)];
            let status = bench.ask("debug_bundler_getStakeStatus", params).await.unwrap();
            let (wei, delay) = stake.map_or((U256::ZERO, 0), |stake| (stake.wei, stake.delay));
            let expected = json!({
                "stakeInfo": {
                    "addr": op.sender, "stake": wei.to_string(), "unstakeDelaySec": delay.to_string(),
                },
                "isStaked": index == 1,
            });
            assert_eq!(status, expected, "{version}, {stake:?}");
        }
    }
}
