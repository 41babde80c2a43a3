//! The node's word against a bundle that our EVM has passed: a safety net, and an alarm.

use alloy::{
    primitives::{Address, B256, Bytes},
    rpc::types::state::StateOverride,
};
use erc4337::pack;

use super::Bundle;
use crate::node::{NodeClient, NodeError};

/// What the node says against a bundle on this block, after what is in flight. Nothing if it cannot be asked.
pub(crate) async fn contest(
    node: &NodeClient,
    bundle: &Bundle,
    mut in_flight: StateOverride,
    bundler: Address,
    block: B256,
) -> Option<String> {
    // Of what only the node can execute it has said already what there is to say.
    if bundle.operations.is_empty() || bundle.native {
        return None;
    }
    let operations = || bundle.operations.iter().map(|admitted| &*admitted.op);
    pretend_authorizations(bundle, &mut in_flight);
    let input = pack::handle_ops(bundle.version, operations(), bundler);
    match node.call_from(bundler, bundle.entry_point, input, bundle.gas_limit(), block, &in_flight).await {
        Err(NodeError::Refused { message, .. }) if message.contains("revert") => Some(message),
        Err(error) => {
            tracing::warn!(%error, "the node did not say what it makes of the bundle");
            None
        }
        Ok(_) => None,
    }
}

/// A call carries no authorizations: what they will have done is pretended (EIP-7702's designation).
pub(super) fn pretend_authorizations(bundle: &Bundle, state: &mut StateOverride) {
    for (op, auth) in bundle.operations.iter().filter_map(|it| Some((&it.op, it.op.eip7702_auth.as_ref()?))) {
        let pretend = state.entry(op.sender).or_default();
        pretend.code = Some(Bytes::from([&[0xef, 0x01, 0x00], auth.address.as_slice()].concat()));
        pretend.nonce = Some(auth.nonce.saturating_add(1));
    }
}
