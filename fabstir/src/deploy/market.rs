//! The marketplace: upgradeable contracts behind proxies, around one immutable escrow.

use alloy::primitives::{Address, B256, U256, aliases::U88};
use anyhow::Result;
use erc4337::abi::{
    job_marketplace, node_registry, payment_escrow, proof_system, reputation_system, session_marketplace,
    signature_verifier,
};

use super::{DEMO_MODEL, init_code, model_id, proxy, sender::Sender};

/// A base unit of the token's fees weighs this much, in 1e-18.
const ONE: u64 = 1_000_000_000_000_000_000;

/// Where the marketplace is.
pub(super) struct Marketplace {
    pub(super) registry: Address,
    pub(super) jobs: Address,
    pub(super) sessions: Address,
    pub(super) reputation: Address,
    pub(super) proofs: Address,
    pub(super) escrow: Address,
}

/// Proxies first: the escrow is immutable and must know them, they are told of it once.
pub(super) async fn deploy(sender: &mut Sender, owner: Address, token: Address) -> Result<Marketplace> {
    let registry_code = sender.create2(B256::ZERO, &node_registry::BYTECODE).await?;
    let jobs_code = sender.create2(B256::ZERO, &job_marketplace::BYTECODE).await?;
    let verifier = sender.create2(B256::ZERO, &signature_verifier::BYTECODE).await?;

    let registry = proxy(
        sender,
        registry_code,
        &node_registry::initializeCall { owner_: owner, stakeToken_: token, policy: stake_policy() },
    )
    .await?;
    let jobs = proxy(
        sender,
        jobs_code,
        &job_marketplace::initializeCall { owner_: owner, treasury_: owner, policy_: job_policy() },
    )
    .await?;
    let sessions_code = sender.create2(B256::ZERO, &session_marketplace::BYTECODE).await?;
    let initialize = session_marketplace::initializeCall { owner_: owner, policy_: session_policy() };
    let sessions = proxy(sender, sessions_code, &initialize).await?;
    let reputation_code = sender.create2(B256::ZERO, &reputation_system::BYTECODE).await?;
    let policy_ = reputation_policy();
    let initialize = reputation_system::initializeCall { owner_: owner, registry_: registry, policy_ };
    let reputation = proxy(sender, reputation_code, &initialize).await?;
    let proofs_code = sender.create2(B256::ZERO, &proof_system::BYTECODE).await?;
    let proofs = proxy(sender, proofs_code, &proof_system::initializeCall { owner_: owner }).await?;
    let arguments = payment_escrow::constructorCall {
        controllers: vec![registry, jobs, sessions, proofs],
        permit2_: Address::ZERO,
        signatureVerifier_: verifier,
    };
    let escrow_code = init_code(&payment_escrow::BYTECODE, &arguments);
    let fresh = sender.is_new(B256::ZERO, &escrow_code).await?;
    let escrow = sender.create2(B256::ZERO, &escrow_code).await?;
    if fresh {
        let none = U256::ZERO;
        let markets = vec![jobs, sessions];
        sender.call(registry, node_registry::wireCall { escrow_: escrow, markets: markets.clone() }, none).await?;
        let take_note = node_registry::setReputationCall { reputation_: reputation };
        sender.call(registry, take_note, none).await?;
        let weigh = reputation_system::setFeeWeightCall { token, weightPerUnit: U256::from(ONE) };
        sender.call(reputation, weigh, none).await?;
        for market in markets {
            sender.call(reputation, reputation_system::setMarketCall { market, allowed: true }, none).await?;
        }
        let model = node_registry::setModelCall { modelId: model_id(DEMO_MODEL), allowed: true };
        sender.call(registry, model, none).await?;
        sender.call(jobs, job_marketplace::wireCall { escrow_: escrow, registry_: registry }, none).await?;
        sender.call(jobs, job_marketplace::openTokenCall { token }, none).await?;
        let wire = session_marketplace::wireCall { escrow_: escrow, registry_: registry };
        sender.call(sessions, wire, none).await?;
        let wire = proof_system::wireCall { escrow_: escrow, market_: jobs, reputation_: reputation };
        sender.call(proofs, wire, none).await?;
        sender.call(jobs, job_marketplace::setProofSystemCall { proofSystem_: proofs }, none).await?;
    }
    Ok(Marketplace { registry, jobs, sessions, reputation, proofs, escrow })
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
