//! Several nodes behind one bundler: who is asked, who is given transactions, what is told of their URLs.

use alloy::primitives::{Address, Bytes, U256, utils::parse_ether};
use erc4337::EntryPointVersion;
use serde_json::{Value, json};
use tests::{
    Anvil, Stack,
    accounts::{SimpleAccount, receipt},
    anvil::KEYS,
    proxy::{ANY, Fault, Proxy},
};

/// As an access key in a provider's URL.
const SECRET: &str = "d3adb33f5ec2e7c0ffee";

async fn account(stack: &Stack) -> SimpleAccount {
    SimpleAccount::new(stack, EntryPointVersion::V0_8, parse_ether("1").unwrap()).await.unwrap()
}

/// Has an operation included.
async fn carry(stack: &Stack, account: &SimpleAccount) -> Value {
    let op = account.operation(stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    let hash = account.send(stack, op).await.unwrap();
    receipt(stack, hash).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_stands_in_for_one_that_fails_and_no_secret_of_its_url_is_told() {
    let anvil = Anvil::start().await.unwrap();
    let (first, second) = (Proxy::start(&anvil.url).await.unwrap(), Proxy::start(&anvil.url).await.unwrap());
    let urls = format!("{}/v3/{SECRET},{}", first.url, second.url);
    let log = std::env::temp_dir().join(format!("fabstir-nodes-{}.log", std::process::id()));
    let stack = Stack::logged(anvil, &urls, &[], &log).await.unwrap();
    let account = account(&stack).await;
    assert_eq!(carry(&stack, &account).await["success"], true);
    assert_eq!(second.methods().get("eth_getLogs"), None, "the first does well");

    first.fail(ANY, Fault::HangUp);
    first.struck().await;
    assert_eq!(carry(&stack, &account).await["success"], true);
    assert!(second.methods().contains_key("eth_getLogs"));
    // Both fail: what is said of it is said without the secret.
    second.fail(ANY, Fault::Unavailable);
    let op = json!({ "sender": account.address, "nonce": "0x9", "callData": "0x", "signature": "0x" });
    let error = stack.node.ask("eth_estimateUserOperationGas", vec![op, json!(account.entry_point)]).await.unwrap_err();
    assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
    first.release();
    second.release();
    assert_eq!(carry(&stack, &account).await["success"], true);

    let told = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert!(told.contains("others stand in"), "{told}");
    for secret in [SECRET, &KEYS[1][2..], &KEYS[2][2..]] {
        let line = told.lines().find(|line| line.to_lowercase().contains(secret));
        assert_eq!(line, None, "a secret is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_go_to_the_private_node_alone() {
    let anvil = Anvil::start().await.unwrap();
    let (public, private) = (Proxy::start(&anvil.url).await.unwrap(), Proxy::start(&anvil.url).await.unwrap());
    let arguments = ["--private-node-url", &private.url];
    let stack = Stack::on(anvil, &public.url, &arguments).await.unwrap();
    carry(&stack, &account(&stack).await).await;
    assert!(!public.methods().contains_key("eth_sendRawTransaction"), "{:?}", public.methods());
    let private: Vec<_> = private.methods().into_keys().collect();
    // What it takes transactions by is tried at the start.
    let tried = ["base_sendRawTransactionValidity", "eth_sendRawTransaction", "eth_sendRawTransactionConditional"];
    assert_eq!(private, tried);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_websocket_heads_are_announced_and_a_lost_connection_is_made_again() {
    let anvil = Anvil::start().await.unwrap();
    let url = anvil.url.replace("http://", "ws://");
    // Nothing is asked for in a test's lifetime: what is heard of was announced.
    let stack = Stack::on(anvil, &url, &["--poll-ms", "600000"]).await.unwrap();
    let account = account(&stack).await;
    for _ in 0..3 {
        assert_eq!(carry(&stack, &account).await["success"], true);
    }
}

tests::on_base!(over_websocket_heads_are_announced_and_a_lost_connection_is_made_again,);
