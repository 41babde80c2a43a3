//! Parsers and static stages under seeded mutation: no panic, memory in proportion, and what holds of any input.
//!
//! `FABSTIR_EXECUTIONS` is how many in all, `FABSTIR_SEED` where the dice begin, and `FABSTIR_EXECUTION` the one of
//! each target to run again (`make fuzz`, `docs/fuzzing.md`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../../../tests/src/programs/dice.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the end-to-end tests")]
mod dice;
mod meter;
mod mutate;
mod seeds;
mod targets;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use dice::Dice;
use targets::Target;

/// Executions if nothing else is said: a few seconds.
const EXECUTIONS: u64 = 200_000;
/// Memory that an input may take however short it is, and per byte.
const MEMORY: (usize, usize) = (32 * 1024, 16);

/// What one target came to.
#[derive(Default)]
struct Tally {
    executions: u64,
    slowest: Duration,
    most_memory: usize,
    failures: Vec<String>,
}

#[test]
fn no_input_breaks_a_parser() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seed = number("FABSTIR_SEED").unwrap_or(7);
    let each = number("FABSTIR_EXECUTIONS").unwrap_or(EXECUTIONS).div_ceil(targets::ALL.len() as u64);
    let only = number("FABSTIR_EXECUTION");
    let range = only.map_or(0..each, |one| one..one + 1);

    let start = Instant::now();
    let tallies = std::thread::scope(|scope| {
        let threads = targets::ALL.each_ref().map(|target| {
            let range = range.clone();
            scope.spawn(move || (target.name, campaign(target, seed, range)))
        });
        threads.map(|thread| thread.join().expect("a campaign catches its panics"))
    });
    let executions: u64 = tallies.iter().map(|(_, tally)| tally.executions).sum();
    println!("{executions} executions in {:.1} s, seed {seed}", start.elapsed().as_secs_f64());
    for (name, tally) in &tallies {
        let Tally { executions, slowest, most_memory, failures } = tally;
        let failed = failures.len();
        println!(
            "  {name:<26} {executions:>9}  slowest {slowest:>9.1?}  most memory {most_memory:>7} B  {failed} failed"
        );
    }
    let failures: Vec<_> = tallies.iter().flat_map(|(_, tally)| &tally.failures).collect();
    assert!(failures.is_empty(), "FABSTIR_SEED={seed}: {failures:#?}");
}

fn campaign(target: &Target, seed: u64, executions: std::ops::Range<u64>) -> Tally {
    let mut tally = Tally::default();
    for execution in executions {
        let mut dice = Dice::new(Dice::new(seed ^ execution.rotate_left(32)).throw());
        let start = Instant::now();
        let (outcome, memory) = meter::peak(|| catch_unwind(AssertUnwindSafe(|| (target.run)(&mut dice))));
        tally.slowest = tally.slowest.max(start.elapsed());
        tally.most_memory = tally.most_memory.max(memory);
        tally.executions += 1;
        let failure = match outcome {
            Ok(Ok(length)) if memory > MEMORY.0 + MEMORY.1 * length => format!("{memory} B for {length} B of input"),
            Ok(Ok(_)) => continue,
            Ok(Err(failure)) => failure,
            Err(_) => "it panicked".into(),
        };
        tally.failures.push(format!("{}: FABSTIR_EXECUTION={execution}: {failure}", target.name));
        if tally.failures.len() >= 3 {
            break;
        }
    }
    tally
}
