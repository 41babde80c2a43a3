//! A hard chain, honest users, and a catalogue of attackers, each with the sentence that he disproves if he succeeds.
//!
//! ```text
//!  honest users ──► fabstir node ──► Proxy (tip floor, bytes, types, filters) ──► anvil, five blocks a second
//!  attacker ─────────┘
//! ```
//!
//! For each attacker it is printed what the bundler lost, what became of honest operations, and what the attacker paid.
//! `FABSTIR_SIEGE_ROUNDS` (3) honest operations of each user; `FABSTIR_SIEGE` runs the attackers of this name alone.
//!
//! To add one: a file, a type that is an [`Attacker`], a line in [`catalogue`].

mod block_ranges;
mod burned_type;
mod closed_node;
mod field;
mod filtered;
mod gap;
mod low_tip;
mod many_reads;
mod no_tip;
mod oversized;
mod same_init_code;
mod swallowed;
mod tip_floor;

use std::time::Duration;

use alloy::primitives::B256;
use futures::future::BoxFuture;

use field::{Field, Report};

/// Somebody who wants the bundler's money, or other people's operations not to be executed.
trait Attacker: Sync {
    /// His file's.
    fn name(&self) -> &'static str;

    /// What is wrong if he succeeds.
    fn claim(&self) -> &'static str;

    /// Sets the scene and sends what he has, once before each round of honest operations. What of his is taken and is as
    /// good as anybody's (an honest user could have sent it): its hashes, which have to be executed.
    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>>;

    /// The chain is as it was.
    fn relent(&self, field: &Field) {
        field.proxy.harden(|hard| *hard = tests::hard::Hard { refused: hard.refused, ..Default::default() });
    }

    /// Transactions of nothing that he may cost the bundler in all: where nodes lie, that is known no other way.
    fn cancellations(&self) -> usize {
        0
    }

    /// Whether honest operations have to be executed while he is at it, not only after.
    fn lets_others_pass(&self) -> bool {
        true
    }
}

fn catalogue() -> Vec<Box<dyn Attacker>> {
    vec![
        Box::new(block_ranges::BlockRanges),
        Box::new(burned_type::BurnedType),
        Box::new(closed_node::ClosedNode),
        Box::new(filtered::Filtered),
        Box::new(gap::Gap),
        Box::new(low_tip::LowTip),
        Box::new(many_reads::ManyReads),
        Box::new(no_tip::NoTip),
        Box::new(oversized::Oversized),
        Box::new(same_init_code::SameInitCode),
        Box::new(swallowed::Swallowed),
        Box::new(tip_floor::TipFloor),
    ]
}

/// One attacker against honest users.
async fn besiege(field: &Field, attacker: &dyn Attacker, rounds: u64) -> Report {
    let before = field.stand().await;
    let (mut sent, mut his) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // All of it waits for the same bundle.
        field.bundling("manual").await;
        his.extend(attacker.attack(field, round).await);
        sent.extend(field.honest_round().await);
        field.bundling("auto").await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    if !attacker.lets_others_pass() {
        tokio::time::sleep(Duration::from_secs(5)).await;
        attacker.relent(field);
    }
    let report = field.report(before, &sent, &his).await;
    attacker.relent(field);
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn no_attacker_makes_the_bundler_pay_or_takes_an_honest_operation_down() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("FABSTIR_SIEGE_ROUNDS").unwrap_or(3);
    let only = std::env::var("FABSTIR_SIEGE").ok();
    let field = Field::new().await;
    println!("{}", Report::HEAD);
    let calm = field.calm(rounds).await;
    println!("{}", calm.row("(nobody)"));
    let mut failed = Vec::new();
    for attacker in catalogue().iter().filter(|it| only.as_deref().is_none_or(|only| only == it.name())) {
        let report = besiege(&field, attacker.as_ref(), rounds).await;
        println!("{}", report.row(attacker.name()));
        failed.extend(
            report
                .verdict(attacker.cancellations())
                .map(|why| format!("{}: {} ({why})", attacker.name(), attacker.claim())),
        );
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
