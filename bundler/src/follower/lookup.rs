//! Reading from the chain what the index only points to: receipts and operations of other bundlers.

use std::sync::Arc;

use alloy::{consensus::Transaction as _, primitives::B256};
use erc4337::{HashContext, UserOperation};

use super::{Inclusion, nested};
use crate::{
    Config,
    index::{Event, Index, Logs, event_of},
    node::{NodeClient, NodeError},
};

/// Blocks searched for one operation, while the index does not know them yet: no time is meant, but what providers give in
/// one answer.
const LOOKBACK: u64 = 9_999;

/// The operation's event in blocks that the index does not know yet.
///
/// # Errors
/// If the node does not answer.
pub(crate) async fn search_gap(index: &Index, logs: &Logs, hash: B256) -> Result<Option<Event>, NodeError> {
    let Some(gap) = index.gap() else { return Ok(None) };
    let from = gap.from.max(gap.to.saturating_sub(LOOKBACK));
    let found = logs.of(hash, from, gap.to).await?;
    Ok(found.iter().rev().find_map(event_of))
}

/// The inclusion that the index points to; `None` if the node has it in another block by now.
///
/// # Errors
/// If the node does not answer.
pub(crate) async fn inclusion(node: &NodeClient, event: &Event) -> Result<Option<Inclusion>, NodeError> {
    let receipt = node.receipt(event.transaction).await?;
    Ok(receipt.and_then(|receipt| Inclusion::of(event, Arc::new(receipt))))
}

/// The operation itself, read from the calldata of the transaction that executed it.
///
/// # Errors
/// If the node does not answer.
pub(crate) async fn operation(
    node: &NodeClient,
    config: &Config,
    event: &Event,
) -> Result<Option<UserOperation>, NodeError> {
    let Some(&version) = config.entry_points.get(&event.entry_point) else { return Ok(None) };
    let Some(transaction) = node.transaction(event.transaction).await? else { return Ok(None) };
    let context = HashContext { version, entry_point: event.entry_point, chain_id: config.chain.chain_id };
    let authorizations = transaction.authorization_list().unwrap_or_default();
    Ok(nested::operations(version, transaction.input()).into_iter().find_map(|mut op| {
        op.eip7702_auth =
            authorizations.iter().find(|auth| auth.recover_authority().is_ok_and(|who| who == op.sender)).cloned();
        (op.hash(&context, None) == Ok(event.hash)).then_some(op)
    }))
}
