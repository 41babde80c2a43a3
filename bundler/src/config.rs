//! What an operator may set.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use alloy::primitives::{Address, U256};
use erc4337::{ChainPreset, EntryPointVersion};

use crate::{
    Keeping,
    fees::FeePolicy,
    mempool::MempoolConfig,
    world::{Disk, SystemDisk},
};

/// Settings of the bundler.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chain's facts.
    pub chain: ChainPreset,
    /// EntryPoints served, by address.
    pub entry_points: BTreeMap<Address, EntryPointVersion>,
    /// How often the node is asked for a new head.
    pub poll_interval: Duration,
    /// When bundles are sent.
    pub bundling: BundlingMode,
    /// Whether `debug_bundler_*` is served.
    pub debug_rpc: bool,
    /// Gas that one operation's validation may use at most.
    pub max_verification_gas: u128,
    /// Time that one operation's validation may take in the EVM, waiting for the node not counted.
    pub max_validation_time: Duration,
    /// Values of state that one operation's validation may have fetched.
    pub max_validation_reads: usize,
    /// Validations and estimates that run at the same time; others wait.
    pub max_concurrent_validations: usize,
    /// What is bid, and what is asked of operations.
    pub fees: FeePolicy,
    /// What the keys' balances are kept at.
    pub keeping: Keeping,
    /// What the mempool takes.
    pub mempool: MempoolConfig,
    /// File in which reputations outlive the process; by default they are in the journal, if there is one.
    pub reputation_file: Option<PathBuf>,
    /// Folder of what outlives the process: journal and index; without one, both go with it.
    pub data_dir: Option<PathBuf>,
    /// Where that folder is.
    pub disk: Arc<dyn Disk>,
    /// First block whose operations are indexed; else about 10,000 blocks before the first head.
    pub index_start: Option<u64>,
    /// Blocks behind the head whose operations stay in the index; else all.
    pub index_retention: Option<u64>,
    /// How often the block being built is looked at while a transaction of ours may be in it; never without.
    pub preconfirmation_interval: Option<Duration>,
    /// Blocks after which a transaction that is not mined is sent again at a higher fee.
    pub blocks_before_escalation: u64,
    /// Blocks after which a bundle that its operations do not pay more for is cancelled.
    pub blocks_before_cancellation: u64,
    /// Transactions of one key that may wait to be mined.
    pub nonces_per_key: usize,
    /// Wei per gas that a cancellation may bid at most: nobody pays us back for it.
    pub cancellation_max_fee: u128,
    /// Blocks that may leave the chain with their operations coming back; deeper ones stay as they were seen.
    pub reorg_depth: u64,
    /// How long to wait for sent bundles at shutdown.
    pub drain_timeout: Duration,
}

/// When bundles are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundlingMode {
    /// With each block, and at once when nothing is in flight.
    Auto,
    /// Only by `debug_bundler_sendBundleNow`.
    Manual,
}

impl Config {
    /// Defaults for this chain: the canonical EntryPoints of all versions.
    pub fn new(chain: ChainPreset) -> Self {
        let max_bid = chain.max_bid;
        Self {
            fees: FeePolicy { min_priority_fee: chain.min_priority_fee, cap: chain.max_bid, accept_per_cent: 100 },
            preconfirmation_interval: chain.flashblock_time,
            chain,
            entry_points: EntryPointVersion::ALL
                .into_iter()
                .map(|version| (version.canonical_address(), version))
                .collect(),
            poll_interval: Duration::from_millis(100),
            bundling: BundlingMode::Auto,
            debug_rpc: false,
            max_verification_gas: 5_000_000,
            max_validation_time: Duration::from_secs(1),
            max_validation_reads: 512,
            max_concurrent_validations: 64,
            // A tenth and a half of an ether.
            keeping: Keeping {
                low: U256::from(100_000_000_000_000_000_u64),
                target: U256::from(500_000_000_000_000_000_u64),
                max_fee: max_bid,
            },
            mempool: MempoolConfig::default(),
            reputation_file: None,
            data_dir: None,
            disk: Arc::new(SystemDisk),
            index_start: None,
            index_retention: None,
            blocks_before_escalation: 3,
            blocks_before_cancellation: 12,
            nonces_per_key: 8,
            cancellation_max_fee: 1_000_000_000_000,
            reorg_depth: 64,
            drain_timeout: Duration::from_secs(4),
        }
    }
}
