//! `fabstir migrate` on a state that was saved: forward and back keep every balance; what would not is refused.

use std::path::{Path, PathBuf};

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolCall,
};
use bundler::node::NodeClient;
use erc4337::abi::{node_registry, payment_escrow, test_usdc};
use fabstir::{deployment::Deployment, monitor::books::Books};
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{
    Anvil, Stack,
    anvil::KEYS,
    stack::{fabstir, root},
};
use tokio::process::Command;

async fn migrate(anvil: &Anvil, deployment: &Path, arguments: &[&str]) -> (String, bool) {
    let output = Command::new(fabstir())
        .args(["migrate", "--node-url", &anvil.url, "--deployment"])
        .arg(deployment)
        .args(arguments)
        .env("FABSTIR_DEPLOYER_KEY", KEYS[0])
        .env("RUST_BACKTRACE", "0")
        .output()
        .await
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (text, output.status.success())
}

/// Hosts with stake, credits of several accounts.
async fn populate(stack: &Stack) {
    let (anvil, deployment) = (&stack.anvil, &stack.deployment);
    let (token, escrow) = (deployment.token, deployment.payment_escrow);
    for (number, key) in KEYS.iter().enumerate() {
        let account = SecretKey::from_hex(key).unwrap().address();
        let amount = U256::from(200_000_000 + number);
        let act = async |to, call: Vec<u8>| drop(anvil.send(account, Some(to), call.into(), U256::ZERO).await.unwrap());
        act(token, test_usdc::mintCall { to: account, amount }.abi_encode()).await;
        act(token, test_usdc::approveCall { spender: escrow, value: amount }.abi_encode()).await;
        let register = node_registry::registerCall {
            stake: U256::from(100_000_000 + number),
            capacity: 4,
            profile: node_registry::INodeRegistry::Profile {
                endpoint: format!("https://host-{number}.example"),
                metadataHash: B256::ZERO,
                region: Default::default(),
                hardware: Default::default(),
            },
            offers: vec![],
        };
        act(deployment.node_registry, register.abi_encode()).await;
        // The stake would take it first.
        act(escrow, payment_escrow::depositCall { token, amount: U256::from(1_000 + number) }.abi_encode()).await;
    }
}

