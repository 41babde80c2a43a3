//! Estimates of operations that nothing on chain is ready for yet, and refusals that say where it failed.

use alloy::primitives::{Address, Bytes, U256, utils::parse_ether};
use erc4337::EntryPointVersion;
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use tests::{
    Stack,
    accounts::{SimpleAccount, delegate, receipt},
};

/// The JSON-RPC error that it is.
fn refusal(error: ClientError) -> (i32, String, Value) {
    let ClientError::Call(error) = error else { panic!("no JSON-RPC error: {error}") };
    let data = error.data().map_or(Value::Null, |data| serde_json::from_str(data.get()).unwrap());
    (error.code(), error.message().to_owned(), data)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_whose_account_its_pending_predecessor_makes_is_estimated_admitted_and_executed() {
    for version in EntryPointVersion::ALL {
        let stack = Stack::start(&["--debug-rpc"]).await.unwrap();
        stack.node.ask("debug_bundler_setBundlingMode", vec![json!("manual")]).await.unwrap();
        let account = SimpleAccount::new(&stack, version, parse_ether("1").unwrap()).await.unwrap();
        let somebody = Address::repeat_byte(0x55);
        let first = account.operation(&stack, somebody, U256::from(1), Bytes::new()).await.unwrap();
        let mut hashes = vec![account.send(&stack, first.clone()).await.unwrap()];
        for nonce in 1..3_u64 {
            let mut next = first.clone();
            next["nonce"] = json!(U256::from(nonce));
            for made in ["factory", "factoryData", "initCode"] {
                next.as_object_mut().unwrap().remove(made);
            }
            hashes.push(account.send(&stack, next).await.unwrap());
        }
        for _ in 0..3 {
            stack.node.ask("debug_bundler_sendBundleNow", vec![]).await.unwrap();
        }
        stack.node.ask("debug_bundler_setBundlingMode", vec![json!("auto")]).await.unwrap();
        for hash in hashes {
            assert_eq!(receipt(&stack, hash).await.unwrap()["success"], true, "{version}");
        }
        assert_eq!(stack.anvil.balance(somebody).await.unwrap(), U256::from(3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_taken_for_the_successor_of_an_operation_that_is_not_there() {
    let stack = Stack::start(&[]).await.unwrap();
    let account = SimpleAccount::new(&stack, EntryPointVersion::V0_8, U256::ZERO).await.unwrap();
    let mut op = account.operation(&stack, Address::repeat_byte(1), U256::ZERO, Bytes::new()).await.unwrap();
    op["nonce"] = json!("0x1");
    op.as_object_mut().unwrap().remove("factory");
    op.as_object_mut().unwrap().remove("factoryData");
    let params = vec![op, json!(account.entry_point)];
    let (code, message, _) = refusal(stack.node.ask("eth_estimateUserOperationGas", params).await.unwrap_err());
    assert_eq!((code, message.contains("AA20")), (-32500, true), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_authorization_is_estimated_and_refused_when_sent() {
    let stack = Stack::start(&[]).await.unwrap();
    let version = EntryPointVersion::V0_8;
    let delegate = delegate(&stack, version).await.unwrap();
    // Nothing is there to pay with either.
    let account = SimpleAccount::eip7702(&stack, version, U256::ZERO).await.unwrap();
    let mut op = account.operation(&stack, Address::repeat_byte(0x56), U256::ZERO, Bytes::new()).await.unwrap();
    op["factory"] = json!("0x7702");
    op["eip7702Auth"] = account.authorize(delegate, 0).unwrap();
    let signed = op.clone();
    for part in ["yParity", "v", "r", "s"] {
        op["eip7702Auth"].as_object_mut().unwrap().remove(part);
    }
    let entry_point = json!(account.entry_point);
    let estimate = async |op: &Value| {
        stack.node.ask("eth_estimateUserOperationGas", vec![op.clone(), entry_point.clone()]).await.unwrap()
    };
    let gas = estimate(&op).await;
    assert_eq!(gas, estimate(&signed).await, "the signature of the authorization makes no difference");

    op.as_object_mut().unwrap().extend(gas.as_object().unwrap().clone());
    let sent = stack.node.ask("eth_sendUserOperation", vec![op, entry_point.clone()]).await.unwrap_err();
    let (code, message, _) = refusal(sent);
    assert_eq!(code, -32602);
    assert!(message.starts_with("eip7702Auth: "), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_runs_out_of_gas_names_the_contract_and_one_too_large_names_the_limit() {
    let stack = Stack::start(&[]).await.unwrap();
    let account = SimpleAccount::new(&stack, EntryPointVersion::V0_8, U256::ZERO).await.unwrap();
    let writer = stack.anvil.transact(None, tests::accuracy::deployment_of_writer(), U256::ZERO).await.unwrap();
    let writer: Address = serde_json::from_value(writer["contractAddress"].clone()).unwrap();
    let entry_point = json!(account.entry_point);
    let estimate = async |slots: u64, given: Option<&str>| {
        let data = Bytes::from(U256::from(slots).to_be_bytes::<32>());
        let mut op = account.operation(&stack, writer, U256::ZERO, data).await.unwrap();
        if let Some(given) = given {
            op["callGasLimit"] = json!(given);
        }
        stack.node.ask("eth_estimateUserOperationGas", vec![op, entry_point.clone()]).await
    };
    // Until the node has seen the block that the writer is in, a call to it does nothing, and succeeds.
    for _ in 0..500 {
        if estimate(20, Some("0x186a0")).await.is_err() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // 20 slots take 440,000 gas and more; the caller gives 100,000, which is not overwritten.
    let (code, message, data) = refusal(estimate(20, Some("0x186a0")).await.unwrap_err());
    assert_eq!(code, -32521, "{message}");
    assert_eq!((&data["contract"], &data["outOfGas"]), (&json!(writer), &json!(true)), "{message}");
    assert!(message.contains("out of gas"), "{message}");
    // 760 slots are over 16.7 million gas.
    let (code, message, data) = refusal(estimate(760, None).await.unwrap_err());
    assert_eq!((code, &data["field"]), (-32602, &json!("callGasLimit")), "{message}");
    // What the caller gives stays as it was given.
    let gas = estimate(1, Some("0x186a0")).await.unwrap();
    assert_eq!(gas["callGasLimit"], "0x186a0");
}

tests::on_base!(
    an_operation_whose_account_its_pending_predecessor_makes_is_estimated_admitted_and_executed,
    an_unsigned_authorization_is_estimated_and_refused_when_sent,
    a_call_that_runs_out_of_gas_names_the_contract_and_one_too_large_names_the_limit,
);
