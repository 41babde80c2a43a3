//! One node's endpoint, over HTTP or WebSocket, and how it has been doing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use jsonrpsee::{
    core::{
        ClientError,
        client::{BatchResponse, ClientT, Subscription, SubscriptionClientT},
        params::{ArrayParams, BatchRequestBuilder},
        traits::ToRpcParams,
    },
    http_client::{HttpClient, HttpClientBuilder},
    rpc_params,
    ws_client::{WsClient, WsClientBuilder},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};

use super::{NodeError, redact::Secrets};
use crate::world::{Reply, Wire};

/// Largest answer taken, in bytes.
const MAX_ANSWER: u32 = 64 * 1024 * 1024;

/// See the module. Its `Debug` and its errors hold no more of the URL than scheme, host and port.
pub(super) struct Endpoint {
    secrets: Secrets,
    url: String,
    patience: Duration,
    transport: Transport,
    /// Newest block it is known to have.
    height: AtomicU64,
    failing: AtomicBool,
}

enum Transport {
    Http(HttpClient),
    /// Connected on first use, and again when the connection is lost. The lock lets one connect at a time.
    WebSocket(tokio::sync::Mutex<Option<Arc<WsClient>>>),
    /// Not by a URL.
    Other(Arc<dyn Wire>),
}

impl Endpoint {
    /// An endpoint that is given this long for an answer.
    pub(super) fn new(url: &str, patience: Duration) -> Result<Self, NodeError> {
        let secrets = Secrets::of(url);
        let transport = if url.starts_with("ws://") || url.starts_with("wss://") {
            Transport::WebSocket(tokio::sync::Mutex::default())
        } else {
            let http = HttpClientBuilder::default().request_timeout(patience).max_response_size(MAX_ANSWER).build(url);
            Transport::Http(http.map_err(|error| NodeError::Url(secrets.redact(&error.to_string())))?)
        };
        let (height, failing) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Self { secrets, url: url.to_owned(), patience, transport, height, failing })
    }

    /// One that is reached otherwise, and is given this long for an answer.
    pub(super) fn through(wire: Arc<dyn Wire>, patience: Duration) -> Self {
        let (height, failing) = (AtomicU64::new(0), AtomicBool::new(false));
        let (secrets, transport) = (Secrets::of("wire://"), Transport::Other(wire));
        Self { secrets, url: String::new(), patience, transport, height, failing }
    }

    async fn ask(
        &self,
        wire: &dyn Wire,
        method: &'static str,
        questions: Vec<(String, Option<Box<RawValue>>)>,
    ) -> Result<Vec<Reply>, NodeError> {
        let failed = |reason: String| NodeError::Transport { method, reason };
        let answer = tokio::time::timeout(self.patience, wire.ask(questions)).await;
        answer.map_err(|_| failed("Request timeout".into()))?.map_err(failed)
    }

    async fn connection(&self, held: &tokio::sync::Mutex<Option<Arc<WsClient>>>) -> Result<Arc<WsClient>, ClientError> {
        let mut held = held.lock().await;
        if let Some(client) = held.as_ref().filter(|client| client.is_connected()) {
            return Ok(Arc::clone(client));
        }
        let builder = WsClientBuilder::default()
            .request_timeout(self.patience)
            .connection_timeout(self.patience)
            .max_response_size(MAX_ANSWER);
        let client = Arc::new(builder.build(&self.url).await?);
        *held = Some(Arc::clone(&client));
        Ok(client)
    }

    pub(super) async fn request<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: ArrayParams,
    ) -> Result<R, NodeError> {
        let answer = match &self.transport {
            Transport::Other(wire) => {
                let params =
                    params.to_rpc_params().map_err(|error| self.error(method, ClientError::ParseError(error)))?;
                let answers = self.ask(&**wire, method, vec![(method.to_owned(), params)]).await?;
                return one(method, answers.into_iter().next().unwrap_or(Ok(Value::Null)));
            }
            Transport::Http(http) => http.request(method, params).await,
            Transport::WebSocket(held) => match self.connection(held).await {
                Ok(client) => client.request(method, params).await,
                Err(error) => Err(error),
            },
        };
        answer.map_err(|error| self.error(method, error))
    }

    /// All answers of a batch, or an error.
    pub(super) async fn batch<R: DeserializeOwned + Clone + std::fmt::Debug + 'static>(
        &self,
        method: &'static str,
        batch: BatchRequestBuilder<'static>,
        count: usize,
    ) -> Result<Vec<R>, NodeError> {
        let answers: Result<BatchResponse<'_, R>, ClientError> = match &self.transport {
            Transport::Other(wire) => {
                let questions = batch.build().unwrap_or_default();
                let questions = questions.into_iter().map(|(name, params)| (name.to_owned(), params)).collect();
                let answers = self.ask(&**wire, method, questions).await?;
                let values = answers.into_iter().map(|answer| one(method, answer)).collect::<Result<Vec<_>, _>>()?;
                return whole(method, values, count);
            }
            Transport::Http(http) => http.batch_request(batch).await,
            Transport::WebSocket(held) => match self.connection(held).await {
                Ok(client) => client.batch_request(batch).await,
                Err(error) => Err(error),
            },
        };
        let answers = answers.map_err(|error| self.error(method, error))?;
        let refused = |error: jsonrpsee::types::ErrorObject<'_>| NodeError::refused(method, &error);
        let values = answers.into_iter().map(|answer| answer.map_err(refused)).collect::<Result<Vec<_>, _>>()?;
        whole(method, values, count)
    }

    /// New heads as the node announces them; none over HTTP.
    pub(super) async fn new_heads(&self) -> Result<Option<Subscription<Value>>, NodeError> {
        const METHOD: &str = "eth_subscribe";
        let Transport::WebSocket(held) = &self.transport else { return Ok(None) };
        let subscribed = match self.connection(held).await {
            Ok(client) => client.subscribe(METHOD, rpc_params!["newHeads"], "eth_unsubscribe").await,
            Err(error) => Err(error),
        };
        subscribed.map(Some).map_err(|error| self.error(METHOD, error))
    }

    fn error(&self, method: &'static str, error: ClientError) -> NodeError {
        match NodeError::from_call(method, error) {
            NodeError::Transport { method, reason } => {
                NodeError::Transport { method, reason: self.secrets.redact(&reason) }
            }
            other => other,
        }
    }

    /// What may be shown of its URL.
    pub(super) fn label(&self) -> &str {
        self.secrets.label()
    }

    pub(super) fn height(&self) -> u64 {
        self.height.load(Ordering::Relaxed)
    }

    pub(super) fn reached(&self, height: u64) {
        self.height.store(height, Ordering::Relaxed);
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Takes note of how it does; whether that is news.
    pub(super) fn set_failing(&self, failing: bool) -> bool {
        self.failing.swap(failing, Ordering::Relaxed) != failing
    }
}

/// One answer of a [`Wire`].
fn one<R: DeserializeOwned>(method: &'static str, answer: Reply) -> Result<R, NodeError> {
    let value = answer.map_err(|(code, message)| NodeError::Refused { method, code, message, data: None })?;
    serde_json::from_value(value).map_err(|error| NodeError::Unreadable { method, reason: error.to_string() })
}

/// These, if there are as many as questions.
fn whole<R>(method: &'static str, values: Vec<R>, count: usize) -> Result<Vec<R>, NodeError> {
    if values.len() != count {
        let reason = format!("{} answers to {count} questions", values.len());
        return Err(NodeError::Unreadable { method, reason });
    }
    Ok(values)
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({})", self.label())
    }
}
