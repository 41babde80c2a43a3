//! Honest clients at a steady rate, alone and then beside as many hostile ones.
//!
//! ```text
//!  quiet:    honest ──► fabstir node ──► anvil          latencies, memory
//!  hostile:  honest ──►      "       ◄── hostile        the same, and what the hostile were told
//! ```
//!
//! - `honest`: SimpleAccounts that only want to be served. - `hostile`: five ways to be a nuisance.
//! - `report`: what came of it.

mod honest;
mod hostile;
mod report;

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

pub use self::report::{Latencies, Report};
use self::{
    honest::Fleet,
    hostile::{Hostile, Nuisance},
    report::Memory,
};
use crate::{programs::Dice, stack::Stack};

/// Arguments of the node: all clients here have one address, so a limit per caller would show nothing.
pub const ARGUMENTS: [&str; 2] = ["--calls-per-second", "0"];

/// What to do, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Of the hostile clients' dice.
    pub seed: u64,
    /// Honest operations per second, and later as many hostile ones.
    pub rate: u32,
    /// How many accounts send the honest ones.
    pub accounts: usize,
    /// Before the hostile clients come.
    pub quiet: Duration,
    /// With them.
    pub hostile: Duration,
}

/// Carries the plan out. Every honest operation that is not accepted is in the report.
pub async fn run(stack: &Stack, plan: Plan) -> Result<Report> {
    let fleet = Arc::new(Fleet::new(stack, plan.accounts).await?);
    let hostile = Arc::new(Hostile::new(stack).await?);
    let mut report = Report::default();

    // Connections, code and a forecast that every running node has.
    send_honest(&fleet, &mut report, plan.rate, Duration::from_secs(1), 0).await?;
    report = Report::default();
    let sent = u64::from(plan.rate) * 2;
    let sent = sent + send_honest(&fleet, &mut report, plan.rate, plan.quiet, sent).await?;
    report.quiet = std::mem::take(&mut report.loaded);
    report.memory = Memory::of(stack.node.pid()?)?;

    let nuisance = {
        let (hostile, mut dice) = (Arc::clone(&hostile), Dice::new(plan.seed));
        tokio::spawn(async move { send_hostile(&hostile, &mut dice, plan.rate, plan.hostile).await })
    };
    send_honest(&fleet, &mut report, plan.rate, plan.hostile, sent).await?;
    report.hostile = nuisance.await??;
    report.memory.update(stack.node.pid()?)?;
    // Whatever happened, it still serves.
    stack.node.ask("eth_chainId", vec![]).await?;
    Ok(report)
}

/// Sends at this rate, whether answers come or not; how many.
async fn send_honest(fleet: &Arc<Fleet>, report: &mut Report, rate: u32, time: Duration, first: u64) -> Result<u64> {
    let mut tasks = JoinSet::new();
    let count = each_tick(rate, time, |number| {
        let fleet = Arc::clone(fleet);
        tasks.spawn(async move {
            let op = fleet.operation(first + number)?;
            let start = Instant::now();
            let refused = fleet.send(op).await.err().map(|error| error.to_string());
            anyhow::Ok((start.elapsed(), refused))
        });
    })
    .await;
    while let Some(done) = tasks.join_next().await {
        let (latency, refused) = done??;
        report.loaded.add(latency);
        report.honest_refused.extend(refused);
    }
    Ok(count)
}

async fn send_hostile(hostile: &Arc<Hostile>, dice: &mut Dice, rate: u32, time: Duration) -> Result<report::Told> {
    let mut tasks = JoinSet::new();
    each_tick(rate, time, |number| {
        let (hostile, nuisance, salt) = (Arc::clone(hostile), dice.pick(&Nuisance::ALL), dice.throw());
        tasks.spawn(async move { (nuisance, hostile.send(nuisance, number, salt).await) });
    })
    .await;
    let mut told = report::Told::default();
    while let Some(done) = tasks.join_next().await {
        let (nuisance, answer) = done?;
        *told.entry(nuisance.name()).or_default().entry(answer?).or_default() += 1;
    }
    Ok(told)
}

async fn each_tick(rate: u32, time: Duration, mut act: impl FnMut(u64)) -> u64 {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let count = time.as_millis() as u64 * u64::from(rate) / 1_000;
    for number in 0..count {
        ticks.tick().await;
        act(number);
    }
    count
}
