//! What becomes of an operation, told instead of asked for: a subscription, and a send that answers with the receipt.

use std::{sync::Arc, time::Duration};

use alloy::primitives::{B256, U256};
use jsonrpsee::{
    Extensions, PendingSubscriptionSink, RpcModule,
    server::{RegisterMethodError, SubscriptionMessage},
    types::{ErrorObjectOwned, Params},
};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::{api::operation, params::Positional};
use crate::{Bundler, Rejection, engine::Stage, index::Event};

/// How long a send waits for its receipt, if the caller does not say, and at most.
const PATIENCE: Duration = Duration::from_secs(30);
const MOST_PATIENCE: Duration = Duration::from_secs(120);

/// The operation is on its way but not included in time (EIP-7966's code for it).
const TIMED_OUT: i32 = 4;
/// The operation was dropped.
const DROPPED: i32 = 5;

pub(super) fn register(module: &mut RpcModule<Bundler>) -> Result<(), RegisterMethodError> {
    module.register_subscription(
        "fabstir_subscribeUserOperation",
        "fabstir_userOperation",
        "fabstir_unsubscribeUserOperation",
        subscribe,
    )?;
    module.register_async_method("fabstir_sendUserOperationSync", send_sync)?;
    Ok(())
}

async fn subscribe(params: Params<'static>, pending: PendingSubscriptionSink, bundler: Arc<Bundler>, _: Extensions) {
    let asked = async {
        let hash = Positional::of(&params)?.hash(0, "userOpHash")?;
        Ok::<_, Rejection>((hash, bundler.watch(hash).await?))
    };
    let (hash, mut stages) = match asked.await {
        Ok(asked) => asked,
        Err(rejection) => return pending.reject(rejection).await,
    };
    // The handle would hold the bundler up for as long as anybody is subscribed.
    drop(bundler);
    let Ok(mut sink) = pending.accept().await else { return };
    loop {
        let stage = tokio::select! {
            stage = stages.next() => stage,
            () = sink.closed() => return,
        };
        let Some(stage) = stage else { return };
        let Ok(message) = to_raw_value(&render(hash, &stage)) else { return };
        // A connection whose buffer is full is cut off rather than waited for: the subscription ends here.
        if sink.try_send(SubscriptionMessage::from(message)).is_err() {
            tracing::info!(user_op_hash = %hash, "a subscriber that does not read was cut off");
            return;
        }
        if stage.is_last() {
            return;
        }
    }
}

fn render(hash: B256, stage: &Stage) -> Value {
    let mined = |status: &str, event: &Event| {
        json!({
            "userOpHash": hash,
            "status": status,
            "transactionHash": event.transaction,
            "blockNumber": U256::from(event.block),
            "blockHash": event.block_hash,
            "success": event.success,
        })
    };
    let plain = |status: &str| json!({ "userOpHash": hash, "status": status });
    let sent = |status: &str, transaction: &B256| json!({ "userOpHash": hash, "status": status, "transactionHash": transaction });
    match stage {
        Stage::Accepted => plain("accepted"),
        Stage::Bundled => plain("bundled"),
        Stage::Pending => plain("pending"),
        Stage::Submitted { transaction } => sent("submitted", transaction),
        Stage::Preconfirmed { transaction } => sent("preconfirmed", transaction),
        Stage::Included(event) => mined("included", event),
        Stage::Safe(event) => mined("safe", event),
        Stage::Dropped { reason } => json!({ "userOpHash": hash, "status": "dropped", "reason": reason }),
    }
}

/// `(userOperation, entryPoint, timeoutMs?)`: the receipt, or an error that names the hash.
pub(super) async fn send_sync(
    params: Params<'static>,
    bundler: Arc<Bundler>,
    _: Extensions,
) -> Result<Box<RawValue>, ErrorObjectOwned> {
    let params = Positional::of(&params)?;
    let (request, entry_point, version) = operation(&params, &bundler)?;
    let patience = params.milliseconds(2, "timeoutMs")?.unwrap_or(PATIENCE).min(MOST_PATIENCE);
    let request = request.complete(version).map_err(Rejection::from)?;
    let hash = bundler.send(request, entry_point).await?;
    let failed = |code: i32, message: String| {
        ErrorObjectOwned::owned(code, format!("{hash}: {message}"), Some(json!({ "userOpHash": hash })))
    };
    let included = async {
        let mut stages = bundler.watch(hash).await?;
        loop {
            match stages.next().await {
                Some(Stage::Included(_) | Stage::Safe(_)) => {
                    // Undone by a reorganisation since: it is waited for again.
                    if let Some(receipt) = bundler.receipt(hash).await? {
                        return Ok(receipt);
                    }
                }
                Some(Stage::Dropped { reason }) => return Err(failed(DROPPED, format!("dropped: {reason}"))),
                Some(_) => {}
                None => return Err(Rejection::ShuttingDown.into()),
            }
        }
    };
    tokio::time::timeout(patience, included).await.unwrap_or_else(|_| {
        let waited = patience.as_millis();
        Err(failed(TIMED_OUT, format!("accepted, but not included within {waited} ms; it may be yet")))
    })
}
