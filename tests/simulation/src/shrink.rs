//! A failing seed made small: what can be left out while it still fails is left out.

use std::fmt::Write as _;

use crate::{
    plan::{Plan, Trouble},
    world::{self, Outcome},
};

/// Runs that a search may take.
const RUNS: usize = 150;

/// Which parts of a seed's plan are kept.
#[derive(Clone, Debug)]
pub struct Part {
    /// The seed.
    pub seed: u64,
    /// Its troubles, in full: how they are drawn may come to be another.
    pub troubles: Vec<Trouble>,
    /// Positions of its operations, each range with its end.
    pub intents: Vec<(usize, usize)>,
}

impl Part {
    /// All of it.
    pub fn whole(plan: &Plan) -> Self {
        let intents = vec![(0, plan.intents.len())];
        Self { seed: plan.seed, troubles: plan.troubles.clone(), intents }
    }

    /// The plan of this part.
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::of(self.seed);
        plan.troubles.clone_from(&self.troubles);
        plan.intents = self.intents.iter().flat_map(|(from, to)| plan.intents[*from..*to].to_vec()).collect();
        plan
    }

    /// As it is written into the list of seeds that are kept.
    pub fn literal(&self) -> String {
        let mut text = String::new();
        let Self { seed, troubles, intents } = self;
        let _ = write!(text, "Part {{ seed: {seed}, troubles: vec!{troubles:?}, intents: vec!{intents:?} }}");
        text
    }

    fn fails(&self) -> bool {
        !world::run(&self.plan()).violations.is_empty()
    }
}

/// The smallest part found that still fails, and what it comes to.
pub fn shrink(plan: &Plan) -> (Part, Outcome) {
    let mut best = Part::whole(plan);
    let mut runs = 0;
    let mut try_it = |part: Part, best: &mut Part| {
        runs += 1;
        let smaller = runs <= RUNS && part.fails();
        if smaller {
            *best = part;
        }
        smaller
    };
    let mut position = 0;
    while position < best.troubles.len() {
        let mut part = best.clone();
        part.troubles.remove(position);
        if !try_it(part, &mut best) {
            position += 1;
        }
    }
    let mut size = 64;
    while size > 0 {
        let mut position = 0;
        loop {
            let pieces: Vec<(usize, usize)> = best
                .intents
                .iter()
                .flat_map(|(from, to)| (*from..*to).step_by(size).map(move |start| (start, (start + size).min(*to))))
                .collect();
            if position >= pieces.len() {
                break;
            }
            let mut intents = pieces;
            intents.remove(position);
            let part = Part { intents: joined(intents), ..best.clone() };
            if !try_it(part, &mut best) {
                position += 1;
            }
        }
        size /= 4;
    }
    let outcome = world::run(&best.plan());
    (best, outcome)
}

/// Neighbouring ranges as one.
fn joined(ranges: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    let mut all: Vec<(usize, usize)> = Vec::new();
    for (from, to) in ranges {
        match all.last_mut() {
            Some((_, end)) if *end == from => *end = to,
            _ => all.push((from, to)),
        }
    }
    all
}
