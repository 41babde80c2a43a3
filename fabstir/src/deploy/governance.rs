//! Who decides: a token, a governor, a timelock that owns the marketplace, the bounds of its parameters and a guardian.

use alloy::primitives::{
    Address, B256, U256,
    aliases::{U40, U96},
    keccak256,
    utils::parse_ether,
};
use anyhow::Result;
use erc4337::abi::{fab_governor, fab_timelock, fab_token, guardian, job_marketplace, node_registry, parameter_store};

use super::{
    create,
    market::{self, Marketplace},
    sender::Sender,
};
use crate::deployment::Governance;

const DAY: u64 = 86_400;
/// Seconds from one step of a parameter to the next, at least.
const STEP_INTERVAL: u32 = 7 * 86_400;
/// Whole tokens that exist, and that a proposer needs.
const SUPPLY: &str = "1000000000";
const PROPOSAL_THRESHOLD: &str = "1000000";

/// Deploys what is missing and hands the marketplace over. Each step looks whether it was done before, so that a
/// deployment that was cut short can be run again; giving up the admin's role is the last. The guardian's circuit breaker
/// watches the market's token: their two addresses alone differ where the token does.
pub(super) async fn deploy(
    sender: &mut Sender,
    deployer: Address,
    keeper: Address,
    market: &Marketplace,
    watched: (Address, u64),
) -> Result<Governance> {
    let supply = parse_ether(SUPPLY)?;
    let arguments = fab_token::constructorCall { holder: deployer, supply };
    let token = create(sender, "FabToken", &fab_token::BYTECODE, &arguments).await?;
    let arguments = fab_timelock::constructorCall { admin: deployer };
    let timelock = create(sender, "FabTimelock", &fab_timelock::BYTECODE, &arguments).await?;
    let arguments =
        fab_governor::constructorCall { token, timelock, proposalThreshold_: parse_ether(PROPOSAL_THRESHOLD)? };
    let governor = create(sender, "FabGovernor", &fab_governor::BYTECODE, &arguments).await?;
    let targets_ = parameter_store::ParameterStore::Targets {
        jobs: market.jobs,
        sessions: market.sessions,
        registry: market.registry,
        reputation: market.reputation,
    };
    let arguments = parameter_store::constructorCall { timelock_: timelock, targets_, parameters: parameters() };
    let store = create(sender, "ParameterStore", &parameter_store::BYTECODE, &arguments).await?;
    let governed = vec![market.registry, market.jobs, market.sessions, market.reputation];
    let arguments = guardian::constructorCall {
        timelock_: timelock,
        keeper_: keeper,
        targets_: governed.clone(),
        escrow: market.escrow,
        tokens: vec![watched.0],
        caps: vec![U256::from(watched.1)],
    };
    let guardian = create(sender, "Guardian", &guardian::BYTECODE, &arguments).await?;

    // The proof system has no entry that a guardian could close, but its owner names the verifiers.
    let owned = [governed, vec![market.proofs]].concat();
    hand_over(sender, deployer, timelock, guardian, &owned, market.jobs).await?;
    wire(sender, deployer, timelock, governor, store).await?;
    // The first that the guardian makes, in its constructor.
    let circuit_breaker = guardian.create(1);
    Ok(Governance { token, governor, timelock, parameter_store: store, guardian, circuit_breaker })
}

/// Makes the timelock the owner of the marketplace and the receiver of its fees. Accepting is the last step for each:
/// from then on the deployer can do none of the others.
async fn hand_over(
    sender: &mut Sender,
    deployer: Address,
    timelock: Address,
    guardian: Address,
    governed: &[Address],
    jobs: Address,
) -> Result<()> {
    let none = U256::ZERO;
    for contract in governed.iter().copied() {
        if sender.read(contract, node_registry::ownerCall {}).await?.is_some_and(|owner| owner != deployer) {
            continue;
        }
        if contract == jobs && sender.read(jobs, job_marketplace::treasuryCall {}).await? != Some(timelock) {
            let call = job_marketplace::setTreasuryCall { treasury_: timelock };
            sender.call("name the timelock as treasury", jobs, call, none).await?;
        }
        if sender.read(contract, node_registry::guardianCall {}).await? != Some(guardian) {
            let call = node_registry::setGuardianCall { guardian_: guardian };
            sender.call("name the guardian", contract, call, none).await?;
        }
        if sender.read(contract, node_registry::pendingOwnerCall {}).await? != Some(timelock) {
            let call = node_registry::transferOwnershipCall { newOwner: timelock };
            sender.call("offer ownership to the timelock", contract, call, none).await?;
        }
        let accept = fab_timelock::acceptOwnershipOfCall { target: contract };
        sender.call("let the timelock accept", timelock, accept, none).await?;
    }
    Ok(())
}

