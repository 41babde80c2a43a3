//! No caller gets more than its share, and no node is trusted to run another EVM than ours.

use std::time::Duration;

use alloy::primitives::Address;
use bundler::{Bundler, Config, StartError, node::NodeClient};
use erc4337::ChainPreset;
use jsonrpsee::core::{
    ClientError,
    client::{BatchResponse, ClientT},
    params::{ArrayParams, BatchRequestBuilder},
};
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{Anvil, Stack, patience::within};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

fn code(error: ClientError) -> i32 {
    let ClientError::Call(error) = error else { panic!("no JSON-RPC error: {error}") };
    error.code()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_asks_too_much_is_told_to_wait_and_is_served_again() {
    let stack = Stack::start(&["--calls-per-second", "2"]).await.unwrap();
    let entry_point = *stack.deployment.entry_points.values().next().unwrap();
    let params = || vec![json!({ "sender": Address::ZERO }), json!(entry_point)];
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(code(stack.node.ask("eth_sendUserOperation", params()).await.unwrap_err()));
    }
    // Two malformed operations are told so; for more there is no room.
    assert_eq!((codes[0], codes[3]), (-32602, -32005), "{codes:?}");

    let mut batch = BatchRequestBuilder::new();
    for _ in 0..40 {
        batch.insert("eth_chainId", ArrayParams::new()).unwrap();
    }
    let answers: BatchResponse<'_, Value> = stack.node.rpc.batch_request(batch).await.unwrap();
    assert!(answers.num_failed_calls() > 0, "a batch is no way around it");

    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(stack.node.ask("eth_chainId", vec![]).await.unwrap(), json!("0x7a69"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_beyond_the_limit_and_a_body_beyond_the_limit_are_refused_whole() {
    let stack = Stack::start(&[]).await.unwrap();
    let mut batch = BatchRequestBuilder::new();
    for _ in 0..51 {
        batch.insert("eth_chainId", ArrayParams::new()).unwrap();
    }
    assert!(stack.node.rpc.batch_request::<Value>(batch).await.is_err());
    // By its announced length alone: whoever sends it all may find the connection closed before it has read the answer.
    let mut stream = TcpStream::connect(stack.node.url.trim_start_matches("http://")).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: 1258291\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = String::new();
    within("an answer", BufReader::new(stream).read_line(&mut status)).await.unwrap();
    assert!(status.contains("413"), "{status}");
    // That connection is closed; the others are as good as before.
    assert_eq!(stack.node.ask("eth_chainId", vec![]).await.unwrap(), json!("0x7a69"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_with_another_evm_is_refused_at_the_start_by_the_name_of_the_difference() {
    let start = async |hardfork| {
        let anvil = Anvil::start_with(&["--hardfork", hardfork]).await.unwrap();
        let mut config = Config::new(ChainPreset::local());
        config.entry_points.clear();
        Bundler::start(
            config,
            NodeClient::new(&anvil.url).unwrap(),
            vec![SecretKey::generate().into_signer().into()],
            None,
        )
        .await
        .map(|_| ())
    };
    start("osaka").await.unwrap();
    let refused = start("prague").await.unwrap_err();
    assert!(matches!(refused, StartError::SelfTest(_)));
    assert!(refused.to_string().contains("probe `CLZ (Osaka)`"), "{refused}");
    let refused = start("shanghai").await.unwrap_err().to_string();
    assert!(refused.contains("MCOPY"), "{refused}");
}
