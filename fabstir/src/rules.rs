//! Settings of ERC-7562's rules.

use std::path::Path;

use anyhow::{Context, Result};
use bundler::{
    Config,
    rules::{Base, Profile},
};

/// What counts as staked, and which values the rules are held with.
#[derive(Clone, Debug, clap::Args)]
pub struct RuleOptions {
    /// Wei from which an entity counts as staked; else the chain preset's.
    #[arg(long, env = "FABSTIR_MIN_STAKE")]
    pub min_stake: Option<u128>,
    /// Seconds that a stake must stay locked after its owner wants it back, for the entity to count as staked; else the
    /// chain preset's, which is a day.
    #[arg(long, env = "FABSTIR_MIN_UNSTAKE_DELAY")]
    pub min_unstake_delay: Option<u32>,
    /// Values of ERC-7562's constants: `operator`, `canonical` (all as the text has them), or a TOML file that sets them by
    /// name and makes exceptions for named entities (docs/erc-7562.md).
    #[arg(long, env = "FABSTIR_RULES", default_value = "operator")]
    pub rules: String,
}

impl Default for RuleOptions {
    fn default() -> Self {
        Self { min_stake: None, min_unstake_delay: None, rules: "operator".into() }
    }
}

impl RuleOptions {
    /// Puts them into the bundler's configuration.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be used.
    pub fn apply(&self, config: &mut Config) -> Result<()> {
        let profile = match self.rules.as_str() {
            "operator" => Profile::from(Base::Operator),
            "canonical" => Profile::from(Base::Canonical),
            file => {
                let text = std::fs::read_to_string(Path::new(file)).with_context(|| format!("--rules {file}"))?;
                Profile::parse(&text).with_context(|| format!("--rules {file}"))?
            }
        };
        profile.apply(config).with_context(|| format!("--rules {}", self.rules))?;
        let chain = &mut config.chain;
        chain.min_stake = self.min_stake.unwrap_or(chain.min_stake);
        chain.min_unstake_delay = self.min_unstake_delay.unwrap_or(chain.min_unstake_delay);
        Ok(())
    }
}
