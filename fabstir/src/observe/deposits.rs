//! What the EntryPoints hold of ours.

use alloy::primitives::{Address, B256, Bytes, U256};
use bundler::node::{BatchReader, NodeClient, NodeError};
use erc4337::{
    EntryPointVersion,
    storage::{DepositInfo, deposit_slots},
};
use serde_json::json;

use crate::deployment::Deployment;

/// A deposit that is watched.
#[derive(Clone, Debug)]
pub(super) struct Deposit {
    pub(super) version: String,
    /// `sponsor` or `token`.
    pub(super) role: &'static str,
    pub(super) paymaster: Address,
    entry_point: Address,
    known: EntryPointVersion,
}

/// Those of this deployment's paymasters.
pub(super) fn of(deployment: &Deployment) -> Vec<Deposit> {
    let all = [("sponsor", &deployment.paymasters), ("token", &deployment.token_paymasters)];
    let of_role = |(role, paymasters): (&'static str, &std::collections::BTreeMap<String, Address>)| {
        let deposit = |(version, paymaster): (&String, &Address)| {
            let entry_point = *deployment.entry_points.get(version)?;
            let known = *deployment.entry_point_versions().ok()?.get(&entry_point)?;
            Some(Deposit { version: version.clone(), role, paymaster: *paymaster, entry_point, known })
        };
        paymasters.iter().filter_map(deposit).collect::<Vec<_>>()
    };
    all.into_iter().flat_map(of_role).collect()
}

/// Who holds them.
pub(super) fn entry_points(deposits: &[Deposit]) -> Vec<Address> {
    deposits.iter().map(|deposit| deposit.entry_point).collect()
}

/// In wei at this block, in their order, by one question.
pub(super) async fn read(node: &NodeClient, block: B256, deposits: &[Deposit]) -> Result<Vec<U256>, NodeError> {
    let mut batch = BatchReader::new(node, block);
    for deposit in deposits {
        for slot in deposit_slots(deposit.paymaster) {
            batch.read("eth_getStorageAt", &[json!(deposit.entry_point), json!(B256::from(slot))]);
        }
    }
    let words = batch.send().await?;
    let word = |bytes: &Bytes| U256::try_from_be_slice(bytes).unwrap_or_default();
    let each = deposits.iter().zip(words.chunks_exact(2));
    Ok(each.map(|(it, words)| DepositInfo::read(it.known, [word(&words[0]), word(&words[1])]).deposit).collect())
}
