//! The contracts: whether they are there, and what the paymasters have in the EntryPoints.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, U256, utils::format_ether},
    rpc::types::Header,
};
use anyhow::{Context, Result};
use bundler::node::{BatchReader, NodeClient};
use erc4337::{
    EntryPointVersion,
    storage::{DepositInfo, deposit_slots},
};
use serde_json::json;

use super::Finding;
use crate::{deploy, deployment::Deployment};

/// Wei under which a deposit sponsors next to nothing.
const LOW_DEPOSIT: u64 = 10_000_000_000_000_000;

pub(super) async fn examine(node: &NodeClient, head: &Header, deployment: &Deployment, findings: &mut Vec<Finding>) {
    match entry_points(node, head, deployment).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::failure("EntryPoints", format!("{error:#}"), "see the node's findings")),
    }
    match contracts(node, head, deployment).await {
        Ok(finding) => findings.push(finding),
        Err(error) => findings.push(Finding::failure("contracts", format!("{error:#}"), "see the node's findings")),
    }
    for (kind, paymasters) in [("paymaster", &deployment.paymasters), ("token paymaster", &deployment.token_paymasters)]
    {
        match deposits(node, head, deployment, kind, paymasters).await {
            Ok(found) => findings.extend(found),
            Err(error) => {
                findings.push(Finding::failure(kind, format!("{error:#}"), "deploy anew, or read the file again"))
            }
        }
    }
}

/// The canonical ones must have the code that their published init code leaves. Of another, nothing is known.
async fn entry_points(node: &NodeClient, head: &Header, deployment: &Deployment) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for (address, version) in deployment.entry_point_versions()? {
        let check = format!("EntryPoint {version}");
        let canonical = version.canonical_address() == address;
        found.push(match (code(node, head, &[address]).await?[0], canonical) {
            (0, _) => Finding::failure(check, format!("no code at {address}"), "fabstir deploy puts it there"),
            (size, true) => match deploy::entry_points::check(node, version, address).await {
                Ok(hash) => Finding::ok(check, format!("{address}, {size} bytes, code hash {hash}")),
                Err(error) => Finding::failure(check, format!("{error:#}"), "this is not the published EntryPoint"),
            },
            (size, false) => Finding::warning(
                check,
                format!("{address}, {size} bytes, is not the canonical {}", version.canonical_address()),
                "wallets expect the canonical one; what code this is cannot be told from its address",
            ),
        });
    }
    Ok(found)
}

async fn contracts(node: &NodeClient, head: &Header, deployment: &Deployment) -> Result<Finding> {
    let governance = &deployment.governance;
    let named = [
        ("SmartAccount", deployment.smart_account),
        ("SmartAccountFactory", deployment.smart_account_factory),
        ("NodeRegistry", deployment.node_registry),
        ("JobMarketplace", deployment.job_marketplace),
        ("SessionMarketplace", deployment.session_marketplace),
        ("ReputationSystem", deployment.reputation_system),
        ("ProofSystem", deployment.proof_system),
        ("PaymentEscrow", deployment.payment_escrow),
        ("token", deployment.token),
        ("FabToken", governance.token),
        ("FabGovernor", governance.governor),
        ("FabTimelock", governance.timelock),
        ("ParameterStore", governance.parameter_store),
        ("CircuitBreaker", governance.circuit_breaker),
    ];
    let sizes = code(node, head, &named.map(|(_, address)| address)).await?;
    let missing: Vec<_> = named
        .iter()
        .zip(sizes)
        .filter(|(_, size)| *size == 0)
        .map(|((name, at), _)| format!("{name} at {at}"))
        .collect();
    if missing.is_empty() {
        return Ok(Finding::ok("contracts", format!("{} have code", named.len())));
    }
    Ok(Finding::failure(
        "contracts",
        format!("no code: {}", missing.join(", ")),
        "fabstir deploy goes on where it stopped",
    ))
}

/// What the paymasters have in their EntryPoints.
pub(crate) async fn deposits(
    node: &NodeClient,
    head: &Header,
    deployment: &Deployment,
    kind: &str,
    paymasters: &BTreeMap<String, Address>,
) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for (name, paymaster) in paymasters {
        let version: EntryPointVersion = name.parse()?;
        let entry_point = deployment.entry_points.get(name).with_context(|| format!("no EntryPoint {name}"))?;
        let mut reader = BatchReader::new(node, head.hash);
        for slot in deposit_slots(*paymaster) {
            reader.read("eth_getStorageAt", &[json!(entry_point), json!(B256::from(slot))]);
        }
        let words: Vec<U256> = reader.send().await?.iter().map(|word| U256::from_be_slice(word)).collect();
        let [first, second] = words.try_into().ok().context("two words were asked for")?;
        let info = DepositInfo::read(version, [first, second]);
        let check = format!("{kind} {name}");
        let seen = format!("{} ETH deposited, {} ETH staked", format_ether(info.deposit), format_ether(info.stake));
        found.push(if info.deposit < U256::from(LOW_DEPOSIT) {
            Finding::failure(check, seen, format!("depositTo({paymaster}) in {entry_point}: nothing is sponsored"))
        } else if info.staked {
            Finding::ok(check, seen)
        } else {
            Finding::warning(check, seen, "unstaked: bundlers that keep to ERC-7562 throttle it (addStake)")
        });
    }
    Ok(found)
}

async fn code(node: &NodeClient, head: &Header, of: &[Address]) -> Result<Vec<usize>> {
    let mut reader = BatchReader::new(node, head.hash);
    of.iter().for_each(|address| reader.read("eth_getCode", &[json!(address)]));
    Ok(reader.send().await?.iter().map(|code| code.len()).collect())
}
