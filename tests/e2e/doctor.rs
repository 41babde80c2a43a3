//! `fabstir doctor` on a real chain: on a sound one nothing fails, and each thing that is broken is named alone.

use alloy::primitives::B256;
use erc4337::{EntryPointVersion, storage::deposit_slots};
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{Stack, anvil::KEYS, redis::Redis, stack::fabstir};
use tokio::process::Command;

/// What is said against this chain: verdicts by check. And whether the program ended well.
async fn findings(stack: &Stack, arguments: &[&str]) -> (Vec<(String, String)>, bool) {
    let output = Command::new(fabstir())
        .args(["doctor", "--json", "--node-url", &stack.anvil.url, "--deployment"])
        .arg(&stack.deployment_file)
        .args(arguments)
        .env("FABSTIR_BUNDLER_KEY", KEYS[1])
        .output()
        .await
        .unwrap();
    let said: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let word = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    (said.iter().map(|it| (word(it, "check"), word(it, "verdict"))).collect(), output.status.success())
}

/// The checks that are not as they should be.
async fn wrong(stack: &Stack, arguments: &[&str]) -> Vec<(String, String)> {
    let (found, well) = findings(stack, arguments).await;
    let found = found.into_iter().filter(|finding| *finding != unknown_code());
    let wrong: Vec<_> = found.filter(|(_, verdict)| verdict != "ok").collect();
    assert_eq!(well, wrong.iter().all(|(_, verdict)| verdict == "warning"), "{wrong:?}");
    wrong
}

/// No package has the canonical v0.9: that of the tests stands at an address of its own.
fn unknown_code() -> (String, String) {
    ("EntryPoint v0.9".into(), "warning".into())
}

fn failure(check: impl Into<String>) -> (String, String) {
    (check.into(), "failure".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_named_and_nothing_else() {
    let stack = Stack::start(&[]).await.unwrap();
    let redis = Redis::start().await.unwrap();
    let folder = std::env::temp_dir().join(format!("fabstir-doctor-{}", std::process::id()));
    let data = folder.display().to_string();

    let (found, well) = findings(&stack, &["--data-dir", &data]).await;
    assert!(well && found.contains(&unknown_code()), "{found:?}");
    assert!(found.iter().all(|finding| finding.1 == "ok" || *finding == unknown_code()), "{found:?}");
    for check in ["chain id", "latency", "clock", "eth_getLogs", "EntryPoint v0.6", "contracts", "paymaster v0.9"] {
        assert!(found.iter().any(|(name, _)| name == check), "{check} is not among {found:?}");
    }

    // An empty file where the folder is to be.
    let blocked = folder.join("file");
    std::fs::write(&blocked, "").unwrap();
    let blocked = blocked.display().to_string();
    assert_eq!(wrong(&stack, &["--data-dir", &blocked]).await, [failure(format!("data folder {blocked}"))]);
    assert_eq!(wrong(&stack, &["--redis", "redis://127.0.0.1:1"]).await, [failure("Redis")]);
    // The tests' own keeps nothing.
    assert_eq!(wrong(&stack, &["--redis", &redis.url]).await, [("Redis".to_owned(), "warning".to_owned())]);

    let key = SecretKey::from_hex(KEYS[1]).unwrap().address();
    let delegated = [&[0xef, 0x01, 0x00], key.as_slice()].concat();
    let paymaster = stack.deployment.paymasters[&EntryPointVersion::V0_8.to_string()];
    let entry_point = EntryPointVersion::V0_8.canonical_address();
    let [deposit, _] = deposit_slots(paymaster);
    let breakages = [
        ("anvil_setBalance", vec![json!(key), json!("0x0")], format!("bundler key {key}")),
        (
            "anvil_setCode",
            vec![json!(key), json!(alloy::hex::encode_prefixed(delegated))],
            format!("bundler key {key}"),
        ),
        (
            "anvil_setStorageAt",
            vec![json!(entry_point), json!(B256::from(deposit)), json!(B256::ZERO)],
            "paymaster v0.8".to_owned(),
        ),
        ("anvil_setCode", vec![json!(stack.deployment.payment_escrow), json!("0x")], "contracts".to_owned()),
        (
            "anvil_setCode",
            vec![json!(stack.deployment.entry_points["v0.6"]), json!("0x")],
            "EntryPoint v0.6".to_owned(),
        ),
        (
            "anvil_setCode",
            vec![json!(stack.deployment.entry_points["v0.7"]), json!("0x00")],
            "EntryPoint v0.7".to_owned(),
        ),
    ];
    for (method, params, check) in breakages {
        let sound = stack.anvil.ask("evm_snapshot", vec![]).await.unwrap();
        stack.anvil.ask(method, params).await.unwrap();
        assert_eq!(wrong(&stack, &[]).await, [failure(check)]);
        stack.anvil.ask("evm_revert", vec![sound]).await.unwrap();
    }
    std::fs::remove_dir_all(folder).unwrap();
}
