//! Verification bundles on a real chain: sources and arguments make what is there, and one changed byte is named.

use std::path::{Path, PathBuf};

use alloy::primitives::Bytes;
use serde_json::{Value, json};
use tests::{Stack, stack::root};
use tokio::process::Command;

/// Quick to compile; between them a proxy, immutables, a package's bytecode, and what a constructor creates.
const CHOSEN: [&str; 5] =
    ["NodeRegistry", "EntryPoint v0.8", "VerifyingPaymaster v0.8", "SignatureVerifier", "CircuitBreaker"];

async fn tool(arguments: &[&str]) -> (String, bool) {
    let program = root().join("contracts/tools/verify.js");
    let output = Command::new("node").arg(program).args(arguments).output().await.unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (text, output.status.success())
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

async fn check(stack: &Stack, folder: &Folder, names: &[&str]) -> (String, bool) {
    tool(&[&["check", &stack.anvil.url, folder.path()], names].concat()).await
}

async fn code(stack: &Stack, at: &str) -> Vec<u8> {
    let code = stack.anvil.ask("eth_getCode", vec![json!(at), json!("latest")]).await.unwrap();
    serde_json::from_value::<Bytes>(code).unwrap().to_vec()
}

fn bundle(folder: &Path, name: &str) -> Value {
    let file = folder.join(format!("{}.json", name.replace(' ', "-")));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_make_what_is_on_the_chain_and_one_changed_byte_is_named() {
    let stack = Stack::start(&[]).await.unwrap();
    let folder = Folder(std::env::temp_dir().join(format!("fabstir-bundles-{}", std::process::id())));
    let (said, well) = tool(&["bundle", stack.deployment_file.to_str().unwrap(), folder.path()]).await;
    assert!(well, "{said}");
    let bundles = std::fs::read_dir(&folder.0).unwrap().count();
    assert_eq!(bundles, stack.deployment.contracts.len() + 1, "and the guardian's circuit breaker");

    // What block explorers are given.
    let paymaster = bundle(&folder.0, "VerifyingPaymaster v0.8");
    assert_eq!(paymaster["input"]["language"], "Solidity");
    assert_eq!(paymaster["contract"], "src/paymaster/VerifyingPaymaster.sol:VerifyingPaymaster");
    let sources = paymaster["input"]["sources"].as_object().unwrap();
    assert!(sources.values().all(|source| source["content"].as_str().is_some_and(|text| text.contains("pragma"))));

    let (said, well) = check(&stack, &folder, &CHOSEN).await;
    assert!(well && said.ends_with("5 of 5 verified\n"), "{said}");

    // `make verify`.
    if std::env::var_os("FABSTIR_VERIFY_ALL").is_some() {
        let (said, well) = check(&stack, &folder, &[]).await;
        println!("{said}");
        assert!(well && said.ends_with(&format!("{bundles} of {bundles} verified\n")), "{said}");
    }

    // First byte, last byte, and one of an immutable's: each is named, and only the contract that has it.
    let at = paymaster["address"].as_str().unwrap();
    let whole = code(&stack, at).await;
    let entry_point = stack.deployment.entry_points["v0.8"];
    let immutable = whole.windows(20).position(|window| window == entry_point.as_slice()).unwrap() + 7;
    for index in [0, immutable, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[index] ^= 1;
        stack.anvil.ask("anvil_setCode", vec![json!(at), json!(Bytes::from(changed))]).await.unwrap();
        let (said, well) = check(&stack, &folder, &["VerifyingPaymaster v0.8", "NodeRegistry"]).await;
        assert!(!well && said.contains("1 of 2 verified"), "{said}");
        let named = format!("FAILURE  VerifyingPaymaster v0.8 at {at}: the code differs from byte {index} on");
        assert!(said.contains(&named), "{said}");
    }
    stack.anvil.ask("anvil_setCode", vec![json!(at), json!(Bytes::from(whole))]).await.unwrap();
    assert!(check(&stack, &folder, &["VerifyingPaymaster v0.8"]).await.1);

    // Changed sources make another address, changed arguments as well.
    let file = folder.0.join("VerifyingPaymaster-v0.8.json");
    let good = std::fs::read_to_string(&file).unwrap();
    let mut bad: Value = serde_json::from_str(&good).unwrap();
    let source = &mut bad["input"]["sources"]["src/paymaster/VerifyingPaymaster.sol"]["content"];
    *source = json!(source.as_str().unwrap().replace("\"1\"", "\"2\""));
    std::fs::write(&file, bad.to_string()).unwrap();
    let (said, well) = check(&stack, &folder, &["VerifyingPaymaster v0.8"]).await;
    assert!(!well && said.contains("these sources and arguments make 0x"), "{said}");
    let mut bad: Value = serde_json::from_str(&good).unwrap();
    bad["arguments"] = json!(good_arguments(&bad["arguments"]));
    std::fs::write(&file, bad.to_string()).unwrap();
    let (said, well) = check(&stack, &folder, &["VerifyingPaymaster v0.8"]).await;
    assert!(!well && said.contains("these sources and arguments make 0x"), "{said}");
}

/// With another last digit.
fn good_arguments(arguments: &Value) -> String {
    let text = arguments.as_str().unwrap();
    let (rest, last) = text.split_at(text.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}
