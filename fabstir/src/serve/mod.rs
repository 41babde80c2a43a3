//! The JSON-RPC endpoint: HTTP and WebSocket on one port, with limits on size, batches, connections and callers.

mod limit;
mod quota;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::Router;
use jsonrpsee::{
    Methods,
    core::middleware::RpcServiceBuilder,
    server::{
        BatchRequestConfig, HttpBody, HttpRequest, Server, ServerConfig, ServerHandle, StopHandle,
        serve_with_graceful_shutdown, stop_channel,
    },
};
use tokio::net::TcpListener;
use tower::{Service, service_fn};
use tower_http::cors::CorsLayer;

use crate::sessions;
use limit::{Limited, Limiter, caller};
pub use quota::SharedQuota;

/// Largest request body, in bytes: a few operations of the largest size a transaction can carry.
const MAX_REQUEST: u32 = 1024 * 1024;
/// Calls in one request.
const MAX_BATCH: u32 = 50;
/// Connections at the same time.
const MAX_CONNECTIONS: u32 = 1_000;
/// Calls a second of one caller that run the EVM, by default: about a fifth of what one core validates.
pub const CALLS_PER_SECOND: u32 = 1_000;
/// Between two looks for callers that have gone.
const SWEEP: Duration = Duration::from_secs(60);

/// Whom to serve, and how much.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Calls a second of one caller that run the EVM; ten times as many others. 0: no limit.
    pub calls_per_second: u32,
    /// Whether `X-Forwarded-For` tells who calls: only behind a proxy that sets it.
    pub behind_proxy: bool,
    /// Where callers are counted together with other nodes; else each node counts its own.
    pub shared: Option<SharedQuota>,
}

/// Serves `methods`, and these pages to whoever gets them by HTTP; where, and the handle to stop it by.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn start(
    settings: Settings,
    methods: impl Into<Methods>,
    pages: Router,
) -> Result<(SocketAddr, ServerHandle)> {
    let listener =
        TcpListener::bind(settings.listen).await.with_context(|| format!("listening on {}", settings.listen))?;
    let address = listener.local_addr()?;
    let (stop, handle) = stop_channel();
    tokio::spawn(accept(listener, settings, methods.into(), pages, stop));
    Ok((address, handle))
}

async fn accept(listener: TcpListener, settings: Settings, methods: Methods, pages: Router, stop: StopHandle) {
    let config = ServerConfig::builder()
        .max_request_body_size(MAX_REQUEST)
        .max_connections(MAX_CONNECTIONS)
        .set_batch_request_config(BatchRequestConfig::Limit(MAX_BATCH))
        .build();
    let builder = Server::builder()
        .set_config(config)
        .set_http_middleware(tower::ServiceBuilder::new().layer(CorsLayer::permissive()))
        .to_service_builder();
    let limiter = Limiter::new(settings.calls_per_second, settings.shared);
    let behind_proxy = settings.behind_proxy;
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    continue;
                }
            },
            _ = sweep.tick() => {
                limiter.forget_the_silent();
                continue;
            }
            () = stop.clone().shutdown() => return,
        };
        let (builder, methods, limiter, stopped) = (builder.clone(), methods.clone(), limiter.clone(), stop.clone());
        let pages = pages.clone();
        let service = service_fn(move |mut request: HttpRequest<hyper::body::Incoming>| {
            let page = is_page(&request).then(|| pages.clone());
            let shown = request.headers().get(hyper::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            let shown = session_keys::rpc::Caller::of_header(shown);
            request.extensions_mut().insert(shown);
            let (sponsored, of_session) = sponsored_as(&request);
            request.extensions_mut().insert(sponsored);
            request.extensions_mut().insert(of_session);
            let who = if behind_proxy { forwarded_for(&request) } else { None };
            let (limiter, who) = (limiter.clone(), caller(who.unwrap_or(peer.ip())));
            let limited = RpcServiceBuilder::new().layer_fn(move |inner| Limited {
                inner,
                limiter: limiter.clone(),
                caller: who,
            });
            let mut service = builder.clone().set_rpc_middleware(limited).build(methods.clone(), stopped.clone());
            async move {
                match page {
                    Some(mut pages) => {
                        let Ok(response) = pages.call(request.map(axum::body::Body::new)).await;
                        Ok(response.map(HttpBody::new))
                    }
                    None => service.call(request.map(HttpBody::new)).await,
                }
            }
        });
        tokio::spawn(serve_with_graceful_shutdown(stream, service, stop.clone().shutdown()));
    }
}

/// Whether it is no JSON-RPC: a WebSocket begins with a GET too, at any other path.
fn is_page<B>(request: &HttpRequest<B>) -> bool {
    let path = request.uri().path();
    request.method() == hyper::Method::GET && (matches!(path, "/live" | "/ready") || path.starts_with("/explorer"))
}

/// Under which policy a caller asks for sponsorship: `/p/POLICY`, or an API key; and the same where a session asks, whose
/// own token is in `Authorization`.
fn sponsored_as<B>(request: &HttpRequest<B>) -> (paymaster::Caller, sessions::Sponsored) {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (path, key) = (request.uri().path(), header("x-api-key"));
    let caller = paymaster::Caller::of(path, header("authorization"), key);
    (caller, sessions::Sponsored(paymaster::Caller::of(path, None, key)))
}

/// The address that the proxy in front of us saw: the last it has added.
fn forwarded_for<B>(request: &HttpRequest<B>) -> Option<IpAddr> {
    let header = request.headers().get_all("x-forwarded-for").iter().next_back()?;
    header.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}
