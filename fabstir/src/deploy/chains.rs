//! What differs between the chains that we deploy to, as data.

use alloy::primitives::{Address, address};
use anyhow::{Context, Result};

const ETHER: u128 = 1_000_000_000_000_000_000;
/// The chain id of anvil, and of most development nodes.
const DEVELOPMENT: u64 = 31_337;

/// How a chain is deployed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainConfig {
    /// Its name, also that of the file `deployments/NAME.json`.
    pub name: &'static str,
    /// EIP-155 id.
    pub chain_id: u64,
    /// What jobs are paid in and hosts stake; without one, a token that anybody can mint is deployed.
    pub token: Option<Address>,
    /// Wei that each paymaster starts with in its EntryPoint.
    pub paymaster_deposit: u128,
    /// Wei that each paymaster stakes: what bundlers ask for.
    pub paymaster_stake: u128,
    /// Base units of the token that may leave the escrow within an hour before entry can be closed.
    pub hourly_outflow: u64,
    /// Whether the demo host's model is offered.
    pub demo_model: bool,
}

impl ChainConfig {
    /// A chain of one's own, where money is free.
    pub const LOCAL: Self = Self {
        name: "local",
        chain_id: DEVELOPMENT,
        token: None,
        paymaster_deposit: 10 * ETHER,
        paymaster_stake: ETHER,
        hourly_outflow: 250_000_000_000,
        demo_model: true,
    };
    /// Base's test network, with Circle's test USDC.
    pub const BASE_SEPOLIA: Self = Self {
        name: "base-sepolia",
        chain_id: 84_532,
        token: Some(address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e")),
        paymaster_deposit: ETHER / 100,
        paymaster_stake: ETHER / 100,
        ..Self::LOCAL
    };
    /// Base, with USDC. The stake is what our own preset asks of others.
    pub const BASE: Self = Self {
        name: "base",
        chain_id: 8_453,
        token: Some(address!("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913")),
        paymaster_deposit: ETHER / 20,
        paymaster_stake: ETHER / 4,
        demo_model: false,
        ..Self::LOCAL
    };
    /// All of them.
    pub const ALL: [Self; 3] = [Self::LOCAL, Self::BASE_SEPOLIA, Self::BASE];

    /// The one of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(name: &str) -> Result<Self> {
        let names = Self::ALL.map(|config| config.name).join(", ");
        Self::ALL
            .into_iter()
            .find(|config| config.name == name)
            .with_context(|| format!("no chain {name}: there are {names}"))
    }

    /// The one of this chain id.
    ///
    /// # Errors
    /// If there is none.
    pub fn of(chain_id: u64) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|config| config.chain_id == chain_id)
            .with_context(|| format!("chain {chain_id} is not known: --chain says how to deploy to it"))
    }
}
