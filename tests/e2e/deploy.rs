//! `fabstir deploy` on real chains: cut short at any step it goes on to the same addresses, which are the same everywhere.

use std::{path::PathBuf, process::Output, time::Duration};

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::SolCall,
};
use bundler::node::NodeClient;
use erc4337::{EntryPointVersion, abi::fab_timelock};
use fabstir::{
    deploy::{self, ChainConfig, Deployed, Mode},
    deployment::Deployment,
};
use serde_json::json;
use session_keys::SecretKey;
use tests::{
    Anvil,
    anvil::KEYS,
    patience::{until, within},
    stack::{fabstir, root},
};
use tokio::process::Command;

fn address(key: &str) -> Address {
    SecretKey::from_hex(key).unwrap().address()
}

async fn deploy(anvil: &Anvil, chain: ChainConfig, mode: Mode) -> anyhow::Result<Deployed> {
    let node = NodeClient::new(&anvil.url)?;
    let deployer = SecretKey::from_hex(KEYS[0])?.into_signer();
    let request = deploy::Request { node: &node, deployer, paymaster_signer: address(KEYS[2]), guardian: None, chain };
    deploy::deploy(request, mode).await
}

/// Transactions that the deployer has sent.
async fn sent(anvil: &Anvil) -> usize {
    let count = anvil.ask("eth_getTransactionCount", vec![json!(address(KEYS[0])), json!("latest")]).await.unwrap();
    serde_json::from_value::<U256>(count).unwrap().to()
}

