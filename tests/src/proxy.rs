//! Stands before a node, writes down which methods it is asked, and misbehaves or is far away when told to.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::primitives::{Address, U256};
use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use crate::hard::Hard;

/// Any method.
pub const ANY: &str = "*";

/// How a node may fail one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed without an answer.
    HangUp,
    /// HTTP 503 with a page of somebody's load balancer.
    Unavailable,
    /// The call alone fails: the block is not known.
    UnknownBlock,
    /// The call alone fails: too many requests.
    Limited,
    /// A batch is answered with one error instead of an array.
    RefusedBatch,
    /// The last answer of a batch is missing.
    ShortBatch,
    /// The call's result is not of its type.
    Nonsense,
    /// The call's result is null.
    Null,
    /// `latest` is this block, which is not the newest.
    Lagging(u64),
    /// No answer before [`Proxy::release`].
    Held,
    /// `eth_getLogs` for more blocks than this is refused.
    Narrow(u64),
    /// A call with more parameters than this is refused.
    AtMost(usize),
    /// Of a call's parameters, those after so many are taken no notice of.
    Ignored(usize),
}

/// How it takes transactions under a condition, which anvil does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequencer {
    /// By `eth_sendRawTransactionConditional`: refuses what the state has overtaken.
    Conditional,
    /// By `base_sendRawTransactionValidity`: keeps that to itself.
    Validity,
    /// By the first, but only from whom it knows.
    Closed,
}

/// What is to go wrong.
#[derive(Clone, Debug)]
struct Plan {
    method: &'static str,
    fault: Fault,
    /// Requests for the method that are spared before.
    spared: u64,
}

/// A logging proxy; it stops with the test's runtime.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its HTTP endpoint.
    pub url: String,
    state: Arc<State>,
}

/// What has gone to the node and come back so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Calls, alone or in a batch.
    pub calls: u64,
    /// HTTP requests.
    pub trips: u64,
    /// Of the bodies of both directions.
    pub bytes: u64,
}

#[derive(Debug)]
struct State {
    target: String,
    delay: Duration,
    client: Client<HttpConnector, Full<Bytes>>,
    methods: Mutex<BTreeMap<String, u64>>,
    /// Contracts whose code it says is a stub, though the node executes them: as if it did by itself.
    native: Mutex<Vec<Address>>,
    sequencer: Mutex<Option<Sequencer>>,
    /// What it takes of transactions.
    hard: Mutex<Hard>,
    /// Conditions of transactions, as they came.
    conditions: Mutex<Vec<Value>>,
    traffic: Mutex<Traffic>,
    plan: watch::Sender<Option<Plan>>,
    /// Requests that met the fault.
    met: watch::Sender<u64>,
}

impl Proxy {
    /// A proxy in front of `target`.
    pub async fn start(target: &str) -> Result<Self> {
        Self::start_far(target, Duration::ZERO).await
    }

