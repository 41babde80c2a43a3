//! Where things are on one chain: the one source of addresses, written by `fabstir deploy`.

use std::{collections::BTreeMap, path::Path};

use alloy::primitives::Address;
use anyhow::{Context, Result};
use erc4337::EntryPointVersion;
use serde::{Deserialize, Serialize};

/// All addresses of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deployment {
    pub(crate) chain_id: u64,
    /// By version, `v0.6` to `v0.9`.
    pub(crate) entry_points: BTreeMap<String, Address>,
    /// VerifyingPaymasters by the version of their EntryPoint.
    pub(crate) paymasters: BTreeMap<String, Address>,
    /// Accounts of this factory use EntryPoint v0.8.
    pub(crate) smart_account_factory: Address,
    pub(crate) node_registry: Address,
    pub(crate) job_marketplace: Address,
    pub(crate) payment_escrow: Address,
    /// What jobs are paid in and hosts stake.
    pub(crate) token: Address,
    /// Models that hosts may offer.
    pub(crate) models: BTreeMap<String, alloy::primitives::B256>,
}

impl Deployment {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("deployment {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("deployment {}", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("deployment {}", path.display()))
    }

    /// EntryPoints by address, as the bundler wants them.
    pub(crate) fn entry_point_versions(&self) -> Result<BTreeMap<Address, EntryPointVersion>> {
        self.entry_points.iter().map(|(version, address)| Ok((*address, version.parse()?))).collect()
    }

    /// The EntryPoint of our own accounts.
    pub(crate) fn account_entry_point(&self) -> Result<Address> {
        let version = EntryPointVersion::V0_8.to_string();
        self.entry_points.get(&version).copied().with_context(|| format!("no EntryPoint {version} in the deployment"))
    }
}
