//! Every EntryPoint: what is estimated is admitted, executes, and pays for its bundle.

use alloy::primitives::{Address, Bytes, U256, utils::parse_ether};
use erc4337::EntryPointVersion;
use serde_json::{Value, json};
use tests::{
    Stack,
    accounts::{SimpleAccount, receipt},
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
            let op = account.operation(&stack, somebody, U256::from(1), data).await.unwrap();
            let hash = account.send(&stack, op).await.unwrap();
            let receipt = receipt(&stack, hash).await.unwrap();
            assert_eq!(receipt["success"], true, "{version}: {receipt}");
            assert_eq!(receipt["entryPoint"], json!(account.entry_point));
            let mined = &receipt["receipt"];
            let paid = number(&receipt["actualGasCost"]);
            let cost = number(&mined["gasUsed"]) * number(&mined["effectiveGasPrice"]);
            assert!(paid >= cost, "{version}: the operation paid {paid} wei for a bundle of {cost} wei");
            // Nor should it be charged much more than it took.
            assert!(paid <= cost * 11 / 10, "{version}: the operation paid {paid} wei for a bundle of {cost} wei");
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