    /// One that holds every HTTP request, a batch being one, for this long.
    pub async fn start_far(target: &str, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let state = Arc::new(State {
            target: target.to_owned(),
            delay,
            client: Client::builder(TokioExecutor::new()).build_http(),
            methods: Mutex::default(),
            native: Mutex::default(),
            sequencer: Mutex::default(),
            hard: Mutex::default(),
            conditions: Mutex::default(),
            traffic: Mutex::default(),
            plan: watch::Sender::default(),
            met: watch::Sender::default(),
        });
        let proxy = Self { url: format!("http://{}", listener.local_addr()?), state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                let service = service_fn(move |request| serve(Arc::clone(&state), request));
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(async move { connection.serve_connection(TokioIo::new(stream), service).await });
            }
        });
        Ok(proxy)
    }

    /// From now on this contract is one that the node's client executes itself, as far as its code tells.
    pub fn make_native(&self, contract: Address) {
        self.state.native.lock().unwrap().push(contract);
    }

    /// From now on it takes transactions under a condition.
    pub fn take_conditions(&self, sequencer: Sequencer) {
        *self.state.sequencer.lock().unwrap() = Some(sequencer);
    }

    /// Changes what it takes of transactions from now on.
    pub fn harden(&self, change: impl FnOnce(&mut Hard)) {
        change(&mut self.state.hard.lock().unwrap());
    }

    /// Transactions that it has refused, or swallowed.
    pub fn refused(&self) -> u64 {
        self.state.hard.lock().unwrap().refused
    }

    /// The conditions that transactions came with.
    pub fn conditions(&self) -> Vec<Value> {
        self.state.conditions.lock().unwrap().clone()
    }

    /// How often each method was asked for.
    pub fn methods(&self) -> BTreeMap<String, u64> {
        self.state.methods.lock().unwrap().clone()
    }

    /// How much was asked and answered.
    pub fn traffic(&self) -> Traffic {
        *self.state.traffic.lock().unwrap()
    }

    /// From now on every request for this method, alone or in a batch, meets this fault.
    pub fn fail(&self, method: &'static str, fault: Fault) {
        self.fail_after(0, method, fault);
    }

    /// The same, but for the first few of them.
    pub fn fail_after(&self, spared: u64, method: &'static str, fault: Fault) {
        self.state.met.send_replace(0);
        self.state.plan.send_replace(Some(Plan { method, fault, spared }));
    }

    /// No more faults; what was held goes on.
    pub fn release(&self) {
        self.state.plan.send_replace(None);
    }

    /// Requests that have met the fault.
    pub fn met(&self) -> u64 {
        *self.state.met.borrow()
    }

    /// Waits until a request has met the fault.
    pub async fn struck(&self) {
        let mut met = self.state.met.subscribe();
        met.wait_for(|met| *met > 0).await.unwrap();
    }
}

impl State {
    /// What befalls this request, and the method for which it does.
    fn fault(&self, asked: &Value) -> Option<(&'static str, Fault)> {
        let mut fault = None;
        self.plan.send_if_modified(|plan| {
            let befalls = |plan: &Plan, call: &Value| {
                (plan.method == ANY || call["method"] == plan.method)
                    && !matches!(plan.fault, Fault::Narrow(most) if blocks(&call["params"][0]) <= most)
                    && !matches!(plan.fault, Fault::AtMost(most) | Fault::Ignored(most) if count(&call["params"]) <= most)
            };
            let Some(plan) = plan.as_mut().filter(|plan| calls(asked).any(|call| befalls(plan, call))) else {
                return false;
            };
            match plan.spared.checked_sub(1) {
                Some(left) => plan.spared = left,
                None => fault = Some((plan.method, plan.fault.clone())),
            }
            false
        });
        fault
    }
}

async fn serve(state: Arc<State>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let failed = |error: anyhow::Error| {
        let mut response = Response::new(Full::new(error.to_string().into()));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    };
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(failed(error.into())),
    };
    match answer(&state, body).await {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Err(io::ErrorKind::ConnectionAborted.into()),
        Err(error) => Ok(failed(error)),
    }
}

