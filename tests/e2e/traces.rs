//! The trace of one operation shows every stage with its time: to a real OTLP collector, to whoever asks, in the log.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::{hex, primitives::B256};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    trace::v1::Span,
};
use prost::Message;
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{
    Anvil, Stack,
    stack::{NodeProcess, fabstir},
};
use tokio::{net::TcpListener, process::Command};

use crate::attacks::{approval, sponsored};

/// What an operation that is included by us goes through.
const STAGES: [&str; 10] =
    ["received", "validated", "pooled", "accepted", "bundled", "proven", "signed", "broadcast", "mined", "settled"];

/// Takes OTLP over HTTP, as a collector does.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<BTreeSet<String>>>,
}

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let (collector, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        let of_task = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let collector = of_task.clone();
                let service = service_fn(move |request| collector.clone().take(request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        (collector, address)
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        assert_eq!(request.uri().path(), "/v1/traces");
        assert_eq!(request.headers()["content-type"], "application/x-protobuf");
        let body = request.into_body().collect().await?.to_bytes();
        let export = ExportTraceServiceRequest::decode(body).unwrap();
        for resource in export.resource_spans {
            let about = resource.resource.unwrap();
            let name = about.attributes.iter().find(|it| it.key == "service.name").unwrap();
            self.services.lock().unwrap().insert(format!("{:?}", name.value));
            self.spans.lock().unwrap().extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        Ok(Response::new(Full::new(ExportTraceServiceResponse::default().encode_to_vec().into())))
    }

    /// The spans of this operation, the whole first and the steps in order, once they are there.
    async fn trace(&self, hash: B256) -> Vec<Span> {
        for _ in 0..400 {
            let spans = self.spans.lock().unwrap().clone();
            let mut spans: Vec<_> = spans.into_iter().filter(|span| span.trace_id == hash[..16]).collect();
            if !spans.is_empty() {
                spans.sort_by_key(|span| (!span.parent_span_id.is_empty(), span.end_time_unix_nano));
                return spans;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no trace of {hash}");
    }
}

/// That an operation is accepted, which is when it is durable, is told while its bundle is being proven: its place may be
/// anywhere before the transaction is sent.
fn in_order(mut stages: Vec<String>) -> Vec<String> {
    let position = |name: &str| stages.iter().position(|it| it == name).unwrap();
    let (accepted, pooled, broadcast) = (position("accepted"), position("pooled"), position("broadcast"));
    assert!(pooled < accepted && accepted < broadcast, "{stages:?}");
    let accepted = stages.remove(accepted);
    stages.insert(pooled + 1, accepted);
    stages
}

fn attribute(span: &Span, key: &str) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value::{IntValue, StringValue};
    let value = span.attributes.iter().find(|it| it.key == key).and_then(|it| it.value.clone()?.value);
    match value {
        Some(StringValue(text)) => text,
        Some(IntValue(number)) => number.to_string(),
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_one_operation_shows_every_stage_with_its_time() {
    let (collector, address) = Collector::start().await;
    let anvil = Anvil::start().await.unwrap();
    let (url, endpoint) = (anvil.url.clone(), format!("http://{address}"));
    let folder = std::env::temp_dir().join(format!("fabstir-traces-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (data, log) = (folder.join("data").display().to_string(), folder.join("log"));
    let arguments = ["--otlp-endpoint", &endpoint, "--data-dir", &data, "--log-format", "json"];
    let stack = Stack::logged(anvil, &url, &arguments, &log).await.unwrap();
    let (client, op) = sponsored(&stack).await;
    let hash = client.send(&client.sign(op).unwrap()).await.unwrap();
    let transaction = client.wait(hash).await.unwrap();

    let spans = collector.trace(hash).await;
    let (whole, steps) = spans.split_first().unwrap();
    assert_eq!(attribute(whole, "user_op.hash"), hash.to_string());
    assert_eq!(attribute(whole, "user_op.end"), "settled");
    let stages: Vec<_> = steps.iter().map(|step| attribute(step, "user_op.milestone")).collect();
    assert_eq!(in_order(stages), STAGES[1..], "every stage but the first, which is where the whole begins");
    let mut reached = BTreeSet::from([whole.start_time_unix_nano]);
    for step in steps {
        assert_eq!(step.parent_span_id, whole.span_id);
        let (start, end) = (step.start_time_unix_nano, step.end_time_unix_nano);
        assert!(reached.contains(&start), "{} begins where one before it ends", step.name);
        assert!(end >= start, "{}", step.name);
        reached.insert(end);
    }
    assert_eq!(reached.last(), Some(&whole.end_time_unix_nano));
    let ids: BTreeSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
    assert_eq!(ids.len(), spans.len());
    let mined = steps.iter().find(|step| attribute(step, "user_op.milestone") == "mined").unwrap();
    assert_eq!(attribute(mined, "transaction.hash"), transaction.to_string());
    assert_eq!(*collector.services.lock().unwrap().iter().next().unwrap(), format!("{:?}", Some(text("fabstir"))));

    // The same of whoever asks, by JSON-RPC and on the command line.
    let told = stack.node.ask("fabstir_getUserOperationTrace", vec![json!(hash)]).await.unwrap();
    assert_eq!(told["traceId"], hex::encode(&whole.trace_id));
    let told =
        told["steps"].as_array().unwrap().iter().map(|step| step["stage"].as_str().unwrap().to_owned()).collect();
    assert_eq!(in_order(told), STAGES);
    let shown = Command::new(fabstir()).args(["trace", &hash.to_string(), "--rpc-url", &stack.node.url]).output();
    let shown = String::from_utf8(shown.await.unwrap().stdout).unwrap();
    assert!(STAGES.iter().all(|stage| shown.contains(&format!(" {stage} "))), "{shown}");
    println!("{shown}");

    refused(&stack, &collector).await;

    // Every line of the log is an object, and the operation is found in it by its hash.
    let log = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let included = lines.iter().find(|line| line["message"] == "included" && line["user_op_hash"] == json!(hash));
    let included = included.expect("its inclusion is in the log");
    assert_eq!((&included["level"], &included["transaction"]), (&json!("INFO"), &json!(transaction)));
    std::fs::remove_dir_all(folder).unwrap();
}

/// One that is not taken has a trace too, which ends there and says why.
async fn refused(stack: &Stack, collector: &Collector) {
    let client = stack.client(SecretKey::generate(), 0).await.unwrap();
    let mut op = client.prepare(&[approval(stack, 3)]).await.unwrap();
    // Nobody's signature, which validation alone finds out.
    let others = stack.client(SecretKey::generate(), 0).await.unwrap();
    op = others.sign(op).unwrap();
    client.send(&op).await.unwrap_err();
    let refused = async {
        loop {
            let spans = collector.spans.lock().unwrap().clone();
            let is = |span: &Span| span.parent_span_id.is_empty() && attribute(span, "user_op.end") == "refused";
            if let Some(span) = spans.into_iter().find(is) {
                return span;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let span = tokio::time::timeout(Duration::from_secs(20), refused).await.unwrap();
    assert_eq!(attribute(&span, "user_op.sender"), client.account.to_string());
    let status = span.status.unwrap();
    assert!(status.code == 2 && status.message.contains("signature"), "{status:?}");
}

fn text(value: &str) -> opentelemetry_proto::tonic::common::v1::AnyValue {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value::StringValue};
    AnyValue { value: Some(StringValue(value.to_owned())) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_traces_and_nothing_else() {
    let metrics = tests::prometheus::free_port().unwrap().to_string();
    let nowhere = format!("http://{}", tests::prometheus::free_port().unwrap());
    let stack = Stack::start(&["--otlp-endpoint", &nowhere, "--metrics-listen", &metrics]).await.unwrap();
    sponsored(&stack).await;
    let lost = async {
        loop {
            let (_, text) = tests::prometheus::get(&format!("http://{metrics}/metrics")).await.unwrap();
            if text.lines().any(|line| line.starts_with("fabstir_traces_lost_total ") && !line.ends_with(" 0")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), lost).await.unwrap();
    // It starts whatever the collector does.
    let _: &NodeProcess = &stack.node;
    sponsored(&stack).await;
}
