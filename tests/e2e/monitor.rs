//! `fabstir monitor`: on a sound deployment nothing is amiss; each thing that is, is the reason it ends with 1.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::SolCall,
};
use erc4337::{
    EntryPointVersion,
    abi::{
        fab_governor, fab_timelock, fab_token, guardian, node_registry, payment_escrow, reputation_system, test_usdc,
        token_paymaster, verifying_paymaster,
    },
    storage::deposit_slots,
};
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{Stack, anvil::KEYS, stack::fabstir};
use tokio::process::Command;

/// What is not `ok`, by check; the program's end and its last words agree with it.
async fn amiss(stack: &Stack) -> Vec<(String, String)> {
    let output = Command::new(fabstir())
        .args(["monitor", "--json", "--node-url", &stack.anvil.url, "--deployment"])
        .arg(&stack.deployment_file)
        .output()
        .await
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let said: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
    let word = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let wrong: Vec<_> = said.iter().filter(|it| it["verdict"] != "ok").collect();
    assert_eq!(output.status.success(), wrong.is_empty(), "{error}");
    for finding in &wrong {
        let reason = format!("{}: {}", word(finding, "check"), word(finding, "seen"));
        assert!(error.contains(&reason), "{reason} is not in {error}");
    }
    wrong.into_iter().map(|finding| (word(finding, "check"), word(finding, "seen"))).collect()
}

/// What is amiss after this was done; it is undone afterwards.
async fn after(stack: &Stack, what: impl AsyncFnOnce()) -> Vec<(String, String)> {
    let snapshot = stack.anvil.ask("evm_snapshot", vec![]).await.unwrap();
    what().await;
    let amiss = amiss(stack).await;
    stack.anvil.ask("evm_revert", vec![snapshot]).await.unwrap();
    amiss
}

