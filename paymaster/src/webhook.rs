//! Somebody else's word on a sponsorship, over HTTP.
//!
//! `POST url` with the operation, what was decided of it and the context it came with; the answer is `{"sponsor": true}`, or
//! `{"sponsor": false, "reason": "…"}`. Any other answer, or none in time, is a failure.
//!
//! Asked once for each sponsorship, after everything else; asked again for the same, its yes still counts. Signed, if it has
//! a secret: `x-fabstir-timestamp` has the seconds since 1970, `x-fabstir-signature` is `v1=` and the HMAC-SHA256, in hex, of
//! timestamp, a dot and the body.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hmac::{Hmac, Mac};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, body::Bytes, header::CONTENT_TYPE};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::{policy::Webhook, service::unix_now};

/// Bytes of an answer that are read.
const MOST: usize = 16 * 1024;
/// Characters of a reason that are passed on.
const REASON: usize = 200;

/// Requests to webhooks at a time.
const AT_ONCE: usize = 32;
/// For so long a yes counts for the same question.
const REMEMBERED: Duration = Duration::from_secs(120);
/// Of so many questions.
const MOST_REMEMBERED: usize = 4_096;

/// Asks webhooks.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    places: Arc<Semaphore>,
    /// Hashes of questions that were said yes to, and when.
    granted: Arc<Mutex<HashMap<[u8; 32], Instant>>>,
}

#[derive(Deserialize)]
struct Answer {
    sponsor: bool,
    #[serde(default)]
    reason: Option<String>,
}

impl Default for Asker {
    fn default() -> Self {
        let https =
            hyper_rustls::HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
        Self {
            client: Client::builder(TokioExecutor::new()).build(https),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            granted: Arc::default(),
        }
    }
}

impl Asker {
    /// Whether it is for it; else why not.
    pub(crate) async fn ask(&self, webhook: &Webhook, question: &Value) -> Result<(), String> {
        let patience = Duration::from_millis(webhook.timeout);
        let mut asked = question.clone();
        let about: [u8; 32] = Sha256::digest(format!("{} {asked}", webhook.url)).into();
        if self.is_granted(&about) {
            return Ok(());
        }
        asked["askedAt"] = unix_now().into();
        let answer = tokio::time::timeout(patience, self.post(webhook, asked.to_string())).await;
        match answer {
            Ok(Ok(Answer { sponsor: true, .. })) => {
                self.remember(about);
                Ok(())
            }
            Ok(Ok(Answer { reason, .. })) => {
                let reason = reason.unwrap_or_else(|| "the policy's webhook says no".into());
                Err(reason.chars().filter(|it| !it.is_control()).take(REASON).collect())
            }
            failed => {
                // Not told to strangers: it may name hosts.
                let why = match failed {
                    Ok(Err(error)) => error,
                    _ => "no answer in time".into(),
                };
                tracing::warn!(%why, sponsored = webhook.sponsors_on_failure, "a policy's webhook failed");
                if webhook.sponsors_on_failure { Ok(()) } else { Err("the policy's webhook did not answer".into()) }
            }
        }
    }

    fn is_granted(&self, about: &[u8; 32]) -> bool {
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.get(about).is_some_and(|since| since.elapsed() < REMEMBERED)
    }

    fn remember(&self, about: [u8; 32]) {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        if granted.len() >= MOST_REMEMBERED {
            granted.retain(|_, since| since.elapsed() < REMEMBERED);
        }
        if granted.len() >= MOST_REMEMBERED {
            granted.clear();
        }
        granted.insert(about, Instant::now());
    }

    async fn post(&self, webhook: &Webhook, body: String) -> Result<Answer, String> {
        let _place = self.places.acquire().await.map_err(|error| error.to_string())?;
        let mut request = Request::post(&webhook.url).header(CONTENT_TYPE, "application/json");
        if let Some(variable) = &webhook.secret_env {
            let secret = std::env::var(variable).map_err(|_| format!("{variable}, its secret, is not set"))?;
            let timestamp = unix_now().to_string();
            let signature = signature(secret.as_bytes(), &timestamp, body.as_bytes())?;
            request = request.header("x-fabstir-timestamp", timestamp).header("x-fabstir-signature", signature);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("status {}", response.status()));
        }
        let body = Limited::new(response.into_body(), MOST).collect().await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())
    }
}

/// What it can tell us by.
fn signature(secret: &[u8], timestamp: &str, body: &[u8]) -> Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|error| error.to_string())?;
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    Ok(format!("v1={}", alloy::hex::encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::{Json, Router, routing::post};
    use serde_json::json;

    use super::*;

    async fn answers(answer: Value) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let app = Router::new().route("/", post(move || async move { Json(answer) }));
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    async fn ask(url: String, sponsors_on_failure: bool, timeout: u64) -> Result<(), String> {
        Asker::default().ask(&Webhook { url, timeout, sponsors_on_failure, secret_env: None }, &json!({})).await
    }

    #[tokio::test]
    async fn its_word_counts_and_its_reason_is_passed_on() {
        assert_eq!(ask(answers(json!({ "sponsor": true })).await, false, 60_000).await, Ok(()));
        let no = answers(json!({ "sponsor": false, "reason": "not on Sundays" })).await;
        assert_eq!(ask(no, true, 60_000).await, Err("not on Sundays".into()));
    }

    #[tokio::test]
    async fn no_word_is_no_unless_the_policy_says_otherwise() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        assert!(ask(url.clone(), false, 50).await.is_err());
        assert_eq!(ask(url, true, 50).await, Ok(()));
        assert!(ask(answers(json!({ "sponsored": "perhaps" })).await, false, 60_000).await.is_err());
    }

    #[tokio::test]
    async fn one_sponsorship_is_asked_for_once_and_a_no_is_not_remembered() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let times = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&times);
        let answer = move |Json(asked): Json<Value>| async move {
            counted.fetch_add(1, Ordering::SeqCst);
            Json(json!({ "sponsor": asked["good"] }))
        };
        let app = Router::new().route("/", post(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let asker = Asker::default();
        let webhook = Webhook { url, timeout: 60_000, sponsors_on_failure: false, secret_env: None };
        for _ in 0..3 {
            assert_eq!(asker.ask(&webhook, &json!({ "good": true })).await, Ok(()));
        }
        assert_eq!(times.load(Ordering::SeqCst), 1);
        for _ in 0..2 {
            assert!(asker.ask(&webhook, &json!({ "good": false })).await.is_err());
        }
        assert_eq!(times.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn the_signature_is_the_hmac_of_time_and_body() {
        // RFC 4231, test case 2: the data is told in two parts, with the dot between.
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        let digits = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(alloy::hex::encode(mac.finalize().into_bytes()), digits);
        let signed = signature(b"secret", "1", b"{}").unwrap();
        assert!(signed.starts_with("v1=") && signed.len() == 67);
        for other in
            [signature(b"secret", "2", b"{}"), signature(b"secret", "1", b"{ }"), signature(b"other", "1", b"{}")]
        {
            assert_ne!(other.unwrap(), signed);
        }
    }

    #[tokio::test]
    async fn without_its_secret_nothing_is_asked() {
        let url = answers(json!({ "sponsor": true })).await;
        let secret_env = Some("FABSTIR_NO_SUCH_SECRET".to_owned());
        let webhook = Webhook { url, timeout: 60_000, sponsors_on_failure: false, secret_env };
        assert!(Asker::default().ask(&webhook, &json!({})).await.is_err());
    }
}