/// A folder of artifacts; gone with this value.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    /// With this artifact in the place of the registry's, and this layout.
    fn with(name: &str, artifact: &str, layout: &Value) -> Self {
        let folder = Self(std::env::temp_dir().join(format!("fabstir-migrate-{name}-{}", std::process::id())));
        std::fs::create_dir_all(&folder.0).unwrap();
        let built = root().join(format!("contracts/out/{artifact}.sol/{artifact}.json"));
        std::fs::copy(built, folder.0.join("NodeRegistry.json")).unwrap();
        std::fs::write(folder.0.join("NodeRegistry.layout.json"), layout.to_string()).unwrap();
        folder
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_there_and_back_keeps_every_balance_of_a_saved_state() {
    let stack = Stack::start(&[]).await.unwrap();
    populate(&stack).await;
    let committed = std::fs::read_to_string(root().join("contracts/layouts/NodeRegistry.json")).unwrap();
    let layout: Value = serde_json::from_str(&committed).unwrap();
    let next = Folder::with("next", "NodeRegistryNext", &layout);

    // The chain goes on elsewhere, from what it left.
    let saved = stack.anvil.ask("anvil_dumpState", vec![]).await.unwrap();
    let anvil = Anvil::start().await.unwrap();
    anvil.ask("anvil_loadState", vec![saved]).await.unwrap();
    let node = NodeClient::new(&anvil.url).unwrap();
    let file = next.0.join("deployment.json");
    std::fs::copy(&stack.deployment_file, &file).unwrap();
    let books = Books::read(&node, &stack.deployment, 0).await.unwrap();
    assert_eq!((books.credits.len(), books.locks.len()), (4, 4), "the saved state has what was done before");
    assert_eq!(books, Books::read(&NodeClient::new(&stack.anvil.url).unwrap(), &stack.deployment, 0).await.unwrap());

    assert_eq!(migrate(&anvil, &file, &[]).await, ("nothing to migrate\n".into(), true));
    let (said, well) = migrate(&anvil, &file, &["--artifacts", next.path(), "--rehearse"]).await;
    assert!(well && said.contains("NodeRegistry: version 1 at "), "{said}");
    assert!(said.contains("rehearsed forward and back: 4 credits, 4 locks and 4 stakes stay as they are"), "{said}");
    assert_eq!(books, Books::read(&node, &stack.deployment, 0).await.unwrap());

    // In earnest: the new code is deployed and noted, the vote's calldata is told; carried out by the timelock's own hand.
    let (said, well) = migrate(&anvil, &file, &["--artifacts", next.path(), "--broadcast"]).await;
    assert!(well && said.contains("to the governor "), "{said}");
    let noted = Deployment::read(&file).unwrap();
    let versions: Vec<Address> = noted
        .contracts
        .iter()
        .filter(|contract| contract.name == "NodeRegistry implementation")
        .map(|contract| contract.address)
        .collect();
    assert_eq!(versions.len(), 2);
    let registry = noted.node_registry;
    let upgrade = |to| node_registry::upgradeToAndCallCall { newImplementation: to, data: Default::default() };
    let timelock = noted.governance.timelock;
    let call = upgrade(versions[1]).abi_encode();
    assert!(said.contains(&alloy::hex::encode(&call)), "the proposal makes this call: {said}");
    anvil.transact_as(timelock, registry, call).await.unwrap();
    assert_eq!(books, Books::read(&node, &noted, 0).await.unwrap());
    assert_eq!(migrate(&anvil, &file, &["--artifacts", next.path()]).await, ("nothing to migrate\n".into(), true));

    let (said, well) = migrate(&anvil, &file, &["--back"]).await;
    let told = format!("NodeRegistry: version 2 at {} becomes version 1 at {}", versions[1], versions[0]);
    assert!(well && said.contains(&told), "{said}");
    anvil.transact_as(timelock, registry, upgrade(versions[0]).abi_encode()).await.unwrap();
    assert_eq!(books, Books::read(&node, &noted, 0).await.unwrap());
    assert_eq!(migrate(&anvil, &file, &["--back"]).await, ("nothing to migrate\n".into(), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_would_misread_its_storage_is_refused_and_what_loses_something_fails_the_rehearsal() {
    let stack = Stack::start(&[]).await.unwrap();
    populate(&stack).await;
    let committed = std::fs::read_to_string(root().join("contracts/layouts/NodeRegistry.json")).unwrap();
    let layout: Value = serde_json::from_str(&committed).unwrap();

    let mut shifted = layout.clone();
    let fields = shifted["structs"]["t_struct(RegistryStorage)"]["fields"].as_array_mut().unwrap();
    fields.swap(2, 3);
    let folder = Folder::with("shifted", "NodeRegistryNext", &shifted);
    for how in ["--rehearse", "--broadcast"] {
        let (said, well) = migrate(&stack.anvil, &stack.deployment_file, &["--artifacts", folder.path(), how]).await;
        assert!(!well && said.contains("NodeRegistry would misread its storage"), "{said}");
    }

    // One that lies about its layout: it is another contract altogether.
    let liar = Folder::with("liar", "ReputationSystem", &layout);
    let arguments = ["--artifacts", liar.path(), "--rehearse"];
    let (said, well) = migrate(&stack.anvil, &stack.deployment_file, &arguments).await;
    assert!(!well && said.contains("after the migration"), "{said}");
    let head = stack.anvil.ask("eth_blockNumber", vec![]).await.unwrap();
    assert_ne!(head, json!("0x0"));
}
