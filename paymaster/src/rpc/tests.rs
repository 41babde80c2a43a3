use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{B256, Bytes, Signature},
    signers::local::PrivateKeySigner,
};
use erc4337::{
    EntryPointVersion, Paymaster,
    calls::{self, Call},
    error_code,
    sponsorship::{self, Validity},
};

use jsonrpsee::types::ErrorObjectOwned;

use super::*;
use crate::{
    Config, Deployed, Ledger, Limits, Policies, PolicySet, Sponsor,
    chain::{Answers, Chain, Later, Read, Unanswered},
    ledger::{Rules, Store},
    policy::compile,
};

const MARKET: Address = Address::repeat_byte(1);
const PAYMASTER: Address = Address::repeat_byte(6);
const CHAIN_ID: u64 = 31_337;
/// Of the chain, which is not that of our clock.
const NOW: u64 = 1_700_000_000;

/// Of which nothing is to be asked.
#[derive(Debug)]
struct NoChain;

impl Chain for NoChain {
    fn time(&self) -> u64 {
        NOW
    }

    fn read(&self, _: Vec<Read>) -> Later<'_, Answers> {
        Box::pin(async { Err(Unanswered("there is none".into())) })
    }

    fn after(&self, _: B256) -> Later<'_, bool> {
        Box::pin(async { Err(Unanswered("there is none".into())) })
    }

    fn simulate(&self, _: UserOperationRequest, _: Address) -> Later<'_, Simulated> {
        Box::pin(async { Err(Unanswered("there is none".into())) })
    }
}

/// A service of this version only, and its signer.
fn service(version: EntryPointVersion) -> (RpcModule<Service>, Address) {
    let config = Config {
        chain_id: CHAIN_ID,
        paymasters: BTreeMap::from([(version.canonical_address(), Deployed { version, paymaster: PAYMASTER })]),
        limits: Limits { total: U256::from(1_000_000), per_sender: U256::from(1_000_000) },
    };
    let sponsor = Sponsor::of(PrivateKeySigner::random()).unwrap();
    let signer = sponsor.addresses()[0];
    let ledger = Ledger::start(Store::in_memory().unwrap(), Rules::default());
    let policies = [
        ("marketplace", "default = true\n[account]\nexisting = \"any\""),
        (
            "closed",
            "[[key]]\nname = \"app\"\nsha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"",
        ),
    ]
    .map(|(id, more)| {
        let rest = "[[call]]\nto = [\"@market\"]\n[[limit]]\nper = \"operation\"\namount = \"1000000 wei\"";
        compile(&format!("{more}\n{rest}"), id, &BTreeMap::from([("market".to_owned(), MARKET)])).unwrap()
    });
    let policies = Policies::new(PolicySet::new(policies).unwrap());
    (module(Arc::new(Service::new(config, policies, sponsor, ledger, Arc::new(NoChain)))).unwrap(), signer)
}

fn operation(target: Address) -> Value {
    let call = Call { target, value: U256::ZERO, data: vec![1, 2, 3, 4].into() };
    json!({
        "sender": Address::repeat_byte(7), "nonce": "0x0", "callData": calls::encode(&[call]),
        "callGasLimit": "0xa", "verificationGasLimit": "0xb", "preVerificationGas": "0xc",
        "maxFeePerGas": "0x2", "maxPriorityFeePerGas": "0x1",
    })
}

