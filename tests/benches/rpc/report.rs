//! Figures by name, printed, written down and compared with those of another run.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::{Context, Result};

use crate::clients::Run;

/// Name of a figure in the JSON file, what is wanted of it, and whether that is the most it may be.
const GOALS: [(&str, f64, bool); 9] = [
    ("0ms/estimate/1/p50_ms", 1.5, true),
    ("0ms/estimate/32/per_second", 1_200.0, false),
    ("0ms/send/1/p50_ms", 1.6, true),
    ("0ms/send/32/per_second", 1_200.0, false),
    ("0ms/send/32/cpu_seconds_per_1000", 0.6, true),
    ("0ms/included/per_second", 250.0, false),
    ("0ms/included/missing", 0.0, true),
    ("0ms/receipt/p50_ms", 1.0, true),
    ("0ms/resident_mib", 90.0, true),
];

/// All figures of a run. Names say what was done, never where.
#[derive(Default)]
pub(crate) struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// One figure.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), (value * 1e3).round() / 1e3);
    }

    /// Latencies, rate and refusals of a run; a line of the table, too.
    pub(crate) fn run(&mut self, name: &str, run: &Run) {
        let (p50, p95) = (run.latencies.percentile(50), run.latencies.percentile(95));
        self.set(format!("{name}/p50_ms"), p50);
        self.set(format!("{name}/p95_ms"), p95);
        self.set(format!("{name}/per_second"), run.per_second());
        self.set(format!("{name}/refused"), run.refused.len() as f64);
        let (count, rate) = (run.latencies.count(), run.per_second());
        println!("  {name:<22} {count:>5}  p50 {p50:8.2} ms  p95 {p95:8.2} ms  {rate:7.0} /s");
        if let Some(refusal) = run.refused.first() {
            println!("    {} refused, such as {refusal}", run.refused.len());
        }
    }

    /// CPU time that so many operations took.
    pub(crate) fn cpu(&mut self, name: &str, time: Duration, operations: usize) {
        let per_1000 = time.as_secs_f64() * 1e3 / operations as f64;
        println!("    {name} {per_1000:.2}");
        self.set(name, per_1000);
    }

    /// What was wanted and what came.
    pub(crate) fn print_goals(&self) {
        println!("\ngoals");
        for (name, goal, at_most) in GOALS {
            let value = self.0.get(name).copied().unwrap_or(f64::NAN);
            let (sign, met) = if at_most { ("≤", value <= goal) } else { ("≥", value >= goal) };
            println!("  {name:<34} {value:10.2} {sign} {goal:<8} {}", if met { "met" } else { "MISSED" });
        }
    }

    /// Writes them to a JSON file.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::write(path, serde_json::to_string_pretty(&self.0)? + "\n")?;
        Ok(())
    }

    /// Prints how many times as large each figure is as in the file of another run.
    pub(crate) fn compare(&self, baseline: &Path) -> Result<()> {
        let baseline_figures: BTreeMap<String, f64> = serde_json::from_str(
            &fs::read_to_string(baseline).with_context(|| format!("reading {}", baseline.display()))?,
        )?;
        println!("\ntimes those of {}", baseline.display());
        for (name, value) in &self.0 {
            match baseline_figures.get(name) {
                Some(before) if *before != 0.0 => {
                    println!("  {name:<44} {before:10.3} → {value:10.3}  {:6.2}×", value / before);
                }
                Some(before) => println!("  {name:<44} {before:10.3} → {value:10.3}"),
                None => println!("  {name:<44}          – → {value:10.3}"),
            }
        }
        Ok(())
    }
}
