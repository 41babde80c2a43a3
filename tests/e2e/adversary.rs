//! Attacks on other people's operations and on the bundler's purse that were found by trying.

use std::time::Duration;

use alloy::{
    primitives::{Address, Bytes, U256, address, utils::parse_ether},
    sol_types::SolCall,
};
use erc4337::{EntryPointVersion, UserOperation, abi::entry_point_v08::depositToCall};
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{
    Anvil, Bench,
    chain::OnBase,
    programs::asm::{Asm, op},
    proxy::{Fault, Proxy},
};

/// Where tokens are on Base: executed by the client.
const TOKEN: Address = address!("0xb200000000000000000000aabbccddeeff001122");

fn number(value: &Value) -> u128 {
    serde_json::from_value::<U256>(value.clone()).unwrap().to()
}

/// An account that every signature is good for, and whose execution is this.
fn account(version: EntryPointVersion, execution: &[u8]) -> Bytes {
    let mut asm = Asm::default();
    let asked = asm.label();
    asm.op(op::PUSH0).op(op::CALLDATALOAD).number(224).op(op::SHR);
    asm.number(u32::from_be_bytes(version.selectors().validate_user_op) as usize).op(op::EQ).jump_if(asked);
    asm.raw(execution).op(op::STOP);
    asm.place(asked);
    asm.number(32).op(op::PUSH0).op(op::RETURN);
    asm.finish()
}

/// Places it with a deposit; an operation of its.
async fn place(bench: &Bench, execution: &[u8]) -> UserOperation {
    let sender = SecretKey::generate().address();
    bench.set_code(sender, account(bench.version, execution)).await;
    let deposit = depositToCall { account: sender }.abi_encode();
    bench.stack.anvil.transact(Some(bench.entry_point), deposit, parse_ether("1").unwrap()).await.unwrap();
    UserOperation {
        sender,
        call_data: vec![1; 4].into(),
        call_gas_limit: 100_000,
        verification_gas_limit: 200_000,
        pre_verification_gas: 100_000,
        max_fee_per_gas: 50_000_000_000,
        max_priority_fee_per_gas: 2_000_000_000,
        ..UserOperation::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_call_that_a_rising_base_fee_leaves_behind_keeps_nobody_waiting() {
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    let mut call = Asm::default();
    call.op(op::PUSH0).op(op::PUSH0).op(op::PUSH0).op(op::PUSH0).op(op::PUSH0).address(TOKEN).op(op::GAS).op(op::CALL);
    let (native, other) = (place(&bench, &call.finish()).await, place(&bench, &[]).await);
    bench.anvil("anvil_setNextBlockBaseFeePerGas", vec![json!("0x3b9aca00")]).await;
    bench.anvil("evm_mine", vec![]).await;
    bench.catch_up().await;
    let history = bench.anvil("eth_feeHistory", vec![json!("0x1"), json!("latest"), json!([])]).await;
    let base_fee = number(history["baseFeePerGas"].as_array().unwrap().last().unwrap());
    let price = bench.ask("pimlico_getUserOperationGasPrice", vec![]).await.unwrap();
    let priority = number(&price["standard"]["maxPriorityFeePerGas"]);
    // Just what is asked for, and what is bid.
    let native = UserOperation {
        max_fee_per_gas: base_fee + priority,
        max_priority_fee_per_gas: priority,
        pre_verification_gas: 200_000,
        ..native
    };
    bench.stack.anvil.hold().await.unwrap();
    bench.ask("debug_bundler_setBundlingMode", vec![json!("auto")]).await.unwrap();
    let native = bench.send(&native).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let other = bench.send(&other).await.unwrap();
    let mut blocks = 0;
    while bench.status(other).await["status"] != "included" {
        blocks += 1;
        let stuck = bench.status(native).await;
        assert!(blocks <= 10, "ten blocks, and it waits for {stuck}");
        let dearer = json!(U256::from(base_fee + priority + 1));
        bench.anvil("anvil_setNextBlockBaseFeePerGas", vec![dearer]).await;
        bench.anvil("evm_mine", vec![]).await;
        bench.catch_up().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequencer_that_has_enough_of_us_for_a_moment_makes_nothing_dearer_and_cancels_nothing() {
    let _base = OnBase::begin();
    let anvil = Anvil::start().await.unwrap();
    let proxy = Proxy::start(&anvil.url).await.unwrap();
    let bench = Bench::on(anvil, &proxy.url, EntryPointVersion::V0_8).await;
    let op = place(&bench, &[]).await;
    bench.catch_up().await;
    proxy.fail("eth_sendRawTransaction", Fault::Limited);
    bench.ask("debug_bundler_setBundlingMode", vec![json!("auto")]).await.unwrap();
    let hash = bench.send(&op).await.unwrap();
    // Twenty blocks; 24 s would be reason enough for a cancellation.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let refused = proxy.methods().get("eth_sendRawTransaction").copied().unwrap_or_default();
    proxy.release();
    for _ in 0..150 {
        if bench.status(hash).await["status"] == "included" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let receipt = bench.ask("eth_getUserOperationReceipt", vec![json!(hash)]).await.unwrap();
    assert_eq!(receipt["success"], true, "{refused} refusals: {receipt}");
    let transaction =
        bench.anvil("eth_getTransactionByHash", vec![receipt["receipt"]["transactionHash"].clone()]).await;
    assert_eq!(transaction["nonce"], "0x0", "{refused} refusals, and its nonce went to a cancellation");
    let price = bench.ask("pimlico_getUserOperationGasPrice", vec![]).await.unwrap();
    let (bid, usual) =
        (number(&transaction["maxPriorityFeePerGas"]), number(&price["standard"]["maxPriorityFeePerGas"]));
    // No more than one step, after its three seconds.
    assert!(refused > 0 && bid <= usual * 1_130 / 1_000, "{refused} refusals, {bid} bid, {usual} usual");
}
