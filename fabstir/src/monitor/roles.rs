//! Who may do what: nobody beside those whom the deployment left in charge.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, keccak256};
use anyhow::Result;
use erc4337::abi::{
    fab_timelock::{self, RoleGranted},
    guardian, job_marketplace, node_registry, verifying_paymaster,
};

use super::View;
use crate::doctor::Finding;

pub(super) async fn examine(view: &View<'_>, findings: &mut Vec<Finding>) -> Result<()> {
    let (deployment, governance) = (view.deployment, &view.deployment.governance);
    let governed = [
        ("NodeRegistry", deployment.node_registry),
        ("JobMarketplace", deployment.job_marketplace),
        ("SessionMarketplace", deployment.session_marketplace),
        ("ReputationSystem", deployment.reputation_system),
        ("ProofSystem", deployment.proof_system),
    ];
    for (name, contract) in governed {
        let owner = view.read(contract, node_registry::ownerCall {}).await?;
        let pending = view.read(contract, node_registry::pendingOwnerCall {}).await?;
        let guardian = view.read(contract, node_registry::guardianCall {}).await?;
        let check = format!("roles of {name}");
        let seen = format!("owner {owner}, guardian {guardian}");
        findings.push(if owner != governance.timelock {
            Finding::failure(check, seen, format!("the owner should be the timelock {}", governance.timelock))
        } else if !pending.is_zero() {
            Finding::failure(check, format!("{seen}, offered to {pending}"), "the timelock is giving it away")
        } else if guardian != governance.guardian {
            Finding::warning(check, seen, format!("the guardian was {}", governance.guardian))
        } else {
            Finding::ok(check, seen)
        });
    }
    let treasury = view.read(deployment.job_marketplace, job_marketplace::treasuryCall {}).await?;
    findings.push(same("treasury", treasury, governance.timelock));
    let breaker = view.read(governance.guardian, guardian::breakerCall {}).await?;
    findings.push(same("circuit breaker", breaker, governance.circuit_breaker));
    timelock(view, findings).await?;
    for (kind, paymasters) in [("paymaster", &deployment.paymasters), ("token paymaster", &deployment.token_paymasters)]
    {
        for (version, paymaster) in paymasters {
            let owner = view.read(*paymaster, verifying_paymaster::ownerCall {}).await?;
            let pending = view.read(*paymaster, verifying_paymaster::pendingOwnerCall {}).await?;
            let (check, seen) = (format!("owner of {kind} {version}"), format!("{owner}"));
            findings.push(if pending.is_zero() {
                Finding::ok(check, seen)
            } else {
                Finding::warning(check, format!("{seen}, offered to {pending}"), "whoever accepts has its deposit")
            });
        }
    }
    Ok(())
}

fn same(check: &str, found: Address, expected: Address) -> Finding {
    if found == expected {
        Finding::ok(check, found)
    } else {
        Finding::warning(check, found, format!("it was {expected} when this was deployed"))
    }
}

/// Whoever has been given a role of the timelock's and has it still.
async fn timelock(view: &View<'_>, findings: &mut Vec<Finding>) -> Result<()> {
    let governance = &view.deployment.governance;
    let granted = view.events::<RoleGranted>(governance.timelock).await?;
    let expected = [
        ("admin", B256::ZERO, governance.timelock),
        ("proposer", keccak256("PROPOSER_ROLE"), governance.governor),
        ("canceller", keccak256("CANCELLER_ROLE"), governance.governor),
        ("executor", keccak256("EXECUTOR_ROLE"), Address::ZERO),
    ];
    for (name, role, only) in expected {
        let mut members = BTreeSet::new();
        for account in granted.iter().filter(|grant| grant.role == role).map(|grant| grant.account) {
            if view.read(governance.timelock, fab_timelock::hasRoleCall { role, account }).await? {
                members.insert(account);
            }
        }
        let seen = members.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let check = format!("timelock's {name}");
        findings.push(if members == BTreeSet::from([only]) {
            Finding::ok(check, seen)
        } else {
            let seen = if seen.is_empty() { "nobody that events tell of".to_owned() } else { seen };
            Finding::failure(check, seen, format!("it should be {only} alone"))
        });
    }
    Ok(())
}
