//! What is about to change, or has changed behind the deployment file's back.

use alloy::{
    primitives::{Address, B256, U256, b256},
    sol_types::SolCall,
};
use anyhow::Result;
use bundler::node::BatchReader;
use erc4337::abi::{
    fab_governor::{self, ProposalCreated},
    fab_timelock::{self, CallScheduled},
    node_registry,
};
use serde_json::json;

use super::View;
use crate::doctor::Finding;

/// Where ERC-1967 keeps the implementation.
pub(crate) const IMPLEMENTATION: B256 = b256!("0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc");
/// OpenZeppelin's states of a proposal that can still come to be executed, in its order.
const LIVE: [(u8, &str); 4] = [(0, "pending"), (1, "voted on"), (4, "accepted"), (5, "queued")];

pub(super) async fn examine(view: &View<'_>, findings: &mut Vec<Finding>) -> Result<()> {
    implementations(view, findings).await?;
    proposals(view, findings).await?;
    scheduled(view, findings).await?;
    pauses(view, findings).await
}

/// The implementation behind each proxy is the one that the file names.
async fn implementations(view: &View<'_>, findings: &mut Vec<Finding>) -> Result<()> {
    let contracts = &view.deployment.contracts;
    for proxy in contracts.iter().filter(|contract| contract.artifact == "ERC1967Proxy") {
        let name = format!("{} implementation", proxy.name);
        let versions: Vec<_> = contracts.iter().filter(|contract| contract.name == name).collect();
        let found = implementation(view, proxy.address).await?;
        let (last, at) = (versions.len(), versions.iter().position(|contract| contract.address == found));
        findings.push(match at {
            Some(at) if at + 1 == last => Finding::ok(name, format!("{found}, version {last}")),
            Some(at) => {
                let seen = format!("{found}, version {} of {last}", at + 1);
                Finding::warning(name, seen, "the migration is not executed yet, or was taken back")
            }
            None => {
                Finding::failure(name, format!("{found} is not in the deployment file"), "find out who voted for it")
            }
        });
    }
    Ok(())
}

pub(crate) async fn implementation(view: &View<'_>, proxy: Address) -> Result<Address> {
    let mut reader = BatchReader::new(view.node, view.head.hash);
    reader.read("eth_getStorageAt", &[json!(proxy), json!(IMPLEMENTATION)]);
    let word = reader.send().await?.into_iter().next().unwrap_or_default();
    Ok(Address::from_word(B256::left_padding_from(&word)))
}

/// Proposals that may still be executed; upgrades are named as such.
async fn proposals(view: &View<'_>, findings: &mut Vec<Finding>) -> Result<()> {
    let governor = view.deployment.governance.governor;
    let mut live = 0;
    for proposal in view.events::<ProposalCreated>(governor).await? {
        let state = view.read(governor, fab_governor::stateCall { proposalId: proposal.proposalId }).await?;
        let Some((_, state)) = LIVE.into_iter().find(|(number, _)| *number == state) else { continue };
        let upgrades = proposal
            .calldatas
            .iter()
            .zip(&proposal.targets)
            .filter(|(data, _)| data.starts_with(&node_registry::upgradeToAndCallCall::SELECTOR))
            .map(|(_, target)| target.to_string())
            .collect::<Vec<_>>();
        let what = if upgrades.is_empty() { String::new() } else { format!(", upgrades {}", upgrades.join(", ")) };
        let seen = format!("{state}{what}: {}", proposal.description.lines().next().unwrap_or_default());
        findings.push(Finding::warning(format!("proposal {}", short(proposal.proposalId)), seen, "read it, vote"));
        live += 1;
    }
    if live == 0 {
        findings.push(Finding::ok("proposals", "none is under way"));
    }
    Ok(())
}

/// What waits in the timelock, whoever put it there.
async fn scheduled(view: &View<'_>, findings: &mut Vec<Finding>) -> Result<()> {
    let timelock = view.deployment.governance.timelock;
    let mut waiting = 0;
    for call in view.events::<CallScheduled>(timelock).await? {
        if view.read(timelock, fab_timelock::isOperationPendingCall { id: call.id }).await? {
            let kind = if call.data.starts_with(&node_registry::upgradeToAndCallCall::SELECTOR) {
                "upgrades"
            } else {
                "calls"
            };
            let at = view.read(timelock, fab_timelock::getTimestampCall { id: call.id }).await?;
            let seen = format!("{kind} {}, may be executed from {at} (Unix seconds) on", call.target);
            findings.push(Finding::warning("timelock", seen, "the last moment to leave, or to cancel"));
            waiting += 1;
        }
    }
    if waiting == 0 {
        findings.push(Finding::ok("timelock", "nothing waits in it"));
    }
    Ok(())
}

async fn pauses(view: &View<'_>, findings: &mut Vec<Finding>) -> Result<()> {
    let deployment = view.deployment;
    let closed = [
        ("NodeRegistry", deployment.node_registry),
        ("JobMarketplace", deployment.job_marketplace),
        ("SessionMarketplace", deployment.session_marketplace),
        ("ReputationSystem", deployment.reputation_system),
    ];
    for (name, contract) in closed {
        let until = view.read(contract, node_registry::entryPausedUntilCall {}).await?;
        let check = format!("entry of {name}");
        findings.push(if until > U256::from(view.head.timestamp) {
            Finding::warning(check, format!("paused until {until} (Unix seconds)"), "see who paused it, and why")
        } else {
            Finding::ok(check, "open")
        });
    }
    Ok(())
}

/// The first digits of a proposal's id, which nobody reads to the end.
fn short(id: U256) -> String {
    format!("{:#x}", id >> 224)
}
