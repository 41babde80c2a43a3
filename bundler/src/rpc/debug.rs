//! `debug_bundler_*`: for tests and test suites; off unless asked for.

use std::sync::Arc;

use erc4337::{FieldError, wire};
use jsonrpsee::{Extensions, RpcModule, server::RegisterMethodError, types::Params};
use serde_json::{Value, json};

use super::params::Positional;
use crate::{Bundler, Rejection, config::BundlingMode};

pub(super) fn register(module: &mut RpcModule<Bundler>) -> Result<(), RegisterMethodError> {
    tracing::warn!("debug_bundler_* is served: anyone who reaches this port can steer the bundler");
    module.register_async_method("debug_bundler_dumpMempool", dump_mempool)?;
    module.register_async_method("debug_bundler_sendBundleNow", send_bundle_now)?;
    module.register_async_method("debug_bundler_setBundlingMode", set_bundling_mode)?;
    Ok(())
}

async fn dump_mempool(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let entry_point = Positional::of(&params)?.address(0, "entryPoint")?;
    let mempool = bundler.mempool().await?;
    let here = mempool.iter().filter(|admitted| admitted.entry_point == entry_point);
    Ok(here.map(|admitted| wire::to_json(&admitted.op, admitted.version)).collect())
}

async fn send_bundle_now(_: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    Ok(json!({ "transactionHash": bundler.bundle_now().await? }))
}

async fn set_bundling_mode(params: Params<'static>, bundler: Arc<Bundler>, _: Extensions) -> Result<Value, Rejection> {
    let params = Positional::of(&params)?;
    let mode = match params.required(0, "mode")?.as_str() {
        Some("auto") => BundlingMode::Auto,
        Some("manual") => BundlingMode::Manual,
        _ => return Err(FieldError::Malformed { field: "mode", expected: "`auto` or `manual`" }.into()),
    };
    bundler.set_mode(mode).await?;
    Ok(json!("ok"))
}
