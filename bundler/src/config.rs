//! What an operator may set.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use alloy::primitives::{Address, U256};
use erc4337::{ChainPreset, EntryPointVersion};

use crate::{
    Keeping, chain_time,
    fees::FeePolicy,
    mempool::MempoolConfig,
    rules::RuleConfig,
    world::{Disk, SystemDisk},
};

/// See [`Config::moment`].
const MOMENT: Duration = Duration::from_millis(100);

/// Settings of the bundler.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chain's facts.
    pub chain: ChainPreset,
    /// EntryPoints served, by address.
    pub entry_points: BTreeMap<Address, EntryPointVersion>,
    /// How often the node is asked for a new head; else as often as is called for. Where the node announces heads it is
    /// not asked.
    pub poll_interval: Option<Duration>,
    /// When bundles are sent.
    pub bundling: BundlingMode,
    /// Whether `debug_bundler_*` is served.
    pub debug_rpc: bool,
    /// Gas that each verification limit must be lower than (`MAX_VERIFICATION_GAS`, LIM-060).
    pub max_verification_gas: u128,
    /// The rest of ERC-7562's limits.
    pub rules: RuleConfig,
    /// Steps that one operation's validation may make in our EVM, which runs it again for each trip to the node.
    pub max_validation_steps: u64,
    /// Values of state that one operation's validation may have fetched.
    pub max_validation_reads: usize,
    /// Operations that are validated to be taken at the same time; others wait.
    pub max_concurrent_validations: usize,
    /// Estimates, rehearsals and explanations that are made at the same time, behind those.
    pub max_concurrent_estimates: usize,
    /// Whether no new operation is taken until the operator says otherwise.
    pub intake_paused: bool,
    /// Whether no new bundle is made until the operator says otherwise.
    pub bundling_paused: bool,
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
    /// First block whose operations are indexed; else what was made in `index_lookback` before the first head.
    pub index_start: Option<u64>,
    /// Time before the first head whose operations are indexed, if nothing says from which block on.
    pub index_lookback: Duration,
    /// Time behind the head whose operations stay in the index; else all.
    pub index_retention: Option<Duration>,
    /// How often the block being built is looked at while a transaction of ours may be in it: the preset's, on chains with
    /// flashblocks, and never elsewhere.
    pub preconfirmation_interval: Option<Duration>,
    /// Chain time after which a transaction that is not mined is sent again at a higher fee.
    pub escalate_after: Duration,
    /// Chain time after which a bundle that its operations do not pay more for is cancelled.
    pub cancel_after: Duration,
    /// Transactions of one key that may wait to be mined.
    pub nonces_per_key: usize,
    /// Wei per gas that a cancellation may bid at most: nobody pays us back for it.
    pub cancellation_max_fee: u128,
    /// How old blocks may be that leave the chain with their operations coming back; older ones stay as they were seen.
    pub reorg_window: Duration,
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
            poll_interval: None,
            bundling: BundlingMode::Auto,
            debug_rpc: false,
            max_verification_gas: 5_000_000,
            rules: RuleConfig::default(),
            max_validation_steps: 20_000_000,
            max_validation_reads: 512,
            max_concurrent_validations: 64,
            max_concurrent_estimates: 64,
            intake_paused: false,
            bundling_paused: false,
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
            index_lookback: Duration::from_secs(6 * 3_600),
            index_retention: None,
            escalate_after: Duration::from_secs(3),
            cancel_after: Duration::from_secs(24),
            nonces_per_key: 8,
            cancellation_max_fee: 1_000_000_000_000,
            // About as long as an OP-stack chain's batch takes to be on L1.
            reorg_window: Duration::from_secs(128),
            drain_timeout: Duration::from_secs(4),
        }
    }

    /// The highest verification limit that is taken (LIM-060).
    pub(crate) fn most_verification_gas(&self) -> u128 {
        self.max_verification_gas.saturating_sub(1)
    }

    /// [`Self::reorg_window`] in blocks: what is settled, journalled and indexed goes by height.
    pub(crate) fn reorg_blocks(&self) -> u64 {
        self.blocks_in(self.reorg_window)
    }

    /// How many blocks come in this time.
    pub(crate) fn blocks_in(&self, duration: Duration) -> u64 {
        chain_time::blocks_in(duration, self.chain.block_time)
    }

    /// Pause before something is asked again that a node should know in a moment.
    pub(crate) fn moment(&self) -> Duration {
        self.poll_interval.unwrap_or(MOMENT).min(self.chain.block_time)
    }
}
