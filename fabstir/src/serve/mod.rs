//! The JSON-RPC endpoint: HTTP and WebSocket on one port, with limits on size, batches, connections and callers.
//!
//! `connections`: how many each address may have. `envelope`: JSON-RPC 2.0 to the letter. `limit`: how much each caller may
//! ask, and have simulated.

mod connections;
mod envelope;
mod limit;
mod quota;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use jsonrpsee::{
    Methods,
    core::middleware::RpcServiceBuilder,
    server::{
        BatchRequestConfig, HttpBody, HttpRequest, HttpResponse, PingConfig, Server, ServerConfig, ServerHandle,
        StopHandle, stop_channel,
    },
};
use tokio::net::{TcpListener, TcpStream};
use tower::{Service, service_fn};
use tower_http::cors::{AllowHeaders, CorsLayer};

use crate::sessions;
use connections::{Connections, Counted, Places};
use limit::{Limited, Limiter, caller};
pub use quota::SharedQuota;

/// Largest request body, in bytes: a few operations of the largest size a transaction can carry.
const MAX_REQUEST: u32 = 1024 * 1024;
/// Calls in one request.
const MAX_BATCH: u32 = 50;
/// Between two pings of a WebSocket; one that answers none for a little longer than that is closed.
const PING: Duration = Duration::from_secs(30);
/// How long a connection may take to send a request's head, from when it is opened or has its last answer.
const IDLE: Duration = Duration::from_secs(75);
/// How long a browser may remember that it may ask.
const PREFLIGHT: Duration = Duration::from_secs(7_200);
/// Pauses after a connection could not be accepted: twice as long each time.
const REST: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
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
    let connections = Connections::new();
    let ping = PingConfig::new().ping_interval(PING).inactive_limit(PING + PING / 3).max_failures(1);
    let config = ServerConfig::builder()
        .max_request_body_size(MAX_REQUEST)
        // Connections are counted here, by address.
        .max_connections(u32::try_from(connections.most()).unwrap_or(u32::MAX))
        .enable_ws_ping(ping)
        .set_batch_request_config(BatchRequestConfig::Limit(MAX_BATCH))
        .build();
    let builder = Server::builder()
        .set_config(config)
        .set_http_middleware(tower::ServiceBuilder::new().layer(cors()))
        .to_service_builder();
    let limiter = Limiter::new(settings.calls_per_second, settings.shared);
    let behind_proxy = settings.behind_proxy;
    let mut sweep = tokio::time::interval(SWEEP);
    let mut trouble = Trouble::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = sweep.tick() => {
                limiter.forget_the_silent();
                continue;
            }
            () = stop.clone().shutdown() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tokio::select! {
                    () = tokio::time::sleep(trouble.pause(&error)) => continue,
                    () = stop.clone().shutdown() => return,
                }
            }
        };
        trouble.is_over();
        // Behind a proxy all of them are the proxy's: there each WebSocket is counted for whom it is.
        let own = (!behind_proxy).then(|| connections.of(caller(peer.ip())));
        let (Some(place), Some(own)) = (connections.among_all(), own.map_or(Some(None), |own| own.map(Some))) else {
            refuse(&stream);
            continue;
        };
        let places: Places = Arc::new(Mutex::new(std::iter::once(place).chain(own).collect()));
        let stream = Counted { stream, _places: Arc::clone(&places) };
        let (builder, methods, limiter, stopped) = (builder.clone(), methods.clone(), limiter.clone(), stop.clone());
        let (pages, connections) = (pages.clone(), connections.clone());
        let asked = Arc::<AtomicBool>::default();
        let asks = Arc::clone(&asked);
        let service = service_fn(move |mut request: HttpRequest<hyper::body::Incoming>| {
            asks.store(true, Ordering::Relaxed);
            let page = is_page(&request).then(|| pages.clone());
            let shown = request.headers().get(hyper::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            let shown = session_keys::rpc::Caller::of_header(shown);
            request.extensions_mut().insert(shown);
            let (sponsored, of_session) = sponsored_as(&request);
            request.extensions_mut().insert(sponsored);
            request.extensions_mut().insert(of_session);
            let who = if behind_proxy { forwarded_for(&request) } else { None };
            let (limiter, who) = (limiter.clone(), caller(who.unwrap_or(peer.ip())));
            let stays = behind_proxy && request.headers().contains_key(hyper::header::UPGRADE);
            let crowded = stays && !take_place(&connections, &places, who);
            let served = methods.clone();
            let limited = RpcServiceBuilder::new().layer_fn(move |inner| Limited {
                inner,
                limiter: limiter.clone(),
                caller: who,
                methods: served.clone(),
            });
            let service = builder.clone().set_rpc_middleware(limited).build(methods.clone(), stopped.clone());
            async move {
                match page {
                    _ if crowded => Ok(too_many_connections()),
                    Some(mut pages) => {
                        let Ok(response) = pages.call(request.map(axum::body::Body::new)).await;
                        Ok(response.map(HttpBody::new))
                    }
                    None => envelope::through(service, request, MAX_REQUEST, MAX_BATCH as usize).await,
                }
            }
        });
        tokio::spawn(serve(stream, service, asked, stop.clone()));
    }
}

/// Pages of any origin may ask, with any header: `*` would not stand for `Authorization`, which sessions send.
fn cors() -> CorsLayer {
    CorsLayer::permissive().allow_headers(AllowHeaders::mirror_request()).max_age(PREFLIGHT)
}

