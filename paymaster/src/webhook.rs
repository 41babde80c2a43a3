//! Somebody else's word on a sponsorship, over HTTP.
//!
//! `POST url` with the operation and what was decided of it; the answer is `{"sponsor": true}`, or
//! `{"sponsor": false, "reason": "…"}`. Any other answer, or none in time, is a failure.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, body::Bytes, header::CONTENT_TYPE};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use serde_json::Value;

use crate::policy::Webhook;

/// Bytes of an answer that are read.
const MOST: usize = 16 * 1024;
/// Characters of a reason that are passed on.
const REASON: usize = 200;

/// Asks webhooks.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
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
        Self { client: Client::builder(TokioExecutor::new()).build(https) }
    }
}

impl Asker {
    /// Whether it is for it; else why not.
    pub(crate) async fn ask(&self, webhook: &Webhook, question: &Value) -> Result<(), String> {
        let patience = Duration::from_millis(webhook.timeout);
        let answer = tokio::time::timeout(patience, self.post(&webhook.url, question)).await;
        match answer {
            Ok(Ok(Answer { sponsor: true, .. })) => Ok(()),
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

    async fn post(&self, url: &str, question: &Value) -> Result<Answer, String> {
        let request = Request::post(url)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(question.to_string())))
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("status {}", response.status()));
        }
        let body = Limited::new(response.into_body(), MOST).collect().await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
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
        Asker::default().ask(&Webhook { url, timeout, sponsors_on_failure }, &json!({})).await
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
}
