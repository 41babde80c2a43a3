//! What sponsorships are signed with, and which of it the paymaster contracts believe.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256},
    sol_types::SolCall,
};
use anyhow::{Context, Result, ensure};
use bundler::{Signer, Trail, node::NodeClient};
use erc4337::abi::verifying_paymaster;
use paymaster::{
    Sponsor,
    sign::{Key, NotSigned, Signing},
};
use tokio::task::JoinHandle;

use crate::{bundling::kms, keys};

/// Where the keys are. Of several, the first that a paymaster contract believes signs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SponsorKeyOptions {
    /// File with a key that sponsorships are signed with; may be given several times. Without any key option,
    /// FABSTIR_PAYMASTER_KEY, which may have several with commas between.
    #[arg(long)]
    paymaster_key_file: Vec<PathBuf>,
    /// Web3 Secret Storage (version 3) with a key that sponsorships are signed with; may be given several times.
    #[arg(long, env = "FABSTIR_PAYMASTER_KEYSTORE", value_delimiter = ',')]
    paymaster_keystore: Vec<PathBuf>,
    /// File with the password of these; else FABSTIR_PAYMASTER_KEYSTORE_PASSWORD.
    #[arg(long)]
    paymaster_keystore_password_file: Option<PathBuf>,
    /// Id, ARN or alias of a key in AWS KMS that sponsorships are signed with; may be given several times. Needs a binary
    /// built with the feature aws-kms.
    #[arg(long, env = "FABSTIR_PAYMASTER_KMS_KEY", value_delimiter = ',')]
    paymaster_kms_key: Vec<String>,
}

impl SponsorKeyOptions {
    /// Opens the keys: files and environment first, then keystores, then KMS.
    ///
    /// # Errors
    /// If there is none, one cannot be had, or one is given twice.
    pub async fn signers(&self, chain_id: u64) -> Result<Vec<Signer>> {
        let mut signers: Vec<Signer> = Vec::new();
        let elsewhere = !self.paymaster_keystore.is_empty() || !self.paymaster_kms_key.is_empty();
        if !self.paymaster_key_file.is_empty() || !elsewhere {
            let keys = keys::read_all(&self.paymaster_key_file, "FABSTIR_PAYMASTER_KEY")?;
            signers.extend(keys.into_iter().map(|key| Signer::from(key.into_signer())));
        }
        if !self.paymaster_keystore.is_empty() {
            const VARIABLE: &str = "FABSTIR_PAYMASTER_KEYSTORE_PASSWORD";
            let password = keys::password(self.paymaster_keystore_password_file.as_deref(), VARIABLE)?;
            for file in &self.paymaster_keystore {
                signers.push(Signer::keystore(file, &password)?);
            }
        }
        for key in &self.paymaster_kms_key {
            signers.push(kms(key, chain_id).await?);
        }
        let addresses: BTreeSet<_> = signers.iter().map(Signer::address).collect();
        ensure!(addresses.len() == signers.len(), "a key that signs sponsorships is given twice");
        Ok(signers)
    }
}

/// A sponsor that signs with these.
///
/// # Errors
/// If there is none.
pub fn sponsor(signers: Vec<Signer>) -> Result<Sponsor, NotSigned> {
    Sponsor::new(signers.into_iter().map(|signer| Arc::new(Wherever(signer)) as Arc<dyn Key>).collect())
}

#[derive(Debug)]
struct Wherever(Signer);

impl Key for Wherever {
    fn address(&self) -> Address {
        self.0.address()
    }

    fn sign(&self, digest: B256) -> Signing<'_> {
        Box::pin(async move {
            self.0.sign_hash(&digest).await.map_err(|error| {
                tracing::error!(%error, "a key does not sign");
                NotSigned::Refused
            })
        })
    }
}

/// Between two looks whether the paymasters can have said anything.
const LOOK: Duration = Duration::from_secs(5);
/// After this they are asked whatever the blocks say.
const AT_THE_LATEST: Duration = Duration::from_secs(600);

/// Asks these paymasters whom of the sponsor's keys they believe, now and whenever one may have changed its mind, which it
/// says in an event.
///
/// # Errors
/// If they cannot be asked now.
pub async fn watch(
    sponsor: Sponsor,
    paymasters: Vec<Address>,
    node: NodeClient,
    trail: Arc<Trail>,
) -> Result<JoinHandle<()>> {
    // The block before the answer: what comes after it is looked for again.
    let mut asked_at = trail.tip().map(|tip| tip.hash).unwrap_or_default();
    let mut watch = Watch { sponsor, paymasters, node };
    watch.ask().await.context("asking the paymasters for their signers")?;
    let mut asked = Instant::now();
    Ok(tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            if asked.elapsed() < AT_THE_LATEST
                && let Some(tip) = trail.quiet_since(asked_at, &watch.paymasters)
            {
                asked_at = tip.hash;
                continue;
            }
            let tip = trail.tip().map(|tip| tip.hash).unwrap_or_default();
            match watch.ask().await {
                Ok(()) => (asked_at, asked) = (tip, Instant::now()),
                // What was believed before still is, as far as we know.
                Err(error) => tracing::warn!("the paymasters' signers are not known: {error:#}"),
            }
        }
    }))
}

struct Watch {
    sponsor: Sponsor,
    paymasters: Vec<Address>,
    node: NodeClient,
}

impl Watch {
    async fn ask(&mut self) -> Result<()> {
        for paymaster in &self.paymasters {
            let mut believed = BTreeSet::new();
            for signer in self.sponsor.addresses() {
                // All kinds and versions have this function.
                let call = verifying_paymaster::isSignerCall { signer };
                let answer = self.node.eth_call(*paymaster, call.abi_encode().into()).await?;
                if verifying_paymaster::isSignerCall::abi_decode_returns(&answer)? {
                    believed.insert(signer);
                }
            }
            if believed.is_empty() {
                tracing::error!(%paymaster, "none of the keys that sign sponsorships is a signer of this paymaster");
            }
            self.sponsor.believe(*paymaster, believed);
        }
        Ok(())
    }
}
