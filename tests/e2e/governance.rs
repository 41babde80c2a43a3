//! The community changes the marketplace that `fabstir deploy` left to it.

use alloy::{
    primitives::{Address, B256, Bytes, U256, b256, keccak256},
    sol_types::SolCall,
};
use erc4337::abi::{
    fab_governor, fab_timelock, fab_token, guardian, job_marketplace, node_registry, parameter_store, payment_escrow,
    reputation_system, test_usdc,
};
use fabstir::deployment::Deployment;
use serde_json::json;
use session_keys::SecretKey;
use tests::{Anvil, Stack, anvil::KEYS};

/// `JobFeeBps` in the store's order of keys.
const JOB_FEE: u8 = 0;
/// Where ERC-1967 keeps the implementation.
const IMPLEMENTATION: B256 = b256!("0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc");
const DAY: u64 = 86_400;

struct Community<'a> {
    anvil: &'a Anvil,
    deployment: &'a Deployment,
}

/// Calls of a proposal, all without value.
#[derive(Clone)]
struct Proposal {
    targets: Vec<Address>,
    calls: Vec<Bytes>,
    text: String,
}

impl Community<'_> {
    async fn read<C: SolCall>(&self, to: Address, call: C) -> C::Return {
        let tx = json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
        let answer = self.anvil.ask("eth_call", vec![tx, json!("latest")]).await.unwrap();
        C::abi_decode_returns(&serde_json::from_value::<Bytes>(answer).unwrap()).unwrap()
    }

    /// By the deployer, who has all votes.
    async fn call(&self, to: Address, call: impl SolCall) -> anyhow::Result<()> {
        self.anvil.transact(Some(to), call.abi_encode(), U256::ZERO).await.map(drop)
    }

    async fn wait(&self, seconds: u64) {
        self.anvil.ask("evm_increaseTime", vec![json!(seconds)]).await.unwrap();
        self.anvil.ask("evm_mine", vec![]).await.unwrap();
    }

    async fn propose(&self, proposal: &Proposal) -> U256 {
        let governor = self.deployment.governance.governor;
        let values = vec![U256::ZERO; proposal.calls.len()];
        let call = fab_governor::proposeCall {
            targets: proposal.targets.clone(),
            values: values.clone(),
            calldatas: proposal.calls.clone(),
            description: proposal.text.clone(),
        };
        self.call(governor, call).await.unwrap();
        let description_hash = keccak256(&proposal.text);
        let (targets, calldatas) = (proposal.targets.clone(), proposal.calls.clone());
        self.read(
            governor,
            fab_governor::getProposalIdCall { targets, values, calldatas, descriptionHash: description_hash },
        )
        .await
    }

    async fn queue(&self, proposal: &Proposal) -> anyhow::Result<()> {
        let call = fab_governor::queueCall {
            targets: proposal.targets.clone(),
            values: vec![U256::ZERO; proposal.calls.len()],
            calldatas: proposal.calls.clone(),
            descriptionHash: keccak256(&proposal.text),
        };
        self.call(self.deployment.governance.governor, call).await
    }

    async fn execute(&self, proposal: &Proposal) -> anyhow::Result<()> {
        let call = fab_governor::executeCall {
            targets: proposal.targets.clone(),
            values: vec![U256::ZERO; proposal.calls.len()],
            calldatas: proposal.calls.clone(),
            descriptionHash: keccak256(&proposal.text),
        };
        self.call(self.deployment.governance.governor, call).await
    }

    async fn job_fee(&self) -> u16 {
        self.read(self.deployment.job_marketplace, job_marketplace::policyCall {}).await.feeBps
    }

    async fn implementation(&self, proxy: Address) -> Address {
        let slot = self.anvil.ask("eth_getStorageAt", vec![json!(proxy), json!(IMPLEMENTATION), json!("latest")]).await;
        Address::from_word(serde_json::from_value(slot.unwrap()).unwrap())
    }

    /// Pays one token in and takes it out again, whatever else is going on.
    async fn withdraw(&self, account: Address) {
        let (token, escrow) = (self.deployment.token, self.deployment.payment_escrow);
        let amount = U256::from(1_000_000);
        let before = self.read(token, test_usdc::balanceOfCall { account }).await;
        self.call(token, test_usdc::mintCall { to: account, amount }).await.unwrap();
        self.call(token, test_usdc::approveCall { spender: escrow, value: amount }).await.unwrap();
        self.call(escrow, payment_escrow::depositCall { token, amount }).await.unwrap();
        self.call(escrow, payment_escrow::withdrawCall { token, to: account, amount }).await.unwrap();
        assert_eq!(self.read(token, test_usdc::balanceOfCall { account }).await, before + amount);
    }
}

