//! Seeds of the simulated world: `FABSTIR_SEEDS` of them (200) from `FABSTIR_SEED` (1) on; of these, with `FABSTIR_WORLDS`,
//! those alone whose world is a `cluster`, or `sponsored`, or a node `alone`.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use simulation::{
    disk::DiskIlls,
    network::NetworkIlls,
    plan::{
        Plan,
        Trouble::{CrashAtBroadcast, CrashAtSync, Disk, Inclusion, Network, Reorganise},
    },
    planted,
    shrink::{Part, shrink},
    world::{self, Outcome},
};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What all seeds together came to.
#[derive(Default)]
struct Totals {
    taken: usize,
    executed: usize,
    sponsored: usize,
    lives: u64,
    reasons: BTreeMap<String, usize>,
    refusals: BTreeMap<String, usize>,
    failures: Vec<u64>,
}

impl Totals {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.taken += outcome.taken;
        self.executed += outcome.executed;
        self.sponsored += outcome.sponsored;
        self.lives += outcome.lives;
        outcome.reasons.into_iter().for_each(|(why, times)| *self.reasons.entry(why).or_default() += times);
        outcome.refusals.into_iter().for_each(|(why, times)| *self.refusals.entry(why).or_default() += times);
        if let Some(first) = outcome.violations.first() {
            println!("seed {seed}: {} violations, the first: {first}", outcome.violations.len());
            self.failures.push(seed);
        }
    }
}

#[test]
fn no_seed_shows_anything_that_a_user_must_not_see() {
    let (first, count) = (number("FABSTIR_SEED").unwrap_or(1), number("FABSTIR_SEEDS").unwrap_or(200));
    let (told, only_first) = (number("FABSTIR_HISTORY").is_some(), number("FABSTIR_FIRST").is_some());
    let hashes = number("FABSTIR_HASHES").is_some();
    let worlds = std::env::var("FABSTIR_WORLDS").unwrap_or_default();
    let wanted = |seed: &u64| match worlds.as_str() {
        "cluster" => Plan::of(*seed).cluster.is_some(),
        "sponsored" => Plan::of(*seed).budget.is_some(),
        "alone" => Plan::of(*seed).cluster.is_none(),
        _ => true,
    };
    let seeds: Vec<u64> = (first..first + count).filter(wanted).collect();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let (next, totals) = (AtomicUsize::new(0), Mutex::new(Totals::default()));
    let done = || only_first && !totals.lock().unwrap().failures.is_empty();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)).copied().filter(|_| !done())
                    else {
                        return;
                    };
                    let outcome = world::run(&Plan::of(seed));
                    if told {
                        println!("{}", outcome.history.join("\n"));
                    }
                    if told || hashes {
                        println!("hash of {seed}: {}", outcome.hash);
                    }
                    totals.lock().unwrap().add(seed, outcome);
                }
            });
        }
    });
    let Totals { taken, executed, sponsored, lives, reasons, refusals, failures } = totals.into_inner().unwrap();
    println!(
        "{} seeds: {taken} operations taken, {sponsored} sponsorships, {executed} executed, {lives} lives of the node",
        seeds.len(),
    );
    println!("dropped: {reasons:#?}\nrefused: {refusals:#?}");
    if let (Some(seed), false) = (failures.first(), only_first) {
        let (part, outcome) = shrink(&Plan::of(*seed));
        let (plan, violations) = (part.plan(), outcome.violations.join("\n"));
        println!("{}\nseed {seed} made small: {:#?}\n{violations}", outcome.history.join("\n"), plan.troubles);
        println!("to be kept in tests/simulation/tests/seeds.rs: {}", part.literal());
    }
    assert!(failures.is_empty(), "seeds {failures:?}");
}

