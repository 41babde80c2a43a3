//! Policies from files: which one a request is under, what they say, and what becomes of them when the files change.

use std::{path::PathBuf, time::Duration};

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolCall,
};
use bundler::node::NodeClient;
use erc4337::{
    EntryPointVersion,
    abi::job_marketplace::{self, IJobMarketplace::JobRequest},
    calls::{self, Call},
};
use fabstir::Client;
use jsonrpsee::{
    core::{ClientError, client::ClientT},
    http_client::{HeaderMap, HttpClientBuilder},
    rpc_params,
};
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{Anvil, Stack};

use crate::attacks::{approval, of_key, sponsor};

/// The built-in one, and two more.
const JOBS: &str = r#"
description = "Two operations for each open job, of its client"
[account]
existing = "any"
[[call]]
name = "steps"
to = ["@job_marketplace"]
functions = ["cancelJob(bytes32)"]
[call.job]
kind = "job"
states = ["open"]
parties = ["client", "host"]
operations = 2
"#;
const CLOSED: &str = r#"
[[key]]
name = "app"
# of: sesame
sha256 = "d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272"
[account]
existing = "any"
[[call]]
to = ["@payment_escrow"]
"#;

/// A folder of policies that is gone with the test.
pub(crate) struct Policies(pub(crate) PathBuf);

impl Policies {
    pub(crate) fn new(name: &str) -> Self {
        let path = tests::chain::own(name);
        std::fs::create_dir_all(&path).unwrap();
        let policies = Self(path);
        policies.write("marketplace", paymaster::policy::MARKETPLACE);
        policies.write("jobs", JOBS);
        policies.write("closed", CLOSED);
        policies
    }

