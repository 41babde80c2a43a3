//! Which policy sponsors what a session's key does, whose service holds it: that of the URL, or of the context.

use alloy::primitives::U256;
use erc4337::calls;
use jsonrpsee::{
    core::{ClientError, client::ClientT},
    http_client::{HeaderMap, HttpClientBuilder},
    rpc_params,
};
use serde_json::{Value, json};
use session_keys::{
    client::{ClientFailure, Session, SessionClient},
    session_key::Curve,
};

use crate::{
    policies::Policies,
    session_keys::{World, daily, registered_host},
};

/// Sponsors no job, and nobody without a key.
const ESCROW_ALONE: &str = r#"
[account]
factories = ["@smart_account_factory"]
existing = "any"
[[call]]
to = ["@payment_escrow"]
"#;

fn error(error: ClientError) -> (i32, Value) {
    let ClientError::Call(error) = error else { panic!("{error}") };
    (error.code(), error.data().map_or(Value::Null, |data| serde_json::from_str(data.get()).unwrap()))
}

fn denied_by(result: Result<Value, ClientFailure>) -> Value {
    let Err(ClientFailure::Rpc(refused)) = result else { panic!("expected a refusal: {result:?}") };
    let (code, data) = error(refused);
    assert_eq!(code, -32050, "{data}");
    data["policyId"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_sponsored_under_the_policy_of_the_url_or_of_the_context() {
    let policies = Policies::new("session-policies");
    policies.write("escrow", ESCROW_ALONE);
    let world = World::start_with("session-policies", &["--policies", policies.path()]).await;
    let host = registered_host(&world).await;
    let (owner, user) = world.owner(100_000_000).await;
    let (url, chain_id) = (world.stack.node.url.clone(), world.stack.deployment.chain_id);
    let client = SessionClient::create(&url, Curve::Secp256k1).await.unwrap();
    let asked = client.request(&world.request(&owner, user.account, client.to, daily(20_000_000))).await.unwrap();
    let signature = owner.sign(asked.policy.digest(chain_id, user.account).unwrap()).unwrap();
    let session = asked.grant(user.account, &signature.as_bytes()).await.unwrap();
    let job = world.job(host.account, 1_000_000);

    // EIP-5792, by the URL's path and by ERC-7677's context.
    let batch = |context: Value| {
        let calls: Vec<_> = job.iter().map(|call| json!({ "to": call.target, "data": call.data })).collect();
        let capabilities =
            json!({ "permissions": { "context": session.context }, "paymasterService": { "context": context } });
        json!({ "version": "2.0.0", "calls": calls, "capabilities": capabilities })
    };
    let at_escrow = SessionClient::with_token(&format!("{url}/p/escrow"), client.token(), client.to).unwrap();
    assert_eq!(denied_by(at_escrow.ask("wallet_sendCalls", batch(Value::Null)).await), "escrow");
    assert_eq!(denied_by(client.ask("wallet_sendCalls", batch(json!({ "policyId": "escrow" }))).await), "escrow");
    let at_marketplace = SessionClient::with_token(&format!("{url}/p/marketplace"), client.token(), client.to).unwrap();
    Session::of(at_marketplace, session.context, user.account).act(&job).await.unwrap();

    // The same as one method, on EntryPoint v0.8: nothing but calls is told.
    let entry_point = world.stack.deployment.account_entry_point().unwrap();
    let call_data = calls::encode(&job);
    let send = async |path: &str, token: Option<&str>, op: Value, mut context: Value| {
        context["permissionContext"] = json!(session.context);
        let headers = token.map(|token| ("authorization".parse().unwrap(), format!("Bearer {token}").parse().unwrap()));
        let rpc = HttpClientBuilder::default()
            .set_headers(HeaderMap::from_iter(headers))
            .build(format!("{url}{path}"))
            .unwrap();
        let params = rpc_params![op, entry_point, context];
        rpc.request::<String, _>("fabstir_sponsorAndSend", params).await.map_err(error)
    };
    let op = json!({ "sender": user.account, "callData": call_data });
    let token = Some(client.token());
    let (code, data) = send("/p/escrow", token, op.clone(), json!({})).await.unwrap_err();
    assert_eq!((code, &data["policyId"]), (-32050, &json!("escrow")), "{data}");
    let (code, data) = send("", token, op.clone(), json!({ "policyId": "escrow" })).await.unwrap_err();
    assert_eq!((code, &data["policyId"]), (-32050, &json!("escrow")), "{data}");
    assert_eq!(send("", None, op.clone(), json!({})).await.unwrap_err().0, 4100, "the session's token is needed");
    let other = json!({ "sender": host.account, "callData": call_data });
    assert_eq!(send("", token, other, json!({})).await.unwrap_err().0, -32602);
    let mut dearer = op.clone();
    dearer["maxFeePerGas"] = json!("0x1");
    let (code, data) = send("", token, dearer, json!({})).await.unwrap_err();
    assert_eq!((code, &data["field"]), (-32602, &json!("userOperation")), "{data}");

    let hash = send("/p/marketplace", token, op, json!({})).await.unwrap();
    let receipt = async || world.stack.node.ask("eth_getUserOperationReceipt", vec![json!(hash)]).await.unwrap();
    let mut mined = receipt().await;
    for _ in 0..1_000 {
        if !mined.is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        mined = receipt().await;
    }
    assert_eq!(mined["success"], true, "{mined}");
    assert_eq!(mined["paymaster"], json!(world.stack.deployment.paymasters["v0.8"]), "{mined}");
    assert!(serde_json::from_value::<U256>(mined["actualGasCost"].clone()).unwrap() > U256::ZERO);
}

tests::on_base!(a_session_is_sponsored_under_the_policy_of_the_url_or_of_the_context,);
