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
}

/// EIP-7825's cap, in force on Base too.
const MAX_TRANSACTION_GAS: u64 = 16_777_216;

impl ChainPreset {
    /// Base mainnet.
    pub const BASE: Self =
        Self { chain_id: 8453, name: "base", block_time: 2, max_transaction_gas: MAX_TRANSACTION_GAS };
    /// Base's test network.
    pub const BASE_SEPOLIA: Self =
        Self { chain_id: 84532, name: "base-sepolia", block_time: 2, max_transaction_gas: MAX_TRANSACTION_GAS };
    /// A development node on this machine.
    pub const LOCAL: Self =
        Self { chain_id: 31337, name: "local", block_time: 1, max_transaction_gas: MAX_TRANSACTION_GAS };

    /// The preset of a chain id; an unknown chain gets the strictest rules under its own id.
    pub fn for_chain(chain_id: u64) -> Self {
        [Self::BASE, Self::BASE_SEPOLIA, Self::LOCAL]
            .into_iter()
            .find(|preset| preset.chain_id == chain_id)
            .unwrap_or(Self { chain_id, name: "unknown", ..Self::BASE })
    }
}
