//! Mixtures of attackers in the simulated world, by seed: `FABSTIR_SEEDS` of them (8) from `FABSTIR_SEED` (1) on.
//! `FABSTIR_HISTORY` tells what happened.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use simulation::{plan::Plan, world};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_mixture_of_attackers_makes_the_bundler_pay_or_takes_an_honest_operation_down() {
    let (first, count) = (number("FABSTIR_SEED").unwrap_or(1), number("FABSTIR_SEEDS").unwrap_or(8));
    let told = number("FABSTIR_HISTORY").is_some();
    let (next, all) = (AtomicU64::new(first), Mutex::new((0, 0, BTreeMap::<String, usize>::new(), Vec::new())));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let plan = Plan::besieged(seed);
                    let outcome = world::run(&plan);
                    if told {
                        println!("{}", outcome.history.join("\n"));
                    }
                    let mut all = all.lock().unwrap();
                    all.0 += outcome.taken;
                    all.1 += outcome.executed;
                    for attack in &plan.attacks {
                        *all.2.entry(format!("{:?}", attack.kind)).or_default() += 1;
                    }
                    if !outcome.violations.is_empty() {
                        println!("seed {seed}: {:#?}\n{:#?}", outcome.violations, plan.attacks);
                        all.3.push(seed);
                    }
                }
            });
        }
    });
    let (taken, executed, kinds, mut failures) = all.into_inner().unwrap();
    failures.sort_unstable();
    println!("{count} seeds: {executed} of {taken} honest operations executed beside {kinds:?}");
    assert!(failures.is_empty(), "seeds {failures:?}");
    assert_eq!(taken, executed);
}
