//! The flow under a virtual clock, on a chain that does everything to it that a real one may.

mod ending;
mod overdue;
mod settled;
mod world;

use world::World;

use super::Policy;
use crate::Config;

/// Seeds of `make test`; `FABSTIR_SEEDS` for others, `FABSTIR_SEED` for one alone.
const SEEDS: u64 = 1_000;

#[test]
fn whatever_chain_and_node_do_each_operation_ends_once_and_is_never_under_two_nonces() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("FABSTIR_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FABSTIR_SEEDS").unwrap_or(SEEDS),
    };
    let mut seen = world::Seen::default();
    for seed in seeds.clone() {
        let world = std::panic::catch_unwind(|| World::new(seed).run());
        match world {
            Ok(one) => seen.add(&one),
            Err(_) => panic!("seed {seed} failed: FABSTIR_SEED={seed} runs it alone"),
        }
    }
    println!("{} seeds: {seen:?}", seeds.end - seeds.start);
    // A campaign that never met what it is for proves nothing.
    if seeds.end - seeds.start >= SEEDS {
        let met = [
            seen.reorgs,
            seen.unmined,
            seen.stolen,
            seen.lost,
            seen.cancelled,
            seen.dearer,
            seen.vanished,
            seen.overtaken,
            seen.refused,
            seen.displaced,
            seen.superseded,
            seen.reduced,
        ];
        assert!(met.iter().all(|count| *count > 100), "{seen:?}");
    }
}

#[test]
fn no_key_has_more_in_flight_than_a_node_keeps_of_one_sender() {
    let base = Config::new(erc4337::ChainPreset::base());
    assert_eq!((Policy::of(&base).per_key, base.chain.pending_per_sender), (8, 16));
    assert_eq!(Policy::of(&Config { nonces_per_key: 40, ..base }).per_key, 16);
}

#[test]
fn patience_is_told_in_milliseconds() {
    let policy = Policy::of(&Config::new(erc4337::ChainPreset::base()));
    assert_eq!((policy.patience, policy.cancel_after, policy.reorg_depth), (3_000, 24_000, 640));
}
