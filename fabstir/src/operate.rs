//! `fabstir admin`: one call of a running node's controls.

use anyhow::{Context, Result};
use jsonrpsee::{
    core::{client::ClientT, params::ArrayParams},
    http_client::{HeaderMap, HeaderValue, HttpClientBuilder},
};
use serde_json::Value;

/// Settings of `fabstir admin`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What to do, with or without `admin_` before it: status, reputation, pauseIntake, resumeIntake, pauseBundling,
    /// resumeBundling, drain, dropOperation, clearSender, clearEntity, cancelNonce, setReputation (docs/operating.md).
    method: String,
    /// Its parameters, in their order: as JSON, or plain text.
    params: Vec<String>,
    /// Where the node's admin API is (--admin-listen).
    #[arg(long, env = "FABSTIR_ADMIN_URL", default_value = "http://127.0.0.1:4380")]
    admin_url: String,
    /// The API key; its role must allow it.
    #[arg(long, env = "FABSTIR_ADMIN_KEY", hide_env_values = true)]
    admin_key: String,
}

/// Does it, and prints the answer.
///
/// # Errors
/// If the node does not answer, or does not do it.
pub async fn run(options: Options) -> Result<()> {
    let Options { method, params, admin_url, admin_key } = options;
    let mut key: HeaderValue = format!("Bearer {admin_key}").parse().context("--admin-key is no key")?;
    key.set_sensitive(true);
    let headers = HeaderMap::from_iter([(hyper::header::AUTHORIZATION, key)]);
    let url = format!("{}/rpc", admin_url.trim_end_matches('/'));
    let node = HttpClientBuilder::default().set_headers(headers).build(&url)?;
    let mut array = ArrayParams::new();
    for param in params {
        array.insert(serde_json::from_str::<Value>(&param).unwrap_or(Value::String(param)))?;
    }
    let method = if method.starts_with("admin_") { method } else { format!("admin_{method}") };
    let answer: Value = node.request(&method, array).await.with_context(|| format!("{method} at {url}"))?;
    println!("{}", serde_json::to_string_pretty(&answer)?);
    Ok(())
}
