//! Troubles: some each for itself, some together, because what survives one may not survive two.

use super::{Clustered, Trouble};
use crate::{disk::DiskIlls, network::NetworkIlls, random::Random};

/// Milliseconds that a reorganisation reaches back at most: what the product's budgets call final is older.
const DEEPEST: u64 = 15_000;

/// All of a seed.
pub(super) fn of(seed: u64, calm: u64, block_time: u64, cluster: Option<&Clustered>) -> Vec<Trouble> {
    let draw = &mut Draw { random: Random::new(seed, "troubles"), calm, block_time };
    let mut all = Vec::new();
    for _ in 0..draw.random.below(6) {
        let at = draw.any_time();
        all.push(draw.one(at));
    }
    for _ in 0..draw.random.below(4) {
        all.extend(draw.scene());
    }
    if draw.random.chance(400) {
        for _ in 0..draw.random.between(1, 8) {
            let at = draw.any_time();
            all.push(if draw.random.chance(600) { Trouble::Stranger { at } } else { Trouble::Rival { at } });
        }
    }
    if let Some(Clustered { lease, replicas }) = cluster {
        for _ in 0..draw.random.below(4) {
            let at = draw.any_time();
            all.push(Trouble::Freeze { at, lasts: draw.random.between(lease / 2, 3 * lease).min(calm - at) });
        }
        for _ in 0..if *replicas > 0 { draw.random.below(4) } else { 0 } {
            all.push(Trouble::Failover { at: draw.any_time() });
        }
    }
    all
}

struct Draw {
    random: Random,
    calm: u64,
    block_time: u64,
}

impl Draw {
    fn any_time(&mut self) -> u64 {
        self.random.between(1_000, self.calm - 1_000)
    }

    /// A while after this time, and before all is calm.
    fn soon(&mut self, at: u64, longest: u64) -> u64 {
        (at + self.random.below(longest + 1)).min(self.calm - 1)
    }

    fn down(&mut self, at: u64) -> u64 {
        let longest = if self.random.chance(800) { 1_500 } else { 8_000 };
        self.random.between(10, longest).min(self.calm - at)
    }

    fn one(&mut self, at: u64) -> Trouble {
        match self.random.below(18) {
            0..=5 => self.death(at),
            6..=9 => self.reorganisation(at),
            10 | 11 => self.network(at),
            12 | 13 => self.disk(at),
            14 => Trouble::Broke { at, lasts: self.lasts(at) },
            15 => Trouble::Dear { at, lasts: self.lasts(at), times: self.random.between(2, 20) },
            _ => self.inclusion(at),
        }
    }

    fn lasts(&mut self, at: u64) -> u64 {
        self.random.between(200, 8_000).min(self.calm - at)
    }

    fn death(&mut self, at: u64) -> Trouble {
        let (down, after, others) = (self.down(at), self.random.chance(500), self.random.below(12));
        match self.random.below(7) {
            0 | 1 => Trouble::Crash { at, down },
            2 | 3 => Trouble::CrashAtSync { at, others, after, down },
            4 | 5 => Trouble::CrashAtBroadcast { at, others: others / 3, after, down },
            _ => Trouble::Restart { at, down },
        }
    }

    fn reorganisation(&mut self, at: u64) -> Trouble {
        let most = DEEPEST / self.block_time;
        let depth = match self.random.below(10) {
            0 => self.random.between(1, most),
            1..=4 => self.random.between(1, most.min(20)),
            _ => self.random.between(1, 6),
        };
        Trouble::Reorganise { at, depth, lost: [0, 0, 100, 500, 1_000, 1_000][self.random.below(6) as usize] }
    }

