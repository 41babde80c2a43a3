//! What the EntryPoints hold of ours.

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};
use bundler::node::{NodeClient, NodeError};
use erc4337::abi::entry_point_v08::balanceOfCall;
use futures::future::try_join_all;

use crate::deployment::Deployment;

/// A deposit that is watched.
#[derive(Clone, Debug)]
pub(super) struct Deposit {
    pub(super) version: String,
    /// `sponsor` or `token`.
    pub(super) role: &'static str,
    pub(super) paymaster: Address,
    entry_point: Address,
}

/// Those of this deployment's paymasters.
pub(super) fn of(deployment: &Deployment) -> Vec<Deposit> {
    let all = [("sponsor", &deployment.paymasters), ("token", &deployment.token_paymasters)];
    let of_role = |(role, paymasters): (&'static str, &std::collections::BTreeMap<String, Address>)| {
        let deposit = |(version, paymaster): (&String, &Address)| {
            let entry_point = *deployment.entry_points.get(version)?;
            Some(Deposit { version: version.clone(), role, paymaster: *paymaster, entry_point })
        };
        paymasters.iter().filter_map(deposit).collect::<Vec<_>>()
    };
    all.into_iter().flat_map(of_role).collect()
}

/// In wei, in their order.
pub(super) async fn read(node: &NodeClient, deposits: &[Deposit]) -> Result<Vec<U256>, NodeError> {
    let one = async |deposit: &Deposit| {
        let question = balanceOfCall { account: deposit.paymaster }.abi_encode();
        let answer = node.eth_call(deposit.entry_point, question.into()).await?;
        Ok(balanceOfCall::abi_decode_returns(&answer).unwrap_or_default())
    };
    try_join_all(deposits.iter().map(one)).await
}
