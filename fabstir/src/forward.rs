//! Reads of the chain's node, passed on: a wallet then needs one URL.
//!
//! An allow-list of standard reads whose answers are small; nothing that sends, signs, traces, filters or watches.

use bundler::node::{NodeClient, NodeError};
use erc4337::{FieldError, error_code};
use jsonrpsee::{
    RpcModule,
    server::RegisterMethodError,
    types::{ErrorObjectOwned, Params},
};
use serde_json::Value;

/// What is passed on.
pub const READS: [&str; 19] = [
    "eth_blockNumber",
    "eth_gasPrice",
    "eth_maxPriorityFeePerGas",
    "eth_feeHistory",
    "eth_getBalance",
    "eth_getCode",
    "eth_getStorageAt",
    "eth_getTransactionCount",
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getBlockTransactionCountByNumber",
    "eth_getBlockTransactionCountByHash",
    "eth_getTransactionByHash",
    "eth_getTransactionReceipt",
    "eth_call",
    "eth_estimateGas",
    "eth_createAccessList",
    "eth_syncing",
    "net_version",
];

/// Those that the node runs an EVM for.
pub const HEAVY: [&str; 3] = ["eth_call", "eth_estimateGas", "eth_createAccessList"];

/// These methods, answered by this node.
///
/// # Errors
/// Never, unless two methods share a name.
pub fn module(node: NodeClient) -> Result<RpcModule<NodeClient>, RegisterMethodError> {
    let mut module = RpcModule::new(node);
    for method in READS {
        module
            .register_async_method(method, move |params, node, _| async move { pass(&node, method, &params).await })?;
    }
    Ok(module)
}

async fn pass(node: &NodeClient, method: &'static str, params: &Params<'_>) -> Result<Value, ErrorObjectOwned> {
    let positional = match params.as_str() {
        None | Some("null") => Ok(Vec::new()),
        Some(_) => params.parse(),
    };
    let malformed = FieldError::Malformed { field: "params", expected: "an array of positional parameters" };
    let positional = positional
        .map_err(|_| ErrorObjectOwned::owned(error_code::INVALID_FIELDS, malformed.to_string(), None::<()>))?;
    node.ask(method, positional).await.map_err(|error| match error {
        // The node's own words: they are about what was asked, and have no URL in them.
        NodeError::Refused { code, message, data, .. } => ErrorObjectOwned::owned(code, message, data),
        error => {
            tracing::debug!(%error, method, "a read was not answered");
            let message = format!("the chain's node does not answer {method}: try again");
            ErrorObjectOwned::owned(error_code::LIMIT_EXCEEDED, message, None::<()>)
        }
    })
}
