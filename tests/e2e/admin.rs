//! The operator's side of the paymaster: who may do what, that it is all written down, and that every answer is as the
//! OpenAPI document says.

mod document;

use std::path::PathBuf;

use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use tests::Stack;

use crate::policies::{Policies, account, entry_point};

/// SHA-256 of `view`, `run` and `rule`.
const KEYS: &str = r#"
[[key]]
name = "dashboard"
role = "viewer"
sha256 = "VIEW"
[[key]]
name = "on-call"
role = "operator"
sha256 = "RUN"
[[key]]
name = "boss"
role = "admin"
sha256 = "RULE"
"#;

pub(crate) struct Admin {
    pub(crate) url: String,
}

impl Admin {
    /// Status and body, which are what the document says.
    pub(crate) async fn ask(&self, method: Method, path: &str, key: Option<&str>, body: &str) -> (u16, Value) {
        let (status, answer) = self.ask_unseen(method.clone(), path, key, body).await;
        let (_, document) = self.ask_unseen(Method::GET, "/v1/openapi.json", None, "").await;
        document::assert_says(&document, &method, path, status, &answer);
        (status, answer)
    }

    pub(crate) async fn ask_unseen(&self, method: Method, path: &str, key: Option<&str>, body: &str) -> (u16, Value) {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if body.starts_with('{') {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let response = client.request(request).await.unwrap();
        let status = response.status().as_u16();
        if response.headers()["content-type"] == "text/event-stream" {
            // It does not end.
            return (status, Value::Null);
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str, key: &str) -> Value {
        let (status, answer) = self.ask(Method::GET, path, Some(key), "").await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

fn digest(key: &str) -> String {
    use sha2::Digest;
    alloy::hex::encode(sha2::Sha256::digest(key))
}

/// Arguments of an admin API whose files are in this folder; where it is, and its log.
pub(crate) fn arguments(folder: &std::path::Path) -> (Admin, PathBuf, Vec<String>) {
    let keys = folder.join("keys");
    let text = KEYS.replace("VIEW", &digest("view")).replace("RUN", &digest("run")).replace("RULE", &digest("rule"));
    std::fs::write(&keys, text).unwrap();
    let log = folder.join("audit.jsonl");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = port.to_string();
    let arguments = [
        ["--admin-listen", &listen],
        ["--admin-keys", keys.to_str().unwrap()],
        ["--admin-audit", log.to_str().unwrap()],
    ];
    let arguments = arguments.concat().into_iter().map(str::to_owned).collect();
    (Admin { url: format!("http://{listen}") }, log, arguments)
}

/// A stack with an admin API, whose files are in the folder of its policies.
pub(crate) async fn start(name: &str) -> (Policies, PathBuf, Vec<String>, Admin, Stack) {
    let policies = Policies::new(name);
    let (admin, log, mut arguments) = arguments(&policies.0);
    arguments.extend(["--policies", policies.path()].map(str::to_owned));
    let stack = Stack::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap();
    (policies, log, arguments, admin, stack)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_what_it_may_and_what_was_done_is_written_down() {
    let (_policies, log, _, admin, stack) = start("admin-roles").await;
    let (_, op) = account(&stack).await;
    let dry_run = json!({ "userOperation": op, "entryPoint": entry_point(&stack) }).to_string();
    let routes = [
        (Method::GET, "/v1/status", "", 0),
        (Method::GET, "/v1/policies", "", 0),
        (Method::GET, "/v1/budgets", "", 0),
        (Method::GET, "/v1/deposits", "", 0),
        (Method::GET, "/v1/denials", "", 0),
        (Method::GET, "/v1/decisions", "", 0),
        (Method::GET, "/v1/events", "", 0),
        (Method::GET, "/v1/policies/marketplace", "", 0),
        (Method::POST, "/v1/policies/marketplace/check", paymaster::policy::MARKETPLACE, 0),
        (Method::POST, "/v1/policies/marketplace/dry-run", dry_run.as_str(), 0),
        (Method::GET, "/v1/usage?policy=marketplace", "", 0),
        (Method::POST, "/v1/pause", "", 1),
        (Method::POST, "/v1/resume", "", 1),
        (Method::GET, "/v1/audit", "", 2),
        (Method::PUT, "/v1/policies/marketplace", paymaster::policy::MARKETPLACE, 2),
        (Method::POST, "/rpc", r#"{"jsonrpc":"2.0","id":1,"method":"admin_status"}"#, 0),
    ];
    for (method, path, body, needed) in &routes {
        assert_eq!(admin.ask(method.clone(), path, None, body).await.0, 401, "{path} without a key");
        assert_eq!(admin.ask(method.clone(), path, Some("guess"), body).await.0, 401, "{path} with a wrong key");
        for (role, key) in ["view", "run", "rule"].iter().enumerate() {
            let (status, answer) = admin.ask(method.clone(), path, Some(key), body).await;
            assert_eq!(status, if role < *needed { 403 } else { 200 }, "{path} with {key}: {answer}");
        }
    }
    let (status, document) = admin.ask(Method::GET, "/v1/openapi.json", None, "").await;
    assert_eq!(status, 200);
    let asked = routes.iter().map(|(method, path, ..)| document::route(&document, method, path));
    let asked = asked.chain([("get".into(), "/v1/openapi.json".into())]).collect();
    assert_eq!(document::routes(&document), asked, "the document has these routes and no others");

    for path in ["/v1/usage?user=me", "/v1/usage", "/v1/denials?after=then", "/v1/budgets?whose=mine"] {
        let (status, answer) = admin.ask(Method::GET, path, Some("view"), "").await;
        assert_eq!(status, 400, "{path}: {answer}");
    }

    let actions: Vec<(Value, Value)> = (admin.get("/v1/audit", "rule").await.as_array().unwrap().iter().rev())
        .map(|entry| (entry["actor"].clone(), entry["action"].clone()))
        .collect();
    let done = [("on-call", "pause"), ("boss", "pause"), ("on-call", "resume"), ("boss", "resume")];
    let done: Vec<_> =
        done.into_iter().chain([("boss", "policy.replace")]).map(|(a, b)| (json!(a), json!(b))).collect();
    assert_eq!(actions, done);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(["view", "run\"", "guess"].iter().all(|key| !text.contains(&format!("\"{key}"))), "no key is in it");
    drop(stack);
    let audit = paymaster::admin::Audit::open(&log).unwrap();
    assert!(!audit.was_paused());
    std::fs::write(&log, text.replacen("on-call", "nobody", 1)).unwrap();
    assert!(paymaster::admin::Audit::open(&log).is_err(), "a changed line is found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stops_sponsorship_and_outlives_a_restart() {
    let (_policies, _, arguments, admin, mut stack) = start("admin-pause").await;
    let (_, op) = account(&stack).await;
    let chain = json!(alloy::primitives::U256::from(stack.deployment.chain_id));
    let params = vec![op, json!(entry_point(&stack)), chain, Value::Null];
    stack.node.ask("pm_getPaymasterData", params.clone()).await.unwrap();
    assert_eq!(admin.ask(Method::POST, "/v1/pause", Some("run"), "").await.0, 200);
    let refused = stack.node.ask("pm_getPaymasterData", params.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("sponsorship is paused"), "{refused}");

    stack.node.stop().await.unwrap();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    stack.node = tests::stack::NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &arguments).await.unwrap();
    assert_eq!(admin.get("/v1/status", "view").await["paused"], true);
    let denials = async || admin.get("/v1/denials", "view").await;
    assert_eq!(denials().await, json!([]), "of this process");
    assert!(stack.node.ask("pm_getPaymasterData", params.clone()).await.is_err());
    let denied = denials().await;
    assert_eq!((&denied[0]["rule"], &denied[0]["policyId"]), (&json!("paused"), &json!("marketplace")), "{denied}");
    assert_eq!(admin.ask(Method::POST, "/v1/resume", Some("run"), "").await.0, 200);
    stack.node.ask("pm_getPaymasterData", params).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_tried_and_replaced_over_http_and_a_wrong_one_is_refused_with_its_line() {
    let (policies, _, _, admin, stack) = start("admin-policies").await;
    let (client, op) = account(&stack).await;
    let source = admin.get("/v1/policies/marketplace", "view").await["source"].as_str().unwrap().to_owned();
    assert_eq!(source, paymaster::policy::MARKETPLACE);
    let blocking = format!("{source}\n[senders]\nblock = [\"{}\"]\n", client.account);

    // Tried, it says no; in force is what was.
    let dry_run = async |source: Option<&str>| {
        let body = json!({ "userOperation": op, "entryPoint": entry_point(&stack), "source": source });
        let path = "/v1/policies/marketplace/dry-run";
        let (status, answer) = admin.ask(Method::POST, path, Some("view"), &body.to_string()).await;
        assert_eq!(status, 200, "{answer}");
        answer["rule"].clone()
    };
    assert_eq!([dry_run(Some(&blocking)).await, dry_run(None).await], [json!("senders"), Value::Null]);

    let path = "/v1/policies/marketplace";
    let (status, wrong) = admin.ask(Method::PUT, path, Some("rule"), "default = true\nmax_cost = 3\n").await;
    assert_eq!((status, &wrong["policy"]["line"], &wrong["policy"]["field"]), (422, &json!(2), &json!("max_cost")));
    assert_eq!(dry_run(None).await, Value::Null);
    let renamed = source.replace("id = \"marketplace\"", "id = \"other\"");
    assert_eq!(admin.ask(Method::PUT, path, Some("rule"), &renamed).await.0, 400);
    let second_default = source.replace("id = \"marketplace\"", "id = \"second\"");
    assert_eq!(admin.ask(Method::PUT, "/v1/policies/second", Some("rule"), &second_default).await.0, 422);
    assert!(!policies.0.join("second.toml").exists());
    let nameless = source.replace("id = \"marketplace\"", "");
    let (status, escaped) = admin.ask(Method::PUT, "/v1/policies/..%2Fescaped", Some("rule"), &nameless).await;
    assert_eq!(status, 422, "{escaped}");
    assert!(escaped["error"].as_str().unwrap().contains("is no name"), "{escaped}");

    assert_eq!(admin.ask(Method::PUT, path, Some("rule"), &blocking).await.0, 200);
    assert_eq!(dry_run(None).await, "senders");
    assert_eq!(std::fs::read_to_string(policies.0.join("marketplace.toml")).unwrap(), blocking);
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_and_deposits_are_those_of_the_chain() {
    let (_policies, _, _, admin, stack) = start("admin-usage").await;
    let (client, _) = account(&stack).await;
    let today = async |of: &str| admin.get(&format!("/v1/usage?{of}&days=1"), "view").await[0].clone();
    let number = |value: &Value| serde_json::from_value::<alloy::primitives::U256>(value.clone()).unwrap();
    let (policy, user) = (today("policy=marketplace").await, today(&format!("user={}", client.account)).await);
    assert!(!number(&policy["reserved"]).is_zero() && policy == user, "{policy} {user}");
    let deposits = admin.get("/v1/deposits", "view").await;
    let ours = deposits.as_array().unwrap().iter().find(|row| row["version"] == "v0.8").unwrap();
    assert_eq!(number(&ours["deposit"]), crate::attacks::deposit(&stack).await, "{deposits}");
    assert_eq!(deposits.as_array().unwrap().len(), 4, "{deposits}");
    assert!(deposits.as_array().unwrap().iter().all(|row| !number(&row["deposit"]).is_zero()), "{deposits}");
    assert_eq!(admin.get("/v1/budgets", "view").await["standing"]["drift"], "0x0");
}
