//! What becomes of an operation, told instead of asked for.

use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256, utils::parse_ether};
use bundler::{Bundler, Config, node::NodeClient};
use erc4337::{ChainPreset, EntryPointVersion, UserOperationRequest};
use jsonrpsee::{
    core::{
        ClientError,
        client::{Subscription, SubscriptionClientT},
    },
    rpc_params,
    ws_client::{WsClient, WsClientBuilder},
};
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{Stack, accounts::SimpleAccount, anvil::KEYS};

/// For what is to come, however loaded the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

async fn connect(stack: &Stack) -> WsClient {
    WsClientBuilder::default().build(stack.node.url.replace("http", "ws")).await.unwrap()
}

async fn subscribe(client: &WsClient, hash: B256) -> Subscription<Value> {
    let (subscribe, unsubscribe) = ("fabstir_subscribeUserOperation", "fabstir_unsubscribeUserOperation");
    client.subscribe(subscribe, rpc_params![hash], unsubscribe).await.unwrap()
}

async fn next(subscription: &mut Subscription<Value>) -> Value {
    tokio::time::timeout(PATIENCE, subscription.next()).await.unwrap().unwrap().unwrap()
}

/// Updates up to and with this one.
async fn until(subscription: &mut Subscription<Value>, status: &str) -> Vec<Value> {
    let mut updates = Vec::new();
    loop {
        updates.push(next(subscription).await);
        if updates.last().unwrap()["status"] == status {
            return updates;
        }
    }
}

fn statuses(updates: &[Value]) -> Vec<&str> {
    updates.iter().map(|update| update["status"].as_str().unwrap()).collect()
}

/// A signed operation of a new account, and its hash.
async fn operation(stack: &Stack) -> (SimpleAccount, Value, B256) {
    let account = SimpleAccount::new(stack, EntryPointVersion::V0_8, parse_ether("1").unwrap()).await.unwrap();
    let mut op = account.operation(stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    let hash = account.finish(stack, &mut op).await.unwrap();
    (account, op, hash)
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_hear_each_step_in_order() {
    let stack = Stack::start(&[]).await.unwrap();
    let (account, op, hash) = operation(&stack).await;
    stack.anvil.hold().await.unwrap();
    let clients = [connect(&stack).await, connect(&stack).await];
    // One before anybody knows of the operation, one when it is on its way.
    let mut early = subscribe(&clients[0], hash).await;
    stack.node.ask("eth_sendUserOperation", vec![op, json!(account.entry_point)]).await.unwrap();
    let mut heard = until(&mut early, "submitted").await;
    let mut late = subscribe(&clients[1], hash).await;
    assert_eq!(next(&mut late).await, *heard.last().unwrap(), "the newest step is told at once");
    let status = stack.node.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await.unwrap();
    assert_eq!(status["status"], "submitted", "the block being built says nothing on a chain without flashblocks");

    stack.anvil.ask("evm_mine", vec![]).await.unwrap();
    heard.extend(until(&mut early, "included").await);
    stack.anvil.ask("anvil_mine", vec![json!("0x3")]).await.unwrap();
    heard.extend(until(&mut early, "safe").await);
    assert_eq!(statuses(&heard), ["accepted", "bundled", "submitted", "included", "safe"]);
    assert_eq!(statuses(&until(&mut late, "safe").await), ["included", "safe"]);

    let receipt = stack.node.ask("eth_getUserOperationReceipt", vec![json!(hash)]).await.unwrap();
    for update in &heard[2..] {
        assert_eq!(update["transactionHash"], receipt["receipt"]["transactionHash"], "{update}");
    }
    assert_eq!(heard[4]["blockHash"], receipt["receipt"]["blockHash"]);
    assert!(heard.iter().all(|update| update["userOpHash"] == json!(hash)));
}

/// On a chain with flashblocks; no node of ours is told so by its settings.
#[tokio::test(flavor = "multi_thread")]
async fn with_flashblocks_an_operation_is_preconfirmed_while_its_block_is_being_built() {
    let stack = Stack::start(&[]).await.unwrap();
    let (account, op, hash) = operation(&stack).await;
    let mut preset = ChainPreset::local();
    preset.flashblock_time = Some(Duration::from_millis(20));
    let mut config = Config::new(preset);
    config.entry_points = stack.deployment.entry_point_versions().unwrap();
    let signer = SecretKey::from_hex(KEYS[3]).unwrap().into_signer().into();
    let node = NodeClient::new(&stack.anvil.url).unwrap();
    let (bundler, task) = Bundler::start(config, node, vec![signer], None).await.unwrap();
    stack.anvil.ask("evm_setAutomine", vec![json!(false)]).await.unwrap();
    let op = UserOperationRequest::from_json(&op, EntryPointVersion::V0_8).unwrap().with_open_fields_zero();
    assert_eq!(bundler.send(op, account.entry_point).await.unwrap(), hash);
    let is = async |status: &str| {
        for _ in 0..1_000 {
            let record = bundler.record(hash).await.unwrap();
            if record.as_ref().is_some_and(|record| record.status.name() == status) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it is not {status}: {:?}", bundler.record(hash).await);
    };
    is("preconfirmed").await;
    stack.anvil.ask("evm_mine", vec![]).await.unwrap();
    is("included").await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_operations_subscriber_hears_why() {
    let stack = Stack::start(&["--debug-rpc"]).await.unwrap();
    stack.node.ask("debug_bundler_setBundlingMode", vec![json!("manual")]).await.unwrap();
    let (account, op, hash) = operation(&stack).await;
    stack.node.ask("eth_sendUserOperation", vec![op, json!(account.entry_point)]).await.unwrap();
    let client = connect(&stack).await;
    let mut heard = subscribe(&client, hash).await;
    assert_eq!(next(&mut heard).await["status"], "accepted");
    stack.node.ask("debug_bundler_clearMempool", vec![]).await.unwrap();
    let dropped = json!({ "userOpHash": hash, "status": "dropped", "reason": "cleared by the operator" });
    assert_eq!(next(&mut heard).await, dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_send_answers_with_the_receipt_or_names_the_operation() {
    let stack = Stack::start(&[]).await.unwrap();
    let (account, op, hash) = operation(&stack).await;
    let params = vec![op, json!(account.entry_point)];
    let receipt = stack.node.ask("fabstir_sendUserOperationSync", params).await.unwrap();
    assert_eq!((&receipt["userOpHash"], &receipt["success"]), (&json!(hash), &json!(true)));
    assert_eq!(receipt, stack.node.ask("eth_getUserOperationReceipt", vec![json!(hash)]).await.unwrap());

    let (account, op, hash) = operation(&stack).await;
    stack.anvil.hold().await.unwrap();
    let params = vec![op, json!(account.entry_point), json!(100)];
    let ClientError::Call(error) = stack.node.ask("fabstir_sendUserOperationSync", params).await.unwrap_err() else {
        panic!("no JSON-RPC error")
    };
    assert_eq!((error.code(), error.message().contains(&hash.to_string())), (4, true), "{error:?}");
    let data: Value = serde_json::from_str(error.data().unwrap().get()).unwrap();
    assert_eq!(data, json!({ "userOpHash": hash }));
}

tests::on_base!(
    a_dropped_operations_subscriber_hears_why,
    a_synchronous_send_answers_with_the_receipt_or_names_the_operation,
);
