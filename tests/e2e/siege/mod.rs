//! A hard chain, honest users, and a catalogue of attackers, each with the sentence that he disproves if he succeeds.
//!
//! ```text
//!  honest users ──► fabstir node ──► Proxy (tip floor, bytes, types, filters) ──► anvil, whose blocks the test makes
//!  attacker ─────────┘
//! ```
//!
//! For each attacker it is printed what the bundler lost, what became of honest operations, and what the attacker paid.
//! A block is made when the bundler has had its turn, so that latency is counted in blocks and rests on no clock.
//! `FABSTIR_SIEGE_ROUNDS` operations of each honest user; `FABSTIR_SIEGE` runs the attackers of these names alone (with
//! commas between them), `FABSTIR_SIEGE_SEEDS` mixtures of attackers are drawn, from `FABSTIR_SEED` on.
//!
//! To add one: a file, a type that is an [`Attacker`], a line in [`catalogue`].

mod catalogue;
mod codes;
mod crowded;
mod deeds;
mod field;
mod idle;
mod mixtures;
mod report;
mod restart;
mod slow_proof;
mod starved;

use alloy::primitives::B256;
use futures::future::BoxFuture;

use catalogue::catalogue;
use field::{Field, Sent};
use report::{Named, Report};

/// Blocks that a round has: the bundles of all but what is suspected are in the first.
const BLOCKS: u64 = 4;
/// Blocks that a node is shut for, by an attacker who lets nobody pass.
const SHUT: u64 = 30;

/// Somebody who wants the bundler's money, or other people's operations not to be executed.
trait Attacker: Sync {
    /// His file's.
    fn name(&self) -> &'static str;

    /// What is wrong if he succeeds.
    fn claim(&self) -> &'static str;

    /// Sets the scene and sends what he has, once before each round of honest operations. What of his is taken and is as
    /// good as anybody's (an honest user could have sent it): its hashes, which have to be executed.
    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>>;

    /// What he does in the very block that is about to be made, which the bundler cannot see before.
    fn strike<'a>(&'a self, _: &'a Field) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    /// What else he claims, once all is over; an error if it does not hold.
    fn aftermath<'a>(&'a self, _: &'a Field) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    /// What he may cost by name, in so many rounds.
    fn named(&self, _: u64) -> Option<Named> {
        None
    }

    /// Whether honest operations have to be executed while he is at it; else their time counts from his end.
    fn lets_others_pass(&self) -> bool {
        true
    }

    /// Whether he may come together with others: what he does to the chain leaves room for them.
    fn mixes(&self) -> bool {
        true
    }
}

/// Attackers against honest users.
async fn besiege(field: &Field, attackers: &[&dyn Attacker], rounds: u64) -> Report {
    let stand = field.stand().await;
    // Who is not served has no more than so many pending.
    let served = attackers.iter().all(|attacker| attacker.lets_others_pass());
    let rounds = if served { rounds } else { rounds.min(3) };
    let (mut sent, mut his): (Vec<Sent>, Vec<B256>) = Default::default();
    for round in 0..rounds {
        // All of it waits for the same bundle.
        field.bundling("manual").await;
        for attacker in attackers {
            his.extend(attacker.attack(field, round).await);
        }
        let now = field.honest_round().await;
        let watched: Vec<_> = now.iter().map(|it| it.hash).collect();
        sent.extend(now);
        field.bundling("auto").await;
        for _ in 0..BLOCKS {
            field.turn(&watched).await;
            pass(field, attackers).await;
        }
        field.turn(&[]).await;
    }
    if !served {
        for _ in 0..SHUT {
            pass(field, attackers).await;
            field.turn(&[]).await;
        }
        field.relent().await;
        // The first block of the usual kind, by which it is seen that they are.
        field.seal().await;
        let opened = field.height().await;
        sent.iter_mut().for_each(|it| it.block = opened);
    }
    field.relent().await;
    let all: Vec<_> = sent.iter().map(|it| it.hash).chain(his.iter().copied()).collect();
    field.finish(&all).await;
    let mut report = field.report(stand, &sent, &his).await;
    for attacker in attackers {
        report.broken.extend(attacker.aftermath(field).await.err());
    }
    field.rest().await;
    report
}

/// A block in which everybody does his worst.
async fn pass(field: &Field, attackers: &[&dyn Attacker]) {
    for attacker in attackers {
        attacker.strike(field).await;
    }
    field.seal().await;
}

/// A number from the environment.
fn set(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// A few of them, always the same: each kind of trouble is among them.
const SHORT: [&str; 8] = [
    "filtered",
    "unpaid_v06",
    "same_block",
    "l1_spike",
    "reorganisation",
    "spent_authorization",
    "replacements",
    "closed_node",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_attacker_makes_the_bundler_pay_or_takes_an_honest_operation_down() {
    let rounds = set("FABSTIR_SIEGE_ROUNDS");
    let only = std::env::var("FABSTIR_SIEGE").ok();
    let wanted = |name: &str| match &only {
        Some(only) => only.split(',').any(|it| it == name),
        None => rounds.is_some() || SHORT.contains(&name),
    };
    let rounds = rounds.unwrap_or(3);
    let field = Field::new().await;
    println!("{}", Report::HEAD);
    let calm = besiege(&field, &[], rounds).await;
    println!("{}", calm.row("(nobody)"));
    assert_eq!(calm.verdict(Some(&calm), None), Vec::<String>::new());
    let (mut failed, mut before) = (Vec::new(), field.idle().await);
    for attacker in catalogue().iter().filter(|it| wanted(it.name())) {
        let report = besiege(&field, &[attacker.as_ref()], rounds).await;
        println!("{}", report.row(attacker.name()));
        let mut wrong = report.verdict(Some(&calm), attacker.named(rounds));
        let idle = field.idle().await;
        wrong.extend(idle.is_more_than(before));
        before = idle;
        for why in wrong {
            println!("  {why}");
            failed.push(format!("{}: {} ({why})", attacker.name(), attacker.claim()));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
