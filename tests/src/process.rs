//! What a process has used so far, as Linux counts it.

use std::time::Duration;

use anyhow::{Context, Result};

/// Time that it has spent on cores, in steps of 10 ms; other processes do not count into it.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field, the program's name, may hold spaces; user and system time are the 14th and 15th, in 1/100 s.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let ticks: u64 = fields.take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(10 * ticks))
}

/// Memory in KiB: `VmRSS` is what is resident now, `RssAnon` that without the program and its files, `VmHWM` the most that
/// ever was.
pub fn memory(pid: u32, field: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(field)).context("no such field")?;
    Ok(line.split_whitespace().nth(1).context("no value")?.parse()?)
}
