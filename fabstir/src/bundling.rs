//! Settings of what bundles are sent with: keys, who fills them up, and what is bid.

use std::{path::PathBuf, time::Duration};

use alloy::primitives::{U256, utils::parse_ether};
use anyhow::{Context, Result, bail, ensure};
use bundler::{Config, Signer};
use session_keys::SecretKey;

use crate::{duration::duration, keys};

/// Where the keys are, and the bounds of fees.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BundlingOptions {
    /// File with a key that bundles are sent from; may be given several times. Without any key option, FABSTIR_BUNDLER_KEY.
    #[arg(long)]
    pub bundler_key_file: Vec<PathBuf>,
    /// Web3 Secret Storage (version 3) with a key that bundles are sent from; may be given several times.
    #[arg(long, env = "FABSTIR_BUNDLER_KEYSTORE", value_delimiter = ',')]
    pub bundler_keystore: Vec<PathBuf>,
    /// File with the password of these; else FABSTIR_BUNDLER_KEYSTORE_PASSWORD.
    #[arg(long)]
    pub bundler_keystore_password_file: Option<PathBuf>,
    /// Id, ARN or alias of a key in AWS KMS that bundles are sent from; may be given several times. Needs a binary built
    /// with the feature aws-kms.
    #[arg(long, env = "FABSTIR_BUNDLER_KMS_KEY", value_delimiter = ',')]
    pub bundler_kms_key: Vec<String>,
    /// File with a key that fills the others up when they run low; else FABSTIR_FUNDER_KEY, or nobody does.
    #[arg(long)]
    pub funder_key_file: Option<PathBuf>,
    /// Ether below which a key runs low.
    #[arg(long, env = "FABSTIR_KEY_LOW", value_parser = ether)]
    pub key_low: Option<U256>,
    /// Ether that a key is filled up to.
    #[arg(long, env = "FABSTIR_KEY_TARGET", value_parser = ether)]
    pub key_target: Option<U256>,
    /// Wei per gas below which no priority fee is suggested or taken; else the chain preset's.
    #[arg(long, env = "FABSTIR_MIN_PRIORITY_FEE")]
    pub min_priority_fee: Option<u128>,
    /// Wei per gas, base fee included, that no transaction of ours bids more than; else the chain preset's.
    #[arg(long, env = "FABSTIR_MAX_BID")]
    pub max_bid: Option<u128>,
    /// Per cent of the next base fee and of the least priority fee that an operation must offer to be taken; under 100
    /// it may wait for fees to fall.
    #[arg(long, env = "FABSTIR_ACCEPT_PER_CENT", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub accept_per_cent: Option<u16>,
    /// Chain time after which a transaction that is not mined is sent again at a higher fee; 3s by default.
    #[arg(long, env = "FABSTIR_ESCALATE_AFTER", value_parser = duration)]
    pub escalate_after: Option<Duration>,
    /// Chain time after which a bundle is cancelled that is not mined and whose operations do not pay for a higher fee;
    /// 24s by default.
    #[arg(long, env = "FABSTIR_CANCEL_AFTER", value_parser = duration)]
    pub cancel_after: Option<Duration>,
}

/// What bundles are signed with.
#[derive(Clone, Debug, Default)]
pub struct Signers {
    /// Each has nonces of its own.
    pub bundlers: Vec<Signer>,
    /// Fills them up.
    pub funder: Option<Signer>,
}

impl BundlingOptions {
    /// Opens the keys.
    ///
    /// # Errors
    /// If there is none, or one cannot be had.
    pub async fn signers(&self, chain_id: u64) -> Result<Signers> {
        let mut bundlers: Vec<Signer> = Vec::new();
        let elsewhere = !self.bundler_keystore.is_empty() || !self.bundler_kms_key.is_empty();
        if !self.bundler_key_file.is_empty() || !elsewhere {
            let keys = keys::read_all(&self.bundler_key_file, "FABSTIR_BUNDLER_KEY")?;
            bundlers.extend(keys.into_iter().map(|key| Signer::from(key.into_signer())));
        }
        if !self.bundler_keystore.is_empty() {
            const VARIABLE: &str = "FABSTIR_BUNDLER_KEYSTORE_PASSWORD";
            let password = keys::password(self.bundler_keystore_password_file.as_deref(), VARIABLE)?;
            for file in &self.bundler_keystore {
                bundlers.push(Signer::keystore(file, &password)?);
            }
        }
        for key in &self.bundler_kms_key {
            bundlers.push(kms(key, chain_id).await?);
        }
        let mut addresses: Vec<_> = bundlers.iter().map(Signer::address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        ensure!(addresses.len() == bundlers.len(), "a bundler key is given twice: its nonces would be given out twice");
        let funder = match (&self.funder_key_file, keys::variable("FABSTIR_FUNDER_KEY")) {
            (Some(file), _) => Some(keys::read(Some(file), "FABSTIR_FUNDER_KEY")?),
            (None, Some(text)) => Some(SecretKey::from_hex(&text).context("environment variable FABSTIR_FUNDER_KEY")?),
            (None, None) => None,
        };
        let funder = funder.map(|key| Signer::from(key.into_signer()));
        if let Some(funder) = &funder
            && addresses.contains(&funder.address())
        {
            bail!("the funder is a bundler key too: its nonces would be given out twice");
        }
        Ok(Signers { bundlers, funder })
    }

    /// Puts the rest into the bundler's configuration.
    ///
    /// # Errors
    /// If the bounds contradict each other.
    pub fn apply(&self, config: &mut Config) -> Result<()> {
        let (fees, keeping) = (&mut config.fees, &mut config.keeping);
        fees.min_priority_fee = self.min_priority_fee.unwrap_or(fees.min_priority_fee);
        fees.cap = self.max_bid.unwrap_or(fees.cap);
        fees.accept_per_cent = self.accept_per_cent.map_or(fees.accept_per_cent, u128::from);
        keeping.low = self.key_low.unwrap_or(keeping.low);
        // Whoever sets one means the other to be in proportion.
        keeping.target = self.key_target.unwrap_or_else(|| keeping.target.max(keeping.low * U256::from(5)));
        keeping.max_fee = fees.cap;
        config.escalate_after = self.escalate_after.unwrap_or(config.escalate_after);
        config.cancel_after = self.cancel_after.unwrap_or(config.cancel_after);
        ensure!(!config.escalate_after.is_zero(), "--escalate-after is no time at all");
        ensure!(config.cancel_after >= config.escalate_after, "--cancel-after is below --escalate-after");
        ensure!(keeping.target >= keeping.low, "--key-target is below --key-low");
        ensure!(fees.cap >= fees.min_priority_fee, "--max-bid is below --min-priority-fee");
        Ok(())
    }
}

/// A key in AWS KMS.
#[cfg(feature = "aws-kms")]
pub(crate) async fn kms(key: &str, chain_id: u64) -> Result<Signer> {
    Signer::aws_kms(key.to_owned(), chain_id).await.with_context(|| format!("KMS key {key}"))
}

#[cfg(not(feature = "aws-kms"))]
pub(crate) async fn kms(key: &str, _chain_id: u64) -> Result<Signer> {
    bail!("KMS key {key}: this binary was built without the feature aws-kms")
}

/// Ether as written, in wei.
pub fn ether(text: &str) -> Result<U256, String> {
    parse_ether(text).map_err(|error| error.to_string())
}
