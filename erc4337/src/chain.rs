//! What differs from chain to chain, as data.

/// Facts of one chain that no RPC call tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainPreset {
    /// EIP-155 id.
    pub chain_id: u64,
    /// Name in configuration and logs.
    pub name: &'static str,
    /// Seconds between blocks.
    pub block_time: u64,
    /// Gas that one transaction, so one bundle, may use.
    pub max_transaction_gas: u64,
    /// The rules of the EVM there.
    pub hardfork: Hardfork,
    /// Whether calls of the secp256r1 precompile at 0x100 are accepted in validation (OP-062).
    pub p256: bool,
    /// Whether transactions pay for their data on L1 beside their gas (OP stack).
    pub l1_data_fee: bool,
    /// Milliseconds between two looks at the block being built (flashblocks), where it tells what will be mined.
    pub preconfirmation_millis: Option<u64>,
    /// Blocks on top of one that make it safe; by the node's `safe` tag without.
    pub safe_confirmations: Option<u64>,
    /// Whether the sequencer takes `eth_sendRawTransactionConditional`.
    pub conditional_send: bool,
    /// Wei per gas below which the chain's nodes suggest no priority fee.
    pub min_priority_fee: u128,
    /// Wei per gas above which a bid is a mistake rather than a price.
    pub max_bid: u128,
    /// Wei from which an entity counts as staked (`MIN_STAKE_VALUE` of ERC-7562: about 1,000 US$).
    pub min_stake: u128,
}

/// An Ethereum hardfork, as far as the EVM is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hardfork {
    /// Without the P256 precompile, but for chains that added it on their own (RIP-7212).
    Prague,
    /// With P256 at 6,900 gas, `CLZ`, and a cap on a transaction's gas.
    Osaka,
}

/// EIP-7825's cap, in force on Base too.
const MAX_TRANSACTION_GAS: u64 = 16_777_216;
/// One ether, in wei.
const ETHER: u128 = 1_000_000_000_000_000_000;
/// One gwei, in wei.
const GWEI: u128 = 1_000_000_000;

impl ChainPreset {
    /// Base mainnet.
    pub const BASE: Self = Self {
        chain_id: 8453,
        name: "base",
        block_time: 2,
        max_transaction_gas: MAX_TRANSACTION_GAS,
        hardfork: Hardfork::Osaka,
        p256: true,
        l1_data_fee: true,
        preconfirmation_millis: Some(200),
        safe_confirmations: None,
        conditional_send: false,
        min_priority_fee: GWEI / 1_000,
        max_bid: 100 * GWEI,
        min_stake: ETHER / 4,
    };
    /// Base's test network, where ether is scarce rather than dear.
    pub const BASE_SEPOLIA: Self = Self { chain_id: 84532, name: "base-sepolia", min_stake: ETHER / 100, ..Self::BASE };
    /// A development node on this machine.
    pub const LOCAL: Self = Self {
        chain_id: 31337,
        name: "local",
        block_time: 1,
        l1_data_fee: false,
        preconfirmation_millis: None,
        safe_confirmations: Some(2),
        min_priority_fee: 0,
        max_bid: 100_000 * GWEI,
        ..Self::BASE
    };

    /// The preset of a chain id; an unknown chain gets the strictest rules under its own id.
    pub fn for_chain(chain_id: u64) -> Self {
        [Self::BASE, Self::BASE_SEPOLIA, Self::LOCAL]
            .into_iter()
            .find(|preset| preset.chain_id == chain_id)
            .unwrap_or(Self { chain_id, name: "unknown", ..Self::BASE })
    }
}