fn set(key: u8, value: u64) -> Bytes {
    parameter_store::setCall { keys: vec![key], values: vec![U256::from(value)] }.abi_encode().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_changes_a_parameter_and_upgrades_a_contract_and_withdrawals_never_stop() {
    let stack = Stack::start(&[]).await.unwrap();
    let (anvil, deployment) = (&stack.anvil, &stack.deployment);
    let (community, governance) = (Community { anvil, deployment }, &deployment.governance);
    let deployer = SecretKey::from_hex(KEYS[0]).unwrap().address();

    // What `fabstir deploy` has left: the timelock owns, the governor alone proposes, nobody administers.
    for contract in [
        deployment.node_registry,
        deployment.job_marketplace,
        deployment.session_marketplace,
        deployment.reputation_system,
        deployment.proof_system,
    ] {
        assert_eq!(community.read(contract, node_registry::ownerCall {}).await, governance.timelock);
        assert_eq!(community.read(contract, node_registry::guardianCall {}).await, governance.guardian);
    }
    let admin = fab_timelock::hasRoleCall { role: B256::ZERO, account: deployer };
    assert!(!community.read(governance.timelock, admin).await);

    community.call(governance.token, fab_token::delegateCall { delegatee: deployer }).await.unwrap();
    community.wait(1).await;
    let receipt = anvil.transact(None, reputation_system::BYTECODE.clone(), U256::ZERO).await.unwrap();
    let fresh: Address = serde_json::from_value(receipt["contractAddress"].clone()).unwrap();
    let upgrade = reputation_system::upgradeToAndCallCall { newImplementation: fresh, data: Bytes::new() };
    let both = Proposal {
        targets: vec![governance.parameter_store, deployment.reputation_system],
        calls: vec![set(JOB_FEE, 300), upgrade.abi_encode().into()],
        text: "raise the fee, renew the reputation".into(),
    };
    let excessive = Proposal {
        targets: vec![governance.parameter_store],
        calls: vec![set(JOB_FEE, 1_001)],
        text: "too much".into(),
    };
    let (id, excessive_id) = (community.propose(&both).await, community.propose(&excessive).await);
    community.call(governance.guardian, guardian::pauseCall {}).await.unwrap();
    community.withdraw(deployer).await;

    assert!(community.execute(&both).await.is_err(), "executed before the vote");
    community.wait(DAY + 1).await;
    for id in [id, excessive_id] {
        community.call(governance.governor, fab_governor::castVoteCall { proposalId: id, support: 1 }).await.unwrap();
    }
    community.wait(5 * DAY).await;
    assert!(community.execute(&both).await.is_err(), "executed without being queued");
    community.queue(&both).await.unwrap();
    community.queue(&excessive).await.unwrap();
    community.wait(2 * DAY - 60).await;
    assert!(community.execute(&both).await.is_err(), "executed before the delay");
    assert_eq!(community.job_fee().await, 250);
    let was = community.implementation(deployment.reputation_system).await;
    assert_ne!(was, fresh);
    community.wait(60).await;

    assert!(community.execute(&excessive).await.is_err(), "executed beyond the bounds");
    community.execute(&both).await.unwrap();
    assert_eq!(community.job_fee().await, 300);
    assert_eq!(community.implementation(deployment.reputation_system).await, fresh);
    community.withdraw(deployer).await;
}

tests::on_base!(a_vote_changes_a_parameter_and_upgrades_a_contract_and_withdrawals_never_stop,);