async fn ask(
    module: &RpcModule<Service>,
    method: &str,
    op: &Value,
    version: EntryPointVersion,
) -> Result<Value, ErrorObjectOwned> {
    let params = vec![op.clone(), json!(version.canonical_address()), json!(U256::from(CHAIN_ID)), Value::Null];
    module.call(method, params).await.map_err(|error| match error {
        jsonrpsee::core::server::MethodsError::JsonRpc(error) => error,
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn on_v06_stub_and_answer_are_paymaster_and_data_alone_of_one_length_and_signed_for_that_version() {
    let version = EntryPointVersion::V0_6;
    let (module, signer) = service(version);
    let mut op = operation(MARKET);
    let stub = ask(&module, "pm_getPaymasterStubData", &op, version).await.unwrap();
    let names: BTreeSet<_> = stub.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["isFinal", "paymasterAndData", "sponsor"]));

    // Estimated with the stub, as clients do.
    op["paymasterAndData"] = stub["paymasterAndData"].clone();
    let answer = ask(&module, "pm_getPaymasterData", &op, version).await.unwrap();
    assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
    let read = |value: &Value| serde_json::from_value::<Bytes>(value["paymasterAndData"].clone()).unwrap();
    let (stub, data) = (read(&stub), read(&answer));
    assert_eq!(stub.len(), data.len());
    assert_eq!(Address::from_slice(&data[..20]), PAYMASTER);

    let bound = |at: usize| data[at..at + 6].iter().fold(0, |seconds, byte| seconds << 8 | u64::from(*byte));
    let validity = Validity { until: bound(20), after: bound(26) };
    op["signature"] = json!("0x");
    let op = UserOperationRequest::from_json(&op, version).unwrap().complete(version).unwrap();
    let limits = Paymaster { address: PAYMASTER, ..Paymaster::default() };
    let digest = sponsorship::digest(&op, version, &limits, validity, version.canonical_address(), CHAIN_ID);
    let signature = Signature::from_raw(&data[32..]).unwrap();
    assert_eq!(signature.recover_address_from_prehash(&digest).unwrap(), signer);
}

#[tokio::test]
async fn a_call_outside_the_policy_is_denied_on_every_version_at_the_stub_and_at_the_answer() {
    for version in EntryPointVersion::ALL {
        let (module, _) = service(version);
        for method in ["pm_getPaymasterStubData", "pm_getPaymasterData"] {
            ask(&module, method, &operation(MARKET), version).await.unwrap();
            let denied = ask(&module, method, &operation(PAYMASTER), version).await.unwrap_err();
            assert_eq!(denied.code(), error_code::POLICY_DENIED, "{version} {method}: {denied}");
        }
    }
}

#[tokio::test]
async fn on_v06_the_account_s_verification_gas_counts_three_times_against_the_policy() {
    let version = EntryPointVersion::V0_6;
    let (module, _) = service(version);
    // 2 wei × 3 × 166,667 is over the million wei of the policy, 2 wei × 3 × 166,000 is not.
    for (limit, granted) in [(166_000, true), (166_667, false)] {
        let mut op = operation(MARKET);
        op["verificationGasLimit"] = json!(U256::from(limit));
        let answer = ask(&module, "pm_getPaymasterData", &op, version).await;
        assert_eq!(answer.is_ok(), granted, "{limit}: {answer:?}");
    }
}

#[tokio::test]
async fn a_denial_names_rule_call_and_limit() {
    let version = EntryPointVersion::V0_8;
    let (module, _) = service(version);
    let denied = ask(&module, "pm_getPaymasterData", &operation(PAYMASTER), version).await.unwrap_err();
    let data: Value = serde_json::from_str(denied.data().unwrap().get()).unwrap();
    assert_eq!((&data["rule"], &data["call"]), (&json!("call.to"), &json!("0")), "{data}");
    assert!(data["reason"].as_str().unwrap().contains("which is not sponsored"), "{data}");
    let mut dear = operation(MARKET);
    dear["callGasLimit"] = json!(U256::from(1_000_000));
    let denied = ask(&module, "pm_getPaymasterData", &dear, version).await.unwrap_err();
    let data: Value = serde_json::from_str(denied.data().unwrap().get()).unwrap();
    assert_eq!((&data["rule"], &data["limit"]), (&json!("limit"), &json!(U256::from(1_000_000))), "{data}");
}

#[tokio::test]
async fn a_dry_run_explains_calls_and_limits_and_charges_nothing() {
    let version = EntryPointVersion::V0_8;
    let (module, _) = service(version);
    let explain = async |op: &Value| ask(&module, "fabstir_explainSponsorship", op, version).await.unwrap();
    let yes = explain(&operation(MARKET)).await;
    assert_eq!((&yes["sponsored"], &yes["calls"][0]["rule"]), (&json!(true), &json!("call-0")), "{yes}");
    let account = yes["limits"].as_array().unwrap().iter().find(|limit| limit["of"] == "this account").unwrap();
    assert_eq!(account["remaining"], account["limit"], "{yes}");
    assert!(account["resetsAt"].as_u64().is_some_and(|at| at % 86_400 == 0), "{yes}");
    assert_eq!(explain(&operation(MARKET)).await["limits"], yes["limits"]);
    let no = explain(&operation(PAYMASTER)).await;
    assert_eq!((&no["sponsored"], &no["rule"], &no["call"]), (&json!(false), &json!("call.to"), &json!("0")), "{no}");
}

#[tokio::test]
async fn policies_that_would_sponsor_are_told_and_those_with_keys_only_to_who_has_one() {
    let version = EntryPointVersion::V0_8;
    let (module, _) = service(version);
    let ids = json!(["marketplace", "closed", "nothing"]);
    let params = vec![operation(MARKET), json!(version.canonical_address()), ids.clone()];
    let valid: Value = module.call("pm_validateSponsorshipPolicies", params).await.unwrap();
    assert_eq!(valid[0]["sponsorshipPolicyId"], "marketplace");
    assert_eq!(valid.as_array().unwrap().len(), 1, "{valid}");
    let params = vec![operation(PAYMASTER), json!(version.canonical_address()), ids];
    let valid: Value = module.call("pm_validateSponsorshipPolicies", params).await.unwrap();
    assert_eq!(valid, json!([]));
}

#[tokio::test]
async fn a_context_that_names_a_policy_it_may_not_have_is_refused() {
    let version = EntryPointVersion::V0_8;
    let (module, _) = service(version);
    let params = |context: Value| {
        vec![operation(MARKET), json!(version.canonical_address()), json!(U256::from(CHAIN_ID)), context]
    };
    let ask = async |context| module.call::<_, Value>("pm_getPaymasterData", params(context)).await;
    assert!(ask(json!({ "policyId": "marketplace" })).await.is_ok());
    assert!(ask(json!({ "sponsorshipPolicyId": "closed" })).await.is_err());
    assert!(ask(json!({ "policyId": "nothing" })).await.is_err());
}

#[tokio::test]
async fn nothing_is_sponsored_as_a_whole_without_an_estimate_even_if_its_gas_is_set() {
    let version = EntryPointVersion::V0_8;
    let (module, _) = service(version);
    let ask = async |op: Value| {
        module.call::<_, Value>("pm_sponsorUserOperation", vec![op, json!(version.canonical_address())]).await
    };
    let mut open = operation(MARKET);
    open["callGasLimit"] = Value::Null;
    for op in [operation(MARKET), open] {
        assert!(ask(op).await.unwrap_err().to_string().contains("there is none"));
    }
}
