//! `fabstir doctor`: looks at everything that `fabstir node` needs, from outside, and says what is wrong with it.
//!
//! Every finding is a line; the program ends with 1 if one of them is a failure. Nothing is changed, nothing is sent.

mod chain;
mod contracts;
mod keys;
mod stores;

use std::{fmt, path::PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;

pub(crate) use contracts::deposits;

use crate::{bundling::BundlingOptions, chain::ChainOptions, deployment::Deployment};

/// Settings of `fabstir doctor`: those of `fabstir node` that it looks at.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    chain: ChainOptions,
    /// File of addresses that `fabstir deploy` wrote.
    #[arg(long, env = "FABSTIR_DEPLOYMENT")]
    deployment: PathBuf,
    #[command(flatten)]
    bundling: BundlingOptions,
    /// Redis that keeps the budgets.
    #[arg(long, env = "FABSTIR_REDIS", hide_env_values = true)]
    redis: Option<String>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but not for long or not well.
    Warning,
    /// `fabstir node` does not work so.
    Failure,
}

/// What was looked at, and how it is.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What.
    pub check: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do about it; empty if nothing.
    pub remedy: String,
}

impl Finding {
    pub(crate) fn ok(check: impl Into<String>, seen: impl fmt::Display) -> Self {
        Self { check: check.into(), verdict: Verdict::Ok, seen: seen.to_string(), remedy: String::new() }
    }

    pub(crate) fn warning(check: impl Into<String>, seen: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, remedy: remedy.into(), ..Self::ok(check, seen) }
    }

    pub(crate) fn failure(check: impl Into<String>, seen: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failure, remedy: remedy.into(), ..Self::ok(check, seen) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Ok => "ok     ",
            Verdict::Warning => "warning",
            Verdict::Failure => "FAILURE",
        };
        write!(f, "{word}  {}: {}", self.check, self.seen)?;
        if !self.remedy.is_empty() {
            write!(f, "\n         → {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Looks at everything, prints it.
///
/// # Errors
/// If something fails, or a setting cannot be read.
pub async fn run(options: Options) -> Result<()> {
    let findings = examine(&options).await?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        findings.iter().for_each(|finding| println!("{finding}"));
    }
    let failures = findings.iter().filter(|finding| finding.verdict == Verdict::Failure).count();
    if failures > 0 {
        bail!("{failures} of {} checks failed", findings.len());
    }
    Ok(())
}

/// Looks at everything. What cannot be looked at because of an earlier failure is left out.
///
/// # Errors
/// If a setting cannot be read.
pub async fn examine(options: &Options) -> Result<Vec<Finding>> {
    let deployment = Deployment::read(&options.deployment)?;
    let mut findings = Vec::new();
    let mut config = bundler::Config::new(erc4337::ChainPreset::for_chain(deployment.chain_id));
    options.bundling.apply(&mut config)?;
    let node = options.chain.client(&config)?;
    if let Some(head) = chain::examine(&node, &deployment, &mut findings).await {
        contracts::examine(&node, &head, &deployment, &mut findings).await;
        keys::examine(&node, &head, &deployment, &options.bundling, &config, &mut findings).await;
    }
    if let Some(folder) = &options.chain.data_dir {
        stores::folder(folder, &mut findings);
    }
    if let Some(url) = &options.redis {
        stores::redis(url, &mut findings).await;
    }
    Ok(findings)
}
