//! A trace of each operation, told to a collector when its life is over: one span for the whole, one for each step.
//!
//! Trace and span ids are made of the `userOpHash`, so that whoever has the hash finds the trace, whichever node or
//! process it went through, and one that is told twice is the same.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use alloy::primitives::B256;
use anyhow::{Context, Result};
use bundler::{Life, Milestone};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks},
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    task::JoinHandle,
};

use super::Watched;

/// Lives in one message.
const BATCH: usize = 256;
/// How long others are waited for.
const GATHER: Duration = Duration::from_millis(500);
/// How long the collector is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The trace that this operation has.
fn trace_of(hash: B256) -> TraceId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    TraceId::from_bytes(bytes)
}

/// Tells the collector at this URL of each life that ends, until aborted.
///
/// # Errors
/// If the URL cannot be used.
pub(super) fn export(url: &str, watched: &Watched) -> Result<JoinHandle<()>> {
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", url.trim_end_matches('/')))
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        .build()
        .with_context(|| format!("OpenTelemetry collector {url}"))?;
    exporter.set_resource(
        &Resource::builder()
            .with_service_name("fabstir")
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("chain.id", watched.deployment.chain_id.to_string()),
            ])
            .build(),
    );
    let mut ended = watched.bundler.lives().ended();
    Ok(tokio::spawn(async move {
        while let Some(lives) = gather(&mut ended).await {
            let spans = lives.iter().flat_map(|life| spans(life)).collect();
            if let Err(error) = exporter.export(spans).await {
                tracing::warn!(%error, traces = lives.len(), "the collector did not take the traces");
                metrics::counter!("fabstir_traces_lost_total").increment(lives.len() as u64);
            }
        }
    }))
}

/// The next that end, together; none when there will be no more.
async fn gather(ended: &mut Receiver<Arc<Life>>) -> Option<Vec<Arc<Life>>> {
    let mut lives = Vec::new();
    let first = loop {
        match ended.recv().await {
            Ok(life) => break life,
            Err(RecvError::Lagged(lost)) => metrics::counter!("fabstir_traces_lost_total").increment(lost),
            Err(RecvError::Closed) => return None,
        }
    };
    lives.push(first);
    tokio::time::sleep(GATHER).await;
    while lives.len() < BATCH
        && let Ok(life) = ended.try_recv()
    {
        lives.push(life);
    }
    Some(lives)
}

fn spans(life: &Life) -> Vec<SpanData> {
    let (Some(first), Some(last)) = (life.steps.first(), life.steps.last()) else { return Vec::new() };
    let own = |number: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&life.hash[16..24]);
        // Never all zero, which would be no id.
        let id = (u64::from_be_bytes(bytes) ^ number as u64).max(1);
        let context = (id_of(id), TraceFlags::SAMPLED);
        SpanContext::new(trace_of(life.hash), context.0, context.1, false, TraceState::default())
    };
    let root = own(0);
    let failed = matches!(last.milestone, Milestone::Refused | Milestone::Dropped);
    let status = match &last.reason {
        Some(reason) if failed => Status::error(reason.to_string()),
        _ => Status::Ok,
    };
    let whole = SpanData {
        span_context: root.clone(),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Server,
        name: "user operation".into(),
        start_time: UNIX_EPOCH + first.at,
        end_time: UNIX_EPOCH + last.at,
        attributes: vec![
            KeyValue::new("user_op.hash", life.hash.to_string()),
            KeyValue::new("user_op.sender", life.sender.to_string()),
            KeyValue::new("user_op.entry_point", life.entry_point.to_string()),
            KeyValue::new("user_op.end", last.milestone.name()),
        ],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status,
        instrumentation_scope: InstrumentationScope::builder("fabstir").build(),
    };
    let step = |(number, step): (usize, &bundler::Step)| {
        let mut attributes = vec![
            KeyValue::new("user_op.milestone", step.milestone.name()),
            KeyValue::new("block.number", i64::try_from(step.block).unwrap_or(i64::MAX)),
        ];
        if let Some(transaction) = step.transaction {
            attributes.push(KeyValue::new("transaction.hash", transaction.to_string()));
        }
        if let Some(reason) = &step.reason {
            attributes.push(KeyValue::new("reason", reason.to_string()));
        }
        SpanData {
            span_context: own(number),
            parent_span_id: root.span_id(),
            span_kind: SpanKind::Internal,
            name: step.milestone.work().into(),
            start_time: UNIX_EPOCH + life.began(number),
            end_time: UNIX_EPOCH + step.at,
            attributes,
            status: Status::Unset,
            ..whole.clone()
        }
    };
    let steps: Vec<_> = life.steps.iter().enumerate().skip(1).map(step).collect();
    [whole].into_iter().chain(steps).collect()
}

fn id_of(number: u64) -> SpanId {
    SpanId::from_bytes(number.to_be_bytes())
}