/// The response; none if the connection is to be closed instead.
async fn answer(state: &State, body: Bytes) -> Result<Option<Response<Full<Bytes>>>> {
    let mut asked: Value = serde_json::from_slice(&body)?;
    for call in calls(&asked) {
        let method = call["method"].as_str().unwrap_or("(none)").to_owned();
        *state.methods.lock().unwrap().entry(method).or_default() += 1;
        state.traffic.lock().unwrap().calls += 1;
    }
    let Some((method, fault)) = state.fault(&asked) else { return pass(state, &asked, body).await.map(Some) };
    state.met.send_modify(|met| *met += 1);
    let hit: Vec<Value> =
        calls(&asked).filter(|call| call["method"] == method).map(|call| call["id"].clone()).collect();
    let error = |code: i32, message: &str| json!({ "error": { "code": code, "message": message } });
    let instead = match fault {
        Fault::HangUp => return Ok(None),
        Fault::Unavailable => {
            let mut response = Response::new(Full::new("<html>503</html>".into()));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(Some(response));
        }
        Fault::RefusedBatch => {
            let refusal = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32600, "message": "no batches" } });
            return Ok(Some(Response::new(Full::new(refusal.to_string().into()))));
        }
        Fault::Held => {
            let mut plan = state.plan.subscribe();
            plan.wait_for(|plan| !matches!(plan, Some(Plan { fault: Fault::Held, .. }))).await?;
            return pass(state, &asked, body).await.map(Some);
        }
        Fault::Lagging(number) => {
            for call in calls_mut(&mut asked).filter(|call| call["params"][0] == "latest") {
                call["params"][0] = json!(format!("{number:#x}"));
            }
            return forward(state, asked.to_string().into()).await.map(Some);
        }
        Fault::Ignored(most) => {
            for params in calls_mut(&mut asked).filter_map(|call| call["params"].as_array_mut()) {
                params.truncate(most);
            }
            return forward(state, asked.to_string().into()).await.map(Some);
        }
        Fault::AtMost(_) => Some(error(-32602, "too many arguments")),
        Fault::ShortBatch => None,
        Fault::UnknownBlock => Some(error(-32001, "unknown block")),
        Fault::Narrow(_) => Some(error(-32602, "block range is too wide")),
        Fault::Limited => Some(error(429, "too many requests")),
        Fault::Nonsense => Some(json!({ "result": { "as": "if" } })),
        Fault::Null => Some(json!({ "result": null })),
    };
    let (parts, body) = forward(state, body).await?.into_parts();
    let mut answers: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    match instead {
        None => drop(answers.as_array_mut().and_then(Vec::pop)),
        Some(instead) => {
            for answer in calls_mut(&mut answers).filter(|answer| hit.contains(&answer["id"])) {
                let id = answer["id"].clone();
                *answer = instead.clone();
                answer["jsonrpc"] = json!("2.0");
                answer["id"] = id;
            }
        }
    }
    let mut response = Response::new(Full::new(answers.to_string().into()));
    *response.status_mut() = parts.status;
    Ok(Some(response))
}

fn count(params: &Value) -> usize {
    params.as_array().map_or(0, Vec::len)
}

/// As the node that it plays would answer.
async fn pass(state: &State, asked: &Value, body: Bytes) -> Result<Response<Full<Bytes>>> {
    let sequencer = *state.sequencer.lock().unwrap();
    if let Some(sequencer) = sequencer
        && let Some(answer) = sequencer.take(state, asked).await?
    {
        return Ok(Response::new(Full::new(answer.to_string().into())));
    }
    if asked["method"] == "eth_sendRawTransaction"
        && let Some(answer) = state.hard.lock().unwrap().judge(asked)
    {
        return Ok(Response::new(Full::new(answer.to_string().into())));
    }
    let is_stub = |call: &Value| {
        let of = serde_json::from_value::<Address>(call["params"][0].clone());
        call["method"] == "eth_getCode" && of.is_ok_and(|of| state.native.lock().unwrap().contains(&of))
    };
    let stubs: Vec<Value> = calls(asked).filter(|call| is_stub(call)).map(|call| call["id"].clone()).collect();
    let response = forward(state, body).await?;
    if stubs.is_empty() {
        return Ok(response);
    }
    let (_, body) = response.into_parts();
    let mut answers: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    for answer in calls_mut(&mut answers).filter(|answer| stubs.contains(&answer["id"])) {
        answer["result"] = json!("0xef");
    }
    Ok(Response::new(Full::new(answers.to_string().into())))
}

