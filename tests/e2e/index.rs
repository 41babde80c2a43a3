//! The index of what was executed: receipts at any age, after a restart, a reorganisation, and of others' bundles.

use std::path::PathBuf;

use alloy::primitives::{Address, B256, Bytes, U256, hex, utils::parse_ether};
use erc4337::{EntryPointVersion, UserOperationRequest, pack};
use serde_json::{Value, json};
use tests::{
    Anvil, Proxy, Stack,
    accounts::{SimpleAccount, delegate, receipt},
    stack::NodeProcess,
};

/// A folder of the test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(tests::chain::own(name))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An account of this version and an operation of its that was executed; the hash.
async fn executed(stack: &Stack, version: EntryPointVersion) -> (SimpleAccount, B256) {
    let account = SimpleAccount::new(stack, version, parse_ether("1").unwrap()).await.unwrap();
    let op = account.operation(stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    let hash = account.send(stack, op).await.unwrap();
    receipt(stack, hash).await.unwrap();
    (account, hash)
}

/// Waits until the node no longer asks for logs when it is asked for what nobody knows: it knows all blocks itself.
async fn filled(node: &NodeProcess, proxy: &Proxy) {
    for _ in 0..1_000 {
        let logs = || proxy.methods().get("eth_getLogs").copied().unwrap_or_default();
        let before = logs();
        let unknown = node.ask("eth_getUserOperationReceipt", vec![json!(B256::repeat_byte(0xee))]).await;
        // While the index fills, a look for what is not there may meet what the proxy does not let through.
        if matches!(unknown, Ok(Value::Null)) && logs() == before {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the index was not filled: {:?}", proxy.methods());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_receipts_come_from_the_index_and_the_chain_is_not_read_again() {
    let folder = Folder::new("index-restart");
    let arguments = ["--data-dir", folder.path()];
    let anvil = Anvil::start().await.unwrap();
    let first = Proxy::start(&anvil.url).await.unwrap();
    let mut stack = Stack::on(anvil, &first.url, &arguments).await.unwrap();
    let (_, hash) = executed(&stack, EntryPointVersion::V0_8).await;
    let before = receipt(&stack, hash).await.unwrap();
    let by_hash = stack.node.ask("eth_getUserOperationByHash", vec![json!(hash)]).await.unwrap();
    filled(&stack.node, &first).await;
    stack.node.terminate().await.unwrap();
    // An index is of one process at a time: a stack always has a node, so another one stands in meanwhile.
    let between = NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &[]).await.unwrap();
    let (_, well) = std::mem::replace(&mut stack.node, between).end(std::time::Duration::from_secs(20)).await.unwrap();
    assert!(well);

    let second = Proxy::start(&stack.anvil.url).await.unwrap();
    stack.node = NodeProcess::start(&second.url, &stack.deployment_file, &arguments).await.unwrap();
    for _ in 0..20 {
        assert_eq!(receipt(&stack, hash).await.unwrap(), before);
    }
    let asked = second.methods();
    assert_eq!(asked.get("eth_getTransactionReceipt").copied().unwrap_or(0), receipts_in_head(&stack, &before).await);
    // The head's own, for the index and for the budgets.
    assert!(asked["eth_getLogs"] <= 2, "{asked:?}");
    // The operation itself is in its transaction.
    assert_eq!(stack.node.ask("eth_getUserOperationByHash", vec![json!(hash)]).await.unwrap(), by_hash);
    assert_eq!(second.methods()["eth_getLogs"], asked["eth_getLogs"]);
}

/// Receipts that a node asks for at its start: of the head block's operations.
async fn receipts_in_head(stack: &Stack, receipt: &Value) -> u64 {
    let head = stack.anvil.ask("eth_blockNumber", vec![]).await.unwrap();
    u64::from(receipt["receipt"]["blockNumber"] == head)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_fill_finds_out_how_many_blocks_the_node_gives_at_once() {
    let mut stack = Stack::start(&[]).await.unwrap();
    let (_, hash) = executed(&stack, EntryPointVersion::V0_6).await;
    let before = receipt(&stack, hash).await.unwrap();
    stack.anvil.ask("anvil_mine", vec![json!("0x5dc")]).await.unwrap();

    let proxy = Proxy::start(&stack.anvil.url).await.unwrap();
    proxy.fail("eth_getLogs", tests::proxy::Fault::Narrow(25));
    stack.node = NodeProcess::start(&proxy.url, &stack.deployment_file, &["--index-start", "0"]).await.unwrap();
    filled(&stack.node, &proxy).await;
    assert_eq!(receipt(&stack, hash).await.unwrap(), before);
    let asked = proxy.methods()["eth_getLogs"];
    // 1,500 blocks, some fifteen at a time, and what had to be tried and found too many.
    assert!(proxy.met() > 0 && asked < 300, "{asked} requests, {} refused", proxy.met());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reorganisation_undid_has_no_receipt_any_more() {
    let stack = Stack::start(&[]).await.unwrap();
    let (_, hash) = executed(&stack, EntryPointVersion::V0_8).await;
    let block = receipt(&stack, hash).await.unwrap()["receipt"]["blockNumber"].clone();
    stack.anvil.reorganise(serde_json::from_value::<U256>(block).unwrap().to()).await.unwrap();
    for _ in 0..1_000 {
        let receipt = stack.node.ask("eth_getUserOperationReceipt", vec![json!(hash)]).await.unwrap();
        let by_hash = stack.node.ask("eth_getUserOperationByHash", vec![json!(hash)]).await.unwrap();
        // Our own operation is known, but no longer mined, until it is again.
        if receipt.is_null() && (by_hash.is_null() || by_hash["blockNumber"].is_null()) {
            return;
        }
        let mined: Vec<Value> = serde_json::from_value(
            stack.anvil.ask("eth_getLogs", vec![json!({ "fromBlock": "0x0", "topics": [null, hash] })]).await.unwrap(),
        )
        .unwrap();
        // Sent again by the bundler and mined in another block: then that is what the receipt says.
        if let Some(log) = mined.first()
            && receipt["receipt"]["blockHash"] == log["blockHash"]
        {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the receipt of a block that is no more is still told");
}

/// Calls the address in its first 20 bytes of calldata with the rest; reverts if that does.
const FORWARDER: [u8; 37] = hex!("6014360380601460003760006000916000600060003560601c5af160235760006000fd5b00");

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_in_another_bundlers_nested_bundle_is_found_with_all_it_was() {
    let stack = Stack::start(&[]).await.unwrap();
    let version = EntryPointVersion::V0_7;
    let account = SimpleAccount::new(&stack, version, parse_ether("1").unwrap()).await.unwrap();
    let mut op = account.operation(&stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    let hash = account.finish(&stack, &mut op).await.unwrap();
    let complete = UserOperationRequest::from_json(&op, version).unwrap().complete(version).unwrap();

    let forwarder = Address::repeat_byte(0xf0);
    stack.anvil.ask("anvil_setCode", vec![json!(forwarder), json!(Bytes::from(FORWARDER))]).await.unwrap();
    let bundle = pack::handle_ops(version, [&complete], Address::repeat_byte(0xb0));
    let data = [account.entry_point.as_slice(), &bundle].concat();
    let mined = stack.anvil.transact(Some(forwarder), data, U256::ZERO).await.unwrap();

    let told = receipt(&stack, hash).await.unwrap();
    assert_eq!((&told["success"], &told["receipt"]["transactionHash"]), (&json!(true), &mined["transactionHash"]));
    let found = stack.node.ask("eth_getUserOperationByHash", vec![json!(hash)]).await.unwrap();
    assert_eq!(found["transactionHash"], mined["transactionHash"]);
    assert_eq!(found["userOperation"], erc4337::wire::to_json(&complete, version));
}

/// Its hash names a delegate that is nowhere in the transaction: the account's code says it.
#[tokio::test(flavor = "multi_thread")]
async fn an_eip7702_operation_without_its_authorization_is_found_in_another_bundlers_bundle() {
    let stack = Stack::start(&[]).await.unwrap();
    let version = EntryPointVersion::V0_8;
    let delegate = delegate(&stack, version).await.unwrap();
    let account = SimpleAccount::eip7702(&stack, version, parse_ether("1").unwrap()).await.unwrap();
    let mut op = account.operation(&stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    op["factory"] = json!("0x7702");
    op["eip7702Auth"] = account.authorize(delegate, 0).unwrap();
    let first = account.send(&stack, op).await.unwrap();
    receipt(&stack, first).await.unwrap();

    let mut op = account.operation(&stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    op["factory"] = json!("0x7702");
    op["eip7702Auth"] = account.authorize(delegate, 0).unwrap();
    let hash = account.finish(&stack, &mut op).await.unwrap();
    // It has been spent, and the transaction goes without it.
    op.as_object_mut().unwrap().remove("eip7702Auth");
    let complete = UserOperationRequest::from_json(&op, version).unwrap().complete(version).unwrap();
    let bundle = pack::handle_ops(version, [&complete], Address::repeat_byte(0xb0));
    let mined = stack.anvil.transact(Some(account.entry_point), bundle.to_vec(), U256::ZERO).await.unwrap();
    receipt(&stack, hash).await.unwrap();
    let found = stack.node.ask("eth_getUserOperationByHash", vec![json!(hash)]).await.unwrap();
    assert_eq!(found["transactionHash"], mined["transactionHash"]);
    assert_eq!(found["userOperation"], erc4337::wire::to_json(&complete, version));
}

tests::on_base!(
    what_a_reorganisation_undid_has_no_receipt_any_more,
    an_operation_in_another_bundlers_nested_bundle_is_found_with_all_it_was,
);