/// The governor alone proposes and cancels, anybody executes, nobody is left to say otherwise.
async fn wire(
    sender: &mut Sender,
    deployer: Address,
    timelock: Address,
    governor: Address,
    store: Address,
) -> Result<()> {
    let (admin, none) = (B256::ZERO, U256::ZERO);
    if sender.read(timelock, fab_timelock::hasRoleCall { role: admin, account: deployer }).await? == Some(false) {
        return Ok(());
    }
    let roles = [("PROPOSER_ROLE", governor), ("CANCELLER_ROLE", governor), ("EXECUTOR_ROLE", Address::ZERO)];
    for (name, account) in roles {
        let role = keccak256(name);
        if sender.read(timelock, fab_timelock::hasRoleCall { role, account }).await? != Some(true) {
            let grant = fab_timelock::grantRoleCall { role, account };
            sender.call(&format!("grant {name}"), timelock, grant, none).await?;
        }
    }
    if sender.read(timelock, fab_timelock::parameterStoreCall {}).await?.is_none_or(|it| it.is_zero()) {
        let call = fab_timelock::setParameterStoreCall { store };
        sender.call("name the parameter store", timelock, call, none).await?;
    }
    let renounce = fab_timelock::renounceRoleCall { role: admin, callerConfirmation: deployer };
    sender.call("give up the timelock's administration", timelock, renounce, none).await
}

/// Values that the marketplace starts with, and how far they may go. In the order of the store's keys.
fn parameters() -> Vec<parameter_store::ParameterStore::Parameter> {
    let (job, session) = (market::job_policy(), market::session_policy());
    let (stake, reputation) = (market::stake_policy(), market::reputation_policy());
    // Value, least, highest, largest step.
    let rows: [(u64, u64, u64, u64); 20] = [
        (job.feeBps.into(), 0, 1_000, 100),
        (job.reviewWindow.to(), 3_600, 14 * DAY, DAY),
        (job.counterWindow.to(), 3_600, 14 * DAY, DAY),
        (job.arbiterWindow.to(), DAY, 30 * DAY, 2 * DAY),
        (job.bondBps.into(), 100, 5_000, 500),
        (job.idleSlashBps.into(), 0, 5_000, 500),
        (job.faultSlashBps.into(), 0, 10_000, 1_000),
        (job.maxDuration.into(), DAY, 90 * DAY, 15 * DAY),
        (session.feeBps.into(), 0, 1_000, 100),
        (session.grace.to(), 900, 7 * DAY, DAY),
        (session.maxDuration.into(), DAY, 90 * DAY, 15 * DAY),
        (stake.minStake.to(), 10_000_000, 100_000_000_000, 100_000_000),
        (stake.stakePerEngagement.to(), 1_000_000, 10_000_000_000, 10_000_000),
        (stake.unbondingPeriod.into(), DAY, 28 * DAY, 7 * DAY),
        (stake.challengerBps.into(), 0, 5_000, 500),
        (stake.payerBps.into(), 0, 5_000, 500),
        (reputation.halfLife.into(), 7 * DAY, 365 * DAY, 30 * DAY),
        (reputation.capPeriod.into(), DAY, 30 * DAY, 7 * DAY),
        (reputation.payerCap.to(), 1_000_000, 100_000_000_000, 100_000_000),
        (reputation.priorWeight.to(), 1_000_000, 10_000_000_000, 10_000_000),
    ];
    rows.into_iter()
        .map(|(value, min, max, step)| parameter_store::ParameterStore::Parameter {
            value: U96::from(value),
            min: U96::from(min),
            changedAt: U40::ZERO,
            max: U96::from(max),
            maxStep: U96::from(step),
            minInterval: STEP_INTERVAL,
        })
        .collect()
}
