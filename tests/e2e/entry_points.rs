//! Every EntryPoint: what is estimated is admitted, executes, and pays for its bundle.

use alloy::primitives::{Address, Bytes, U256, utils::parse_ether};
use erc4337::EntryPointVersion;
use serde_json::{Value, json};
use tests::{
    Stack,
    accounts::{SimpleAccount, delegate, receipt},
};

fn number(value: &Value) -> u128 {
    serde_json::from_value::<U256>(value.clone()).unwrap().to()
}

#[tokio::test(flavor = "multi_thread")]
async fn estimated_operations_of_every_version_execute_and_never_cost_the_bundler() {
    let stack = Stack::start(&[]).await.unwrap();
    let somebody = Address::repeat_byte(0x77);
    for version in EntryPointVersion::ALL {
        let account = SimpleAccount::new(&stack, version, parse_ether("1").unwrap()).await.unwrap();
        // First the account is made, then it acts as it is; with little calldata and with much.
        for data in [Bytes::new(), Bytes::new(), Bytes::from(vec![7; 2_000])] {
            let long = data.len() > 1_000;
            let op = account.operation(&stack, somebody, U256::from(1), data).await.unwrap();
            let hash = account.send(&stack, op).await.unwrap();
            let receipt = receipt(&stack, hash).await.unwrap();
            assert_eq!(receipt["success"], true, "{version}: {receipt}");
            assert_eq!(receipt["entryPoint"], json!(account.entry_point));
            let mined = &receipt["receipt"];
            let paid = number(&receipt["actualGasCost"]);
            let cost = number(&mined["gasUsed"]) * number(&mined["effectiveGasPrice"]);
            assert!(paid >= cost, "{version}: the operation paid {paid} wei for a bundle of {cost} wei");
            // Nor should it be charged much more than it took. Long calldata is charged its floor price (EIP-7623) as
            // if the leanest account came with it, which this one is not.
            let percent = if long { 15 } else { 10 };
            assert!(
                paid <= cost + cost * percent / 100,
                "{version}: the operation paid {paid} wei for a bundle of {cost} wei"
            );
        }
    }
    let received = stack.anvil.balance(somebody).await.unwrap();
    assert_eq!(received, U256::from(4 * 3), "every call was made once");
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_and_operations_survive_a_restart_of_the_node() {
    let mut stack = Stack::start(&[]).await.unwrap();
    let account = SimpleAccount::new(&stack, EntryPointVersion::V0_7, parse_ether("1").unwrap()).await.unwrap();
    let op = account.operation(&stack, Address::repeat_byte(1), U256::ZERO, Bytes::new()).await.unwrap();
    let hash = account.send(&stack, op).await.unwrap();
    let before = receipt(&stack, hash).await.unwrap();
    let by_hash = stack.node.ask("eth_getUserOperationByHash", vec![json!(hash)]).await.unwrap();

    let node = tests::stack::NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &[]).await.unwrap();
    stack.node = node;
    assert_eq!(receipt(&stack, hash).await.unwrap(), before);
    assert_eq!(stack.node.ask("eth_getUserOperationByHash", vec![json!(hash)]).await.unwrap(), by_hash);
    assert_eq!(by_hash["transactionHash"], before["receipt"]["transactionHash"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eip7702_sender_is_delegated_by_its_first_operation_and_acts_again_without() {
    let stack = Stack::start(&[]).await.unwrap();
    let delegate = delegate(&stack, EntryPointVersion::V0_8).await.unwrap();
    let account = SimpleAccount::eip7702(&stack, EntryPointVersion::V0_8, parse_ether("1").unwrap()).await.unwrap();
    let somebody = Address::repeat_byte(0x78);
    for nonce in [Some(0), None] {
        let mut op = account.operation(&stack, somebody, U256::from(1), Bytes::new()).await.unwrap();
        if let Some(nonce) = nonce {
            op["factory"] = json!("0x7702");
            op["eip7702Auth"] = account.authorize(delegate, nonce).unwrap();
        }
        let hash = account.send(&stack, op).await.unwrap();
        let receipt = receipt(&stack, hash).await.unwrap();
        assert_eq!(receipt["success"], true, "{receipt}");
        assert!(
            number(&receipt["actualGasCost"])
                >= number(&receipt["receipt"]["gasUsed"]) * number(&receipt["receipt"]["effectiveGasPrice"])
        );
    }
    assert_eq!(stack.anvil.balance(somebody).await.unwrap(), U256::from(2));
    let code = stack.anvil.ask("eth_getCode", vec![json!(account.address), json!("latest")]).await.unwrap();
    assert_eq!(code, json!(Bytes::from([&[0xef, 0x01, 0x00], delegate.as_slice()].concat())));

    // An authorization that would not work is refused before it costs anything.
    let mut op = account.operation(&stack, somebody, U256::from(1), Bytes::new()).await.unwrap();
    op["factory"] = json!("0x7702");
    op["eip7702Auth"] = account.authorize(delegate, 7).unwrap();
    let error = account.send(&stack, op).await.unwrap_err().to_string();
    assert!(error.contains("eip7702Auth: nonce 7 is not the sender's next"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_methods_are_served_over_websocket() {
    use jsonrpsee::{core::client::ClientT, rpc_params, ws_client::WsClientBuilder};
    let stack = Stack::start(&[]).await.unwrap();
    let client = WsClientBuilder::default().build(stack.node.url.replace("http", "ws")).await.unwrap();
    let chain: U256 = client.request("eth_chainId", rpc_params![]).await.unwrap();
    assert_eq!(chain, U256::from(31337));
    let served: Vec<Address> = client.request("eth_supportedEntryPoints", rpc_params![]).await.unwrap();
    assert_eq!(served.len(), 4);
}

tests::on_base!(
    estimated_operations_of_every_version_execute_and_never_cost_the_bundler,
    receipts_and_operations_survive_a_restart_of_the_node,
);
