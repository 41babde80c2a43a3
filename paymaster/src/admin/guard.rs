//! Wrong keys are tried slowly: whoever gives some is not listened to for a while.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::{ConnectInfo, Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Wrong keys of one address that are answered at once.
const FREE: u32 = 100;
/// Until one of them is forgotten.
const FORGET: Duration = Duration::from_secs(1);
/// Addresses that are remembered.
const MOST: usize = 10_000;

/// Who gave wrong keys lately.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<IpAddr, Instant>>);

impl Failures {
    /// Whether this address has to wait: when what it did is forgotten lies too far ahead.
    fn are_too_many(&self, from: IpAddr, now: Instant) -> bool {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(&from).is_some_and(|forgotten| *forgotten > now + FORGET * (FREE - 1))
    }

    fn note(&self, from: IpAddr, now: Instant) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MOST {
            failures.retain(|_, forgotten| *forgotten > now);
        }
        let known = failures.get(&from).copied().unwrap_or(now).max(now);
        if failures.len() < MOST || failures.contains_key(&from) {
            failures.insert(from, known + FORGET);
        }
    }
}

/// Before any route: refuses who has given too many wrong keys, and counts those that a route finds wrong.
pub(super) async fn guard(State(failures): State<Arc<Failures>>, request: Request, next: Next) -> Response {
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let Some(from) = from else { return next.run(request).await };
    if failures.are_too_many(from, Instant::now()) {
        let error = json!({ "error": "too many wrong keys from this address: wait a while" });
        return (StatusCode::TOO_MANY_REQUESTS, Json(error)).into_response();
    }
    let response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        failures.note(from, Instant::now());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_wrong_keys_are_answered_and_then_one_a_second() {
        let (failures, start) = (Failures::default(), Instant::now());
        let [one, other] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        for _ in 0..FREE {
            assert!(!failures.are_too_many(one, start));
            failures.note(one, start);
        }
        assert!(failures.are_too_many(one, start) && !failures.are_too_many(other, start));
        let later = start + FORGET;
        assert!(!failures.are_too_many(one, later));
        failures.note(one, later);
        assert!(failures.are_too_many(one, later));
        assert!(!failures.are_too_many(one, later + FORGET * FREE));
    }
}
