//! What a bundle is proven on, and what it must earn before it is sent.

use alloy::primitives::{Address, B256, Bytes, U256, utils::parse_ether};
use bundler::l1_fee::{L1Prices, Upgrade};
use erc4337::EntryPointVersion;
use serde_json::{Value, json};
use tests::{
    Anvil, Stack,
    accounts::{SimpleAccount, receipt},
    bench::{Bench, answer_from},
    op_stack::set_prices,
    programs::{helpers, piece::Access},
};

/// Base fee of L1 as `L1Block` keeps it, in wei, and weights that count it in full.
async fn set_l1_base_fee(anvil: &Anvil, wei: u64) {
    let weights = L1Prices { upgrade: Upgrade::Jovian, base_fee_scalar: 1_000_000, ..L1Prices::default() };
    set_prices(anvil, &L1Prices { base_fee: wei.into(), ..weights }).await.unwrap();
}

async fn status(stack: &Stack, hash: B256) -> Value {
    stack.node.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await.unwrap()["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_data_on_l1_has_become_too_dear_for_waits_until_it_pays_again() {
    let anvil = Anvil::start_with(&["--chain-id", "8453"]).await.unwrap();
    set_l1_base_fee(&anvil, 1_000_000_000).await;
    let url = anvil.url.clone();
    let stack = Stack::on(anvil, &url, &["--debug-rpc"]).await.unwrap();
    let ask = async |method: &str, params: Vec<Value>| stack.node.ask(method, params).await.unwrap();
    ask("debug_bundler_setBundlingMode", vec![json!("manual")]).await;
    let version = EntryPointVersion::V0_8;
    let (dear, cheap) = (
        SimpleAccount::new(&stack, version, parse_ether("1").unwrap()).await.unwrap(),
        SimpleAccount::new(&stack, version, parse_ether("1").unwrap()).await.unwrap(),
    );
    let mut hashes = Vec::new();
    for (account, pays_more) in [(&dear, false), (&cheap, true)] {
        let mut op = account.operation(&stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
        account.finish(&stack, &mut op).await.unwrap();
        if pays_more {
            let enough: U256 = serde_json::from_value(op["preVerificationGas"].clone()).unwrap();
            op["preVerificationGas"] = json!(enough * U256::from(40));
            account.sign(&mut op).unwrap();
        }
        let hash = ask("eth_sendUserOperation", vec![op, json!(account.entry_point)]).await;
        hashes.push(serde_json::from_value::<B256>(hash).unwrap());
    }
    set_l1_base_fee(&stack.anvil, 20_000_000_000).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;

    let transaction = ask("debug_bundler_sendBundleNow", vec![]).await;
    let included = receipt(&stack, hashes[1]).await.unwrap();
    assert_eq!(included["receipt"]["transactionHash"], transaction);
    let logs = included["receipt"]["logs"].to_string();
    assert!(!logs.contains(&hashes[0].to_string()), "the one that costs more than it pays went along");
    // Alone it would be a loss.
    assert_eq!(ask("debug_bundler_sendBundleNow", vec![]).await, Value::Null);
    assert_eq!(status(&stack, hashes[0]).await, "pending");

    set_l1_base_fee(&stack.anvil, 1_000_000_000).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    ask("debug_bundler_sendBundleNow", vec![]).await;
    receipt(&stack, hashes[0]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_proven_on_what_those_in_flight_will_leave() {
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    // Valid until somebody writes its slot.
    let [victim] = bench.place([bench.account(vec![answer_from(5)])]).await.try_into().unwrap();
    let writer = SimpleAccount::new(&bench.stack, EntryPointVersion::V0_8, parse_ether("1").unwrap()).await.unwrap();
    let write = [&[helpers::order(Access::Sstore)], U256::from(5).to_be_bytes::<32>().as_slice()].concat();
    let op = writer.operation(&bench.stack, victim.sender, U256::ZERO, write.into()).await.unwrap();
    bench.stack.anvil.hold().await.unwrap();

    let first = writer.send(&bench.stack, op).await.unwrap();
    let transaction = bench.bundle().await;
    // On the chain as it is it is valid, and so it is taken.
    let second = bench.send(&victim).await.unwrap();
    assert_eq!(bench.ask("debug_bundler_sendBundleNow", vec![]).await.unwrap(), Value::Null);
    assert_eq!(status(&bench.stack, second).await, "pending");

    bench.stack.anvil.ask("evm_mine", vec![]).await.unwrap();
    let included = receipt(&bench.stack, first).await.unwrap();
    assert_eq!(included["receipt"]["transactionHash"], json!(transaction));
    assert_eq!(included["success"], true);
    bench.until(second, "dropped").await;
}

tests::on_base!(
    an_operation_that_data_on_l1_has_become_too_dear_for_waits_until_it_pays_again,
    a_bundle_is_proven_on_what_those_in_flight_will_leave,
);