    pub(crate) fn write(&self, id: &str, text: &str) {
        std::fs::write(self.0.join(format!("{id}.toml")), text).unwrap();
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Policies {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn entry_point(stack: &Stack) -> Address {
    stack.deployment.entry_points[&EntryPointVersion::V0_8.to_string()]
}

/// An answer, or code and data of the refusal.
type Answer = Result<Value, (i32, Value)>;

/// `pm_getPaymasterData` at this path, with this key and context.
async fn ask(stack: &Stack, path: &str, key: Option<&str>, context: Value, op: &Value) -> Answer {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
    }
    let url = format!("{}{path}", stack.node.url);
    let rpc = HttpClientBuilder::default().set_headers(headers).build(url).unwrap();
    let chain = U256::from(stack.deployment.chain_id);
    match rpc.request("pm_getPaymasterData", rpc_params![op, entry_point(stack), chain, context]).await {
        Ok(answer) => Ok(answer),
        Err(ClientError::Call(error)) => {
            let data = error.data().map_or(Value::Null, |data| serde_json::from_str(data.get()).unwrap());
            Err((error.code(), data))
        }
        Err(other) => panic!("{other}"),
    }
}

fn with_calls(op: &Value, calls: &[Call]) -> Value {
    let mut op = op.clone();
    op["callData"] = json!(calls::encode(calls));
    op["callGasLimit"] = json!("0x493e0");
    op
}

/// An account that is there, and an operation of it.
pub(crate) async fn account(stack: &Stack) -> (Client, Value) {
    let client = stack.client(SecretKey::generate(), 5_000_000).await.unwrap();
    client.act(&[approval(stack, 5_000_000)]).await.unwrap();
    let op = client.prepare(&[approval(stack, 5_000_000)]).await.unwrap();
    (client, op)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_chosen_by_path_by_key_and_by_context() {
    let policies = Policies::new("choice");
    let stack = Stack::start(&["--policies", policies.path()]).await.unwrap();
    let (_, op) = account(&stack).await;
    let escrow = Call { target: stack.deployment.payment_escrow, value: U256::ZERO, data: vec![1, 2, 3, 4].into() };
    // What it does is another's matter: this is about whose rules it is held against.
    let denied = |answer: Answer| answer.unwrap_err().1;
    let id = |answer: Answer| denied(answer)["policyId"].clone();

    ask(&stack, "", None, Value::Null, &op).await.unwrap();
    ask(&stack, "/p/marketplace", None, Value::Null, &op).await.unwrap();
    assert_eq!(id(ask(&stack, "/p/jobs", None, Value::Null, &op).await), "jobs");
    assert_eq!(id(ask(&stack, "", None, json!({ "policyId": "jobs" }), &op).await), "jobs");
    assert_eq!(id(ask(&stack, "", Some("sesame"), Value::Null, &op).await), "closed");
    assert_eq!(id(ask(&stack, "/p/closed", Some("sesame"), Value::Null, &op).await), "closed");
    for (path, key, context) in [
        ("/p/closed", None, Value::Null),
        ("/p/closed", Some("open sesame"), Value::Null),
        ("/p/nothing", None, Value::Null),
        ("", Some("open sesame"), Value::Null),
        ("/p/jobs", None, json!({ "policyId": "marketplace" })),
    ] {
        let (code, data) = ask(&stack, path, key, context, &op).await.unwrap_err();
        assert_eq!((code, &data["rule"]), (-32050, &json!("policy")), "{path}: {data}");
    }
    // Under its own rules, the call is not what is wrong with it.
    let data = denied(ask(&stack, "/p/closed", Some("sesame"), Value::Null, &with_calls(&op, &[escrow])).await);
    assert_eq!(data["rule"], "rehearsal", "{data}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operations_for_each_open_job_are_sponsored_and_only_for_its_parties() {
    let policies = Policies::new("jobs");
    let stack = Stack::start(&["--policies", policies.path()]).await.unwrap();
    let (client, op) = account(&stack).await;
    let (_, of_stranger) = account(&stack).await;
    let market = stack.deployment.job_marketplace;
    let call = |data: Vec<u8>| Call { target: market, value: U256::ZERO, data: data.into() };
    let post = |number: u64| {
        let request = JobRequest {
            host: Address::ZERO,
            token: stack.deployment.token,
            amount: U256::from(1_000_000),
            modelId: stack.deployment.models[fabstir::deploy::DEMO_MODEL],
            deadline: alloy::primitives::Uint::from(4_000_000_000_u64.min(now() + 3_600)),
            proofRequired: false,
            inputHash: B256::with_last_byte(number as u8),
            inputURI: String::new(),
        };
        call(job_marketplace::postJobCall { request }.abi_encode())
    };
    let act = async |call: Call| {
        let op = client.prepare(&[call]).await.unwrap();
        let signed = client.sign(sponsor(&stack, &op).await.unwrap()).unwrap();
        client.wait(client.send(&signed).await.unwrap()).await.unwrap()
    };
    act(post(1)).await;
    act(post(2)).await;
    let node = NodeClient::new(&stack.anvil.url).unwrap();
    let job = async |number: u64| {
        let ask = job_marketplace::jobIdOfCall { payer: client.account, number: U256::from(number) };
        let answer = node.eth_call(market, ask.abi_encode().into()).await.unwrap();
        job_marketplace::jobIdOfCall::abi_decode_returns(&answer).unwrap()
    };
    let (first, second) = (job(1).await, job(2).await);
    let cancel = |id: B256| call(job_marketplace::cancelJobCall { jobId: id }.abi_encode());
    let under_jobs = async |op: &Value| ask(&stack, "/p/jobs", None, Value::Null, op).await;
    let step = |key, id| of_key(&with_calls(&op, &[cancel(id)]), key);

    under_jobs(&step(1, first)).await.unwrap();
    under_jobs(&step(2, first)).await.unwrap();
    // The same again is not another.
    under_jobs(&step(2, first)).await.unwrap();
    let (code, data) = under_jobs(&step(3, first)).await.unwrap_err();
    assert_eq!((code, &data["rule"], &data["limit"]), (-32050, &json!("limit"), &json!("0x2")), "{data}");
    assert!(data["reason"].as_str().unwrap().contains("what this job may be sponsored at all is spent"), "{data}");
    // Neither is hidden behind another job's.
    let both = of_key(&with_calls(&op, &[cancel(second), cancel(first)]), 4);
    assert_eq!(under_jobs(&both).await.unwrap_err().1["rule"], "limit");

    let strangers = with_calls(&of_stranger, &[cancel(second)]);
    let data = under_jobs(&strangers).await.unwrap_err().1;
    assert_eq!((&data["rule"], &data["call"]), (&json!("call.job"), &json!("0")), "{data}");
    assert!(data["reason"].as_str().unwrap().contains("is about a job of others"), "{data}");
    let unknown = under_jobs(&step(5, B256::repeat_byte(7))).await.unwrap_err().1;
    assert!(unknown["reason"].as_str().unwrap().contains("does not exist"), "{unknown}");

    // The other job has two of its own, until it is cancelled.
    under_jobs(&step(6, second)).await.unwrap();
    act(cancel(second)).await;
    let ended = under_jobs(&step(7, second)).await.unwrap_err().1;
    assert!(ended["reason"].as_str().unwrap().contains("a job that is cancelled; sponsored is open"), "{ended}");

    // A dry run says the same, with what is left.
    let chain = json!(U256::from(stack.deployment.chain_id));
    let context = json!({ "policyId": "jobs" });
    let params = vec![step(8, first), json!(entry_point(&stack)), chain, context];
    let explained = stack.node.ask("fabstir_explainSponsorship", params).await.unwrap();
    assert_eq!((&explained["sponsored"], &explained["rule"]), (&json!(false), &json!("limit")), "{explained}");
    assert_eq!(explained["calls"][0]["rule"], "steps", "{explained}");
    let limits = explained["limits"].as_array().unwrap();
    let of_job = limits.iter().find(|limit| limit["of"] == "this job").unwrap();
    assert_eq!((&of_job["remaining"], &of_job["resetsAt"]), (&json!("0x0"), &Value::Null), "{explained}");
    assert!(limits.iter().any(|limit| limit["of"] == "this account" && limit["resetsAt"].is_u64()), "{explained}");

    let ids = json!(["marketplace", "jobs", "closed", "nothing"]);
    let asked = vec![strangers, json!(entry_point(&stack)), ids];
    let valid = stack.node.ask("pm_validateSponsorshipPolicies", asked).await.unwrap();
    assert_eq!(valid.as_array().unwrap().len(), 1, "{valid}");
    assert_eq!(valid[0]["sponsorshipPolicyId"], "marketplace");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_estimates_and_sponsors_the_whole() {
    let stack = Stack::start(&[]).await.unwrap();
    let (client, prepared) = account(&stack).await;
    let mut op = prepared.clone();
    for field in ["callGasLimit", "verificationGasLimit", "preVerificationGas", "paymasterData"] {
        op.as_object_mut().unwrap().remove(field);
    }
    for field in ["paymaster", "paymasterVerificationGasLimit", "paymasterPostOpGasLimit"] {
        op.as_object_mut().unwrap().remove(field);
    }
    let answer = stack.node.ask("pm_sponsorUserOperation", vec![op.clone(), json!(entry_point(&stack))]).await.unwrap();
    // Limits that our own send would refuse are raised; what is more than needed stays.
    let number = |value: &Value| serde_json::from_value::<U256>(value.clone()).unwrap();
    for field in ["callGasLimit", "verificationGasLimit", "preVerificationGas"] {
        for given in [U256::from(21_000), number(&answer[field]) + U256::from(100_000)] {
            let mut with = op.clone();
            with[field] = json!(given);
            let asked = vec![with, json!(entry_point(&stack))];
            let raised = stack.node.ask("pm_sponsorUserOperation", asked).await.unwrap();
            let wanted = given.max(number(&answer[field]));
            assert!(number(&raised[field]).abs_diff(wanted) < U256::from(3_000), "{field} {given}: {raised}");
        }
    }
    for field in ["callGasLimit", "verificationGasLimit", "preVerificationGas"] {
        op[field] = json!("0x5208");
    }
    let answer = stack.node.ask("pm_sponsorUserOperation", vec![op.clone(), json!(entry_point(&stack))]).await.unwrap();
    op.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
    let sent = client.send(&client.sign(op).unwrap()).await.unwrap();
    client.wait(sent).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_in_force_without_a_restart_and_a_bad_one_changes_nothing_and_is_told_with_its_line() {
    let policies = Policies::new("reload");
    let log = policies.0.join("log");
    let anvil = Anvil::start().await.unwrap();
    let node_url = anvil.url.clone();
    let stack = Stack::logged(anvil, &node_url, &["--policies", policies.path()], &log).await.unwrap();
    let (_, op) = account(&stack).await;
    let rule = async || match ask(&stack, "", None, Value::Null, &op).await {
        Ok(_) => Value::Null,
        Err((_, data)) => data["rule"].clone(),
    };
    let until = async |wanted: Value| {
        for _ in 0..1_000 {
            if rule().await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never {wanted}");
    };
    assert_eq!(rule().await, Value::Null);
    let blocking = format!("{}\n[senders]\nblock = [{}]\n", paymaster::policy::MARKETPLACE, op["sender"]);
    policies.write("marketplace", &blocking);
    until(json!("senders")).await;

    policies.write("marketplace", "default = true\nmax_cost = 3\n");
    let told =
        async || std::fs::read_to_string(&log).unwrap().contains("marketplace.toml:2:1: max_cost: unknown field");
    for _ in 0..1_000 {
        if told().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(told().await, "{}", std::fs::read_to_string(&log).unwrap());
    assert_eq!(rule().await, "senders", "what was in force still is");

    policies.write("marketplace", paymaster::policy::MARKETPLACE);
    until(Value::Null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_reads_files_anew_that_look_as_before() {
    let policies = Policies::new("hang-up");
    let file = policies.0.join("marketplace.toml");
    let blocking = |who: &Value| format!("{}\n[senders]\nblock = [{who}]\n", paymaster::policy::MARKETPLACE);
    let nobody = json!(Address::repeat_byte(0xbb));
    std::fs::write(&file, blocking(&nobody)).unwrap();
    let stack = Stack::start(&["--policies", policies.path()]).await.unwrap();
    let (_, op) = account(&stack).await;
    ask(&stack, "", None, Value::Null, &op).await.unwrap();

    // As long, and as old: nothing that the node looks at tells the two apart.
    let before = std::fs::metadata(&file).unwrap();
    let fresh = policies.0.join("marketplace.new");
    std::fs::write(&fresh, blocking(&op["sender"])).unwrap();
    std::fs::File::options().write(true).open(&fresh).unwrap().set_modified(before.modified().unwrap()).unwrap();
    assert_eq!(std::fs::metadata(&fresh).unwrap().len(), before.len());
    std::fs::rename(&fresh, &file).unwrap();
    // Twice as long as between two looks.
    tokio::time::sleep(Duration::from_secs(1)).await;
    ask(&stack, "", None, Value::Null, &op).await.unwrap();

    stack.node.signal("HUP").await.unwrap();
    for _ in 0..1_000 {
        if let Err((_, data)) = ask(&stack, "", None, Value::Null, &op).await {
            assert_eq!(data["rule"], "senders", "{data}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("SIGHUP changed nothing");
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

tests::on_base!(
    two_operations_for_each_open_job_are_sponsored_and_only_for_its_parties,
    one_call_estimates_and_sponsors_the_whole,
);
