//! Samples, and what one says of them.

use std::{
    fmt,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::Result;
use bundler::evm::Shared;

/// How long something took, each time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// Times one more.
    pub(crate) async fn time<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let start = Instant::now();
        let result = work.await?;
        self.0.push(start.elapsed());
        Ok(result)
    }

    /// The value that this share of them (of 100) does not pass, in milliseconds.
    pub(crate) fn percentile(&self, share: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * share).div_ceil(100).saturating_sub(1);
        sorted.get(at).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e3)
    }

    /// The middle one, in milliseconds.
    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:8.3} ms  p95 {:8.3} ms", self.median(), self.percentile(95))
    }
}

/// What reading state has cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Costs {
    pub(crate) trips: u64,
    pub(crate) values: u64,
    pub(crate) bytes: u64,
}

impl Costs {
    pub(crate) fn of(shared: &Shared) -> Self {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &shared.counters;
        Self { trips: read(&counters.trips), values: read(&counters.fetched), bytes: read(&counters.bytes) }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self { trips: self.trips - before.trips, values: self.values - before.values, bytes: self.bytes - before.bytes }
    }

    /// The larger of each.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            trips: self.trips.max(other.trips),
            values: self.values.max(other.values),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} trips  {} values  {} bytes", self.trips, self.values, self.bytes)
    }
}
