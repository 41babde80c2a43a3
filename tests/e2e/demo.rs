//! The gasless job, by a viem client.

use std::{process::Stdio, time::Duration};

use fabstir::host;
use session_keys::SecretKey;
use tests::{
    Anvil, Proxy, Stack,
    stack::{fabstir, root},
};
use tokio::process::Command;

/// Everything the product may ask of a node.
const STANDARD_METHODS: [&str; 15] = [
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_getBalance",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getCode",
    "eth_getLogs",
    "eth_getStorageAt",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_maxPriorityFeePerGas",
];

fn offer() -> host::Offer {
    host::Offer {
        model: fabstir::deploy::DEMO_MODEL.into(),
        price: 600_000,
        stake: 100_000_000,
        capacity: 8,
        endpoint: "https://host.example/v1".into(),
    }
}

fn assert_demo_succeeded(output: &std::process::Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let told = "host was paid 4.875 test USDC; the user's ETH balance was 0 from first to last";
    assert!(text.lines().any(|line| line == told), "{text}");
    for end in ["host", "user"] {
        let told = format!("ended by the {end}: the host earned 0.816075 test USDC, the user paid 0.837 of 2");
        assert!(text.lines().any(|line| line == told), "{text}");
    }
    assert_eq!(text.matches("paid by paymaster").count(), 9, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_separate_node_carries_the_demo_with_standard_methods_only() {
    let anvil = Anvil::start().await.unwrap();
    let proxy = Proxy::start(&anvil.url).await.unwrap();
    let stack = Stack::on(anvil, &proxy.url, &[]).await.unwrap();

    let key = SecretKey::generate();
    let client = stack.client(key.clone(), 100_000_000).await.unwrap();
    host::register(&client, &stack.deployment, &offer()).await.unwrap();

    let session = stack.deployment_file.with_extension("session");
    std::fs::write(&session, stack.session(client.account, &key).to_string()).unwrap();
    let output = Command::new("npm")
        .args(["--silent", "--prefix", "tests/viem", "run", "demo"])
        .current_dir(root())
        .env("FABSTIR_DEV", &session)
        .output()
        .await
        .unwrap();
    std::fs::remove_file(&session).unwrap();
    assert_demo_succeeded(&output);

    let methods = proxy.methods();
    // Whether the node takes transactions under a condition was tried, and is tried no more.
    let tried = ["eth_sendRawTransactionConditional", "base_sendRawTransactionValidity"];
    assert_eq!(tried.map(|method| methods[method]), [1, 1]);
    for method in methods.keys().filter(|method| !tried.contains(&method.as_str())) {
        assert!(
            STANDARD_METHODS.contains(&method.as_str()) || method == "eth_sendRawTransaction",
            "{method} was asked of the node"
        );
    }
    // The proxy saw the real thing: state was read, bundles were sent.
    assert!(methods["eth_getStorageAt"] > 0);
    // Registration, five operations of the job, and four of two conversations.
    assert_eq!(methods["eth_sendRawTransaction"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_brings_everything_up_and_runs_the_demo() {
    let folder = std::env::temp_dir().join(format!("fabstir-dev-{}", std::process::id()));
    let run = "npm --silent --prefix tests/viem run demo";
    let dev = Command::new(fabstir())
        .args(["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--once", "--run", run, "--folder"])
        .arg(&folder)
        .current_dir(root())
        .env("FABSTIR_ANVIL", tests::anvil::program().unwrap())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(120), dev).await.unwrap().unwrap();
    let _ = std::fs::remove_dir_all(&folder);
    assert_demo_succeeded(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.lines().any(|line| line == "ready"), "{text}");
    assert!(text.lines().any(|line| line == "stopped: 0 accepted operations not mined"), "{text}");
}

tests::on_base!(a_separate_node_carries_the_demo_with_standard_methods_only,);
