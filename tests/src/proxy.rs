//! Stands before a node and writes down which methods it is asked; or makes it a far one.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Result;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::Value;
use tokio::net::TcpListener;

/// A logging proxy; it stops with the test's runtime.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its HTTP endpoint.
    pub url: String,
    methods: Arc<Mutex<BTreeMap<String, u64>>>,
}

/// What one connection needs to serve.
#[derive(Clone)]
struct Route {
    client: Client<HttpConnector, Full<Bytes>>,
    methods: Arc<Mutex<BTreeMap<String, u64>>>,
    target: String,
    delay: Duration,
}

impl Proxy {
    /// A proxy in front of `target`.
    pub async fn start(target: &str) -> Result<Self> {
        Self::start_far(target, Duration::ZERO).await
    }

    /// One that holds every HTTP request, a batch being one, for this long.
    pub async fn start_far(target: &str, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self { url: format!("http://{}", listener.local_addr()?), methods: Arc::default() };
        let client = Client::builder(TokioExecutor::new()).build_http();
        let route = Route { client, methods: Arc::clone(&proxy.methods), target: target.to_owned(), delay };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let route = route.clone();
                let service = service_fn(move |request| forward(route.clone(), request));
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(async move { connection.serve_connection(TokioIo::new(stream), service).await });
            }
        });
        Ok(proxy)
    }

    /// How often each method was asked for.
    pub fn methods(&self) -> BTreeMap<String, u64> {
        self.methods.lock().unwrap().clone()
    }
}

async fn forward(route: Route, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let Route { client, methods, target, delay } = route;
    let answer = async {
        let body = request.into_body().collect().await?.to_bytes();
        let calls: Value = serde_json::from_slice(&body)?;
        let calls = calls.as_array().cloned().unwrap_or_else(|| vec![calls]);
        for call in calls {
            let method = call["method"].as_str().unwrap_or("(none)").to_owned();
            *methods.lock().unwrap().entry(method).or_default() += 1;
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let request = Request::post(target).header("content-type", "application/json").body(Full::new(body))?;
        let (parts, body) = client.request(request).await?.into_parts();
        anyhow::Ok(Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
    };
    Ok(answer.await.unwrap_or_else(|error| {
        let mut response = Response::new(Full::new(error.to_string().into()));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    }))
}
