//! Random histories against the ledger, on redb and on a real Redis: many clients at once, crashes, a chain that is
//! reorganised, events late, twice and out of order. After each step no bucket may be promised more than its limit.
//!
//! `FABSTIR_HISTORIES` says how many for each store, `FABSTIR_SEED` which.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod cases;
mod chain;
mod disk;
mod history;
mod random;
mod redis;

use history::{History, Machine};
use random::Random;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

async fn histories(store: &str, default: u64, machine: impl AsyncFn(u64) -> Machine) {
    let (count, first) = (setting("FABSTIR_HISTORIES", default), setting("FABSTIR_SEED", 1));
    let mut tally = history::Tally::default();
    for seed in first..first + count {
        let machine = machine(seed).await;
        tally += History::new(machine, Random::new(seed)).run(seed).await;
    }
    println!("{store}: {count} histories from seed {first}: {tally}");
    assert!(tally.covers_everything(), "the histories are too tame: {tally}");
}

#[tokio::test]
async fn no_history_overspends_a_budget_on_redb_even_if_it_dies_between_two_writes() {
    histories("redb", 150, async |_| Machine::Disk(disk::Disk::default())).await;
}

#[tokio::test]
async fn no_history_overspends_a_budget_on_redis_that_two_processes_share() {
    let server = redis::Server::start().await;
    histories("redis", 150, async |seed| {
        server.clear().await;
        Machine::Redis { url: server.url.clone(), prefix: format!("test-{seed}") }
    })
    .await;
}
