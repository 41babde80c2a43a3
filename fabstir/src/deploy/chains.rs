//! Which chains we deploy to, and how: what `deploy/chains/*.toml` says under `[deploy]`.

use anyhow::{Context, Result};
use erc4337::{ChainPreset, chain::DeployPreset};

/// How a chain is deployed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainConfig {
    /// Its name, also that of the file `deploy/addresses/NAME.json`.
    pub name: String,
    /// EIP-155 id.
    pub chain_id: u64,
    /// What is deployed, and how much is given away.
    pub terms: DeployPreset,
}

impl ChainConfig {
    /// Of every chain that can be deployed to.
    pub fn all() -> impl Iterator<Item = Self> {
        ChainPreset::all().iter().filter_map(|preset| {
            Some(Self { name: preset.name.clone(), chain_id: preset.chain_id, terms: preset.deploy.clone()? })
        })
    }

    /// The one of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(name: &str) -> Result<Self> {
        let names = || Self::all().map(|config| config.name).collect::<Vec<_>>().join(", ");
        Self::all()
            .find(|config| config.name == name)
            .with_context(|| format!("no chain {name}: there are {}", names()))
    }

    /// The one of this chain id.
    ///
    /// # Errors
    /// If there is none.
    pub fn of(chain_id: u64) -> Result<Self> {
        Self::all()
            .find(|config| config.chain_id == chain_id)
            .with_context(|| format!("chain {chain_id} is not known: --chain says how to deploy to it"))
    }
}
