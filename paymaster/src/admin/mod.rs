//! The operator's side: HTTP with keys by role, on a listener of its own.
//!
//! - [`auth`]: who may do what. `audit`: what was done, in a file that only grows.
//! - `policies`, `budgets`, `switch`, `events`: the routes. `openapi.json` describes them and is served.
//! - `rpc`: JSON-RPC methods that another role of the process brings along ([`Controls`]).
//! - `console`: pages for people, on the same listener; they use the same routes with the key that is typed in.
//!
//! What changes anything is in the audit log, on disk, before it happens; what cannot be logged does not happen.

mod audit;
mod auth;
mod budgets;
mod console;
mod events;
pub mod pages;
mod policies;
mod rpc;
mod switch;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

pub use audit::{Audit, AuditError, Entry};
pub use auth::{Keys, Role};
pub use rpc::{Controls, Fault, Needs};

use crate::{Refusal, Service, policies::Source, policy::PolicyError};

/// What the routes work on.
#[derive(Debug)]
pub struct Admin {
    service: Arc<Service>,
    /// Where policies are written; without it they are built in, and cannot be changed.
    source: Option<Source>,
    keys: Keys,
    audit: Audit,
    controls: Option<Arc<dyn Controls>>,
}

/// The operator's side of a process that sponsors nothing: methods of another role of its, and nothing else.
#[derive(Debug)]
struct Alone {
    keys: Keys,
    audit: Audit,
    controls: Arc<dyn Controls>,
}

/// Serves these methods at `/rpc` until aborted, for these keys, in this log. Must be called within a tokio runtime.
pub fn serve_controls(keys: Keys, audit: Audit, controls: Arc<dyn Controls>, listener: TcpListener) -> JoinHandle<()> {
    let app = Router::new().route("/rpc", post(rpc::rpc_alone)).with_state(Arc::new(Alone { keys, audit, controls }));
    spawn(listener, app)
}

fn spawn(listener: TcpListener, app: Router) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the admin API has stopped");
        }
    })
}

type Shared = axum::extract::State<Arc<Admin>>;
/// What stands after `?`, once the key is known to be good.
type Asked<T> = Result<Query<T>, QueryRejection>;

impl Admin {
    /// The operator's side of this service. Sponsorship is paused if it was when the log was last written.
    pub fn new(service: Arc<Service>, source: Option<Source>, keys: Keys, audit: Audit) -> Self {
        service.set_paused(audit.was_paused());
        Self { service, source, keys, audit, controls: None }
    }

    /// With methods of another role of the process, at `/rpc`.
    pub fn with_controls(self, controls: Arc<dyn Controls>) -> Self {
        Self { controls: Some(controls), ..self }
    }

    /// Serves until aborted. Must be called within a tokio runtime.
    pub fn serve(self, listener: TcpListener) -> JoinHandle<()> {
        spawn(listener, router(Arc::new(self)))
    }
}

fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/v1/openapi.json", get(openapi))
        .route("/v1/status", get(switch::status))
        .route("/v1/pause", post(switch::pause))
        .route("/v1/resume", post(switch::resume))
        .route("/v1/denials", get(events::denials))
        .route("/v1/decisions", get(events::decisions))
        .route("/v1/events", get(events::events))
        .route("/v1/audit", get(switch::audit))
        .route("/v1/policies", get(policies::list))
        .route("/v1/policies/{id}", get(policies::show).put(policies::replace))
        .route("/v1/policies/{id}/check", post(policies::check))
        .route("/v1/policies/{id}/dry-run", post(policies::dry_run))
        .route("/v1/budgets", get(budgets::budgets))
        .route("/v1/usage", get(budgets::usage))
        .route("/v1/deposits", get(budgets::deposits))
        .route("/rpc", post(rpc::rpc))
        .with_state(admin)
        .merge(console::router())
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json")).into_response()
}

/// Why a route does not answer.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("an API key is needed: Authorization: Bearer KEY")]
    NoKey,
    #[error("the role {given:?} may not do this; {needed:?} may")]
    Role { given: Role, needed: Role },
    #[error("there is no policy {0}")]
    NoPolicy(String),
    #[error("policies are built in: start the node with --policies to change them")]
    BuiltIn,
    #[error("{0}")]
    Policy(#[from] PolicyError),
    #[error("{0}")]
    Field(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error("the policy could not be written: {0}")]
    Write(std::io::Error),
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::Field(rejection.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoKey => StatusCode::UNAUTHORIZED,
            Self::Role { .. } => StatusCode::FORBIDDEN,
            Self::NoPolicy(_) => StatusCode::NOT_FOUND,
            Self::BuiltIn => StatusCode::CONFLICT,
            Self::Policy(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Field(_) | Self::Refused(Refusal::Field(_) | Refusal::EntryPoint(_)) => StatusCode::BAD_REQUEST,
            Self::Refused(_) | Self::Audit(_) | Self::Write(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut body = json!({ "error": self.to_string() });
        if let Self::Policy(PolicyError { line, column, field, message, .. }) = &self {
            body["policy"] = json!({ "line": line, "column": column, "field": field, "message": message });
        }
        (status, Json(body)).into_response()
    }
}

type Answer = Result<Json<Value>, Problem>;
