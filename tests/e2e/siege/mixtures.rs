//! Attackers together, drawn by seed.

use tests::programs::dice::Dice;

use super::{
    Attacker, Field, besiege,
    catalogue::catalogue,
    report::{LATER, Named, Report},
    set,
};

/// Rounds of honest operations beside each mixture.
const ROUNDS: u64 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn no_mixture_of_attackers_does_either() {
    let (first, seeds) = (set("FABSTIR_SEED").unwrap_or(20), set("FABSTIR_SIEGE_SEEDS").unwrap_or(2));
    let (field, catalogue) = (Field::new().await, catalogue());
    let mixing: Vec<_> = catalogue.iter().filter(|attacker| attacker.mixes()).collect();
    println!("{}", Report::HEAD);
    let mut failed = Vec::new();
    for seed in first..first + seeds {
        let mut dice = Dice::new(seed);
        let mut attackers: Vec<&dyn Attacker> = Vec::new();
        for _ in 0..2 + dice.below(3) {
            let one = dice.pick(&mixing).as_ref();
            if attackers.iter().all(|it| it.name() != one.name()) {
                attackers.push(one);
            }
        }
        let names: Vec<_> = attackers.iter().map(|it| it.name()).collect();
        let report = besiege(&field, &attackers, ROUNDS).await;
        println!("{}\n  {}", report.row(&format!("seed {seed}")), names.join(", "));
        let allowed = attackers.iter().filter_map(|it| it.named(ROUNDS)).map(|it| it.transactions).sum();
        let named =
            (allowed > 0).then_some(Named { transactions: allowed, later: LATER, why: "what each may by name" });
        for why in report.verdict(None, named) {
            println!("  {why}");
            failed.push(format!("seed {seed}, {names:?}: {why}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
