//! What came of a load.

use std::{collections::BTreeMap, fmt, time::Duration};

use anyhow::Result;

use crate::process::memory;

/// By nuisance and answer, how often.
pub(super) type Told = BTreeMap<&'static str, BTreeMap<String, u64>>;

/// What a load showed.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Latencies of honest operations alone.
    pub quiet: Latencies,
    /// Latencies of honest operations beside hostile ones.
    pub loaded: Latencies,
    /// Errors that honest clients got.
    pub honest_refused: Vec<String>,
    /// What hostile clients were told.
    pub hostile: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Of the node's process.
    pub memory: Memory,
}

/// Times from a request to its answer.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// One more.
    pub fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// What this share of them (of 100) does not pass, in milliseconds.
    pub fn percentile(&self, share: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * share).div_ceil(100).saturating_sub(1);
        sorted.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }
}

/// Resident memory of a process, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Before the hostile clients came.
    pub before: u64,
    /// When they had gone.
    pub after: u64,
    /// The most there ever was.
    pub most: u64,
}

impl Memory {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let before = memory(pid, "VmRSS")?;
        Ok(Self { before, after: before, most: memory(pid, "VmHWM")? })
    }

    pub(super) fn update(&mut self, pid: u32) -> Result<()> {
        (self.after, self.most) = (memory(pid, "VmRSS")?, memory(pid, "VmHWM")?);
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, latencies) in [("alone", &self.quiet), ("beside hostile ones", &self.loaded)] {
            writeln!(
                f,
                "{:<34} {:>6}  p50 {:7.2} ms  p95 {:7.2} ms",
                format!("honest operations, {name}"),
                latencies.count(),
                latencies.percentile(50),
                latencies.percentile(95),
            )?;
        }
        writeln!(
            f,
            "p95 beside hostile ones, times alone: {:.2}",
            self.loaded.percentile(95) / self.quiet.percentile(95)
        )?;
        writeln!(f, "honest operations refused: {}", self.honest_refused.len())?;
        for error in self.honest_refused.iter().take(3) {
            writeln!(f, "  {error}")?;
        }
        let mib = |kib: u64| kib as f64 / 1024.0;
        let Memory { before, after, most } = self.memory;
        writeln!(
            f,
            "resident memory: {:.1} MiB before, {:.1} after, {:.1} at most",
            mib(before),
            mib(after),
            mib(most)
        )?;
        for (nuisance, answers) in &self.hostile {
            let answers: Vec<_> = answers.iter().map(|(answer, count)| format!("{answer}: {count}")).collect();
            writeln!(f, "{nuisance:<22} {}", answers.join("  "))?;
        }
        Ok(())
    }
}
