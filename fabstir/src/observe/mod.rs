//! What an operator sees of a running node: whether it does its work, in figures, and what became of an operation.
//!
//! ```text
//!  bundler ──vitals──┐                      ┌─► /live, /ready   (also on the JSON-RPC port)
//!  paymaster ────────┼─► watch ──► Board ───┤
//!  node, deposits ───┘         └► figures ──┴─► /metrics        ─► Prometheus ─► alerts (deploy/prometheus)
//!
//!  bundler ──lives──► traces ─► OTLP collector
//! ```
//!
//! - [`Board`]: each thing that must be right, and what is wrong with it.
//! - `watch`: looks, once a second; `deposits`: what the EntryPoints hold of ours.
//! - `figures`: the recorder behind the `metrics` macros, and what each figure means.
//! - `pages`: over HTTP; `traces`: over OTLP.

mod board;
mod deposits;
mod figures;
mod pages;
mod traces;
mod watch;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use alloy::primitives::U256;
use anyhow::{Context, Result};
use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle};

pub use board::Board;
pub(crate) use watch::Watched;

use crate::bundling::ether;

/// What is watched, and where it is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ObserveOptions {
    /// Where to serve /metrics, for Prometheus, with /live and /ready; without it there are no metrics. Not for the open
    /// internet.
    #[arg(long, env = "FABSTIR_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Seconds that the newest block may be old, and the node silent, before we are not ready; 0: the first may be any age.
    #[arg(long, env = "FABSTIR_MAX_HEAD_AGE", default_value_t = 60)]
    pub max_head_age: u64,
    /// Ether below which a paymaster's deposit is called low in the metrics.
    #[arg(long, env = "FABSTIR_DEPOSIT_LOW", default_value = "0.1", value_parser = ether)]
    pub deposit_low: U256,
    /// Seconds between two comparisons of our EVM with the node's, as the chain may be upgraded; 0: only at the start.
    #[arg(long, env = "FABSTIR_SELF_TEST_EVERY", default_value_t = 600)]
    pub self_test_every: u64,
    /// URL of an OpenTelemetry collector (OTLP over HTTP, protobuf) that is sent a trace of each operation. No TLS: a
    /// collector beside the node forwards.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

impl Default for ObserveOptions {
    fn default() -> Self {
        Self {
            metrics_listen: None,
            max_head_age: 0,
            deposit_low: U256::from(100_000_000_000_000_000_u64),
            self_test_every: 0,
            otlp_endpoint: None,
        }
    }
}

impl ObserveOptions {
    /// How long the node may be silent.
    fn patience(&self) -> Duration {
        Duration::from_secs(if self.max_head_age == 0 { 60 } else { self.max_head_age })
    }

    /// Serves the figures, if that is asked for: before the node starts, so that its start is seen.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn serve(&self, board: &Arc<Board>) -> Result<Option<(SocketAddr, JoinHandle<()>)>> {
        let Some(listen) = self.metrics_listen else { return Ok(None) };
        let metrics = figures::install()?;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
        let address = listener.local_addr()?;
        let app = pages::health(board).merge(pages::metrics(metrics));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "metrics are not served any more");
            }
        });
        Ok(Some((address, task)))
    }
}

/// `/live` and `/ready`.
pub(crate) fn pages(board: &Arc<Board>) -> Router {
    pages::health(board)
}

/// Watches until aborted.
///
/// # Errors
/// If the collector's URL cannot be used.
pub(crate) fn start(options: &ObserveOptions, board: &Arc<Board>, watched: Watched) -> Result<Vec<JoinHandle<()>>> {
    let mut tasks = Vec::new();
    if let Some(url) = &options.otlp_endpoint {
        tasks.push(traces::export(url, &watched)?);
    }
    tasks.extend(watch::start(options.clone(), Arc::clone(board), watched));
    Ok(tasks)
}
