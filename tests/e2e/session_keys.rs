//! The signing service on a real node: permissions, calls and vouchers over JSON-RPC, by the Rust client.

use std::path::PathBuf;

use alloy::{
    primitives::{Address, B256, Bytes, U256, aliases::U40},
    sol_types::{SolCall, SolValue},
};
use erc4337::{
    abi::{job_marketplace, smart_account, smart_account_factory, test_usdc},
    calls::Call,
};
use fabstir::{Client, host};
use serde_json::{Value, json};
use session_keys::{
    SecretKey,
    client::{ClientFailure, Session, SessionClient},
    permission::{Dependency, PermissionRequest},
    policy::{judge::nonce_key, marketplace::Marketplace},
    session_key::Curve,
};
use tests::Stack;

/// A node with a session store of its own.
pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) folder: PathBuf,
}

impl World {
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, &[]).await
    }

    /// With more arguments for the node.
    pub(crate) async fn start_with(name: &str, more: &[&str]) -> Self {
        let folder = tests::chain::own(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("passphrase"), "correct horse\n").unwrap();
        let arguments = Self::arguments(&folder);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Self { stack: Stack::start(&arguments).await.unwrap(), folder }
    }

    fn arguments(folder: &std::path::Path) -> [String; 4] {
        let path = |name: &str| folder.join(name).display().to_string();
        ["--session-store".into(), path("store"), "--session-passphrase-file".into(), path("passphrase")]
    }

    /// Kills the node and starts it anew on the same store.
    async fn crash(&mut self) {
        let pid = self.stack.node.pid().unwrap().to_string();
        assert!(tokio::process::Command::new("kill").args(["-KILL", &pid]).status().await.unwrap().success());
        self.stack.node.stop().await.unwrap();
        let arguments = Self::arguments(&self.folder);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let (url, file) = (self.stack.anvil.url.clone(), self.stack.deployment_file.clone());
        self.stack.node = tests::stack::NodeProcess::start(&url, &file, &arguments).await.unwrap();
    }

    pub(crate) fn marketplace(&self) -> Marketplace {
        let deployment = &self.stack.deployment;
        Marketplace {
            chain_id: deployment.chain_id,
            token: deployment.token,
            escrow: deployment.payment_escrow,
            jobs: deployment.job_marketplace,
            sessions: deployment.session_marketplace,
        }
    }

    /// An owner with an account that is not deployed and holds `tokens`.
    pub(crate) async fn owner(&self, tokens: u64) -> (SecretKey, Client) {
        let key = SecretKey::generate();
        let client = self.stack.client(key.clone(), tokens).await.unwrap();
        (key, client)
    }

    pub(crate) fn request(&self, key: &SecretKey, account: Address, to: Address, data: Value) -> PermissionRequest {
        let owners: Vec<Bytes> = vec![key.address().abi_encode().into()];
        let create = smart_account_factory::createAccountCall { owners, nonce: U256::ZERO };
        let mut request: PermissionRequest = serde_json::from_value(json!({
            "chainId": U256::from(self.stack.deployment.chain_id), "from": account, "to": to,
            "permission": { "type": "fabstir-marketplace", "isAdjustmentAllowed": true, "data": data },
        }))
        .unwrap();
        request.dependencies = vec![Dependency {
            factory: self.stack.deployment.smart_account_factory,
            factory_data: create.abi_encode().into(),
        }];
        request
    }

    fn log(&self) -> Vec<Value> {
        let path = self.folder.join(format!("store/audit-{}.jsonl", self.stack.deployment.chain_id));
        std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn job(&self, host: Address, amount: u64) -> Vec<Call> {
        let at = self.marketplace();
        let job = job_marketplace::IJobMarketplace::JobRequest {
            host,
            token: at.token,
            amount: U256::from(amount),
            modelId: self.stack.deployment.models[fabstir::deploy::DEMO_MODEL],
            deadline: U40::from(unix_now() + 3_600),
            proofRequired: false,
            inputHash: B256::repeat_byte(1),
            inputURI: "data:,why".into(),
        };
        let approve = test_usdc::approveCall { spender: at.escrow, value: U256::from(amount) };
        let post = job_marketplace::postJobCall { request: job };
        [(at.token, approve.abi_encode()), (at.jobs, post.abi_encode())]
            .map(|(target, data)| Call { target, value: U256::ZERO, data: data.into() })
            .into()
    }
}

fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn daily(amount: u64) -> Value {
    json!({ "periodAmount": U256::from(amount), "periodDuration": 86_400, "totalAmount": U256::from(3 * amount) })
}

/// Error code of a refusal.
fn code<T: std::fmt::Debug>(result: Result<T, ClientFailure>) -> (i32, String) {
    match result {
        Err(ClientFailure::Rpc(jsonrpsee::core::ClientError::Call(error))) => {
            (error.code(), error.message().to_owned())
        }
        other => panic!("expected a refusal: {other:?}"),
    }
}

pub(crate) async fn registered_host(world: &World) -> Client {
    let (_, host) = world.owner(100_000_000).await;
    let offer = host::Offer {
        model: fabstir::deploy::DEMO_MODEL.into(),
        price: 600_000,
        stake: 100_000_000,
        capacity: 8,
        endpoint: "https://host.example/v1".into(),
    };
    host::register(&host, &world.stack.deployment, &offer).await.unwrap();
    host
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_from_its_request_to_its_revocation() {
    let mut world = World::start("life").await;
    let host = registered_host(&world).await;
    let (owner, user) = world.owner(100_000_000).await;
    let account = user.account;
    let client = SessionClient::create(&world.stack.node.url, Curve::Secp256k1).await.unwrap();

    // Asked for: in words, and as what the owner signs. Too long a life is made shorter.
    let asked = client.request(&world.request(&owner, account, client.to, daily(10_000_000))).await.unwrap();
    assert!(asked.summary.starts_with("up to 10 tUSDC a day, 30 tUSDC in all, on JobMarketplace"), "{}", asked.summary);
    assert_eq!(asked.answer["status"], json!("requested"));
    let digest = asked.policy.digest(world.stack.deployment.chain_id, account).unwrap();
    let session = Session::of(client.clone(), asked.context, account);
    let (early, why) = code(session.send_calls(&world.job(host.account, 1)).await);
    assert_eq!((early, why.as_str()), (-32050, "no owner has agreed to the session yet"));
    let forged = SecretKey::generate().sign(digest).unwrap();
    assert_eq!(code(asked.clone().grant(account, &forged.as_bytes()).await).0, 4100);
    // Another token's holder cannot use it, nor can nobody.
    let stranger = SessionClient::create(&world.stack.node.url, Curve::Secp256k1).await.unwrap();
    let signature = owner.sign(digest).unwrap().as_bytes();
    let theirs = Session::of(stranger.clone(), asked.context, account);
    assert_eq!(code(theirs.send_calls(&world.job(host.account, 1)).await).0, 4100);
    let nobody = world.stack.node.ask("wallet_getGrantedExecutionPermissions", vec![]).await.unwrap_err();
    assert!(nobody.to_string().contains("bearer token"), "{nobody}");
    let session = asked.grant(account, &signature).await.unwrap();

    // The first operation creates the account and enables the session, sponsored.
    let receipt = session.act(&world.job(host.account, 4_000_000)).await.unwrap();
    assert!(receipt.logs.iter().any(|log| log.address == world.marketplace().jobs));
    assert!(receipt.logs.iter().all(|log| log.address != world.stack.deployment.account_entry_point().unwrap()));
    let granted = client.ask("wallet_getGrantedExecutionPermissions", Value::Null).await.unwrap();
    let status = |granted: &Value| (granted[0]["context"].clone(), granted[0]["status"].clone());
    assert_eq!(status(&granted), (json!(session.context), json!("active")));
    assert_eq!(granted[0]["spent"]["spent"][1]["inPeriod"], json!("0x3d0900"));

    // What is in flight counts.
    let id = session.send_calls(&world.job(host.account, 5_000_000)).await.unwrap();
    assert_eq!(id.len(), 2 + 128);
    let (refused, why) = code(session.send_calls(&world.job(host.account, 1_000_001)).await);
    assert_eq!(
        (refused, why.as_str()),
        (-32050, "the policy does not allow it: limit 0: 1000001 would be more than is left")
    );
    session.wait(&id).await.unwrap();
    // What was signed and never sent counts too, after a crash: the chain does not know of it.
    let unsent = json!({
        "sender": account,
        "nonce": nonce_key(session.context, 0, 9) << 64,
        "callData": erc4337::calls::encode(&world.job(host.account, 600_000)),
        "callGasLimit": "0x1", "verificationGasLimit": "0x1", "preVerificationGas": "0x1",
        "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x1",
        "paymaster": world.stack.deployment.paymasters["v0.8"], "paymasterData": "0x",
        "paymasterVerificationGasLimit": "0x1", "paymasterPostOpGasLimit": "0x1",
    });
    let sign = json!({ "permissionContext": session.context, "userOperation": unsent });
    assert!(client.ask("fabstir_signUserOperation", sign).await.unwrap()["signature"].is_string());
    world.crash().await;
    let client = SessionClient::with_token(&world.stack.node.url, client.token(), client.to).unwrap();
    let session = Session::of(client.clone(), session.context, account);
    let again = code(session.send_calls(&world.job(host.account, 400_001)).await);
    let why = "the policy does not allow it: limit 0: 400001 would be more than is left";
    assert_eq!(again, (-32050, why.into()));
    session.act(&world.job(host.account, 400_000)).await.unwrap();
    // What is not listed is not signed, wherever it stands.
    let steal = test_usdc::transferCall { to: client.to, value: U256::from(1) }.abi_encode();
    let steal = Call { target: world.marketplace().token, value: U256::ZERO, data: steal.into() };
    assert_eq!(
        code(session.send_calls(&[steal]).await),
        (-32050, "the policy does not allow it: call 0: no rule allows it".into())
    );

    // Rotation with an overlap: both act until the old one is revoked, here first.
    let next = client.another(Curve::P256).await.unwrap();
    let mut request = world.request(&owner, account, next.to, daily(2_000_000));
    request.replaces = Some(session.context);
    let asked = next.request(&request).await.unwrap();
    let signature = owner.sign(asked.policy.digest(world.stack.deployment.chain_id, account).unwrap()).unwrap();
    let new = asked.grant(account, &signature.as_bytes()).await.unwrap();
    let states = |granted: Value| -> Vec<String> {
        let states = granted.as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap().to_owned());
        let mut states: Vec<_> = states.collect();
        states.sort();
        states
    };
    let granted = client.ask("wallet_getGrantedExecutionPermissions", Value::Null).await.unwrap();
    assert_eq!(states(granted), ["granted", "rotating"]);
    new.act(&world.job(host.account, 2_000_000)).await.unwrap();
    let on_chain = session.revoke().await.unwrap();
    let over = code(session.send_calls(&world.job(host.account, 1)).await);
    assert_eq!(over, (-32050, "the session was revoked or is over".into()));
    world.stack.anvil.transact_as(owner.address(), on_chain.target, on_chain.data).await.unwrap();
    let asked = smart_account::getSessionCall { id: session.context }.abi_encode();
    let asked = json!({ "to": account, "data": Bytes::from(asked) });
    let answer = world.stack.anvil.ask("eth_call", vec![asked, json!("latest")]).await.unwrap();
    let answer: Bytes = serde_json::from_value(answer).unwrap();
    assert_eq!(smart_account::getSessionCall::abi_decode_returns(&answer).unwrap().status, 2);

    // The owner revokes the other on chain alone: the chain's word is enough.
    let revoke = smart_account::revokeSessionCall { id: new.context }.abi_encode();
    world.stack.anvil.transact_as(owner.address(), account, revoke).await.unwrap();
    assert_eq!(code(new.send_calls(&world.job(host.account, 1)).await).0, -32050);
    let granted = client.ask("wallet_getGrantedExecutionPermissions", Value::Null).await.unwrap();
    assert_eq!(granted, json!([]));

    // All of it is in the log, in words, and no secret is.
    let log = world.log();
    let events: Vec<_> =
        log.iter().filter(|line| line["id"] == json!(session.context)).map(|line| &line["event"]).collect();
    let story = ["requested", "refused", "granted", "stateChanged", "stateChanged", "signed", "signed", "refused"];
    assert!(story.iter().all(|event| events.contains(&&json!(event))), "{events:?}");
    assert!(log[0]["summary"].as_str().unwrap().contains("tUSDC a day"), "{}", log[0]);
    for file in std::fs::read_dir(world.folder.join("store")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(64).any(|window| window == client.token().as_bytes()), "the token is stored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_sent_in_both_versions_and_what_is_not_supported_is_refused_by_its_code() {
    let world = World::start("versions").await;
    let host = registered_host(&world).await;
    let (owner, user) = world.owner(100_000_000).await;
    let client = SessionClient::create(&world.stack.node.url, Curve::Secp256k1).await.unwrap();
    let asked = client.request(&world.request(&owner, user.account, client.to, daily(10_000_000))).await.unwrap();
    let signature = owner.sign(asked.policy.digest(world.stack.deployment.chain_id, user.account).unwrap()).unwrap();
    let session = asked.grant(user.account, &signature.as_bytes()).await.unwrap();

    let calls: Vec<_> =
        world.job(host.account, 1_000_000).iter().map(|call| json!({ "to": call.target, "data": call.data })).collect();
    let batch = |version: &str, more: Value| {
        let mut batch = json!({
            "version": version, "chainId": U256::from(world.stack.deployment.chain_id), "from": user.account,
            "calls": calls, "capabilities": { "permissions": { "context": session.context } },
        });
        batch.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        batch
    };
    let old = client.ask("wallet_sendCalls", batch("1.0", json!({}))).await.unwrap();
    let mut status = client.ask("wallet_getCallsStatus", old.clone()).await.unwrap();
    while status["status"] == "PENDING" {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        status = client.ask("wallet_getCallsStatus", old.clone()).await.unwrap();
    }
    assert_eq!((&status["status"], &status["receipts"][0]["status"]), (&json!("CONFIRMED"), &json!("0x1")));

    let named = batch("2.0.0", json!({ "id": "mine" }));
    let new = client.ask("wallet_sendCalls", named.clone()).await.unwrap();
    assert_eq!(new["id"], json!("mine"));
    session.wait("mine").await.unwrap();
    let status = client.ask("wallet_getCallsStatus", json!("mine")).await.unwrap();
    assert_eq!(
        (&status["version"], &status["status"], &status["atomic"]),
        (&json!("2.0.0"), &json!(200), &json!(true))
    );
    assert_eq!(status["receipts"].as_array().unwrap().len(), 1, "one transaction, one receipt");

    let refused = |batch: Value| async { code(client.ask("wallet_sendCalls", batch).await).0 };
    assert_eq!(refused(named).await, 5720);
    assert_eq!(refused(batch("3.0", json!({}))).await, -32602);
    assert_eq!(refused(batch("2.0.0", json!({ "chainId": "0x1" }))).await, 5710);
    assert_eq!(refused(batch("2.0.0", json!({ "from": host.account }))).await, -32602);
    let with = |capability: Value| {
        batch(
            "2.0.0",
            json!({ "capabilities": { "permissions": { "context": session.context }, "other": capability } }),
        )
    };
    assert_eq!(refused(with(json!({}))).await, 5700);
    let sent = client.ask("wallet_sendCalls", with(json!({ "optional": true }))).await.unwrap();
    session.wait(sent["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(code(client.ask("wallet_getCallsStatus", json!("theirs")).await).0, 5730);

    // What the bundler refuses is not sent, and is not counted: here a job that reverts.
    let reverts = batch(
        "2.0.0",
        json!({ "calls": [{
        "to": world.marketplace().jobs,
        "data": Bytes::from(job_marketplace::cancelJobCall { jobId: B256::repeat_byte(9) }.abi_encode()),
    }] }),
    );
    assert_eq!(refused(reverts).await, -32521);

    let capabilities = client.ask("wallet_getCapabilities", json!(user.account)).await.unwrap();
    let capabilities = &capabilities[format!("{:#x}", world.stack.deployment.chain_id)];
    assert_eq!(capabilities["atomic"], json!({ "status": "supported" }));
    let supported = world.stack.node.ask("wallet_getSupportedExecutionPermissions", vec![]).await.unwrap();
    assert!(supported["erc20-token-periodic"]["ruleTypes"].as_array().unwrap().contains(&json!("expiry")));
}

tests::on_base!(
    a_session_lives_from_its_request_to_its_revocation,
    calls_are_sent_in_both_versions_and_what_is_not_supported_is_refused_by_its_code,
);
