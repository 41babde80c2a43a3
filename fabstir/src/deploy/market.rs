//! The marketplace: upgradeable contracts behind proxies, around one immutable escrow.

use alloy::primitives::{Address, B256, Bytes, U256, address, aliases::U88};
use anyhow::Result;
use erc4337::abi::{
    job_marketplace, node_registry, payment_escrow, proof_system, reputation_system, session_marketplace,
    signature_verifier,
};

use super::{DEMO_MODEL, create, model_id, proxy, sender::Sender};

/// A base unit of the token's fees weighs this much, in 1e-18.
const ONE: u64 = 1_000_000_000_000_000_000;

/// Uniswap's Permit2, at this address on every chain that has it; without code there the escrow refuses such deposits.
const PERMIT2: Address = address!("0x000000000022D473030F116dDEE9F6B43aC78BA3");

/// Where the marketplace is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marketplace {
    pub(super) registry: Address,
    pub(super) jobs: Address,
    pub(super) sessions: Address,
    pub(super) reputation: Address,
    pub(super) proofs: Address,
    pub(super) escrow: Address,
}

/// Proxies first: the escrow is immutable and must know them, they are told of it once. What differs between chains, the
/// token, is in no constructor, so that the addresses are the same on all.
pub(super) async fn deploy(sender: &mut Sender, owner: Address) -> Result<Marketplace> {
    let registry_code = implementation(sender, "NodeRegistry", &node_registry::BYTECODE).await?;
    let jobs_code = implementation(sender, "JobMarketplace", &job_marketplace::BYTECODE).await?;
    let sessions_code = implementation(sender, "SessionMarketplace", &session_marketplace::BYTECODE).await?;
    let reputation_code = implementation(sender, "ReputationSystem", &reputation_system::BYTECODE).await?;
    let proofs_code = implementation(sender, "ProofSystem", &proof_system::BYTECODE).await?;
    let verifier = sender
        .create2("SignatureVerifier", "SignatureVerifier", B256::ZERO, &signature_verifier::BYTECODE, &[])
        .await?;

    let initialize = node_registry::initializeCall { owner_: owner, policy: stake_policy() };
    let registry = proxy(sender, "NodeRegistry", registry_code, &initialize).await?;
    let initialize = job_marketplace::initializeCall { owner_: owner, treasury_: owner, policy_: job_policy() };
    let jobs = proxy(sender, "JobMarketplace", jobs_code, &initialize).await?;
    let initialize = session_marketplace::initializeCall { owner_: owner, policy_: session_policy() };
    let sessions = proxy(sender, "SessionMarketplace", sessions_code, &initialize).await?;
    let initialize =
        reputation_system::initializeCall { owner_: owner, registry_: registry, policy_: reputation_policy() };
    let reputation = proxy(sender, "ReputationSystem", reputation_code, &initialize).await?;
    let proofs = proxy(sender, "ProofSystem", proofs_code, &proof_system::initializeCall { owner_: owner }).await?;
    let arguments = payment_escrow::constructorCall {
        controllers: vec![registry, jobs, sessions, proofs],
        permit2_: PERMIT2,
        signatureVerifier_: verifier,
    };
    let escrow = create(sender, "PaymentEscrow", &payment_escrow::BYTECODE, &arguments).await?;
    Ok(Marketplace { registry, jobs, sessions, reputation, proofs, escrow })
}