/// Serves one connection until it ends, or we do, or it has not `asked` anything for too long.
async fn serve<S>(stream: Counted, service: S, asked: Arc<AtomicBool>, stop: StopHandle)
where
    S: Service<HttpRequest<hyper::body::Incoming>, Response = HttpResponse> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
    http.http2().timer(TokioTimer::new()).keep_alive_interval(PING);
    let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    // Before a connection has said which HTTP it speaks, no other clock runs.
    let silent = async {
        tokio::time::sleep(IDLE).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = silent => Ok(()),
        () = stop.shutdown() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended");
    }
}

/// Counts a connection for this address too, once; whether there was a place.
fn take_place(connections: &Connections, places: &Places, who: IpAddr) -> bool {
    let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
    if places.len() > 1 {
        return true;
    }
    connections.of(who).map(|place| places.push(place)).is_some()
}

const CROWDED: &str = "too many connections: close some, or ask in one";

fn too_many_connections() -> HttpResponse {
    let mut response = HttpResponse::new(HttpBody::from(CROWDED));
    *response.status_mut() = hyper::StatusCode::TOO_MANY_REQUESTS;
    response
}

/// Says why, if that can be said at once, and hangs up.
fn refuse(stream: &TcpStream) {
    let length = CROWDED.len();
    let text = format!(
        "HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{CROWDED}"
    );
    // Nobody has to hear it.
    let _ = stream.try_write(text.as_bytes());
    metrics::counter!("fabstir_connections_refused_total").increment(1);
}

/// Connections that cannot be accepted, one after the other: each is waited after for longer, and all of them are one line
/// in the log.
#[derive(Debug, Default)]
struct Trouble {
    pause: Option<Duration>,
}

impl Trouble {
    /// How long to wait before the next.
    fn pause(&mut self, error: &io::Error) -> Duration {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        // One that has gone before it came is nothing to wait for.
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return Duration::ZERO;
        }
        if self.pause.is_none() {
            tracing::error!(%error, "no connections can be accepted: trying again and again, quietly");
        }
        let pause = self.pause.map_or(REST.0, |pause| (pause * 2).min(REST.1));
        self.pause = Some(pause);
        pause
    }

    fn is_over(&mut self) {
        if self.pause.take().is_some() {
            tracing::warn!("connections are accepted again");
        }
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> HttpRequest<()> {
        let mut request = hyper::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn behind_a_proxy_the_caller_is_whom_it_has_added_last_and_not_whom_the_caller_says() {
        let who = |headers: &[&str]| {
            let headers: Vec<_> = headers.iter().map(|value| ("x-forwarded-for", *value)).collect();
            forwarded_for(&request("POST", "/", &headers))
        };
        assert_eq!(who(&[]), None);
        assert_eq!(who(&["10.0.0.1"]), Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))));
        assert_eq!(who(&["8.8.8.8, 10.0.0.2"]), Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))));
        assert_eq!(who(&["8.8.8.8", "9.9.9.9,10.0.0.3"]), Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3))));
        assert_eq!(who(&["2001:db8::1"]), "2001:db8::1".parse().ok());
        assert_eq!(who(&["10.0.0.1, somebody"]), None);
    }

    #[test]
    fn pages_are_got_and_everything_else_is_json_rpc() {
        for path in ["/live", "/ready", "/explorer", "/explorer/app.js"] {
            assert!(is_page(&request("GET", path, &[])), "{path}");
            assert!(!is_page(&request("POST", path, &[])), "{path}");
        }
        // A WebSocket begins with a GET.
        for path in ["/", "/p/policy", "/livelier", "/readyness"] {
            assert!(!is_page(&request("GET", path, &[])), "{path}");
        }
    }

    #[test]
    fn a_session_s_token_is_no_api_key() {
        let headers = [("authorization", "Bearer key")];
        let (caller, sessions::Sponsored(of_session)) = sponsored_as(&request("POST", "/p/jobs", &headers));
        assert_eq!(caller, paymaster::Caller::of("/p/jobs", Some("Bearer key"), None));
        assert_eq!(of_session, paymaster::Caller::of("/p/jobs", None, None));
        assert_ne!(caller, of_session);
        let (caller, sessions::Sponsored(of_session)) = sponsored_as(&request("POST", "/", &[("x-api-key", "key")]));
        assert_eq!((&caller, &of_session), (&paymaster::Caller::of("/", None, Some("key")), &caller));
    }

    #[test]
    fn behind_a_proxy_a_web_socket_takes_one_place_of_its_caller_s_however_often_it_asks() {
        let connections = Connections::new();
        let who = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let places: Places = Arc::new(Mutex::new(vec![connections.among_all().unwrap()]));
        for _ in 0..3 {
            assert!(take_place(&connections, &places, who));
        }
        assert_eq!(places.lock().unwrap().len(), 2);
        let others: Vec<_> = std::iter::from_fn(|| connections.of(who)).collect();
        let crowded: Places = Arc::new(Mutex::new(vec![connections.among_all().unwrap()]));
        assert!(!take_place(&connections, &crowded, who), "{} places", others.len());
        drop(places);
        assert!(take_place(&connections, &crowded, who), "given back with the connection");
    }

    #[test]
    fn accepting_is_tried_ever_more_seldom_while_it_fails_and_at_once_when_one_has_gone() {
        let mut trouble = Trouble::default();
        let out_of_files = io::Error::from_raw_os_error(24);
        let pauses: Vec<_> = (0..10).map(|_| trouble.pause(&out_of_files).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000, 1_000]);
        assert_eq!(trouble.pause(&io::ErrorKind::ConnectionAborted.into()), Duration::ZERO);
        trouble.is_over();
        assert_eq!(trouble.pause(&out_of_files).as_millis(), 10);
    }
}
