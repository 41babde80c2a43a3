//! What differs from chain to chain, as data: one TOML file for each chain in `deploy/chains`.

use std::{sync::LazyLock, time::Duration};

use alloy::primitives::Address;
use serde::Deserialize;

use crate::NativeContracts;

/// The files, compiled in.
const FILES: [&str; 5] = [
    include_str!("../../deploy/chains/local.toml"),
    include_str!("../../deploy/chains/base-sepolia.toml"),
    include_str!("../../deploy/chains/base.toml"),
    include_str!("../../deploy/chains/optimism.toml"),
    include_str!("../../deploy/chains/unichain.toml"),
];

/// The name of a chain that has no file.
const UNKNOWN: &str = "unknown";

#[expect(clippy::expect_used, reason = "the files are part of the program, and a test reads each of them")]
static PRESETS: LazyLock<Vec<ChainPreset>> = LazyLock::new(|| {
    FILES.iter().map(|text| ChainPreset::parse(text).expect("a preset that is compiled in")).collect()
});

/// Facts of one chain that no RPC call tells.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainPreset {
    /// EIP-155 id.
    pub chain_id: u64,
    /// Name in configuration and logs.
    pub name: String,
    /// Time between blocks.
    #[serde(rename = "block_time_ms", deserialize_with = "millis")]
    pub block_time: Duration,
    /// Between two flashblocks, where the block being built tells what will be mined; elsewhere `pending` is not looked
    /// at, and there is no status `preconfirmed`.
    #[serde(rename = "flashblock_ms", default, deserialize_with = "optional_millis")]
    pub flashblock_time: Option<Duration>,
    /// Gas that one transaction, so one bundle, may use.
    pub max_transaction_gas: u64,
    /// The rules of the EVM there.
    pub hardfork: Hardfork,
    /// Whether calls of the secp256r1 precompile at 0x100 are accepted in validation (OP-062).
    pub p256: bool,
    /// Whether transactions pay for their data on L1, and to the operator, beside their gas (OP stack).
    pub op_stack: bool,
    /// Age from which a block is safe, where nothing else tells; by the node's `safe` tag without.
    #[serde(rename = "safe_after_ms", default, deserialize_with = "optional_millis")]
    pub safe_after: Option<Duration>,
    /// Transactions of one sender that a node's pool keeps.
    pub pending_per_sender: usize,
    /// Whether bundles are sent under a condition.
    #[serde(default)]
    pub conditional_send: ConditionalSend,
    /// Contracts that the client itself executes.
    #[serde(default)]
    pub native_contracts: NativeContracts,
    /// Wei per gas below which the chain's nodes suggest no priority fee.
    pub min_priority_fee: u128,
    /// Wei per gas above which a bid is a mistake rather than a price.
    pub max_bid: u128,
    /// Wei from which an entity counts as staked (`MIN_STAKE_VALUE` of ERC-7562: about 1,000 US$).
    pub min_stake: u128,
    /// Seconds that a stake must stay locked after its owner wants it back (`MIN_UNSTAKE_DELAY` of ERC-7562).
    #[serde(default = "one_day")]
    pub min_unstake_delay: u32,
    /// How our contracts are deployed there; without, by hand only.
    #[serde(default)]
    pub deploy: Option<DeployPreset>,
}

/// How our contracts are deployed to a chain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployPreset {
    /// What jobs are paid in and hosts stake; without one, a token that anybody can mint is deployed.
    #[serde(default)]
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

/// Whether a bundle is tied to the state that it rests on, so that one which that has overtaken is not mined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConditionalSend {
    /// Where the endpoints that are given transactions have a method for it, which is tried at the start.
    #[default]
    Auto,
    /// By `eth_sendRawTransactionConditional`, untried.
    Always,
    /// Never.
    Never,
}

/// An Ethereum hardfork, as far as the EVM is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hardfork {
    /// Without the P256 precompile, but for chains that added it on their own (RIP-7212).
    Prague,
    /// With P256 at 6,900 gas, `CLZ`, and a cap on a transaction's gas.
    Osaka,
}

impl ChainPreset {
    /// Reads one file of `deploy/chains`.
    ///
    /// # Errors
    /// If a field is missing, unknown or of the wrong type; the error names it.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// All that are known.
    pub fn all() -> &'static [Self] {
        &PRESETS
    }

    /// The preset of a chain id; an unknown chain gets Base's rules, which are the strictest, under its own id.
    pub fn for_chain(chain_id: u64) -> Self {
        let known = Self::all().iter().find(|preset| preset.chain_id == chain_id);
        known.cloned().unwrap_or_else(|| Self { chain_id, name: UNKNOWN.into(), deploy: None, ..Self::base() })
    }

    /// Whether there is no preset of this chain, and all but its id is assumed.
    pub fn is_assumed(&self) -> bool {
        self.name == UNKNOWN
    }

    /// The preset of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().iter().find(|preset| preset.name == name).cloned()
    }

    /// Base mainnet.
    pub fn base() -> Self {
        Self::for_chain(8_453)
    }

    /// A development node on this machine.
    pub fn local() -> Self {
        Self::for_chain(31_337)
    }
}

/// What ERC-7562 says.
const fn one_day() -> u32 {
    86_400
}

fn millis<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

fn optional_millis<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    millis(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_can_be_read_and_is_found_by_name_and_id() {
        for text in FILES {
            let preset = ChainPreset::parse(text).unwrap();
            assert_eq!(ChainPreset::for_chain(preset.chain_id), preset);
            assert_eq!(ChainPreset::named(&preset.name), Some(preset));
        }
    }

    #[test]
    fn bases_block_comes_every_200_ms_and_it_has_no_flashblocks() {
        let base = ChainPreset::base();
        assert_eq!((base.block_time, base.flashblock_time), (Duration::from_millis(200), None));
        assert_eq!(ChainPreset::for_chain(10).flashblock_time, Some(Duration::from_millis(250)));
    }

    #[test]
    fn an_unknown_chain_keeps_its_id() {
        let preset = ChainPreset::for_chain(4_242);
        assert!(preset.is_assumed());
        assert_eq!((preset.chain_id, preset.deploy), (4_242, None));
    }

    #[test]
    fn a_field_that_is_missing_or_unknown_is_named() {
        let error = |text: &str| ChainPreset::parse(text).unwrap_err().to_string();
        assert!(error(&FILES[0].replace("block_time_ms", "block_time")).contains("block_time"));
        assert!(error(&FILES[0].replace("p256 = true", "")).contains("p256"));
    }

    #[test]
    fn op_stack_chains_charge_for_data_and_their_nodes_keep_16_of_a_sender() {
        for name in ["base", "base-sepolia", "optimism", "unichain"] {
            let preset = ChainPreset::named(name).unwrap();
            assert_eq!((preset.op_stack, preset.pending_per_sender), (true, 16), "{name}");
        }
    }
}
