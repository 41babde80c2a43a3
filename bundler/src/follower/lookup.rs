//! Reading from the chain what the index only points to: receipts and operations of other bundlers.

use std::sync::Arc;

use alloy::{
    consensus::Transaction as _,
    primitives::{Address, B256, Bytes},
};
use erc4337::{HashContext, Initializer, UserOperation};

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
    let operations = nested::operations(version, transaction.input());
    let is_it = |op: &UserOperation, delegate| op.hash(&context, delegate) == Ok(event.hash);
    for op in &operations {
        if is_it(op, None) {
            return Ok(Some(op.clone()));
        }
        let signed = authorizations.iter().filter(|auth| auth.recover_authority().is_ok_and(|who| who == op.sender));
        let with = signed.map(|auth| UserOperation { eip7702_auth: Some(auth.clone()), ..op.clone() });
        if let Some(op) = with.into_iter().find(|op| is_it(op, None)) {
            return Ok(Some(op));
        }
    }
    // An account that had delegated before: its code says to whom, as it was then or, if the node has forgotten, is now.
    for op in operations.iter().filter(|op| matches!(op.initializer, Some(Initializer::Eip7702 { .. }))) {
        let then = node.code_at(op.sender, event.block).await.ok();
        let codes = [then, Some(node.code(op.sender).await?)];
        if codes.iter().flatten().filter_map(delegate_of).any(|delegate| is_it(op, Some(delegate))) {
            return Ok(Some(op.clone()));
        }
    }
    Ok(None)
}

/// To whom this code delegates (EIP-7702).
fn delegate_of(code: &Bytes) -> Option<Address> {
    code.strip_prefix(&[0xef, 0x01, 0x00]).and_then(|address| Address::try_from(address).ok())
}
