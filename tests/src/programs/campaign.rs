//! Many operations by the dice, judged twice.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    World, disagreement,
    random::Random,
    scenario::{Placement, Scenario},
    shrink::shrink,
    verdict::{Verdict, explain},
};
use crate::{Stack, oracle::Oracle};

/// Operations that share a block.
const AT_ONCE: usize = 500;
/// Questions under way at once.
const ASKED_AT_ONCE: usize = 8;
/// Kinds of disagreement after which there is no point in going on.
const ENOUGH: usize = 20;

/// What came of it.
#[derive(Debug, Default)]
pub struct Tally {
    /// Operations judged by both.
    pub judged: usize,
    /// Those that the EntryPoint refused, by both.
    pub failed: usize,
    /// Those that were too deep for the oracle.
    pub unjudged: usize,
    /// Those that broke nothing.
    pub lawful: usize,
    /// How often each rule was broken.
    pub broken: BTreeMap<(String, String), usize>,
    /// What they disagree about, in words: the first of each kind.
    pub disagreements: Vec<String>,
    /// How often, by kind.
    pub kinds: BTreeMap<String, usize>,
}

/// The product and the oracle, on the same chain.
#[derive(Debug)]
pub struct Campaign<'a> {
    /// Of the product.
    pub stack: &'a Stack,
    /// Where programs are placed.
    pub world: World<'a>,
    /// The other judge.
    pub oracle: Oracle,
}

impl Campaign<'_> {
    /// Judges those that are kept on disk.
    ///
    /// # Errors
    /// If one cannot be judged.
    pub async fn replay(&self) -> Result<Tally> {
        let kept = disagreement::kept()?;
        let placements: Vec<_> = kept.iter().map(|(_, placement)| placement.clone()).collect();
        let mut tally = Tally::default();
        for ((path, _), verdicts) in kept.iter().zip(self.both(&placements).await?) {
            tally.count(&verdicts);
            if !verdicts.0.agrees(&verdicts.1) {
                tally.disagreements.push(format!("{}: {}", path.display(), in_words(&verdicts)));
            }
        }
        Ok(tally)
    }

    /// Judges as many by the dice, and shrinks and keeps what they disagree about.
    ///
    /// # Errors
    /// If one cannot be judged.
    pub async fn run(&self, seed: u64, programs: usize) -> Result<Tally> {
        let mut random = Random::new(seed);
        let mut tally = Tally::default();
        let mut done = 0;
        while done < programs && tally.kinds.len() < ENOUGH {
            let scenarios: Vec<_> = (done..programs.min(done + AT_ONCE)).map(|_| random.scenario()).collect();
            let name = |index: usize| format!("random {seed} {}", done + index);
            let verdicts = self.both(&self.placements(&scenarios, name)).await?;
            for (index, (scenario, verdicts)) in scenarios.into_iter().zip(verdicts).enumerate() {
                for kind in tally.count(&verdicts) {
                    // At addresses of its own: the bundler takes it that code stays what it is.
                    let name = format!("{}, {kind}", name(index));
                    let found = self.shrunk(scenario.clone(), &kind, &name).await?;
                    // Whoever ends a long campaign before its end knows this much.
                    println!("{found}");
                    tally.disagreements.push(found);
                }
            }
            done += AT_ONCE;
            println!("{} of {programs} programs, {} kinds of disagreement", tally.judged, tally.kinds.len());
        }
        Ok(tally)
    }

    /// The least that they disagree about in this way, on disk; in words.
    async fn shrunk(&self, scenario: Scenario, kind: &str, name: &str) -> Result<String> {
        let mut rounds = 0;
        let least = shrink(scenario, async |candidates| {
            rounds += 1;
            let placements = self.placements(candidates, |index| format!("{name} round {rounds} candidate {index}"));
            let verdicts = self.both(&placements).await?;
            Ok(verdicts.iter().map(|(product, oracle)| product.differences(oracle).contains(kind)).collect())
        })
        .await?;
        let placements = self.placements(std::slice::from_ref(&least), |_| format!("{name} shrunk"));
        let words = match self.both(&placements).await?.first() {
            Some(verdicts) => in_words(verdicts),
            None => String::new(),
        };
        let path = disagreement::keep(&least, &placements[0], &words)?;
        Ok(format!("{name}, {}: {words}\n{least:#?}", path.display()))
    }

    fn placements(&self, scenarios: &[Scenario], name: impl Fn(usize) -> String) -> Vec<Placement> {
        let place = |(index, scenario): (usize, &Scenario)| {
            scenario.place(&name(index), self.world.entry_point(scenario.version))
        };
        scenarios.iter().enumerate().map(place).collect()
    }

    /// Both verdicts on each: the product's first.
    async fn both(&self, placements: &[Placement]) -> Result<Vec<(Verdict, Verdict)>> {
        self.world.place(placements).await?;
        stream::iter(placements)
            .map(|placement| async move {
                let entry_point = self.world.entry_point(placement.version);
                let product = explain(self.stack, entry_point, placement).await?;
                let opinion = self.oracle.judge(placement.version, entry_point, &placement.op).await;
                let oracle = opinion.with_context(|| format!("judging {placement:#?}"))?;
                anyhow::Ok((told_once(product), told_once(Verdict::from(oracle))))
            })
            .buffered(ASKED_AT_ONCE)
            .try_collect()
            .await
    }
}

impl Tally {
    /// Takes note of a pair; the kinds of disagreement that are new.
    fn count(&mut self, (product, oracle): &(Verdict, Verdict)) -> Vec<String> {
        self.judged += 1;
        match oracle {
            Verdict::Failed(_) => self.failed += 1,
            Verdict::None => self.unjudged += 1,
            Verdict::Judged(rules) if rules.is_empty() => self.lawful += 1,
            Verdict::Judged(rules) => {
                for rule in rules {
                    *self.broken.entry(rule.clone()).or_default() += 1;
                }
            }
        }
        let mut new = Vec::new();
        for kind in product.differences(oracle) {
            let times = self.kinds.entry(kind.clone()).or_default();
            *times += 1;
            if *times == 1 {
                new.push(kind);
            }
        }
        new
    }
}

fn in_words((product, oracle): &(Verdict, Verdict)) -> String {
    format!("the bundler says {product:?}, the oracle {oracle:?}")
}

/// A forbidden call of the EntryPoint that starves there may be told twice: the frame that ran out of gas is the
/// EntryPoint's own (OP-020), where nothing should have been called (OP-054). One of the two is enough.
fn told_once(verdict: Verdict) -> Verdict {
    let Verdict::Judged(mut broken) = verdict else { return verdict };
    let callers: Vec<String> =
        broken.iter().filter(|(rule, _)| rule == "OP-054").map(|(_, entity)| entity.clone()).collect();
    broken.retain(|(rule, entity)| rule != "OP-020" || !callers.contains(entity));
    Verdict::Judged(broken)
}