/// Seeds that failed once, made small.
fn kept() -> Vec<Part> {
    let all = vec![(0, 200)];
    vec![
        // After one failed sync no receipt was told any more.
        Part {
            seed: 9,
            troubles: vec![Disk { at: 8_192, lasts: 6_436, ills: DiskIlls { full: false, failing_syncs: 31 } }],
            intents: all.clone(),
        },
        // A node that was behind caught up between two questions: the head was never followed again.
        Part {
            seed: 82,
            troubles: vec![
                CrashAtBroadcast { at: 13_767, others: 1, after: false, down: 3_351 },
                Network {
                    at: 23_065,
                    lasts: 6_330,
                    ills: NetworkIlls { doubled: 255, slow: 202, behind: 2, ..NetworkIlls::default() },
                },
            ],
            intents: all.clone(),
        },
        // While the index was filled again after a failure, what was included had no receipt.
        Part {
            seed: 19,
            troubles: vec![
                Disk { at: 98_948, lasts: 5_905, ills: DiskIlls { full: true, failing_syncs: 0 } },
                Reorganise { at: 99_081, depth: 5, lost: 1_000 },
            ],
            intents: all.clone(),
        },
        // What was signed for on both sides of midnight was spent in the budgets of both days.
        Part {
            seed: 183,
            troubles: vec![Disk { at: 15_293, lasts: 6_313, ills: DiskIlls { full: false, failing_syncs: 124 } }],
            intents: vec![(109, 111)],
        },
        // Blocks left the chain while the index could not be written: what it had of them was told when it could be again.
        Part {
            seed: 199,
            troubles: vec![
                Disk { at: 47_806, lasts: 5_446, ills: DiskIlls { full: true, failing_syncs: 0 } },
                Reorganise { at: 49_222, depth: 4, lost: 100 },
            ],
            intents: all,
        },
        // What had left its bundle was replaced, told to be so, and mined with that bundle after all.
        Part {
            seed: 4_339,
            troubles: vec![
                Inclusion { at: 11_317, lasts: 7_704, delayed: 40, forgotten: 463 },
                CrashAtSync { at: 5_387, others: 9, after: true, down: 25 },
            ],
            intents: vec![
                (0, 1),
                (3, 4),
                (5, 8),
                (9, 34),
                (35, 40),
                (41, 56),
                (60, 61),
                (63, 70),
                (71, 73),
                (74, 76),
                (77, 83),
                (86, 87),
            ],
        },
        // After a restart a nonce that was free again bound what it had carried last, and not what had been mined.
        Part {
            seed: 2_745,
            troubles: vec![
                Inclusion { at: 35_207, lasts: 8_050, delayed: 900, forgotten: 384 },
                CrashAtBroadcast { at: 41_906, others: 3, after: false, down: 912 },
                Reorganise { at: 43_209, depth: 1, lost: 1_000 },
            ],
            intents: vec![(0, 22), (23, 57), (58, 76), (80, 81), (82, 84)],
        },
        // What a reorganisation had revert all at once rested for half a minute.
        Part {
            seed: 1_959,
            troubles: vec![Reorganise { at: 15_633, depth: 70, lost: 1_000 }],
            intents: vec![(0, 2), (13, 14), (21, 22), (40, 41), (53, 55), (59, 60), (145, 146)],
        },
    ]
}

#[test]
fn what_failed_once_does_not_fail_again() {
    for part in kept() {
        let outcome = world::run(&part.plan());
        assert!(outcome.violations.is_empty(), "{}: {:#?}", part.literal(), outcome.violations);
    }
}

#[test]
fn the_same_seed_has_the_same_history() {
    for seed in [3, 9, 14] {
        let [first, second] = [(); 2].map(|()| world::run(&Plan::of(seed)));
        let differing = first.history.iter().zip(&second.history).find(|(one, other)| one != other);
        assert_eq!(first.hash, second.hash, "seed {seed}: {differing:?}");
        println!("seed {seed}: {}", first.hash);
    }
}

#[test]
fn every_fault_to_be_planted_has_its_place() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let faults = planted::parse(&std::fs::read_to_string(folder.join("faults.txt")).unwrap());
    assert_eq!(planted::misplaced(&folder.join("../.."), &faults), []);
    assert!(faults.len() >= 30, "{} faults", faults.len());
    let judges = planted::parse(&std::fs::read_to_string(folder.join("judges.txt")).unwrap());
    assert_eq!(planted::misplaced(&folder.join("../.."), &judges), []);
}
