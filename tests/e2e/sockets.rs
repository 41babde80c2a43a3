//! Connections are bounded by address, and trouble with them is no trouble for others.

use std::{net::SocketAddr, time::Duration};

use alloy::primitives::B256;
use jsonrpsee::{
    core::client::{Subscription, SubscriptionClientT},
    rpc_params,
    ws_client::WsClientBuilder,
};
use serde_json::{Value, json};
use tests::{Anvil, Redis, Stack, stack::NodeProcess};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// What a client of the loopback network sends to have a WebSocket.
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn address(node: &NodeProcess) -> SocketAddr {
    node.url.trim_start_matches("http://").parse().unwrap()
}

/// Of this address, with these headers beside; the socket, and the status it got.
async fn web_socket(node: &NodeProcess, from: [u8; 4], headers: &str) -> Option<(TcpStream, u16)> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(address(node)).await.ok()?;
    // One that is refused at once may be closed before it has asked.
    let _ = stream.write_all(format!("{UPGRADE}{headers}\r\n").as_bytes()).await;
    let mut head = [0; 12];
    tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut head)).await.ok()?.ok()?;
    let status = std::str::from_utf8(&head[9..]).ok()?.parse().ok()?;
    Some((stream, status))
}

/// Opens so many, or as many as there is room for.
async fn crowd(node: &NodeProcess, from: [u8; 4], count: usize, headers: &str) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        match web_socket(node, from, headers).await {
            Some((stream, 101)) => open.push(stream),
            Some((_, 429)) => break,
            Some((_, status)) => panic!("status {status}"),
            None => break,
        }
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_web_sockets_of_one_address_shut_nobody_else_out() {
    let stack = Stack::start(&[]).await.unwrap();
    let idle = crowd(&stack.node, [127, 0, 0, 1], 1_000, "").await;
    assert!((100..=500).contains(&idle.len()), "{} of one address", idle.len());
    let other = web_socket(&stack.node, [127, 0, 0, 2], "").await;
    assert!(matches!(other, Some((_, 101))), "another address is served");
    drop(idle);
    // The places are free again once that is noticed.
    let mut again = None;
    for _ in 0..100 {
        again = web_socket(&stack.node, [127, 0, 0, 1], "").await.map(|(_, status)| status);
        if again == Some(101) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(again, Some(101));
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_each_web_socket_is_counted_for_whom_the_proxy_saw() {
    let stack = Stack::start(&["--behind-proxy"]).await.unwrap();
    let seen = |last: u8| format!("X-Forwarded-For: 198.51.100.7, 203.0.113.{last}\r\n");
    let idle = crowd(&stack.node, [127, 0, 0, 1], 1_000, &seen(1)).await;
    assert!((100..=500).contains(&idle.len()), "{} of one address", idle.len());
    let other = web_socket(&stack.node, [127, 0, 0, 1], &seen(2)).await;
    assert!(matches!(other, Some((_, 101))), "another caller of the same proxy is served");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_limit_of_open_files_there_is_one_line_in_the_log_and_service_afterwards() {
    let anvil = Anvil::start().await.unwrap();
    let url = anvil.url.clone();
    let mut stack = Stack::on(anvil, &url, &[]).await.unwrap();
    stack.node.stop().await.unwrap();
    let log = std::env::temp_dir().join(format!("fabstir-files-{}.log", std::process::id()));
    let node = NodeProcess::with_few_files(&url, &stack.deployment_file, 64, &log).await.unwrap();
    // More than there are files for: those that are not accepted wait in the system's queue.
    let mut idle = Vec::new();
    for last in 1..=3 {
        for _ in 0..35 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, last], 0).into()).unwrap();
            idle.push(socket.connect(address(&node)).await.unwrap());
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let text = std::fs::read_to_string(&log).unwrap();
    let lines = text.lines().filter(|line| line.contains("no connections can be accepted")).count();
    assert_eq!(lines, 1, "{} lines in all", text.lines().count());
    drop(idle);
    let mut answer = Value::Null;
    for _ in 0..100 {
        match node.ask("eth_chainId", vec![]).await {
            Ok(chain) => {
                answer = chain;
                break;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    assert_eq!(answer, json!("0x7a69"));
    let _ = std::fs::remove_file(&log);
}

/// Commands that a Redis has answered so far.
async fn commands(redis: &Redis) -> u64 {
    let text = redis.ask(&["INFO", "stats"]).await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("total_commands_processed:")).unwrap();
    line.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_that_are_given_up_do_not_poll_redis() {
    let anvil = Anvil::start().await.unwrap();
    let url = anvil.url.clone();
    let mut stack = Stack::on(anvil, &url, &[]).await.unwrap();
    stack.node.stop().await.unwrap();
    let redis = Redis::start().await.unwrap();
    let arguments = ["--role", "both", "--partitions", "1", "--redis", &redis.url];
    let node = NodeProcess::start(&url, &stack.deployment_file, &arguments).await.unwrap();
    let rate = async || {
        let before = commands(&redis).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        commands(&redis).await - before
    };
    let idle = rate().await;
    let client = WsClientBuilder::default().build(node.url.replace("http", "ws")).await.unwrap();
    let mut subscriptions: Vec<Subscription<Value>> = Vec::new();
    for number in 0..500_u64 {
        let hash = B256::left_padding_from(&(number + 1).to_be_bytes());
        let (subscribe, unsubscribe) = ("fabstir_subscribeUserOperation", "fabstir_unsubscribeUserOperation");
        subscriptions.push(client.subscribe(subscribe, rpc_params![hash], unsubscribe).await.unwrap());
    }
    let watched = rate().await;
    assert!(watched > idle + 200, "{watched} commands while they are watched, {idle} when idle");
    // The connection goes, without a word about any of them.
    drop((subscriptions, client));
    let mut after = u64::MAX;
    for _ in 0..10 {
        after = rate().await;
        if after <= idle + idle / 2 + 100 {
            break;
        }
    }
    assert!(after <= idle + idle / 2 + 100, "{after} commands after they were given up, {idle} when idle");
}