/// Makes them known to one another, as far as they are not: each step looks whether it was done before. Nothing, once the
/// owner has handed over: from then on it is for the community to say.
pub(super) async fn wire(
    sender: &mut Sender,
    market: &Marketplace,
    owner: Address,
    token: Address,
    demo_model: bool,
) -> Result<()> {
    let Marketplace { registry, jobs, sessions, reputation, proofs, escrow } = *market;
    let none = U256::ZERO;
    if sender.read(registry, node_registry::ownerCall {}).await?.is_some_and(|it| it != owner) {
        return Ok(());
    }
    let unwired = |escrow: Option<Address>| escrow.is_none_or(|escrow| escrow.is_zero());
    // This opens the token for everybody: it is what jobs are paid in too.
    if unwired(sender.read(registry, node_registry::escrowCall {}).await?) {
        let wire = node_registry::wireCall { escrow_: escrow, stakeToken_: token, markets: vec![jobs, sessions] };
        sender.call("wire NodeRegistry", registry, wire, none).await?;
    }
    if sender.read(registry, node_registry::reputationCall {}).await? != Some(reputation) {
        let take_note = node_registry::setReputationCall { reputation_: reputation };
        sender.call("name ReputationSystem", registry, take_note, none).await?;
    }
    let weight = sender.read(reputation, reputation_system::feeWeightOfCall { token }).await?;
    if weight.is_none_or(|weight| weight.is_zero()) {
        let weigh = reputation_system::setFeeWeightCall { token, weightPerUnit: U256::from(ONE) };
        sender.call("weigh fees in the token", reputation, weigh, none).await?;
    }
    for (name, contract) in [("JobMarketplace", jobs), ("SessionMarketplace", sessions)] {
        let known = sender.read(reputation, reputation_system::isMarketCall { market: contract }).await?;
        if known != Some(true) {
            let call = reputation_system::setMarketCall { market: contract, allowed: true };
            sender.call(&format!("let {name} rate"), reputation, call, none).await?;
        }
    }
    let model_id = model_id(DEMO_MODEL);
    if demo_model
        && !sender
            .read(registry, node_registry::modelInfoCall { modelId: model_id })
            .await?
            .is_some_and(|model| model.allowed)
    {
        let call = node_registry::setModelCall { modelId: model_id, allowed: true };
        sender.call("allow the demo model", registry, call, none).await?;
    }
    if unwired(sender.read(jobs, job_marketplace::escrowCall {}).await?) {
        let wire = job_marketplace::wireCall { escrow_: escrow, registry_: registry };
        sender.call("wire JobMarketplace", jobs, wire, none).await?;
    }
    if unwired(sender.read(sessions, session_marketplace::escrowCall {}).await?) {
        let wire = session_marketplace::wireCall { escrow_: escrow, registry_: registry };
        sender.call("wire SessionMarketplace", sessions, wire, none).await?;
    }
    if unwired(sender.read(proofs, proof_system::escrowCall {}).await?) {
        let wire = proof_system::wireCall { escrow_: escrow, market_: jobs, reputation_: reputation };
        sender.call("wire ProofSystem", proofs, wire, none).await?;
    }
    if sender.read(jobs, job_marketplace::proofSystemCall {}).await? != Some(proofs) {
        let call = job_marketplace::setProofSystemCall { proofSystem_: proofs };
        sender.call("name ProofSystem", jobs, call, none).await?;
    }
    Ok(())
}

async fn implementation(sender: &mut Sender, artifact: &str, bytecode: &Bytes) -> Result<Address> {
    sender.create2(&format!("{artifact} implementation"), artifact, B256::ZERO, bytecode, &[]).await
}

/// 100 tokens of stake to register, 10 locked per job, a week to leave.
pub(super) fn stake_policy() -> node_registry::INodeRegistry::StakePolicy {
    node_registry::INodeRegistry::StakePolicy {
        minStake: U88::from(100_000_000),
        stakePerEngagement: U88::from(10_000_000),
        unbondingPeriod: 7 * 86_400,
        challengerBps: 3_000,
        payerBps: 4_000,
    }
}

/// 2.5 % fee; a day to review, a day to counter, three for the arbiter.
pub(super) fn job_policy() -> job_marketplace::IJobMarketplace::JobPolicy {
    use alloy::primitives::aliases::U24;
    job_marketplace::IJobMarketplace::JobPolicy {
        feeBps: 250,
        reviewWindow: U24::from(86_400),
        counterWindow: U24::from(86_400),
        arbiterWindow: U24::from(3 * 86_400),
        bondBps: 1_000,
        idleSlashBps: 1_000,
        faultSlashBps: 5_000,
        maxDuration: 30 * 86_400,
    }
}

/// 2.5 % fee; an hour for the last voucher; a month at most.
pub(super) fn session_policy() -> session_marketplace::ISessionMarketplace::SessionPolicy {
    use alloy::primitives::aliases::U24;
    session_marketplace::ISessionMarketplace::SessionPolicy {
        feeBps: 250,
        grace: U24::from(3_600),
        maxDuration: 30 * 86_400,
    }
}

/// Halves in a month; one payer gives one host the weight of 100 tokens a week.
pub(super) fn reputation_policy() -> reputation_system::IReputationSystem::ReputationPolicy {
    use alloy::primitives::aliases::U80;
    reputation_system::IReputationSystem::ReputationPolicy {
        halfLife: 30 * 86_400,
        capPeriod: 7 * 86_400,
        payerCap: U80::from(100_000_000),
        priorWeight: U80::from(10_000_000),
    }
}
