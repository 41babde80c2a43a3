//! JSON-RPC 2.0 as the specification has it, byte for byte over HTTP: ids of every form, notifications, what is no request;
//! and what a browser is told before it asks.

use alloy::primitives::{Address, Bytes, U256, utils::parse_ether};
use erc4337::EntryPointVersion;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use tests::{
    Stack,
    accounts::{SimpleAccount, receipt},
};

async fn post(stack: &Stack, body: &str) -> (StatusCode, HeaderMap, String) {
    exchange(stack, Method::POST, &[("content-type", "application/json")], body).await
}

async fn exchange(
    stack: &Stack,
    method: Method,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::builder().method(method).uri(&stack.node.url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.to_owned().into_bytes().into())).unwrap();
    let client: Client<_, Full<hyper::body::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    (parts.status, parts.headers, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_any_form_comes_back_as_it_was_written_and_what_was_sent_with_it_is_taken() {
    let stack = Stack::start(&[]).await.unwrap();
    for id in ["-1", "1.5", "1e3", "18446744073709551616", "\"a\\u0062\"", "18446744073709551615", "null"] {
        let (status, _, answer) =
            post(&stack, &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_chainId"}}"#)).await;
        assert_eq!(status, 200);
        let shown = if id.starts_with('"') { "\"ab\"" } else { id };
        assert!(answer.contains(&format!("\"id\":{shown}")), "{id}: {answer}");
        assert!(answer.contains(r#""result":"0x7a69""#), "{answer}");
    }
    let account = SimpleAccount::new(&stack, EntryPointVersion::V0_8, parse_ether("1").unwrap()).await.unwrap();
    let mut op = account.operation(&stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    let hash = account.finish(&stack, &mut op).await.unwrap();
    let params = json!([op, account.entry_point]);
    let send = format!(r#"{{"jsonrpc":"2.0","id":-1,"method":"eth_sendUserOperation","params":{params}}}"#);
    let (_, _, answer) = post(&stack, &send).await;
    assert_eq!(answer, format!(r#"{{"jsonrpc":"2.0","id":-1,"result":"{hash}"}}"#));
    receipt(&stack, hash).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_is_done_and_has_no_answer() {
    let stack = Stack::start(&[]).await.unwrap();
    let account = SimpleAccount::new(&stack, EntryPointVersion::V0_7, parse_ether("1").unwrap()).await.unwrap();
    let mut op = account.operation(&stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    let hash = account.finish(&stack, &mut op).await.unwrap();
    let params = json!([op, account.entry_point]);
    let notification = format!(r#"{{"jsonrpc":"2.0","method":"eth_sendUserOperation","params":{params}}}"#);
    let (status, headers, answer) = post(&stack, &notification).await;
    assert_eq!((status, answer.as_str()), (StatusCode::NO_CONTENT, ""));
    assert!(headers.get("content-type").is_none());
    receipt(&stack, hash).await.unwrap();

    let quiet = r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#;
    let (status, _, answer) = post(&stack, &format!("[{quiet},{quiet}]")).await;
    assert_eq!((status, answer.as_str()), (StatusCode::NO_CONTENT, ""));
    let asked = format!(r#"[{quiet},{{"jsonrpc":"2.0","id":1.50,"method":"eth_chainId"}},{quiet}]"#);
    assert_eq!(post(&stack, &asked).await.2, r#"[{"jsonrpc":"2.0","id":1.50,"result":"0x7a69"}]"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_said_to_be_none_and_an_unknown_method_is_named() {
    let stack = Stack::start(&[]).await.unwrap();
    let table = [
        (r#"{"jsonrpc":"2.0","id":3,"method":"eth_chainId","params":"none"}"#, json!(3)),
        (r#"{"jsonrpc":"2.0","id":-3,"method":"eth_chainId","params":7}"#, json!(-3)),
        (r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"eth_chainId"}"#, Value::Null),
        (r#"{"jsonrpc":"1.0","id":4,"method":"eth_chainId"}"#, json!(4)),
        (r#"{"jsonrpc":"2.0","id":5,"method":7}"#, json!(5)),
        (r#"{"jsonrpc":"2.0","method":"eth_chainId","params":true}"#, Value::Null),
    ];
    let mut whole = Vec::new();
    for (request, id) in &table {
        let answer: Value = serde_json::from_str(&post(&stack, request).await.2).unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (id, &json!(-32_600)), "{request}: {answer}");
        whole.push(*request);
    }
    let answers: Vec<Value> = serde_json::from_str(&post(&stack, &format!("[{}]", whole.join(","))).await.2).unwrap();
    assert_eq!(answers.len(), table.len());
    for (answer, (request, id)) in answers.iter().zip(&table) {
        assert_eq!((&answer["id"], &answer["error"]["code"]), (id, &json!(-32_600)), "{request}: {answer}");
    }

    for (method, words) in [("eth_sendUserOperations", "rpc.discover"), ("eth_call", "--forward-reads")] {
        for batch in [false, true] {
            let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[]}}"#);
            let request = if batch { format!("[{request}]") } else { request };
            let answer: Value = serde_json::from_str(&post(&stack, &request).await.2).unwrap();
            let error = if batch { &answer[0]["error"] } else { &answer["error"] };
            assert_eq!((&error["code"], &error["data"]["method"]), (&json!(-32_601), &json!(method)), "{answer}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(method) && message.contains(words), "{message}");
        }
    }
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "m".repeat(500_000));
    assert!(post(&stack, &long).await.2.len() < 1_000, "nobody has us say back what he says");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_may_send_what_a_session_needs_and_remembers_that_it_may() {
    let stack = Stack::start(&[]).await.unwrap();
    let asks = [
        ("origin", "https://wallet.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let (status, headers, _) = exchange(&stack, Method::OPTIONS, &asks, "").await;
    assert_eq!(status, 200);
    let allowed = headers["access-control-allow-headers"].to_str().unwrap();
    assert!(allowed.contains("authorization") && allowed.contains("content-type"), "{allowed}");
    assert_eq!(headers["access-control-allow-origin"], "*");
    let age: u64 = headers["access-control-max-age"].to_str().unwrap().parse().unwrap();
    assert!(age >= 600, "{age}");
}
