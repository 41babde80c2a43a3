//! What bundlers have got wrong before, one trap a test.

use alloy::primitives::{Address, B256, Bytes, U256, utils::parse_ether};
use erc4337::{EntryPointVersion, UserOperation, wire};
use serde_json::{Value, json};
use tests::{
    Bench, Stack,
    accounts::{SimpleAccount, delegate, receipt},
    bench::{answer, window, with_nonce},
    programs::{asm::op, piece::Piece},
};

use EntryPointVersion::{V0_6, V0_7, V0_8, V0_9};

/// On both bounds of v0.9's validity: they are block numbers.
const BY_BLOCK: u64 = 1 << 47;

fn number(value: &Value) -> u128 {
    serde_json::from_value::<U256>(value.clone()).unwrap().to()
}

#[tokio::test(flavor = "multi_thread")]
async fn nulls_empty_hex_and_leading_zeros_are_the_same_operation() {
    for version in EntryPointVersion::ALL {
        let bench = Bench::new(version).await;
        let op = bench.place([bench.account(vec![])]).await.remove(0);
        let hash = bench.send(&op).await.unwrap();
        bench.ask("debug_bundler_clearState", vec![]).await.unwrap();

        let mut words = wire::to_json(&op, version);
        let unset = if version.is_packed() {
            ["factory", "factoryData", "paymaster", "paymasterData"].as_slice()
        } else {
            &["initCode", "paymasterAndData"]
        };
        for field in unset.iter().chain(&["eip7702Auth", "authorization", "paymasterSignature"]) {
            words[*field] = Value::Null;
        }
        words["nonce"] = json!("0x");
        words["callGasLimit"] = json!("0x");
        words["maxFeePerGas"] = json!(format!("{:#066x}", op.max_fee_per_gas));
        assert_eq!(bench.send_json(words).await, Ok(hash), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_is_taken_under_either_of_its_names() {
    let stack = Stack::start(&[]).await.unwrap();
    for version in [V0_8, V0_9] {
        let delegate = delegate(&stack, version).await.unwrap();
        for field in ["eip7702Auth", "authorization"] {
            let account = SimpleAccount::eip7702(&stack, version, parse_ether("1").unwrap()).await.unwrap();
            let mut op = account.operation(&stack, Address::ZERO, U256::ZERO, Bytes::new()).await.unwrap();
            op["factory"] = json!("0x7702");
            op["factoryData"] = Value::Null;
            op[field] = account.authorize(delegate, 0).unwrap();
            let hash = account.send(&stack, op).await.unwrap();
            assert_eq!(receipt(&stack, hash).await.unwrap()["success"], true, "{version} {field}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prevrandao_goes_by_the_name_it_had_before_the_merge() {
    let bench = Bench::new(V0_7).await;
    let op = bench.place([bench.account(vec![Piece::opcode(op::PREVRANDAO)])]).await.remove(0);
    let refusal = bench.send(&op).await.unwrap_err();
    assert_eq!(refusal.code, -32502);
    assert!(refusal.message.starts_with("account uses banned opcode: DIFFICULTY"), "{}", refusal.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_with_their_top_bit_set_are_a_far_future_but_where_v0_9_reads_block_numbers() {
    // `(validUntil, validAfter)`, and whether that is valid now.
    let far: [((u64, u64), bool); 5] = [
        ((BY_BLOCK, 0), true),
        // "For ever", as many write it.
        ((2 * BY_BLOCK - 1, 1), true),
        // A bare flag is no block: a time.
        ((BY_BLOCK | 9_999, BY_BLOCK), false),
        ((9_999, BY_BLOCK | 1), false),
        ((0, BY_BLOCK), false),
    ];
    let blocks = [((BY_BLOCK | 9_999, BY_BLOCK | 1), true), ((0, BY_BLOCK | 1), true)];
    for version in EntryPointVersion::ALL {
        let bench = Bench::new(version).await;
        let windows = far.into_iter().chain(blocks.map(|(bounds, valid)| (bounds, valid && version == V0_9)));
        let windows: Vec<_> = windows.collect();
        let of = |((until, after), _): &((u64, u64), bool)| bench.account(vec![answer(window(*until, *after))]);
        let ops = bench.place(windows.iter().map(of)).await;
        for (op, (bounds, valid)) in ops.iter().zip(windows) {
            match bench.send(op).await {
                Ok(_) => assert!(valid, "{version} {bounds:x?} was taken"),
                Err(refusal) => {
                    assert_eq!((refusal.code, valid), (-32503, false), "{version} {bounds:x?}: {refusal:?}")
                }
            }
        }
        bench.bundle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn v0_9_validity_by_block_number_is_kept_and_runs_out_with_the_blocks() {
    let bench = Bench::new(V0_9).await;
    let head = number(&bench.anvil("eth_blockNumber", vec![]).await) as u64;
    let between = |after: u64, until: u64| {
        bench.account(vec![answer(window(BY_BLOCK | (head + until), BY_BLOCK | (head + after)))])
    };
    // Time is counted in blocks of 200 ms: ten seconds that it must hold yet, thirty that it is held before it does.
    let scenarios = [between(0, 140), between(0, 4_000), between(400, 4_000), between(0, 40)];
    let [short, long, early, late] = bench.place(scenarios).await.try_into().unwrap();
    for op in [&early, &late] {
        let refusal = bench.send(op).await.unwrap_err();
        assert_eq!(refusal.code, -32503, "{}", refusal.message);
    }
    let (of_short, of_long) = (bench.send(&short).await.unwrap(), bench.send(&long).await.unwrap());
    bench.anvil("anvil_mine", vec![json!("0x96")]).await;
    assert_eq!(bench.reason(of_short).await, "its validity is over");
    bench.bundle().await;
    bench.until(of_long, "included").await;
    // Blocks, not seconds, have also made the early one due.
    bench.anvil("anvil_mine", vec![json!("0xc8")]).await;
    bench.catch_up().await;
    let of_early = bench.send(&early).await.unwrap();
    assert_eq!(bench.ask("debug_bundler_sendBundleNow", vec![]).await.unwrap(), json!(null), "it is held");
    bench.anvil("anvil_mine", vec![json!("0x64")]).await;
    bench.catch_up().await;
    bench.bundle().await;
    bench.until(of_early, "included").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn v0_6_prefund_with_a_paymaster_is_three_times_verification_and_what_is_estimated_is_admitted() {
    let bench = Bench::new(V0_6).await;
    let [op, estimated] = bench.place([bench.sponsored(vec![]), bench.sponsored(vec![])]).await.try_into().unwrap();
    let gas = op.call_gas_limit + 3 * op.verification_gas_limit + op.pre_verification_gas;
    // Of the one ether that is deposited, all but less than a wei per gas.
    let fee = parse_ether("1").unwrap().to::<u128>() / gas;
    let above = UserOperation { max_fee_per_gas: fee + 1, ..op.clone() };
    let refusal = bench.send(&above).await.unwrap_err();
    assert_eq!((refusal.code, refusal.message.contains("AA31")), (-32508, true), "{refusal:?}");
    bench.send(&UserOperation { max_fee_per_gas: fee, ..op }).await.unwrap();

    let mut open = wire::to_json(&estimated, V0_6);
    for field in ["callGasLimit", "verificationGasLimit", "preVerificationGas"] {
        open[field] = json!("0x0");
    }
    let params = vec![open.clone(), json!(bench.entry_point)];
    let gas = bench.ask("eth_estimateUserOperationGas", params).await.unwrap();
    open.as_object_mut().unwrap().extend(gas.as_object().cloned().unwrap());
    let hash = bench.send_json(open).await.unwrap();
    bench.bundle().await;
    bench.until(hash, "included").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn v0_9_ignores_init_code_of_an_account_that_is_there() {
    for version in [V0_7, V0_8, V0_9] {
        let bench = Bench::new(version).await;
        let mut scenario = bench.account(vec![]);
        scenario.factory = Some(Default::default());
        let op = bench.place([scenario]).await.remove(0);
        let made = bench.send(&op).await.unwrap();
        bench.bundle().await;
        bench.until(made, "included").await;

        let again = bench.send(&with_nonce(&op, 0, 1)).await;
        if version == V0_9 {
            bench.bundle().await;
            bench.until(again.unwrap(), "included").await;
        } else {
            let refusal = again.unwrap_err();
            assert_eq!((refusal.code, refusal.message.contains("AA10")), (-32500, true), "{version}: {refusal:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn v0_9_paymaster_signature_is_outside_of_the_hash() {
    let bench = Bench::new(V0_9).await;
    let op = bench.place([bench.sponsored(vec![])]).await.remove(0);
    let signed = |byte: u8, length: usize| {
        let mut signed = op.clone();
        signed.paymaster.as_mut().unwrap().signature = vec![byte; length].into();
        signed
    };
    let mut hashes = Vec::new();
    for signed in [signed(1, 65), signed(2, 65), signed(3, 7)] {
        hashes.push(bench.send(&signed).await.unwrap());
        bench.ask("debug_bundler_clearState", vec![]).await.unwrap();
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    assert_ne!(bench.send(&op).await.unwrap(), hashes[0], "that there is a signature is part of the hash");
    bench.ask("debug_bundler_clearState", vec![]).await.unwrap();
    bench.send(&signed(4, 65)).await.unwrap();
    bench.bundle().await;
    // The EntryPoint gave it the same name.
    bench.until(hashes[0], "included").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_receipt_but_null_until_an_operation_is_included() {
    let bench = Bench::new(V0_8).await;
    let op = bench.place([bench.account(vec![])]).await.remove(0);
    let receipt = async |hash: B256| bench.ask("eth_getUserOperationReceipt", vec![json!(hash)]).await;
    assert_eq!(receipt(B256::repeat_byte(9)).await, Ok(Value::Null));
    let hash = bench.send(&op).await.unwrap();
    assert_eq!(receipt(hash).await, Ok(Value::Null));
    bench.anvil("evm_setAutomine", vec![json!(false)]).await;
    bench.bundle().await;
    assert_eq!(receipt(hash).await, Ok(Value::Null), "submitted is not included");
    bench.anvil("evm_mine", vec![]).await;
    bench.until(hash, "included").await;
    assert_eq!(receipt(hash).await.unwrap()["userOpHash"], json!(hash));
}

#[tokio::test(flavor = "multi_thread")]
async fn pre_verification_gas_pays_for_the_floor_price_of_calldata() {
    for version in EntryPointVersion::ALL {
        let bench = Bench::new(version).await;
        let mut op = bench.place([bench.account(vec![])]).await.remove(0);
        op.signature = vec![7; 10_000].into();
        // EIP-7623: ten gas for each of four tokens a byte; the EntryPoint meters some 25,000 gas of the transaction.
        let floor = 10_000 * 4 * 10 - 25_000;
        op.pre_verification_gas = floor;
        let refusal = bench.send(&op).await.unwrap_err();
        assert_eq!((refusal.code, &refusal.data["field"]), (-32602, &json!("preVerificationGas")), "{version}");
        assert!(refusal.message.starts_with("preVerificationGas: "), "{}", refusal.message);
        let required = number(&refusal.data["required"]);
        assert!((floor..floor + 60_000).contains(&required), "{version}: {required}");
        bench.send(&UserOperation { pre_verification_gas: required, ..op }).await.unwrap();
    }
}
