//! What came of the operations.

use std::{collections::BTreeMap, fmt};

use super::Outcome;

/// All outcomes.
#[derive(Debug)]
pub struct Report(pub(super) Vec<Outcome>);

impl Report {
    /// Operations that were estimated.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Why operations were not estimated, admitted or executed.
    pub fn failures(&self) -> Vec<String> {
        let failure = |outcome: &Outcome| Some(format!("{}: {}", outcome.kind, outcome.failure.as_ref()?));
        self.0.iter().filter_map(failure).collect()
    }

    /// Per cent by which the estimate of the call passes the least that works, for this share of the operations (in
    /// hundredths) at most.
    pub fn over(&self, share: usize) -> f64 {
        let mut over: Vec<f64> = self.0.iter().map(over).collect();
        over.sort_by(f64::total_cmp);
        over.get((over.len() * share).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    /// Per cent of those that do not look at their gas which fail with one unit less.
    pub fn tight(&self) -> f64 {
        let straight: Vec<_> = self.0.iter().filter(|outcome| outcome.straight).collect();
        let tight = straight.iter().filter(|outcome| outcome.least == outcome.estimated).count();
        100.0 * tight as f64 / straight.len() as f64
    }
}

fn over(outcome: &Outcome) -> f64 {
    100.0 * (outcome.estimated - outcome.least) as f64 / outcome.least.max(1) as f64
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<56} operations  most over", "who, and what")?;
        for part in [0, 1] {
            let mut kinds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            for outcome in &self.0 {
                let kind = outcome.kind.split(": ").nth(part).unwrap_or_default();
                kinds.entry(kind).or_default().push(over(outcome));
            }
            for (kind, over) in kinds {
                let most = over.iter().copied().fold(0.0, f64::max);
                writeln!(f, "{kind:<56} {:>10} {most:>9.3} %", over.len())?;
            }
        }
        writeln!(
            f,
            "{} operations, {} failures; call gas over the least that works: median {:.3} %, p95 {:.3} %, most {:.3} %; \
             one unit less fails for {:.1} % of those that do not look at their gas",
            self.count(),
            self.failures().len(),
            self.over(50),
            self.over(95),
            self.over(100),
            self.tight()
        )
    }
}
