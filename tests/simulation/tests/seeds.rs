//! Seeds of the simulated world: `FABSTIR_SEEDS` of them (200) from `FABSTIR_SEED` (1) on.

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
fn no_seed_shows_anything_that_a_user_must_not_see() {
    let (first, count) = (number("FABSTIR_SEED").unwrap_or(1), number("FABSTIR_SEEDS").unwrap_or(200));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let (next, failures) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let totals = Mutex::new((0, 0, 0, BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let outcome = world::run(&Plan::of(seed));
                    let mut totals = totals.lock().unwrap();
                    totals.0 += outcome.taken;
                    totals.1 += outcome.executed;
                    totals.2 += outcome.lives;
                    outcome.reasons.into_iter().for_each(|(why, times)| *totals.3.entry(why).or_default() += times);
                    outcome.refusals.into_iter().for_each(|(why, times)| *totals.4.entry(why).or_default() += times);
                    if count <= 20 {
                        println!("seed {seed}: {} taken, {}", outcome.taken, outcome.hash);
                    }
                    if number("FABSTIR_HISTORY").is_some() {
                        println!("{}", outcome.history.join("\n"));
                    }
                    if !outcome.violations.is_empty() {
                        println!("seed {seed}: {}", outcome.violations.join("\n  "));
                        failures.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let (taken, executed, lives, reasons, refusals) = totals.into_inner().unwrap();
    println!("{count} seeds: {taken} operations taken, {executed} executed, {lives} lives");
    println!("dropped: {reasons:#?}\nrefused: {refusals:#?}");
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "seeds {failures:?}");
}
