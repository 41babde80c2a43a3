//! What a validation costs in process and through the node, printed in one run on one machine (`make bench`).
//!
//! Everything is real: anvil, the EntryPoint, the accounts and the paymaster of a deployment. What is timed is
//! [`Bundler::validate`]: all that `eth_sendUserOperation` does but for the mempool's own bookkeeping.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement ends where it fails")]

mod measure;
mod subjects;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::primitives::U256;
use anyhow::{Result, ensure};
use bundler::{
    Bundler, Config, Head,
    evm::{Shared, StateView},
    node::NodeClient,
};
use erc4337::ChainPreset;
use session_keys::SecretKey;
use tests::{
    Proxy, Stack,
    anvil::KEYS,
    oracle::{Oracle, Tracer},
    process::cpu_time,
};

use self::{
    measure::{Costs, Samples},
    subjects::{Subject, VERSION},
};

/// Senders of each kind.
const SENDERS: usize = 24;
/// Validations that are timed when everything is known.
const WARM: usize = 4_000;
/// How far the far node is.
const FAR: Duration = Duration::from_millis(20);

/// A bundler whose head stays where it is, and its connection.
struct Bench {
    bundler: Bundler,
    node: NodeClient,
    head: Head,
}

impl Bench {
    async fn start(stack: &Stack, node_url: &str) -> Result<Self> {
        let mut config = Config::new(ChainPreset::for_chain(stack.deployment.chain_id));
        config.entry_points = stack.deployment.entry_point_versions()?;
        config.poll_interval = Some(Duration::from_secs(86_400));
        let node = NodeClient::new(node_url)?;
        let key = SecretKey::from_hex(KEYS[3])?.into_signer();
        let (bundler, _) = Bundler::start(config, node.clone(), vec![key.into()], None).await?;
        let head = bundler.head();
        Ok(Self { bundler, node, head })
    }

    /// The same head with nothing known of it, nor of what operations read.
    fn cold(&self) -> Head {
        let view = StateView::new(self.node.clone(), self.head.block.hash, self.head.time, Arc::new(Shared::default()));
        Head { view: Arc::new(view), ..self.head.clone() }
    }

    async fn validate(&self, subject: &Subject, sender: usize, head: &Head) -> Result<()> {
        let entry_point = VERSION.canonical_address();
        self.bundler.validate(Arc::clone(&subject.operations[sender]), entry_point, head).await?;
        Ok(())
    }

    /// Each sender once: what the slowest reads cost, and the times.
    async fn each(&self, subject: &Subject, senders: std::ops::Range<usize>, cold: bool) -> Result<(Samples, Costs)> {
        let (mut samples, mut most) = (Samples::default(), Costs::default());
        let warm = self.cold();
        if !cold {
            // Others of its kind have been here since the block came.
            self.validate(subject, 0, &warm).await?;
            self.validate(subject, 1, &warm).await?;
        }
        for sender in senders {
            let head = if cold { self.cold() } else { warm.clone() };
            let before = Costs::of(head.view.shared());
            samples.time(self.validate(subject, sender, &head)).await?;
            most = most.max(Costs::of(head.view.shared()).since(before));
        }
        Ok((samples, most))
    }

    /// One sender again and again, when everything is known; validations per second of a core, too.
    async fn warm(&self, subject: &Subject) -> Result<(Samples, f64)> {
        let head = self.cold();
        for sender in 0..SENDERS {
            self.validate(subject, sender, &head).await?;
        }
        let mut samples = Samples::default();
        let cpu = cpu_time(std::process::id())?;
        for round in 0..WARM {
            samples.time(self.validate(subject, round % SENDERS, &head)).await?;
        }
        Ok((samples, WARM as f64 / (cpu_time(std::process::id())? - cpu).as_secs_f64()))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let start = Instant::now();
    let stack = Stack::start(&[]).await?;
    ensure!(stack.deployment.account_entry_point()? == VERSION.canonical_address(), "another EntryPoint");
    let subjects = subjects::all(&stack, SENDERS).await?;
    let far = Proxy::start_far(&stack.anvil.url, FAR).await?;
    let (near, far) = (Bench::start(&stack, &stack.anvil.url).await?, Bench::start(&stack, &far.url).await?);
    let oracle = Oracle::new(&stack.anvil.url, U256::ZERO, 0)?;
    println!("{SENDERS} senders of each kind on EntryPoint {VERSION}; {WARM} validations timed where all is known");

    for subject in &subjects {
        println!("\n{}", subject.name);
        let (warm, per_second) = near.warm(subject).await?;
        println!("  in process, all known          {warm}  {per_second:.0} validations/s of a core");
        let mut known = vec![("in process, all known", warm)];
        for (name, bench, cold) in [
            ("new sender, block warm", &near, false),
            ("nothing known", &near, true),
            ("new sender, node 20 ms away", &far, false),
            ("nothing known, node 20 ms away", &far, true),
        ] {
            let (samples, costs) = bench.each(subject, 2..SENDERS, cold).await?;
            println!("  {name:<30} {samples}  at most {costs}");
            known.push((name, samples));
        }
        for (name, tracer) in
            [("debug_traceCall, script tracer", Tracer::Script), ("debug_traceCall, callTracer", Tracer::Calls)]
        {
            let mut samples = Samples::default();
            for op in &subject.operations {
                samples.time(oracle.record(VERSION, VERSION.canonical_address(), op, tracer)).await?;
            }
            print!("  {name:<30} {samples}  1 trip; times as long as");
            for (name, ours) in known.iter().take(3) {
                print!("  {name}: {:.1}×", samples.median() / ours.median());
            }
            println!();
        }
    }
    println!("\n{:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
