//! The keys that bundles are sent from: whether they can be had, can pay, and are not delegated.

use alloy::{
    primitives::{U256, utils::format_ether},
    rpc::types::Header,
};
use bundler::{
    Config,
    node::{BatchReader, NodeClient},
};
use serde_json::json;

use super::Finding;
use crate::{
    bundling::{BundlingOptions, Signers},
    deployment::Deployment,
};

/// First bytes of an EIP-7702 designation.
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];

pub(super) async fn examine(
    node: &NodeClient,
    head: &Header,
    deployment: &Deployment,
    options: &BundlingOptions,
    config: &Config,
    findings: &mut Vec<Finding>,
) {
    let signers = match options.signers(deployment.chain_id).await {
        Ok(signers) => signers,
        Err(error) => {
            return findings.push(Finding::failure("keys", format!("{error:#}"), "see docs/bundler.md, Keys"));
        }
    };
    let Signers { bundlers, funder } = signers;
    let named = bundlers.iter().map(|key| ("bundler key", key)).chain(funder.iter().map(|key| ("funder", key)));
    for (name, address) in named.map(|(name, key)| (name, key.address())) {
        let mut reader = BatchReader::new(node, head.hash);
        reader.read("eth_getBalance", &[json!(address)]);
        reader.read("eth_getCode", &[json!(address)]);
        let (balance, code) = match reader.send().await.as_deref() {
            Ok([balance, code]) => (U256::from_be_slice(balance), code.clone()),
            Ok(_) => continue,
            Err(error) => {
                findings.push(Finding::failure(name, error, "see the node's findings"));
                continue;
            }
        };
        let (check, seen) = (format!("{name} {address}"), format!("{} ETH", format_ether(balance)));
        findings.push(if code.starts_with(&DELEGATION) {
            Finding::failure(check, format!("{seen}, EIP-7702-delegated"), "EntryPoint v0.9 takes no bundles from it")
        } else if balance.is_zero() {
            Finding::failure(check, seen, "send it ether: it pays for bundles first and is paid back by operations")
        } else if balance < config.keeping.low {
            Finding::warning(check, seen, format!("under {} ETH (--key-low)", format_ether(config.keeping.low)))
        } else {
            Finding::ok(check, seen)
        });
    }
}
