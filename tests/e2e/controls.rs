//! What an operator can have a running node do: each of it, by whom, that it is written down, and that a pause outlives a
//! restart.

use alloy::primitives::{Address, B256, Bytes, U256, utils::parse_ether};
use erc4337::EntryPointVersion;
use hyper::Method;
use serde_json::{Value, json};
use tests::{
    Anvil, Redis, Stack,
    accounts::{SimpleAccount, receipt},
    anvil::KEYS,
    patience::until,
    stack::{NodeProcess, fabstir},
};
use tokio::process::Command;

use crate::admin::{self, Admin, start};

const VERSION: EntryPointVersion = EntryPointVersion::V0_8;

impl Admin {
    /// The result, or the error's code and message.
    async fn call(&self, key: &str, method: &str, params: Value) -> Result<Value, (i64, String)> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let (status, answer) = self.ask(Method::POST, "/rpc", Some(key), &body).await;
        assert_eq!(status, 200, "{answer}");
        match answer.get("error") {
            Some(error) => Err((error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())),
            None => Ok(answer["result"].clone()),
        }
    }

    async fn done(&self, key: &str, method: &str, params: Value) -> Value {
        self.call(key, method, params).await.unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }
}

/// One operation of an account of its own, ready to be sent.
async fn operation(stack: &Stack) -> (SimpleAccount, Value, B256) {
    let account = SimpleAccount::new(stack, VERSION, parse_ether("1").unwrap()).await.unwrap();
    let mut op = account.operation(stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    let hash = account.finish(stack, &mut op).await.unwrap();
    (account, op, hash)
}

async fn send(stack: &Stack, account: &SimpleAccount, op: &Value) -> Result<Value, jsonrpsee::core::ClientError> {
    stack.node.ask("eth_sendUserOperation", vec![op.clone(), json!(account.entry_point)]).await
}

async fn status(stack: &Stack, hash: B256) -> Value {
    stack.node.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_call_what_it_may_and_nobody_anything_else() {
    let (_policies, log, _, admin, stack) = start("controls-roles").await;
    let (_, _, hash) = operation(&stack).await;
    let key: Address = Address::repeat_byte(1);
    let methods = [
        ("admin_status", json!([]), 0),
        ("admin_reputation", json!([]), 0),
        ("admin_pauseIntake", json!([]), 1),
        ("admin_resumeIntake", json!([]), 1),
        ("admin_pauseBundling", json!([]), 1),
        ("admin_resumeBundling", json!([]), 1),
        ("admin_drain", json!([]), 1),
        ("admin_dropOperation", json!([hash]), 1),
        ("admin_clearSender", json!([key]), 1),
        ("admin_clearEntity", json!([key]), 1),
        ("admin_cancelNonce", json!([key, "0x0"]), 2),
        ("admin_setReputation", json!([[]]), 2),
    ];
    let (status, _) = admin.ask(Method::POST, "/rpc", None, r#"{"method":"admin_status"}"#).await;
    assert_eq!(status, 401);
    for (method, params, needed) in &methods {
        for (role, key) in ["view", "run", "rule"].iter().enumerate() {
            let answer = admin.call(key, method, params.clone()).await;
            let refused = matches!(answer, Err((-32003, _)));
            assert_eq!(refused, role < *needed, "{method} with {key}: {answer:?}");
        }
    }
    assert_eq!(admin.call("rule", "eth_chainId", json!([])).await.unwrap_err().0, -32601);
    assert_eq!(admin.call("rule", "admin_dropOperation", json!(["0x1"])).await.unwrap_err().0, -32602);
    assert_eq!(admin.call("rule", "admin_dropOperation", json!([])).await.unwrap_err().0, -32602);
    // What changes anything is in the log, with its parameters; what only looks, or was refused, is not.
    let text = std::fs::read_to_string(&log).unwrap();
    let actions: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |action: &str| actions.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!([of("admin_status"), of("admin_pauseIntake"), of("admin_cancelNonce"), of("eth_chainId")], [0, 2, 1, 0]);
    assert!(actions.iter().any(|entry| entry["action"] == "admin_clearSender" && entry["detail"] == json!([key])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_intake_refuses_by_its_name_and_pauses_outlive_a_restart() {
    let (_policies, _, arguments, admin, mut stack) = start("controls-pause").await;
    let (account, op, hash) = operation(&stack).await;
    admin.done("run", "admin_pauseBundling", json!([])).await;
    send(&stack, &account, &op).await.unwrap();
    let paused = admin.done("run", "admin_pauseIntake", json!([])).await;
    assert_eq!(
        [&paused["intakePaused"], &paused["bundlingPaused"], &paused["pending"]],
        [&json!(true), &json!(true), &json!(1)]
    );

    let (second, second_op, second_hash) = operation(&stack).await;
    let refused = |error: jsonrpsee::core::ClientError| match error {
        jsonrpsee::core::ClientError::Call(error) => {
            let data: Value = serde_json::from_str(error.data().unwrap().get()).unwrap();
            (error.code(), data["paused"].clone())
        }
        other => panic!("{other}"),
    };
    assert_eq!(refused(send(&stack, &second, &second_op).await.unwrap_err()), (-32005, json!("intake")));
    // What was accepted is accepted: sent again, it is known.
    assert_eq!(send(&stack, &account, &op).await.unwrap(), json!(hash));
    assert_eq!(status(&stack, hash).await["status"], "pending");

    stack.node.stop().await.unwrap();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    stack.node = NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &arguments).await.unwrap();
    let still = admin.done("view", "admin_status", json!([])).await;
    assert_eq!([&still["intakePaused"], &still["bundlingPaused"]], [&json!(true), &json!(true)]);
    assert!(send(&stack, &second, &second_op).await.is_err());
    admin.done("run", "admin_resumeIntake", json!([])).await;
    send(&stack, &second, &second_op).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(status(&stack, second_hash).await["status"], "pending");
    // Drained: nothing more comes in, and what is there goes out.
    admin.done("run", "admin_drain", json!([])).await;
    assert_eq!(receipt(&stack, second_hash).await.unwrap()["success"], true);
    let drained = admin.done("view", "admin_status", json!([])).await;
    assert_eq!([&drained["intakePaused"], &drained["pending"]], [&json!(true), &json!(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_an_operator_has_paused_is_lost_when_the_node_is_killed() {
    let (policies, _, mut arguments, admin, mut stack) = start("controls-kill").await;
    let data = policies.0.join("data");
    arguments.extend(["--data-dir".to_owned(), data.to_string_lossy().into_owned()]);
    let again = async |stack: &mut Stack| {
        stack.node.kill().await.unwrap();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        stack.node = NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &arguments).await.unwrap();
    };
    again(&mut stack).await;
    let mut sent = Vec::new();
    admin.done("run", "admin_pauseBundling", json!([])).await;
    for _ in 0..3 {
        let (account, op, hash) = operation(&stack).await;
        send(&stack, &account, &op).await.unwrap();
        sent.push(hash);
        again(&mut stack).await;
        let told = admin.done("view", "admin_status", json!([])).await;
        assert_eq!([&told["bundlingPaused"], &told["pending"]], [&json!(true), &json!(sent.len())]);
    }
    for hash in &sent {
        let told = status(&stack, *hash).await;
        assert_eq!([&told["status"], &told["reason"]], [&json!("pending"), &json!("bundling is paused")]);
    }
    admin.done("run", "admin_resumeBundling", json!([])).await;
    for hash in sent {
        assert_eq!(receipt(&stack, hash).await.unwrap()["success"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_only_builds_has_its_controls_too() {
    let folder = tests::chain::own("controls-builder");
    std::fs::create_dir_all(&folder).unwrap();
    let (admin, log, controls) = admin::arguments(&folder);
    let (redis, anvil) = (Redis::durable().await.unwrap(), Anvil::start().await.unwrap());
    let role = |role: &'static str| ["--redis", &redis.url, "--role", role, "--lease-ms", "1500"];
    let url = anvil.url.clone();
    let stack = Stack::on(anvil, &url, &role("rpc")).await.unwrap();
    let keys = [KEYS[1], KEYS[3]].join(",");
    let arguments: Vec<_> = role("builder").into_iter().chain(controls.iter().map(String::as_str)).collect();
    let start = async || {
        let environment = [("FABSTIR_BUNDLER_KEY", keys.as_str())];
        NodeProcess::with(&stack.anvil.url, &stack.deployment_file, &arguments, &environment).await.unwrap()
    };
    let mut builder = start().await;
    let call = async |key: &str, method: &str, params: Value| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        admin.ask_unseen(Method::POST, "/rpc", Some(key), &body).await.1
    };
    // Paused before it holds anything: what it comes to hold is paused.
    call("run", "admin_pauseBundling", json!([])).await;
    let held = async || loop {
        let told = call("view", "admin_status", json!([])).await;
        let partitions = told["result"]["partitions"].as_array().cloned().unwrap_or_default();
        if partitions.len() == 2 {
            break partitions;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(held().await.iter().all(|partition| partition["bundlingPaused"] == true));
    let (account, op, hash) = operation(&stack).await;
    send(&stack, &account, &op).await.unwrap();
    builder.kill().await.unwrap();
    builder = start().await;
    assert!(held().await.iter().all(|partition| partition["bundlingPaused"] == true), "it outlives a kill");
    assert_eq!(status(&stack, hash).await["status"], "pending");
    let refused = |answer: &Value| answer["error"]["code"].clone();
    assert_eq!(refused(&call("view", "admin_resumeBundling", json!([])).await), -32003);
    assert_eq!(refused(&call("run", "admin_pauseIntake", json!([])).await), -32601, "that is the rpc nodes' to pause");
    let (other, other_op, other_hash) = operation(&stack).await;
    send(&stack, &other, &other_op).await.unwrap();
    let dropped = call("run", "admin_dropOperation", json!([other_hash])).await;
    assert_eq!(dropped["result"]["dropped"], json!([other_hash]), "{dropped}");
    assert_eq!(call("run", "admin_clearSender", json!([other.address])).await["result"]["dropped"], json!([]));
    call("run", "admin_resumeBundling", json!([])).await;
    assert_eq!(receipt(&stack, hash).await.unwrap()["success"], true);
    let audit = std::fs::read_to_string(&log).unwrap();
    assert!(audit.contains("admin_pauseBundling") && audit.contains("admin_dropOperation"), "{audit}");
    drop(builder);
    let _ = std::fs::remove_dir_all(&folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_dropped_cleared_and_cancelled_and_reputations_shown_and_set() {
    let (_policies, _, _, admin, stack) = start("controls-drop").await;
    admin.done("run", "admin_pauseBundling", json!([])).await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        let (account, op, hash) = operation(&stack).await;
        send(&stack, &account, &op).await.unwrap();
        sent.push((account, hash));
    }
    let dropped = admin.done("run", "admin_dropOperation", json!([sent[0].1, "it is mine"])).await;
    assert_eq!(dropped, json!({ "dropped": [sent[0].1] }));
    let told = status(&stack, sent[0].1).await;
    assert_eq!([&told["status"], &told["reason"]], [&json!("dropped"), &json!("it is mine")]);
    assert_eq!(admin.call("run", "admin_dropOperation", json!([sent[0].1])).await.unwrap_err().0, -32602);
    let cleared = admin.done("run", "admin_clearSender", json!([sent[1].0.address])).await;
    assert_eq!(cleared["dropped"], json!([sent[1].1]));
    assert_eq!(admin.done("run", "admin_clearSender", json!([sent[1].0.address])).await["dropped"], json!([]));

    // A banned sender has nothing pending any more, and nothing of it is taken.
    let banned = json!([[{ "address": sent[2].0.address, "opsSeen": "0x2710", "opsIncluded": "0x0" }]]);
    admin.done("rule", "admin_setReputation", banned).await;
    let standing = admin.done("view", "admin_reputation", json!([sent[2].0.address])).await;
    assert_eq!(standing[0]["status"], "banned", "{standing}");
    assert!(status(&stack, sent[2].1).await["reason"].as_str().unwrap().contains("GREP-010"));

    // A transaction that nobody mines: its operation is free once the nonce has gone to nothing.
    admin.done("run", "admin_resumeBundling", json!([])).await;
    let (account, op, hash) = operation(&stack).await;
    stack.anvil.ask("evm_setAutomine", vec![json!(false)]).await.unwrap();
    send(&stack, &account, &op).await.unwrap();
    until("it is submitted", async || status(&stack, hash).await["status"] == "submitted").await;
    let in_the_way = admin.call("run", "admin_dropOperation", json!([hash])).await.unwrap_err().1;
    assert!(in_the_way.contains("cancel that nonce"), "{in_the_way}");
    let keys = admin.done("view", "admin_status", json!([])).await["keys"].clone();
    let key = keys[0]["address"].clone();
    let nonce = stack.anvil.ask("eth_getTransactionCount", vec![key.clone(), json!("latest")]).await.unwrap();
    assert!(admin.call("rule", "admin_cancelNonce", json!([key, "0xffff"])).await.is_err());
    admin.done("run", "admin_pauseBundling", json!([])).await;
    let bound = admin.done("rule", "admin_cancelNonce", json!([key, nonce])).await;
    assert_eq!(bound["operations"], json!([hash]));
    stack.anvil.ask("evm_setIntervalMining", vec![json!(1)]).await.unwrap();
    let mut last = Value::Null;
    for _ in 0..500 {
        last = status(&stack, hash).await;
        if last["status"] == "pending" || last["status"] == "included" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Whichever of the two the chain took: an empty one, or the bundle that was there before it.
    assert!(["pending", "included"].contains(&last["status"].as_str().unwrap()), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_itself_makes_these_calls() {
    let (_policies, _, _, admin, stack) = start("controls-cli").await;
    let run = async |arguments: &[&str]| {
        let output = Command::new(fabstir())
            .args(["admin", "--admin-url", &admin.url])
            .args(arguments)
            .env("FABSTIR_ADMIN_KEY", "run")
            .output()
            .await
            .unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (well, said, wrong) = run(&["pauseIntake"]).await;
    assert!(well && said.contains("\"intakePaused\": true"), "{said} {wrong}");
    let (account, op, _) = operation(&stack).await;
    assert!(send(&stack, &account, &op).await.is_err());
    let (well, _, wrong) = run(&["setReputation", "[]"]).await;
    assert!(!well && wrong.contains("may not do this"), "{wrong}");
    let nobody = Address::repeat_byte(9).to_string();
    let (well, said, wrong) = run(&["admin_clearEntity", &nobody, "a reason"]).await;
    assert!(well && said.contains("\"dropped\": []"), "{said} {wrong}");
}