fn only(amiss: &[(String, String)], check: &str, seen: &str) {
    assert_eq!(amiss.len(), 1, "{amiss:?}");
    assert!(amiss[0].0 == check && amiss[0].1.contains(seen), "{amiss:?}: not `{check}`, {seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_amiss_with_the_contracts_is_named_and_nothing_else() {
    let stack = Stack::start(&[]).await.unwrap();
    let (anvil, deployment) = (&stack.anvil, &stack.deployment);
    let governance = &deployment.governance;
    let (token, escrow, registry) = (deployment.token, deployment.payment_escrow, deployment.node_registry);
    let deployer = SecretKey::from_hex(KEYS[0]).unwrap().address();
    let act = async |to: Address, call: Vec<u8>| drop(anvil.transact(Some(to), call, U256::ZERO).await.unwrap());
    let as_timelock =
        async |to: Address, call: Vec<u8>| drop(anvil.transact_as(governance.timelock, to, call).await.unwrap());

    // Some money in it, credits and a host's stake.
    let amount = U256::from(500_000_000);
    act(token, test_usdc::mintCall { to: deployer, amount }.abi_encode()).await;
    act(token, test_usdc::approveCall { spender: escrow, value: amount }.abi_encode()).await;
    let register = node_registry::registerCall {
        stake: U256::from(100_000_000),
        capacity: 4,
        profile: node_registry::INodeRegistry::Profile {
            endpoint: "https://host.example".into(),
            metadataHash: B256::ZERO,
            region: Default::default(),
            hardware: Default::default(),
        },
        offers: vec![],
    };
    act(registry, register.abi_encode()).await;
    act(escrow, payment_escrow::depositCall { token, amount: U256::from(7_000_000) }.abi_encode()).await;
    assert_eq!(amiss(&stack).await, []);

    // Solvency: one base unit less than is owed.
    let theft = test_usdc::transferCall { to: deployer, value: U256::ONE }.abi_encode();
    let found = after(&stack, async || drop(anvil.transact_as(escrow, token, theft).await.unwrap())).await;
    only(&found, &format!("escrow of {token}"), "has 106999999, owes 107000000");
    // A token paymaster that owes more than it has: found by its books, which are faked here.
    let paymaster = deployment.token_paymasters["v0.8"];
    let owes = token_paymaster::totalCreditOfCall { token }.abi_encode();
    let found = after(&stack, async || fake(&stack, paymaster, &owes, U256::from(5)).await).await;
    assert!(found.iter().any(|(check, seen)| check == "credit at token paymaster v0.8" && seen == "has 0, owes 5"));
    // Stake: registry and escrow disagree.
    let locked = payment_escrow::lockOfCall { controller: registry, id: deployer.into_word() }.abi_encode();
    let locked = slot_read(&stack, escrow, &locked).await;
    let found = after(&stack, async || {
        let word = anvil.ask("eth_getStorageAt", vec![json!(escrow), json!(locked), json!("latest")]).await.unwrap();
        let word: U256 = serde_json::from_value(word).unwrap();
        let less = word - (U256::ONE << 160);
        anvil.ask("anvil_setStorageAt", vec![json!(escrow), json!(locked), json!(B256::from(less))]).await.unwrap();
    })
    .await;
    assert!(found.iter().any(|(check, seen)| check == "stake" && seen.contains("registry 100000000, escrow 99999999")));

    // Deposits and stake in the EntryPoints.
    let entry_point = EntryPointVersion::V0_8.canonical_address();
    let [deposit, stake] = deposit_slots(deployment.paymasters["v0.8"]);
    for (slot, seen) in [(deposit, "0.000000000000000000 ETH deposited"), (stake, "0.000000000000000000 ETH staked")] {
        let empty = vec![json!(entry_point), json!(B256::from(slot)), json!(B256::ZERO)];
        let found = after(&stack, async || drop(anvil.ask("anvil_setStorageAt", empty).await.unwrap())).await;
        only(&found, "paymaster v0.8", seen);
    }

    // Roles.
    let give = node_registry::transferOwnershipCall { newOwner: deployer }.abi_encode();
    let found = after(&stack, async || as_timelock(registry, give).await).await;
    only(&found, "roles of NodeRegistry", &format!("offered to {deployer}"));
    let other = node_registry::setGuardianCall { guardian_: deployer }.abi_encode();
    let found = after(&stack, async || as_timelock(deployment.job_marketplace, other).await).await;
    only(&found, "roles of JobMarketplace", &format!("guardian {deployer}"));
    let proposer = keccak256("PROPOSER_ROLE");
    let grant = fab_timelock::grantRoleCall { role: proposer, account: deployer }.abi_encode();
    let found = after(&stack, async || as_timelock(governance.timelock, grant).await).await;
    only(&found, "timelock's proposer", &deployer.to_string());
    let breaker = guardian::setBreakerCall { breaker_: deployer }.abi_encode();
    let found = after(&stack, async || as_timelock(governance.guardian, breaker).await).await;
    only(&found, "circuit breaker", &deployer.to_string());
    let offer = verifying_paymaster::transferOwnershipCall { newOwner: escrow }.abi_encode();
    let found = after(&stack, async || act(deployment.paymasters["v0.6"], offer).await).await;
    only(&found, "owner of paymaster v0.6", &format!("offered to {escrow}"));

    // An upgrade that nobody wrote down, and a pause.
    let receipt = anvil.transact(None, reputation_system::BYTECODE.clone(), U256::ZERO).await.unwrap();
    let fresh: Address = serde_json::from_value(receipt["contractAddress"].clone()).unwrap();
    let upgrade = reputation_system::upgradeToAndCallCall { newImplementation: fresh, data: Bytes::new() }.abi_encode();
    let found = after(&stack, async || as_timelock(deployment.reputation_system, upgrade.clone()).await).await;
    only(&found, "ReputationSystem implementation", &format!("{fresh} is not in the deployment file"));
    let found = after(&stack, async || act(governance.guardian, guardian::pauseCall {}.abi_encode()).await).await;
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().all(|(check, seen)| check.starts_with("entry of ") && seen.starts_with("paused until ")));

    // A proposal to upgrade, from its first day until it waits in the timelock.
    let delegate = fab_token::delegateCall { delegatee: deployer }.abi_encode();
    act(governance.token, delegate).await;
    let wait = async |seconds: u64| {
        anvil.ask("evm_increaseTime", vec![json!(seconds)]).await.unwrap();
        anvil.ask("evm_mine", vec![]).await.unwrap();
    };
    wait(1).await;
    let (targets, values, text) = (vec![deployment.reputation_system], vec![U256::ZERO], "renew".to_owned());
    let calldatas = vec![Bytes::from(upgrade)];
    let propose = fab_governor::proposeCall {
        targets: targets.clone(),
        values: values.clone(),
        calldatas: calldatas.clone(),
        description: text.clone(),
    };
    let description = keccak256(&text);
    act(governance.governor, propose.abi_encode()).await;
    let upgrades = format!("upgrades {}: renew", deployment.reputation_system);
    let found = amiss(&stack).await;
    assert!(found.len() == 1 && found[0].0.starts_with("proposal 0x"), "{found:?}");
    assert!(found[0].1 == format!("pending, {upgrades}"), "{found:?}");
    let id = fab_governor::getProposalIdCall {
        targets: targets.clone(),
        values: values.clone(),
        calldatas: calldatas.clone(),
        descriptionHash: description,
    };
    let answer = anvil
        .ask(
            "eth_call",
            vec![json!({ "to": governance.governor, "data": Bytes::from(id.abi_encode()) }), json!("latest")],
        )
        .await
        .unwrap();
    let id: U256 = serde_json::from_value(answer).unwrap();
    wait(3 * 86_400).await;
    let vote = fab_governor::castVoteCall { proposalId: id, support: 1 };
    act(governance.governor, vote.abi_encode()).await;
    let found = amiss(&stack).await;
    assert!(found.len() == 1 && found[0].1 == format!("voted on, {upgrades}"), "{found:?}");
    wait(14 * 86_400).await;
    let queue = fab_governor::queueCall { targets, values, calldatas, descriptionHash: description };
    act(governance.governor, queue.abi_encode()).await;
    let found = amiss(&stack).await;
    assert!(
        found.iter().any(|(check, seen)| check.starts_with("proposal ") && seen.starts_with("queued")),
        "{found:?}"
    );
    let waits = format!("upgrades {}", deployment.reputation_system);
    assert!(found.iter().any(|(check, seen)| check == "timelock" && seen.starts_with(&waits)), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");
}

/// Makes a contract answer everything with this number where it reads a slot for this call.
async fn fake(stack: &Stack, contract: Address, call: &[u8], number: U256) {
    let slot = slot_read(stack, contract, call).await;
    let value = json!(B256::from(number));
    stack.anvil.ask("anvil_setStorageAt", vec![json!(contract), json!(slot), value]).await.unwrap();
}

/// The last slot that a call reads.
async fn slot_read(stack: &Stack, contract: Address, call: &[u8]) -> B256 {
    let tx = json!({ "to": contract, "data": Bytes::copy_from_slice(call) });
    let list = stack.anvil.ask("eth_createAccessList", vec![tx, json!("latest")]).await.unwrap();
    let entries = list["accessList"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["address"] == json!(contract)).unwrap();
    let slots: Vec<B256> = serde_json::from_value(entry["storageKeys"].clone()).unwrap();
    // Which of them holds the amount is seen from its value: not a token's flags.
    for slot in slots.iter().rev() {
        let word =
            stack.anvil.ask("eth_getStorageAt", vec![json!(contract), json!(slot), json!("latest")]).await.unwrap();
        let word: U256 = serde_json::from_value(word).unwrap();
        if (word >> 160_usize) > U256::ONE || slots.len() == 1 {
            return *slot;
        }
    }
    *slots.last().unwrap()
}
