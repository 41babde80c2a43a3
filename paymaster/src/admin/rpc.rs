//! What another role of the process lets its operator do: JSON-RPC on the same listener, for the same keys and roles, in
//! the same log.

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Value, json};

use std::sync::Arc;

use super::{Audit, Keys, Problem, Role, Shared, auth::Actor};

/// Calls in one request.
const MOST: usize = 20;

/// JSON-RPC 2.0's own codes, and ours for a role that may not.
const NO_JSON: i32 = -32700;
const NO_CALL: i32 = -32600;
const NO_METHOD: i32 = -32601;
const INTERNAL: i32 = -32603;
const NOT_ALLOWED: i32 = -32003;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// JSON-RPC code.
    pub code: i32,
    /// What was wrong.
    pub message: String,
    /// More of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl Fault {
    fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }
}

/// What a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Who may call it.
    pub role: Role,
    /// Whether it changes anything: then it is in the audit log before it is done.
    pub changes: bool,
}

/// Methods of another role of the process.
pub trait Controls: Send + Sync + std::fmt::Debug {
    /// What this method needs; none if there is no such method.
    fn needs(&self, method: &str) -> Option<Needs>;

    /// Does it.
    fn call<'a>(&'a self, method: &'a str, params: &'a [Value]) -> BoxFuture<'a, Result<Value, Fault>>;
}

pub(super) async fn rpc(State(admin): Shared, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    Desk { keys: &admin.keys, audit: &admin.audit, controls: admin.controls.as_ref() }.answer_all(&headers, &body).await
}

/// What is asked of a process that has nothing but these methods.
pub(super) async fn rpc_alone(
    State(alone): State<Arc<super::Alone>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    Desk { keys: &alone.keys, audit: &alone.audit, controls: Some(&alone.controls) }.answer_all(&headers, &body).await
}

/// Who may ask, where it is written down, and who does it.
#[derive(Clone, Copy)]
struct Desk<'a> {
    keys: &'a Keys,
    audit: &'a Audit,
    controls: Option<&'a Arc<dyn Controls>>,
}

impl Desk<'_> {
    async fn answer_all(self, headers: &HeaderMap, body: &[u8]) -> Result<Response, Problem> {
        let admin = self;
        let actor = admin.keys.admit(headers, Role::Viewer)?;
        let answer = match serde_json::from_slice::<Value>(body) {
            Err(_) => failed(Value::Null, Fault::new(NO_JSON, "not JSON")),
            Ok(Value::Array(calls)) if calls.is_empty() || calls.len() > MOST => {
                failed(Value::Null, Fault::new(NO_CALL, format!("1 to {MOST} calls in one request")))
            }
            Ok(Value::Array(calls)) => {
                let mut answers = Vec::new();
                for call in calls {
                    answers.push(admin.answer(&actor, &call).await);
                }
                Value::Array(answers)
            }
            Ok(call) => admin.answer(&actor, &call).await,
        };
        Ok(Json(answer).into_response())
    }
}

fn failed(id: Value, fault: Fault) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": fault })
}

impl Desk<'_> {
    async fn answer(&self, actor: &Actor, call: &Value) -> Value {
        let id = call.get("id").cloned().unwrap_or_default();
        match self.call(actor, call).await {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(fault) => failed(id, fault),
        }
    }

    async fn call(&self, actor: &Actor, call: &Value) -> Result<Value, Fault> {
        let method = call.get("method").and_then(Value::as_str).ok_or_else(|| Fault::new(NO_CALL, "no method"))?;
        let none = Vec::new();
        let params = match call.get("params") {
            None | Some(Value::Null) => &none,
            Some(Value::Array(params)) => params,
            Some(_) => return Err(Fault::new(NO_CALL, "params: a list, by position")),
        };
        let no_method = || Fault::new(NO_METHOD, format!("there is no method {method} here"));
        let controls = self.controls.ok_or_else(no_method)?;
        let Needs { role, changes } = controls.needs(method).ok_or_else(no_method)?;
        if actor.role < role {
            return Err(Fault::new(NOT_ALLOWED, Problem::Role { given: actor.role, needed: role }.to_string()));
        }
        if changes {
            let logged = self.audit.append(actor, method, json!(params));
            logged.map_err(|error| Fault::new(INTERNAL, error.to_string()))?;
        }
        controls.call(method, params).await
    }
}