/// The program itself, and where it writes.
fn program(anvil: &Anvil, name: &str, arguments: &[&str]) -> (Command, PathBuf) {
    let file = std::env::temp_dir().join(format!("fabstir-deploy-{name}-{}.json", std::process::id()));
    let mut program = Command::new(fabstir());
    program
        .args(["deploy", "--node-url", &anvil.url, "--paymaster-signer", &address(KEYS[2]).to_string()])
        .args(arguments)
        .arg("--deployment")
        .arg(&file)
        .env("FABSTIR_DEPLOYER_KEY", KEYS[0])
        .kill_on_drop(true);
    (program, file)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_cut_short_at_every_step_goes_on_to_the_same_addresses() {
    let (straight, broken) = (Anvil::start().await.unwrap(), Anvil::start().await.unwrap());
    let plan = deploy(&straight, ChainConfig::named("local").unwrap(), Mode::DryRun).await.unwrap();
    assert_eq!(sent(&straight).await, 0, "a dry run sends nothing");
    let at_once = deploy(&straight, ChainConfig::named("local").unwrap(), Mode::Send).await.unwrap();
    assert_eq!(sent(&straight).await, at_once.steps.len());
    let names = |deployed: &Deployed| deployed.steps.iter().map(|step| step.what.clone()).collect::<Vec<_>>();
    assert_eq!(names(&plan), names(&at_once), "what is told is what is done");
    assert_eq!(plan.deployment, at_once.deployment, "and where it will be");

    let mut runs = 0;
    let resumed = loop {
        match deploy(&broken, ChainConfig::named("local").unwrap(), Mode::SendAtMost(1)).await {
            Ok(deployed) => break deployed,
            Err(stopped) => assert!(stopped.to_string().starts_with("stopped after 1 transactions"), "{stopped:#}"),
        }
        runs += 1;
        assert_eq!(sent(&broken).await, runs, "each run does one step, and none twice");
    };
    assert_eq!(resumed.deployment, at_once.deployment);
    assert_eq!(sent(&broken).await, at_once.steps.len());
    println!("{} steps, as many interruptions less one: {runs}", at_once.steps.len());

    // All rights have gone where they belong on the one as on the other.
    let admin = fab_timelock::hasRoleCall { role: B256::ZERO, account: address(KEYS[0]) };
    let tx = json!({ "to": resumed.deployment.governance.timelock, "data": Bytes::from(admin.abi_encode()) });
    let answer = broken.ask("eth_call", vec![tx, json!("latest")]).await.unwrap();
    assert_eq!(serde_json::from_value::<B256>(answer).unwrap(), B256::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_tells_first_sends_when_told_and_then_has_nothing_left_to_do() {
    // Not even the CREATE2 deployer is there.
    let anvil = Anvil::start_with(&["--disable-default-create2-deployer"]).await.unwrap();
    let (mut dry, file) = program(&anvil, "dry", &[]);
    let output = dry.output().await.unwrap();
    assert!(output.status.success() && said(&output).contains("nothing was sent"), "{}", said(&output));
    assert!(said(&output).contains("deploy the CREATE2 deployer"), "{}", said(&output));
    assert!(!file.exists() && sent(&anvil).await == 0);

    let (mut real, file) = program(&anvil, "real", &["--broadcast"]);
    let output = real.output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let first = Deployment::read(&file).unwrap();
    let count = sent(&anvil).await;
    let output = real.output().await.unwrap();
    assert!(said(&output).contains("sent 0 transactions"), "{}", said(&output));
    assert_eq!((sent(&anvil).await, Deployment::read(&file).unwrap()), (count, first.clone()));

    let committed = root().join("deploy/addresses/local.json");
    if std::env::var_os("FABSTIR_WRITE_DEPLOYMENTS").is_some() {
        first.write(&committed).unwrap();
    }
    let current = Deployment::read(&committed).unwrap();
    assert!(current == first, "deploy/addresses/local.json is of other contracts: make reference writes it anew");
    std::fs::remove_file(file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_killed_with_a_transaction_in_the_air_goes_on() {
    let anvil = Anvil::start_with(&["--no-mining"]).await.unwrap();
    let (mut first, _) = program(&anvil, "killed", &["--broadcast"]);
    let mut process = first.spawn().unwrap();
    let pending = async || {
        let count =
            anvil.ask("eth_getTransactionCount", vec![json!(address(KEYS[0])), json!("pending")]).await.unwrap();
        serde_json::from_value::<U256>(count).unwrap()
    };
    until("it has sent something", async || {
        assert!(process.try_wait().unwrap().is_none(), "it ended before it sent anything");
        !pending().await.is_zero()
    })
    .await;
    process.kill().await.unwrap();

    let (mut second, file) = program(&anvil, "resumed", &["--broadcast"]);
    let running = second.spawn().unwrap();
    // It waits for what the first one sent, and sends nothing beside.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(pending().await, U256::ONE);
    anvil.ask("evm_setAutomine", vec![json!(true)]).await.unwrap();
    anvil.ask("evm_mine", vec![]).await.unwrap();
    assert!(within("the second run", running.wait_with_output()).await.unwrap().status.success());
    assert_eq!(
        Deployment::read(&file).unwrap(),
        Deployment::read(&root().join("deploy/addresses/local.json")).unwrap()
    );
    std::fs::remove_file(file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_point_with_other_code_is_not_believed() {
    let anvil = Anvil::start().await.unwrap();
    let Deployed { deployment, .. } = deploy(&anvil, ChainConfig::named("local").unwrap(), Mode::Send).await.unwrap();
    for version in [EntryPointVersion::V0_6, EntryPointVersion::V0_7, EntryPointVersion::V0_8] {
        let at = deployment.entry_points[&version.to_string()];
        assert_eq!(at, version.canonical_address());
        let snapshot = anvil.ask("evm_snapshot", vec![]).await.unwrap();
        let code: Bytes =
            serde_json::from_value(anvil.ask("eth_getCode", vec![json!(at), json!("latest")]).await.unwrap()).unwrap();
        let mut code = code.to_vec();
        *code.last_mut().unwrap() ^= 1;
        anvil.ask("anvil_setCode", vec![json!(at), json!(Bytes::from(code))]).await.unwrap();
        let refused = deploy(&anvil, ChainConfig::named("local").unwrap(), Mode::Send).await.unwrap_err().to_string();
        assert!(refused.starts_with(&format!("EntryPoint {version} at {at} has the code hash 0x")), "{refused}");
        anvil.ask("evm_revert", vec![snapshot]).await.unwrap();
    }
}

/// Of all addresses only the token and what watches it differ.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_the_same_on_every_chain() {
    let local = Deployment::read(&root().join("deploy/addresses/local.json")).unwrap();
    let demo = local.contracts.iter().find(|contract| contract.name == "DemoUSDC").unwrap();
    let anvil = Anvil::start().await.unwrap();
    deploy(&anvil, ChainConfig::named("local").unwrap(), Mode::Send).await.unwrap();
    let usdc = anvil.ask("eth_getCode", vec![json!(demo.address), json!("latest")]).await.unwrap();
    drop(anvil);
    for chain in ["base-sepolia", "base"].map(|name| ChainConfig::named(name).unwrap()) {
        let anvil = Anvil::start_with(&["--chain-id", &chain.chain_id.to_string()]).await.unwrap();
        let token = chain.terms.token.unwrap();
        let refused = deploy(&anvil, chain.clone(), Mode::Send).await.unwrap_err().to_string();
        assert!(refused.contains("is not there"), "{refused}");
        anvil.ask("anvil_setCode", vec![json!(token), usdc.clone()]).await.unwrap();
        let Deployed { deployment, .. } = deploy(&anvil, chain.clone(), Mode::Send).await.unwrap();
        let mut as_local = deployment.clone();
        as_local.chain_id = local.chain_id;
        as_local.token = local.token;
        as_local.models = local.models.clone();
        as_local.governance.guardian = local.governance.guardian;
        as_local.governance.circuit_breaker = local.governance.circuit_breaker;
        as_local.contracts = local.contracts.clone();
        assert_eq!(as_local, local, "{}", chain.name);
        assert_eq!((deployment.token, deployment.models.len()), (token, usize::from(chain.terms.demo_model)));
        assert_ne!(deployment.governance.guardian, local.governance.guardian);
    }
}
