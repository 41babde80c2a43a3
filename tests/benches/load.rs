//! A minute of hostile load on a real node process (`make load`).

use std::time::Duration;

use anyhow::Result;
use tests::{
    Stack,
    load::{self, Plan},
};

#[tokio::main]
async fn main() -> Result<()> {
    let seed = std::env::var("FABSTIR_SEED").ok().map(|seed| seed.parse()).transpose()?.unwrap_or(7);
    let plan = Plan { seed, rate: 20, accounts: 40, quiet: Duration::from_secs(15), hostile: Duration::from_secs(60) };
    println!("{} honest operations a second, then as many hostile ones beside them; seed {seed}", plan.rate);
    print!("{}", load::run(&Stack::start(&load::ARGUMENTS).await?, plan).await?);
    Ok(())
}