    fn network(&mut self, at: u64) -> Trouble {
        let some = |random: &mut Random| if random.chance(400) { random.between(10, 400) } else { 0 };
        let behind = if self.random.chance(400) { self.random.between(1, 4) } else { 0 };
        let random = &mut self.random;
        let ills = NetworkIlls {
            silent: some(random) / 10,
            broken: some(random),
            unanswered: some(random),
            refused: some(random),
            doubled: some(random),
            slow: random.between(1, 3 * self.block_time),
            behind,
            mixed: random.chance(400),
        };
        Trouble::Network { at, lasts: self.lasts(at), ills }
    }

    fn disk(&mut self, at: u64) -> Trouble {
        let full = self.random.chance(300);
        let often = if self.random.chance(500) { 900 } else { 300 };
        let ills = DiskIlls { full, failing_syncs: if full { 0 } else { self.random.between(20, often) } };
        Trouble::Disk { at, lasts: self.lasts(at), ills }
    }

    fn inclusion(&mut self, at: u64) -> Trouble {
        let (delayed, forgotten) = (self.random.below(900), self.random.below(500));
        Trouble::Inclusion { at, lasts: self.lasts(at), delayed, forgotten }
    }

    /// Several within moments of each other.
    fn scene(&mut self) -> Vec<Trouble> {
        let at = self.any_time();
        match self.random.below(9) {
            // It dies shortly before or after blocks leave the chain, or they leave it while it is away.
            0 | 1 => {
                let other = self.soon(at, 1_500);
                let (first, second) = if self.random.chance(500) { (at, other) } else { (other, at) };
                vec![self.death(first), self.reorganisation(second)]
            }
            // Nothing can be written, and then it dies.
            2 | 3 => {
                let ill = self.disk(at);
                let Trouble::Disk { lasts, .. } = ill else { return vec![ill] };
                let dies = self.soon(at, lasts + 300);
                let mut all = vec![ill, self.death(dies)];
                if self.random.chance(500) {
                    let leaves = self.soon(at, lasts);
                    all.push(self.reorganisation(leaves));
                }
                all
            }
            // One reorganisation after the other.
            4 => {
                let mut next = at;
                (0..self.random.between(2, 5))
                    .map(|_| {
                        next = self.soon(next, 1_200);
                        self.reorganisation(next)
                    })
                    .collect()
            }
            // It dies again as soon as it is back, and blocks leave the chain while it is away.
            5 => {
                let mut next = at;
                let mut all: Vec<Trouble> = (0..self.random.between(2, 4))
                    .map(|_| {
                        next = self.soon(next, 2_000);
                        self.death(next)
                    })
                    .collect();
                if self.random.chance(500) {
                    let leaves = self.soon(next, 300);
                    all.push(self.reorganisation(leaves));
                }
                all
            }
            // Nobody hears well while blocks leave the chain.
            6 => {
                let ill = self.network(at);
                let leaves = self.soon(at, 1_500);
                vec![ill, self.reorganisation(leaves)]
            }
            // Transactions stay away, become dearer, and the process dies over it.
            7 => {
                let waits = Trouble::Inclusion {
                    at,
                    lasts: self.random.between(3_000, 9_000).min(self.calm - at),
                    delayed: 900,
                    forgotten: self.random.below(700),
                };
                let dies = self.soon(at + 2_000.min(self.calm - at - 1), 5_000);
                let mut all = vec![waits, self.death(dies)];
                if self.random.chance(500) {
                    let leaves = self.soon(dies, 3_000);
                    all.push(self.reorganisation(leaves));
                }
                all
            }
            // Others execute what was ours just before their blocks leave the chain.
            _ => {
                let leaves = self.soon(at, 800);
                let mut all = vec![self.reorganisation(leaves)];
                for _ in 0..self.random.between(1, 3) {
                    let other = if self.random.chance(700) { Trouble::Stranger { at } } else { Trouble::Rival { at } };
                    all.push(other);
                }
                if self.random.chance(400) {
                    let dies = self.soon(at, 1_500);
                    all.push(self.death(dies));
                }
                all
            }
        }
    }
}
