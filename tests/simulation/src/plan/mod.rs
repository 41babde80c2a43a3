//! What a seed comes to: a world, and operations and troubles in it, each a thing of its own that can be left out to see
//! whether it matters.

mod troubles;

use erc4337::EntryPointVersion;

use crate::{disk::DiskIlls, network::NetworkIlls, random::Random, siege::Attack};

/// Operations of a seed.
pub const OPERATIONS: usize = 200;
/// Seconds since 1970 at which most worlds begin.
const START: u64 = 1_800_000_000;
/// Some begin a little before a day does, by which budgets go.
const EVE: u64 = 1_800_057_600 - 20;
/// Chains that there are presets of; the first is the one most worlds are on.
const CHAINS: [&str; 5] = ["local", "base", "base-sepolia", "optimism", "unichain"];

/// Everything that is not left to the world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of all chance.
    pub seed: u64,
    /// Name of the chain's preset.
    pub chain: &'static str,
    /// Milliseconds between blocks.
    pub block_time: u64,
    /// Seconds since 1970 at which it begins.
    pub start: u64,
    /// Bundler keys.
    pub keys: u64,
    /// Wei that each of them has.
    pub wallet: u64,
    /// How many times the usual the base fee is.
    pub dear: u64,
    /// Wei that the poor paymaster has deposited.
    pub deposit: u64,
    /// What the paymaster of the node may promise in a day, if it sponsors.
    pub budget: Option<Budget>,
    /// Whether the work is shared, and how.
    pub cluster: Option<Clustered>,
    /// In order of their time.
    pub intents: Vec<Intent>,
    /// In no order.
    pub troubles: Vec<Trouble>,
    /// In no order; only of a world in which nothing else goes wrong.
    pub attacks: Vec<Attack>,
    /// Milliseconds after which there are no more of either.
    pub calm: u64,
}

/// In finneys (thousandths of an ether) at the usual base fee.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// To all.
    pub total: u64,
    /// To one account.
    pub per_sender: u64,
}

/// Several processes on one Redis.
#[derive(Clone, Copy, Debug)]
pub struct Clustered {
    /// Milliseconds that a builder keeps its partitions without being heard of.
    pub lease: u64,
    /// Replicas that must have a write.
    pub replicas: u32,
}

/// Who pays for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    /// Its account.
    Account,
    /// The paymaster that pays for everybody.
    Paymaster,
    /// The one that has little.
    Poor,
    /// The node's own.
    Sponsor,
}

/// An operation that somebody wants executed.
#[derive(Clone, Copy, Debug)]
pub struct Intent {
    /// Milliseconds.
    pub at: u64,
    /// Of the account.
    pub version: EntryPointVersion,
    /// Which of the accounts of that version.
    pub account: usize,
    /// Nonce key.
    pub lane: u64,
    /// Who pays.
    pub payer: Payer,
    /// Whether its call reverts.
    pub reverts: bool,
    /// Per cent of the base fee that it offers.
    pub offers: u64,
    /// Whether it is sent once more after it was taken.
    pub repeated: bool,
    /// Whether it takes the place of the account's last one, if that is pending.
    pub replaces: bool,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// The process dies, and comes back so many milliseconds later.
    Crash { at: u64, down: u64 },
    /// The same at a sync of the disk: so many after this time.
    CrashAtSync { at: u64, others: u64, after: bool, down: u64 },
    /// The same at a broadcast.
    CrashAtBroadcast { at: u64, others: u64, after: bool, down: u64 },
    /// It is told to stop, and started again.
    Restart { at: u64, down: u64 },
    /// So many blocks are replaced; so many of 1,000 of their transactions are lost.
    Reorganise { at: u64, depth: u64, lost: u64 },
    /// The network is ill for a while.
    Network { at: u64, lasts: u64, ills: NetworkIlls },
    /// The disk is ill for a while.
    Disk { at: u64, lasts: u64, ills: DiskIlls },
    /// The base fee rises to so many times what it was, for a while.
    Dear { at: u64, lasts: u64, times: u64 },
    /// Somebody else executes an operation that we have taken.
    Stranger { at: u64 },
    /// Somebody executes another operation of an account, with the nonce of one that we have taken.
    Rival { at: u64 },
    /// The poor paymaster has nothing left, for a while.
    Broke { at: u64, lasts: u64 },
    /// Redis's replica takes over with what it has.
    Failover { at: u64 },
    /// A builder stands still for a while.
    Freeze { at: u64, lasts: u64 },
    /// Transactions wait though they pay, or are forgotten, for so many of 1,000.
    Inclusion { at: u64, lasts: u64, delayed: u64, forgotten: u64 },
}

impl Plan {
    /// Of this seed.
    pub fn of(seed: u64) -> Self {
        Self::with(seed, OPERATIONS)
    }

    /// The same with so many operations.
    pub fn with(seed: u64, operations: usize) -> Self {
        let mut random = Random::new(seed, "plan");
        let chain = if random.chance(600) { CHAINS[0] } else { CHAINS[random.below(5) as usize] };
        let block_time = match chain {
            "local" if random.chance(250) => 2_000,
            "optimism" => 2_000,
            "unichain" => 1_000,
            _ => 200,
        };
        let budget = random
            .chance(400)
            .then(|| Budget { total: random.between(20, 2_000), per_sender: random.between(10, 400) });
        let pace = match (block_time, random.below(10)) {
            // Long enough for things to become final.
            (_, 0) => random.between(400, 700),
            (200, _) => random.between(40, 160),
            _ => random.between(100, 400),
        };
        let mut at = 2_000;
        let intents: Vec<Intent> = (0..operations)
            .map(|_| {
                at += random.below(2 * pace);
                Intent::draw(&mut random, at, budget.is_some())
            })
            .collect();
        let calm = at + 2_000;
        let mut other = Random::new(seed, "cluster");
        let cluster = (budget.is_none() && other.chance(400)).then(|| Clustered {
            lease: if other.chance(300) { 5_000 } else { other.between(600, 3_000) },
            replicas: u32::from(other.chance(700)),
        });
        let poor = random.chance(150);
        Self {
            seed,
            chain,
            block_time,
            start: if budget.is_some() && random.chance(250) { EVE } else { START },
            keys: random.between(1, 3).max(if cluster.is_some() { 2 } else { 1 }),
            cluster,
            wallet: if poor { random.between(200_000_000_000_000, 5_000_000_000_000_000) } else { ETHER * 10 },
            dear: if random.chance(150) { random.between(10, 2_000) } else { 1 },
            deposit: if random.chance(300) { random.between(5, 30) * MILLIETHER / 1_000 } else { 50 * MILLIETHER },
            budget,
            intents,
            troubles: troubles::of(seed, calm, block_time, cluster.as_ref()),
            attacks: Vec::new(),
            calm,
        }
    }
}

/// Wei.
const ETHER: u64 = 1_000_000_000_000_000_000;
/// Wei.
const MILLIETHER: u64 = ETHER / 1_000;

impl Intent {
    fn draw(random: &mut Random, at: u64, sponsored: bool) -> Self {
        let payers = [Payer::Account, Payer::Account, Payer::Paymaster, Payer::Paymaster, Payer::Poor];
        let payer = if sponsored && random.chance(500) { Payer::Sponsor } else { payers[random.below(5) as usize] };
        Self {
            at,
            version: EntryPointVersion::ALL[random.below(4) as usize],
            account: random.below(10) as usize,
            lane: random.below(2),
            payer,
            reverts: random.chance(100),
            offers: random.between(110, 500),
            repeated: random.chance(50),
            replaces: random.chance(60),
        }
    }
}
