//! What a seed comes to: operations and troubles, each a thing of its own that can be left out to see whether it matters.

use erc4337::EntryPointVersion;

use crate::{disk, network, random::Random};

/// Operations of a seed.
pub const OPERATIONS: usize = 200;

/// Everything that is not left to the world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of all chance.
    pub seed: u64,
    /// Milliseconds between blocks.
    pub block_time: u64,
    /// Bundler keys.
    pub keys: u64,
    /// In order of their time.
    pub intents: Vec<Intent>,
    /// In no order.
    pub troubles: Vec<Trouble>,
    /// Milliseconds after which there are no more of either.
    pub calm: u64,
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
    /// Who pays: the account, the paymaster, the poor paymaster.
    pub payer: u64,
    /// Whether its call reverts.
    pub reverts: bool,
    /// Per cent of the base fee that it offers.
    pub offers: u64,
    /// Whether it is sent once more after it was taken.
    pub repeated: bool,
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
    /// So many blocks are replaced.
    Reorganise { at: u64, depth: u64 },
    /// The network is ill for a while.
    Network { at: u64, lasts: u64, ills: network::Ills },
    /// The disk is ill for a while.
    Disk { at: u64, lasts: u64, ills: disk::Ills },
    /// The base fee rises to so many times what it was, for a while.
    Dear { at: u64, lasts: u64, times: u64 },
    /// Somebody else executes an operation that we have taken.
    Stranger { at: u64 },
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
        let block_time = if random.chance(700) { 200 } else { 2_000 };
        let pace = if block_time == 200 { random.between(40, 160) } else { random.between(100, 400) };
        let mut at = 2_000;
        let intents: Vec<Intent> = (0..operations)
            .map(|_| {
                at += random.below(2 * pace);
                let version = EntryPointVersion::ALL[random.below(4) as usize];
                Intent {
                    at,
                    version,
                    account: random.below(10) as usize,
                    lane: random.below(2),
                    payer: [0, 0, 0, 0, 0, 1, 1, 1, 1, 2][random.below(10) as usize],
                    reverts: random.chance(100),
                    offers: random.between(110, 500),
                    repeated: random.chance(50),
                }
            })
            .collect();
        let calm = at + 2_000;
        let count = random.below(7);
        let mut troubles: Vec<Trouble> = (0..count).map(|_| Trouble::draw(&mut random, calm, block_time)).collect();
        // Of a stream of their own, and last: seeds that are kept stay what they were.
        let mut strangers = Random::new(seed, "strangers");
        let count = if strangers.chance(400) { strangers.between(1, 8) } else { 0 };
        troubles.extend((0..count).map(|_| Trouble::Stranger { at: strangers.between(2_500, calm) }));
        Self { seed, block_time, keys: random.between(1, 3), intents, troubles, calm }
    }
}

impl Trouble {
    fn draw(random: &mut Random, calm: u64, block_time: u64) -> Self {
        let at = random.between(1_000, calm - 1_000);
        let lasts = random.between(200, 8_000).min(calm - at);
        let down = random.between(10, 4_000).min(calm - at);
        let (others, after) = (random.below(20), random.chance(500));
        let some = |random: &mut Random| if random.chance(400) { random.between(10, 300) } else { 0 };
        match random.below(14) {
            0 | 1 => Self::Crash { at, down },
            2 | 3 => Self::CrashAtSync { at, others, after, down },
            4 | 5 => Self::CrashAtBroadcast { at, others: others / 4, after, down },
            6 => Self::Restart { at, down },
            7..=9 => Self::Reorganise { at, depth: random.between(1, 8) },
            10 | 11 => {
                let ills = network::Ills {
                    silent: some(random) / 10,
                    broken: some(random),
                    unanswered: some(random),
                    refused: some(random),
                    doubled: some(random),
                    slow: random.between(1, 2 * block_time),
                    behind: if random.chance(200) { random.between(1, 3) } else { 0 },
                };
                Self::Network { at, lasts, ills }
            }
            12 => {
                let ills = disk::Ills { full: random.chance(500), failing_syncs: some(random) };
                Self::Disk { at, lasts, ills }
            }
            _ if random.chance(500) => Self::Dear { at, lasts, times: random.between(2, 20) },
            _ => {
                let (delayed, forgotten) = (random.below(800), random.below(300));
                Self::Inclusion { at, lasts, delayed, forgotten }
            }
        }
    }
}
