//! The keys that bundles are sent from: where they are kept, and what happens when one cannot pay.

use std::{path::PathBuf, time::Duration};

use alloy::primitives::{Address, B256, Bytes, U256, address, utils::parse_ether};
use erc4337::EntryPointVersion;
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{
    Anvil, Stack,
    accounts::{SimpleAccount, receipt},
    anvil::KEYS,
    patience::until,
    stack::NodeProcess,
};

/// Files that go with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fabstir-keys-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn key(&self, name: &str, key: &SecretKey) -> String {
        let file = self.0.join(name);
        std::fs::write(&file, &*key.expose_hex()).unwrap();
        file.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn stack(arguments: &[&str]) -> (Stack, SimpleAccount) {
    let stack = Stack::start(arguments).await.unwrap();
    let account = SimpleAccount::new(&stack, EntryPointVersion::V0_8, parse_ether("1").unwrap()).await.unwrap();
    (stack, account)
}

async fn send(stack: &Stack, account: &SimpleAccount) -> B256 {
    let op = account.operation(stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    account.send(stack, op).await.unwrap()
}

/// Lets so much of the chain's time pass that keys are looked at which nothing uses.
async fn a_while(stack: &Stack) {
    stack.anvil.ask("anvil_mine", vec![json!("0x2"), json!("0x1e")]).await.unwrap();
}

async fn status(stack: &Stack, hash: B256) -> Value {
    stack.node.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await.unwrap()["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_funder_fills_an_empty_key_up_and_bundles_are_sent_from_it() {
    let folder = Folder::new("funder");
    let fresh = SecretKey::generate();
    let (own, funder) = (folder.key("fresh", &fresh), folder.key("funder", &SecretKey::from_hex(KEYS[3]).unwrap()));
    let target = parse_ether("1").unwrap();
    let arguments = ["--bundler-key-file", &own, "--funder-key-file", &funder, "--key-low", "0.2", "--key-target", "1"];
    let (stack, account) = stack(&arguments).await;
    until("the key holds what it is to hold", async || stack.anvil.balance(fresh.address()).await.unwrap() == target)
        .await;
    let receipt = receipt(&stack, send(&stack, &account).await).await.unwrap();
    assert_eq!(receipt["receipt"]["from"], json!(fresh.address()));
    // It runs low again, and is filled up again.
    stack.anvil.ask("anvil_setBalance", vec![json!(fresh.address()), json!("0x1")]).await.unwrap();
    a_while(&stack).await;
    until("the key is filled up again", async || stack.anvil.balance(fresh.address()).await.unwrap() == target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_pay_sends_nothing_until_it_can() {
    let folder = Folder::new("poor");
    let poor = SecretKey::generate();
    let own = folder.key("poor", &poor);
    let (stack, account) = stack(&["--bundler-key-file", &own]).await;
    stack.anvil.ask("anvil_mine", vec![json!(1)]).await.unwrap();
    let hash = send(&stack, &account).await;
    for _ in 0..3 {
        stack.anvil.ask("anvil_mine", vec![json!(1)]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(status(&stack, hash).await, "pending");
    }
    stack.anvil.ask("anvil_setBalance", vec![json!(poor.address()), json!(parse_ether("1").unwrap())]).await.unwrap();
    stack.anvil.ask("anvil_mine", vec![json!(1)]).await.unwrap();
    assert_eq!(receipt(&stack, hash).await.unwrap()["receipt"]["from"], json!(poor.address()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_becomes_delegated_sends_nothing_while_it_is_and_is_refused_at_the_start() {
    let (mut stack, account) = stack(&[]).await;
    let key = SecretKey::from_hex(KEYS[1]).unwrap().address();
    let delegated = Bytes::from([&[0xef, 0x01, 0x00], Address::repeat_byte(7).as_slice()].concat());
    stack.anvil.ask("anvil_setCode", vec![json!(key), json!(delegated)]).await.unwrap();
    a_while(&stack).await;
    // The bundler has seen it once it has followed that block.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let hash = send(&stack, &account).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(status(&stack, hash).await, "pending");
    stack.anvil.ask("anvil_setCode", vec![json!(key), json!("0x")]).await.unwrap();
    stack.anvil.ask("anvil_mine", vec![json!(1)]).await.unwrap();
    receipt(&stack, hash).await.unwrap();

    stack.anvil.ask("anvil_setCode", vec![json!(key), json!(delegated)]).await.unwrap();
    stack.node.stop().await.unwrap();
    assert!(NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &[]).await.is_err());
}

/// The vector of the Web3 Secret Storage definition, PBKDF2 variant; its password is "testpassword".
const KEYSTORE: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
/// The address of the key in it.
const KEPT: Address = address!("008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b");

#[tokio::test(flavor = "multi_thread")]
async fn bundles_are_sent_from_a_keystore_and_a_wrong_password_is_told_without_it() {
    let folder = Folder::new("keystore");
    let [file, password] = ["keystore", "password"].map(|name| folder.0.join(name).display().to_string());
    std::fs::write(&file, KEYSTORE).unwrap();
    std::fs::write(&password, "testpassword\n").unwrap();
    let arguments = ["--bundler-keystore", &file, "--bundler-keystore-password-file", &password];
    let (stack, account) = stack(&arguments).await;
    stack.anvil.ask("anvil_setBalance", vec![json!(KEPT), json!(parse_ether("1").unwrap())]).await.unwrap();
    a_while(&stack).await;
    let receipt = receipt(&stack, send(&stack, &account).await).await.unwrap();
    assert_eq!(receipt["receipt"]["from"], json!(KEPT));

    std::fs::write(&password, "battery staple").unwrap();
    let log = folder.0.join("log");
    let started = NodeProcess::logged(&stack.anvil.url, &stack.deployment_file, &arguments, &log).await;
    assert!(started.is_err());
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(told.contains("the password does not open keystore") && told.contains(&file), "{told}");
    assert!(!told.contains("battery") && !told.contains("testpassword"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_not_given_twice() {
    let folder = Folder::new("twice");
    let key = SecretKey::from_hex(KEYS[3]).unwrap();
    let (one, two) = (folder.key("one", &key), folder.key("two", &key));
    let anvil = Anvil::start().await.unwrap();
    let url = anvil.url.clone();
    let stack = Stack::on(anvil, &url, &[]).await.unwrap();
    let log = folder.0.join("log");
    for (arguments, why) in [
        (["--bundler-key-file", &one, "--bundler-key-file", &two], "given twice"),
        (["--bundler-key-file", &one, "--funder-key-file", &two], "the funder is a bundler key too"),
    ] {
        let started = NodeProcess::logged(&url, &stack.deployment_file, &arguments, &log).await;
        assert!(started.is_err());
        let told = std::fs::read_to_string(&log).unwrap();
        assert!(told.contains(why), "{told}");
    }
}
