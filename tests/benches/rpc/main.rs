//! What a client and an operator see of a node under load: latencies, rates, CPU time, memory, traffic (`make bench`).
//!
//! ```text
//!  clients ──► fabstir node ──► anvil                    0 ms: what is timed
//!  clients ──► fabstir node ──► Proxy (counts) ──► anvil 0 ms again: traffic; 20 ms: both
//! ```
//!
//! Everything is real and on one machine: blocks of one second, SimpleAccounts of EntryPoint v0.8, every operation
//! fully validated by ERC-7562 and bundled while others are still being sent. `FABSTIR_BASELINE=file.json` compares.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement ends where it fails")]

mod clients;
mod operations;
mod report;

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::primitives::B256;
use anyhow::{Result, ensure};
use serde_json::json;
use tests::{
    Anvil, Proxy, Stack,
    process::{cpu_time, memory},
    proxy::Traffic,
    stack::{NodeProcess, root},
};

use self::{
    clients::{Connection, Run, request},
    operations::{Batch, Fleet},
    report::Figures,
};

/// Accounts. One that is not staked may have four operations pending.
const SENDERS: usize = 1_000;
/// Operations that are to be included end to end, and how often that is tried.
const END_TO_END: (usize, usize) = (600, 3);
/// How far the far node is.
const FAR: Duration = Duration::from_millis(20);
/// All clients have one address; heads are asked for as often as by default.
const ARGUMENTS: [&str; 4] = ["--calls-per-second", "0", "--poll-ms", "100"];
/// Base's blocks hold more than anvil's default of 30,000,000 gas.
const ANVIL: [&str; 2] = ["--gas-limit", "120000000"];
/// How long operations may take to be included.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node, and what stands between it and the chain.
struct Setting<'a> {
    name: &'static str,
    stack: &'a Stack,
    proxy: Option<Proxy>,
    /// So much less is done.
    divisor: usize,
}

