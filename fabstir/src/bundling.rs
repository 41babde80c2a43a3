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

#[cfg(test)]
mod tests {
    use erc4337::ChainPreset;

    use super::*;

    fn config() -> Config {
        Config::new(ChainPreset::for_chain(8_453))
    }

    fn refused(options: &BundlingOptions) -> String {
        options.apply(&mut config()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_set_stays_as_the_preset_has_it() {
        let (mut applied, preset) = (config(), config());
        BundlingOptions::default().apply(&mut applied).unwrap();
        assert_eq!(applied.fees.min_priority_fee, preset.fees.min_priority_fee);
        assert_eq!((applied.fees.cap, applied.fees.accept_per_cent), (preset.fees.cap, preset.fees.accept_per_cent));
        assert_eq!((applied.keeping.low, applied.keeping.target), (preset.keeping.low, preset.keeping.target));
        assert_eq!((applied.escalate_after, applied.cancel_after), (preset.escalate_after, preset.cancel_after));
        assert_eq!(applied.keeping.max_fee, preset.fees.cap, "a key is kept for what may be bid");
    }

    #[test]
    fn what_is_set_is_what_is_bid_and_kept() {
        let mut applied = config();
        let options = BundlingOptions {
            key_low: Some(U256::from(7)),
            key_target: Some(U256::from(8)),
            min_priority_fee: Some(11),
            max_bid: Some(12),
            accept_per_cent: Some(91),
            escalate_after: Some(Duration::from_secs(13)),
            cancel_after: Some(Duration::from_secs(14)),
            ..BundlingOptions::default()
        };
        options.apply(&mut applied).unwrap();
        assert_eq!((applied.keeping.low, applied.keeping.target), (U256::from(7), U256::from(8)));
        assert_eq!((applied.fees.min_priority_fee, applied.fees.cap, applied.keeping.max_fee), (11, 12, 12));
        assert_eq!(applied.fees.accept_per_cent, 91);
        assert_eq!(applied.escalate_after, Duration::from_secs(13));
        assert_eq!(applied.cancel_after, Duration::from_secs(14));
    }

    #[test]
    fn a_key_that_runs_low_earlier_is_filled_up_to_five_times_that() {
        let (mut applied, low) = (config(), config().keeping.target);
        BundlingOptions { key_low: Some(low), ..BundlingOptions::default() }.apply(&mut applied).unwrap();
        assert_eq!(applied.keeping.target, low * U256::from(5));
        let (mut applied, target) = (config(), config().keeping.target);
        BundlingOptions { key_low: Some(U256::from(1)), ..BundlingOptions::default() }.apply(&mut applied).unwrap();
        assert_eq!(applied.keeping.target, target, "and to no less than by default");
    }

    #[test]
    fn bounds_that_contradict_each_other_are_refused_by_name_and_equal_ones_are_not() {
        let time = |seconds| Some(Duration::from_secs(seconds));
        let of = |escalate_after, cancel_after| BundlingOptions { escalate_after, cancel_after, ..Default::default() };
        assert!(refused(&of(time(0), None)).contains("--escalate-after"));
        assert!(refused(&of(time(9), time(8))).contains("--cancel-after is below"));
        of(time(9), time(9)).apply(&mut config()).unwrap();
        let of = |low, target| BundlingOptions {
            key_low: Some(U256::from(low)),
            key_target: Some(U256::from(target)),
            ..Default::default()
        };
        assert!(refused(&of(9, 8)).contains("--key-target is below"));
        of(9, 9).apply(&mut config()).unwrap();
        let of = |tip, bid| BundlingOptions { min_priority_fee: Some(tip), max_bid: Some(bid), ..Default::default() };
        assert!(refused(&of(9, 8)).contains("--max-bid is below"));
        of(9, 9).apply(&mut config()).unwrap();
    }

    #[tokio::test]
    async fn keys_are_taken_in_their_order_and_none_twice() {
        let folder = std::env::temp_dir().join(format!("fabstir-bundling-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |byte: u8| {
            let (path, text) =
                (folder.join(format!("key-{byte}")), format!("0x{}\n", format!("{byte:02x}").repeat(32)));
            std::fs::write(&path, text).unwrap();
            path
        };
        let of = |keys: &[u8], funder: Option<u8>| BundlingOptions {
            bundler_key_file: keys.iter().map(|byte| file(*byte)).collect(),
            funder_key_file: funder.map(file),
            ..BundlingOptions::default()
        };
        let addresses = async |keys: &[u8]| {
            let signers = of(keys, None).signers(1).await.unwrap();
            signers.bundlers.iter().map(Signer::address).collect::<Vec<_>>()
        };
        let (one, two) = (addresses(&[1, 2]).await, addresses(&[2, 1]).await);
        assert_eq!(one, two.into_iter().rev().collect::<Vec<_>>());
        let twice = of(&[1, 2, 1], None).signers(1).await.unwrap_err();
        assert!(twice.to_string().contains("given twice"), "{twice}");
        let funder = of(&[1, 2], Some(2)).signers(1).await.unwrap_err();
        assert!(funder.to_string().contains("the funder is a bundler key too"), "{funder}");
        let signers = of(&[1], Some(2)).signers(1).await.unwrap();
        assert_eq!(signers.funder.map(|it| it.address()), Some(one[1]));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
