//! Which oracle: the one that reads the text anew, or the one from before (`FABSTIR_ORACLE=old`).

use alloy::primitives::{Address, U256};
use anyhow::{Context, Result, bail};
use erc4337::{EntryPointVersion, UserOperation};

use super::Verdict;
use crate::{
    oracle,
    oracle2::{self, Constants},
};

/// One of them.
#[derive(Debug)]
pub enum Judge {
    /// [`crate::oracle`].
    Old(oracle::Oracle),
    /// [`crate::oracle2`].
    New(oracle2::Oracle),
}

impl Judge {
    /// The one that the environment asks for.
    ///
    /// # Errors
    /// If the URL is none, or it asks for another.
    pub fn of_environment(url: &str, min_stake: U256, unstake_delay: u32) -> Result<Self> {
        Ok(match std::env::var("FABSTIR_ORACLE").as_deref() {
            Ok("old") => Self::Old(oracle::Oracle::new(url, min_stake, unstake_delay)?),
            Err(_) | Ok("new") => {
                // Of the limits, the one that programs meet.
                let max_context_size = Constants::of_the_text(min_stake).max_context_size;
                let constants = Constants { max_context_size, ..Constants::without_limits(min_stake, unstake_delay) };
                Self::New(oracle2::Oracle::with(url, constants)?)
            }
            Ok(other) => bail!("FABSTIR_ORACLE is old or new, not {other}"),
        })
    }

    /// What it says of an operation.
    ///
    /// # Errors
    /// If anvil does not answer as it should.
    pub async fn judge(&self, version: EntryPointVersion, entry_point: Address, op: &UserOperation) -> Result<Verdict> {
        let verdict = match self {
            Self::Old(oracle) => oracle.judge(version, entry_point, op).await.map(Verdict::from),
            Self::New(oracle) => oracle.judge(version, entry_point, op).await.map(Verdict::from),
        };
        verdict.with_context(|| format!("judging {op:#?}"))
    }
}