impl Setting<'_> {
    async fn measure(&self, fleet: &mut Fleet, figures: &mut Figures) -> Result<()> {
        println!("\nnode {} away", self.name);
        let (url, pid) = (&self.stack.node.url, self.stack.node.pid()?);
        // Connections, code, and the forecast that every running node has.
        clients::run(url, &fleet.estimates(200), 4).await?;
        figures.set(format!("{}/resident_before_mib", self.name), memory(pid, "VmRSS")? as f64 / 1024.0);

        for (clients, count) in [(1, 1_000), (8, 3_000), (32, 4_000)] {
            let (requests, cpu) = (fleet.estimates(count / self.divisor), cpu_time(pid)?);
            let run = clients::run(url, &requests, clients).await?;
            let name = format!("{}/estimate/{clients}", self.name);
            figures.run(&name, &run);
            figures.cpu(&format!("{name}/cpu_seconds_per_1000"), cpu_time(pid)? - cpu, requests.len());
        }
        for (clients, count) in [(1, 600), (8, 1_600), (32, 2_400)] {
            let count = count / self.divisor;
            let batch = fleet.next(self.stack, count).await?;
            let cpu = cpu_time(pid)?;
            let run = clients::run(url, &batch.requests, clients).await?;
            let name = format!("{}/send/{clients}", self.name);
            figures.run(&name, &run);
            figures.cpu(&format!("{name}/cpu_seconds_per_1000"), cpu_time(pid)? - cpu, count);
            figures.set(format!("{name}/not_included"), self.included(&batch, &run).await? as f64);
            figures.cpu(&format!("{name}/cpu_seconds_per_1000_included"), cpu_time(pid)? - cpu, count);
        }
        self.end_to_end(fleet, figures).await?;
        self.receipts(fleet, figures).await?;
        for (name, field) in [("resident_mib", "VmRSS"), ("resident_most_mib", "VmHWM")] {
            let mib = memory(pid, field)? as f64 / 1024.0;
            println!("  {name:<22} {mib:.1}");
            figures.set(format!("{}/{name}", self.name), mib);
        }
        Ok(())
    }

    /// From the first request until the node has the receipt of the last operation.
    async fn end_to_end(&self, fleet: &mut Fleet, figures: &mut Figures) -> Result<()> {
        let (count, times) = END_TO_END;
        let (mut rates, mut missing) = (Vec::new(), 0);
        for _ in 0..times {
            let batch = fleet.next(self.stack, count).await?;
            let (start, before) = (Instant::now(), self.traffic());
            let run = clients::run(&self.stack.node.url, &batch.requests, 32).await?;
            let sent = start.elapsed().as_secs_f64();
            let left = self.included(&batch, &run).await?;
            let all = start.elapsed().as_secs_f64();
            rates.push((count - left) as f64 / all);
            missing += left;
            println!("  {count} operations taken in {sent:.2} s, {} included in {all:.2} s", count - left);
            self.set_traffic(figures, "included", before, count);
        }
        figures.set(format!("{}/included/missing", self.name), missing as f64);
        rates.sort_by(f64::total_cmp);
        figures.set(format!("{}/included/per_second", self.name), rates[times / 2]);
        figures.set(format!("{}/included/per_second_least", self.name), rates[0]);
        println!("  included, median of {times}: {:.0} /s", rates[times / 2]);
        Ok(())
    }

    async fn receipts(&self, fleet: &mut Fleet, figures: &mut Figures) -> Result<()> {
        let batch = fleet.next(self.stack, 200).await?;
        let run = clients::run(&self.stack.node.url, &batch.requests, 32).await?;
        self.included(&batch, &run).await?;
        let hashes = batch.hashes.iter().cycle().take(2_000);
        let requests = hashes.map(|hash| request("eth_getUserOperationReceipt", json!([hash]))).collect();
        figures
            .run(&format!("{}/receipt", self.name), &clients::run(&self.stack.node.url, &Arc::new(requests), 1).await?);
        Ok(())
    }

    /// Returns once each of them has its receipt, and was successful; how many have none when patience ends.
    async fn included(&self, batch: &Batch, run: &Run) -> Result<usize> {
        ensure!(run.refused.is_empty(), "{} refused, such as {}", run.refused.len(), run.refused[0]);
        let mut connection = Connection::open(&self.stack.node.url).await?;
        let mut open: VecDeque<&B256> = batch.hashes.iter().collect();
        let start = Instant::now();
        while let Some(hash) = open.front() {
            let answer = connection.ask(&request("eth_getUserOperationReceipt", json!([hash]))).await?;
            let receipt = serde_json::from_slice::<serde_json::Value>(answer)?["result"].take();
            if receipt.is_null() {
                if start.elapsed() > PATIENCE {
                    let status = self.stack.node.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await?;
                    println!("    {} of {} are not included, such as: {status}", open.len(), batch.hashes.len());
                    return Ok(open.len());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            ensure!(receipt["success"] == true, "{hash} failed: {receipt}");
            open.pop_front();
        }
        Ok(0)
    }

    /// What the node asks of the chain for an estimate and for a send, and when nobody asks anything of it.
    async fn count_traffic(&self, fleet: &mut Fleet, figures: &mut Figures) -> Result<()> {
        let url = &self.stack.node.url;
        clients::run(url, &fleet.estimates(200), 4).await?;
        let (idle, start) = (self.traffic(), Instant::now());
        tokio::time::sleep(Duration::from_secs(3)).await;
        let seconds = start.elapsed().as_secs_f64();
        if let (Some(before), Some(after)) = (idle, self.traffic()) {
            let trips = (after.trips - before.trips) as f64 / seconds;
            figures.set(format!("{}/idle/trips_per_second", self.name), trips);
            println!("  when idle: {trips:.1} trips a second");
        }
        let before = self.traffic();
        clients::run(url, &fleet.estimates(1_000), 1).await?;
        self.set_traffic(figures, "estimate", before, 1_000);
        let (batch, before) = (fleet.next(self.stack, 600).await?, self.traffic());
        let run = clients::run(url, &batch.requests, 1).await?;
        self.set_traffic(figures, "send", before, 600);
        self.included(&batch, &run).await?;
        Ok(())
    }

    fn traffic(&self) -> Option<Traffic> {
        self.proxy.as_ref().map(Proxy::traffic)
    }

    fn set_traffic(&self, figures: &mut Figures, what: &str, before: Option<Traffic>, count: usize) {
        let Some((before, after)) = before.zip(self.traffic()) else { return };
        let per = |before: u64, after: u64| (after - before) as f64 / count as f64;
        let (calls, trips) = (per(before.calls, after.calls), per(before.trips, after.trips));
        let bytes = per(before.bytes, after.bytes);
        for (unit, value) in [("calls", calls), ("trips", trips), ("bytes", bytes)] {
            figures.set(format!("{}/{what}/{unit}_per_operation", self.name), value);
        }
        println!("  {what}: {calls:.2} calls, {trips:.2} trips, {bytes:.0} bytes of the node an operation");
    }
}

fn load_average() -> Result<f64> {
    Ok(std::fs::read_to_string("/proc/loadavg")?.split_whitespace().next().unwrap_or_default().parse()?)
}

// One thread: the cores belong to the node and the chain.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (start, load) = (Instant::now(), load_average()?);
    let anvil = Anvil::start_with(&ANVIL).await?;
    let url = anvil.url.clone();
    let mut stack = Stack::on(anvil, &url, &ARGUMENTS).await?;
    let mut fleet = Fleet::deploy(&stack, SENDERS).await?;
    stack.anvil.ask("evm_setIntervalMining", vec![json!(1)]).await?;
    println!("{SENDERS} senders on EntryPoint {}, blocks of 1 s, load average {load}", operations::VERSION);

    let (mut figures, file) = (Figures::default(), root().join("target/bench/rpc.json"));
    figures.set("load_average/before", load);
    Setting { name: "0ms", stack: &stack, proxy: None, divisor: 1 }.measure(&mut fleet, &mut figures).await?;
    figures.write(&file)?;
    for (name, delay, divisor) in [("0ms", Duration::ZERO, 0), ("20ms", FAR, 4)] {
        let proxy = Proxy::start_far(&url, delay).await?;
        // Not two at a time: they would send transactions of one key.
        stack.node.stop().await?;
        stack.node = NodeProcess::start(&proxy.url, &stack.deployment_file, &ARGUMENTS).await?;
        let setting = Setting { name, stack: &stack, proxy: Some(proxy), divisor };
        if divisor > 0 {
            setting.measure(&mut fleet, &mut figures).await?;
        } else {
            println!("\ntraffic");
            setting.count_traffic(&mut fleet, &mut figures).await?;
        }
    }
    figures.set("load_average/after", load_average()?);
    figures.print_goals();
    figures.write(&file)?;
    println!("\nwritten to {}", file.display());
    if let Some(baseline) = std::env::var_os("FABSTIR_BASELINE") {
        figures.compare(&PathBuf::from(baseline))?;
    }
    println!("\n{:.0} s, load average {:.1}", start.elapsed().as_secs_f64(), load_average()?);
    Ok(())
}
