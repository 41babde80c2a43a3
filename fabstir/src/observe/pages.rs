//! `/live`, `/ready` and `/metrics`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use super::Board;

pub(super) fn health(board: &Arc<Board>) -> Router {
    Router::new().route("/live", get(live)).route("/ready", get(ready)).with_state(Arc::clone(board))
}

/// 503 means: start it anew.
async fn live(State(board): State<Arc<Board>>) -> Response {
    if board.is_alive() {
        return "alive\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "the engine does not answer\n").into_response()
}

/// 503 means: send it no requests, and look at the reasons.
async fn ready(State(board): State<Arc<Board>>) -> Response {
    let problems = board.problems();
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let reasons: Vec<_> = problems.iter().map(|(check, reason)| json!({ "check": check, "reason": reason })).collect();
    (status, Json(json!({ "ready": problems.is_empty(), "reasons": reasons, "checks": board.names() }))).into_response()
}

pub(super) fn metrics(handle: PrometheusHandle) -> Router {
    let text = move || {
        let handle = handle.clone();
        async move {
            handle.run_upkeep();
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
        }
    };
    Router::new().route("/metrics", get(text))
}
