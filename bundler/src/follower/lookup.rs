//! Looking up on chain what was not watched: operations from before this process began, or of other bundlers.

use std::sync::Arc;

use alloy::{consensus::Transaction as _, primitives::B256, rpc::types::Filter, sol_types::SolEvent};
use erc4337::{HashContext, UserOperation, abi::entry_point_v08::UserOperationEvent, unpack};

use super::{Inclusion, LOOKBACK};
use crate::{
    Config,
    node::{NodeClient, NodeError},
};

/// The inclusion of this operation within the last [`LOOKBACK`] blocks before `head`.
pub(crate) async fn find_inclusion(
    node: &NodeClient,
    config: &Config,
    hash: B256,
    head: u64,
) -> Result<Option<Inclusion>, NodeError> {
    let filter = Filter::new()
        .address(config.entry_points.keys().copied().collect::<Vec<_>>())
        .event_signature(UserOperationEvent::SIGNATURE_HASH)
        .topic1(hash)
        .from_block(head.saturating_sub(LOOKBACK))
        .to_block(head);
    let Some(event) = node.logs(&filter).await?.pop() else { return Ok(None) };
    let Some(transaction) = event.transaction_hash else { return Ok(None) };
    let receipt = node.receipt(transaction).await?;
    Ok(receipt.and_then(|receipt| Inclusion::new(&event, Arc::new(receipt))))
}

/// The operation itself, read from the calldata of the transaction that executed it.
pub(crate) async fn find_operation(
    node: &NodeClient,
    config: &Config,
    inclusion: &Inclusion,
) -> Result<Option<UserOperation>, NodeError> {
    let Some(&version) = config.entry_points.get(&inclusion.entry_point) else { return Ok(None) };
    let Some(transaction) = node.transaction(inclusion.transaction()).await? else { return Ok(None) };
    let context = HashContext { version, entry_point: inclusion.entry_point, chain_id: config.chain.chain_id };
    let operations = unpack::handle_ops(version, transaction.input()).unwrap_or_default();
    let authorizations = transaction.authorization_list().unwrap_or_default();
    Ok(operations.into_iter().find_map(|mut op| {
        op.eip7702_auth =
            authorizations.iter().find(|auth| auth.recover_authority().is_ok_and(|who| who == op.sender)).cloned();
        (op.hash(&context, None) == Ok(inclusion.hash)).then_some(op)
    }))
}