impl Sequencer {
    /// What it answers to a transaction under a condition; none to anything else.
    async fn take(self, state: &State, asked: &Value) -> Result<Option<Value>> {
        let refuse = |code: i32, message: &str| {
            Ok(Some(json!({ "jsonrpc": "2.0", "id": asked["id"], "error": { "code": code, "message": message } })))
        };
        let ours = match self {
            Self::Conditional | Self::Closed => "eth_sendRawTransactionConditional",
            Self::Validity => "base_sendRawTransactionValidity",
        };
        if asked["method"] != ours {
            return Ok(None);
        }
        let (raw, condition) = (&asked["params"][0], &asked["params"][1]);
        if raw == "0x" {
            return refuse(-32_000, "typed transaction too short");
        }
        state.conditions.lock().unwrap().push(condition.clone());
        match self {
            Self::Closed => refuse(-32_003, "missing authentication"),
            Self::Conditional if !self.holds(state, condition).await? => refuse(-32_003, "failed state check"),
            Self::Validity if !self.holds(state, condition).await? => {
                let hash =
                    alloy::primitives::keccak256(serde_json::from_value::<alloy::primitives::Bytes>(raw.clone())?);
                Ok(Some(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": hash })))
            }
            Self::Conditional | Self::Validity => {
                Ok(Some(ask(state, "eth_sendRawTransaction", json!([raw]), &asked["id"]).await?))
            }
        }
    }

    /// Whether a condition holds at the latest block.
    async fn holds(self, state: &State, condition: &Value) -> Result<bool> {
        let number = |value: &Value| Ok::<U256, anyhow::Error>(serde_json::from_value(value.clone())?);
        let word = async |account: &Value, slot: &Value| {
            let answer = ask(state, "eth_getStorageAt", json!([account, slot, "latest"]), &json!(1)).await?;
            number(&answer["result"])
        };
        let block = ask(state, "eth_getBlockByNumber", json!(["latest", false]), &json!(1)).await?["result"].clone();
        if self == Self::Conditional {
            for (account, slots) in condition["knownAccounts"].as_object().context("no knownAccounts")? {
                for (slot, value) in slots.as_object().context("no slots")? {
                    if word(&json!(account), &json!(slot)).await? != number(value)? {
                        return Ok(false);
                    }
                }
            }
            return Ok(number(&block["timestamp"])? <= number(&condition["timestampMax"])?);
        }
        let mut ends = false;
        for predicate in condition["validity"].as_array().context("no predicates")? {
            let params = &predicate["params"];
            let value = number(&params["value"])?;
            let now = match predicate["type"].as_str() {
                Some("storage") => word(&params["address"], &params["slot"]).await? & number(&params["mask"])?,
                Some("block_number") => number(&block["number"])? + U256::ONE,
                other => anyhow::bail!("a predicate of type {other:?}"),
            };
            ends |= predicate["type"] == "block_number" && params["op"] == "<=";
            let holds = match params["op"].as_str() {
                Some("=") => now == value,
                Some(">=") => now >= value,
                Some("<=") => now <= value,
                other => anyhow::bail!("a predicate with {other:?}"),
            };
            if !holds {
                return Ok(false);
            }
        }
        anyhow::ensure!(ends, "no block after which it is void: {condition}");
        Ok(true)
    }
}

/// Asks the node something of its own.
async fn ask(state: &State, method: &str, params: Value, id: &Value) -> Result<Value> {
    let call = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    let (_, body) = forward(state, call.to_string().into()).await?.into_parts();
    Ok(serde_json::from_slice(&body.collect().await?.to_bytes())?)
}

/// Blocks that a filter is for.
fn blocks(filter: &Value) -> u64 {
    let number = |name: &str| u64::from_str_radix(filter[name].as_str()?.strip_prefix("0x")?, 16).ok();
    number("toBlock").zip(number("fromBlock")).map_or(1, |(to, from)| to - from + 1)
}

/// The parts of a batch, or the one thing that is no batch.
fn calls(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice).iter()
}

fn calls_mut(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    match value {
        Value::Array(calls) => calls.iter_mut(),
        other => std::slice::from_mut(other).iter_mut(),
    }
}

async fn forward(state: &State, body: Bytes) -> Result<Response<Full<Bytes>>> {
    if !state.delay.is_zero() {
        tokio::time::sleep(state.delay).await;
    }
    let length = body.len() as u64;
    let request = Request::post(&state.target).header("content-type", "application/json").body(Full::new(body))?;
    let (parts, body) = state.client.request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut traffic = state.traffic.lock().unwrap();
    traffic.trips += 1;
    traffic.bytes += length + body.len() as u64;
    Ok(Response::from_parts(parts, Full::new(body)))
}
