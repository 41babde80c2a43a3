//! Where things are on one chain: the one source of addresses, written by `fabstir deploy`.

use std::{collections::BTreeMap, path::Path};

use alloy::primitives::{Address, B256, Bytes};
use anyhow::{Context, Result};
use erc4337::EntryPointVersion;
use serde::{Deserialize, Serialize};

use crate::migrate::Layout;

/// All addresses of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// By version, `v0.6` to `v0.9`.
    pub entry_points: BTreeMap<String, Address>,
    /// VerifyingPaymasters by the version of their EntryPoint.
    pub paymasters: BTreeMap<String, Address>,
    /// TokenPaymasters, paid in `token`, by the version of their EntryPoint.
    pub token_paymasters: BTreeMap<String, Address>,
    /// The code of our accounts for EntryPoint v0.8: behind the factory's proxies, or what an EOA delegates to.
    pub smart_account: Address,
    /// Accounts of this factory use EntryPoint v0.8.
    pub smart_account_factory: Address,
    /// NodeRegistry, behind its proxy.
    pub node_registry: Address,
    /// JobMarketplace, behind its proxy.
    pub job_marketplace: Address,
    /// SessionMarketplace, behind its proxy.
    pub session_marketplace: Address,
    /// ReputationSystem, behind its proxy.
    pub reputation_system: Address,
    /// ProofSystem, behind its proxy.
    pub proof_system: Address,
    /// PaymentEscrow, immutable.
    pub payment_escrow: Address,
    /// Who decides about all of this.
    pub governance: Governance,
    /// What jobs are paid in and hosts stake.
    pub token: Address,
    /// Models that hosts may offer.
    pub models: BTreeMap<String, B256>,
    /// How each contract got there, in order: enough to make its address and its code again.
    #[serde(default)]
    pub contracts: Vec<Contract>,
}

/// One deployment by CREATE2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contract {
    /// What it is; unique.
    pub name: String,
    /// The contract that was compiled.
    pub artifact: String,
    /// Where it is.
    pub address: Address,
    /// Of CREATE2.
    pub salt: B256,
    /// What follows the bytecode in the init code: the constructor's arguments, ABI-encoded.
    pub arguments: Bytes,
    /// What is behind a proxy has layouts, which a later version must not break.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layouts: BTreeMap<String, Layout>,
}

/// Where the community decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Governance {
    /// FabToken, whose holders vote.
    pub token: Address,
    /// FabGovernor.
    pub governor: Address,
    /// FabTimelock, which owns the policy contracts.
    pub timelock: Address,
    /// ParameterStore.
    pub parameter_store: Address,
    /// Guardian of the policy contracts.
    pub guardian: Address,
    /// CircuitBreaker.
    pub circuit_breaker: Address,
}

impl Deployment {
    /// Reads the file.
    ///
    /// # Errors
    /// If it is not there or not of this form.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("deployment {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("deployment {}", path.display()))
    }

    /// Writes the file, and its folder if need be.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("deployment {}", path.display()))
    }

    /// EntryPoints by address, as the bundler wants them.
    pub fn entry_point_versions(&self) -> Result<BTreeMap<Address, EntryPointVersion>> {
        self.entry_points.iter().map(|(version, address)| Ok((*address, version.parse()?))).collect()
    }

    /// The EntryPoint of our own accounts.
    pub fn account_entry_point(&self) -> Result<Address> {
        let version = EntryPointVersion::V0_8.to_string();
        self.entry_points.get(&version).copied().with_context(|| format!("no EntryPoint {version} in the deployment"))
    }
}
