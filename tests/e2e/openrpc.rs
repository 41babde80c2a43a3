//! The OpenRPC document of `rpc.discover`: it names every method that is served, every method is called, and what is asked
//! and answered is what the document says.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use alloy::primitives::{Address, Bytes, U256, utils::parse_ether};
use erc4337::{EntryPointVersion, calls};
use jsonrpsee::{
    core::client::{ClientT, Subscription, SubscriptionClientT},
    rpc_params,
    ws_client::WsClientBuilder,
};
use serde_json::{Value, json};
use session_keys::{
    SecretKey,
    client::SessionClient,
    policy::{Policy, judge::nonce_key},
    service::Voucher,
    session_key::Curve,
};
use tests::{
    accounts::{SimpleAccount, receipt},
    patience::{until, within},
    stack::root,
};

use crate::{
    attacks::approval,
    session_keys::{World, daily, registered_host},
    session_vouchers::conversation,
    sponsored::signed_first,
};

const NAME: &str = "http://openrpc/";

/// The document, and which of its methods were called.
struct Document {
    document: Value,
    places: BTreeMap<String, usize>,
    called: RefCell<BTreeSet<String>>,
    /// What was not as described: all of it, so that one run tells everything.
    wrong: RefCell<Vec<String>>,
}

impl Document {
    fn new(document: Value) -> Self {
        let methods = document["methods"].as_array().unwrap();
        let places = methods.iter().enumerate().map(|(at, it)| (it["name"].as_str().unwrap().to_owned(), at)).collect();
        Self { document, places, called: RefCell::default(), wrong: RefCell::default() }
    }

    fn assert_is(&self, pointer: &str, value: &Value) {
        let (mut compiler, mut schemas) = (boon::Compiler::new(), boon::Schemas::new());
        compiler.add_resource(NAME, self.document.clone()).unwrap();
        let schema = compiler.compile(&format!("{NAME}#{pointer}"), &mut schemas).unwrap();
        if let Err(error) = schemas.validate(value, schema) {
            self.wrong.borrow_mut().push(format!("{pointer}: {error} in {value}"));
        }
    }

    /// Holds a call and its answer against the document.
    fn assert_says(&self, method: &str, params: &[Value], answer: &Value) {
        let at = *self.places.get(method).unwrap_or_else(|| panic!("{method} is not in the document"));
        let described = self.document["methods"][at]["params"].as_array().unwrap();
        assert!(params.len() <= described.len(), "{method} takes {} parameters", described.len());
        for (position, param) in described.iter().enumerate() {
            match params.get(position).filter(|given| !given.is_null()) {
                Some(given) => self.assert_is(&format!("/methods/{at}/params/{position}/schema"), given),
                None => assert_eq!(param["required"], json!(false), "{method} needs its parameter {position}"),
            }
        }
        self.assert_is(&format!("/methods/{at}/result/schema"), answer);
        self.called.borrow_mut().insert(method.to_owned());
    }

    async fn ask(&self, world: &World, method: &str, params: Vec<Value>) -> Value {
        let answer = world.stack.node.ask(method, params.clone()).await;
        let answer = answer.unwrap_or_else(|error| panic!("{method}: {error}"));
        self.assert_says(method, &params, &answer);
        answer
    }

    /// With the bearer token of a session's client.
    async fn ask_as(&self, client: &SessionClient, method: &str, param: Value) -> Value {
        let answer = client.ask(method, param.clone()).await.unwrap_or_else(|error| panic!("{method}: {error}"));
        let params = if param.is_null() { vec![] } else { vec![param] };
        self.assert_says(method, &params, &answer);
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_described_and_answers_as_described() {
    let world =
        World::start_with("openrpc", &["--debug-rpc", "--explorer", "--forward-reads", "--token-price", "3000"]).await;
    let served = world.stack.node.ask("rpc.discover", vec![]).await.unwrap();
    assert_eq!(served, fabstir::openrpc::whole().unwrap(), "this node serves everything that is described");
    let document = Document::new(served);
    let ask = async |method: &str, params: Vec<Value>| document.ask(&world, method, params).await;
    ask("rpc.discover", vec![]).await;
    bundler(&world, &document).await;
    node(&world, &document).await;
    paymaster(&world, &document).await;
    session(&world, &document).await;
    debug(&world, &document).await;

    let wrong = document.wrong.borrow();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let called = document.called.borrow();
    let silent: Vec<_> = document.places.keys().filter(|name| !called.contains(*name)).collect();
    assert!(silent.is_empty(), "described and not called here: {silent:?}");
}

async fn bundler(world: &World, document: &Document) {
    let ask = async |method: &str, params: Vec<Value>| document.ask(world, method, params).await;
    let stack = &world.stack;
    ask("eth_chainId", vec![]).await;
    ask("eth_supportedEntryPoints", vec![]).await;
    let fees = ["pimlico_getUserOperationGasPrice", "zd_getUserOperationGasPrice", "biconomy_getGasFeeValues"];
    for fees in fees.into_iter().chain(["skandha_getGasPrice", "rundler_getUserOperationGasPrice"]) {
        ask(fees, vec![]).await;
    }
    ask("rundler_maxPriorityFeePerGas", vec![]).await;
    for version in EntryPointVersion::ALL {
        let account = SimpleAccount::new(stack, version, parse_ether("1").unwrap()).await.unwrap();
        let mut op = account.operation(stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
        let entry_point = json!(account.entry_point);
        ask("eth_estimateUserOperationGas", vec![op.clone(), entry_point.clone(), json!({})]).await;
        let hash = json!(account.finish(stack, &mut op).await.unwrap());
        ask("fabstir_explainUserOperation", vec![op.clone(), entry_point.clone()]).await;
        for method in ["pimlico_simulateAssetChange", "pimlico_simulateAssetChanges"] {
            ask(method, vec![op.clone(), entry_point.clone()]).await;
        }
        for unknown in ["eth_getUserOperationByHash", "eth_getUserOperationReceipt", "fabstir_getUserOperationStatus"] {
            assert_eq!(ask(unknown, vec![hash.clone()]).await, Value::Null);
        }
        for status in ["pimlico_getUserOperationStatus", "rundler_getUserOperationStatus"] {
            ask(status, vec![hash.clone()]).await;
        }
        ask("rundler_getPendingUserOperationBySenderNonce", vec![json!(account.address), op["nonce"].clone()]).await;
        if version == EntryPointVersion::V0_8 {
            ask("fabstir_sendUserOperationSync", vec![op, entry_point, json!(60_000)]).await;
        } else if version == EntryPointVersion::V0_7 {
            ask("pimlico_sendUserOperationNow", vec![op, entry_point]).await;
        } else {
            ask("eth_sendUserOperation", vec![op, entry_point]).await;
            ask("fabstir_getUserOperationStatus", vec![hash.clone()]).await;
            receipt(stack, serde_json::from_value(hash.clone()).unwrap()).await.unwrap();
        }
        let by_hash = ["eth_getUserOperationByHash", "eth_getUserOperationReceipt", "fabstir_getUserOperationStatus"];
        for known in by_hash.into_iter().chain(["fabstir_getUserOperationTrace"]) {
            assert!(!ask(known, vec![hash.clone()]).await.is_null());
        }
        ask("pimlico_getUserOperationStatus", vec![hash.clone()]).await;
        let mined = ask("rundler_getUserOperationStatus", vec![hash.clone()]).await;
        assert_eq!((&mined["status"], &mined["receipt"]["userOpHash"]), (&json!("mined"), &hash));

        let found = ask("fabstir_explorerSearch", vec![hash.clone()]).await;
        assert_eq!(found["operations"][0]["userOpHash"], hash);
        ask("fabstir_explorerOperation", vec![hash.clone()]).await;
        ask("fabstir_explorerOverview", vec![]).await;

        let client = WsClientBuilder::default().build(stack.node.url.replace("http", "ws")).await.unwrap();
        let (subscribe, unsubscribe) = ("fabstir_subscribeUserOperation", "fabstir_unsubscribeUserOperation");
        let mut stages: Subscription<Value> =
            client.subscribe(subscribe, rpc_params![&hash], unsubscribe).await.unwrap();
        document.assert_is("/components/schemas/Stage", &within("a stage", stages.next()).await.unwrap().unwrap());
        let id = match stages.kind() {
            jsonrpsee::core::client::SubscriptionKind::Subscription(id) => json!(id),
            other => panic!("{other:?}"),
        };
        document.assert_says(subscribe, std::slice::from_ref(&hash), &id);
        let ended: Value = client.request(unsubscribe, rpc_params![&id]).await.unwrap();
        document.assert_says(unsubscribe, &[id], &ended);
    }
}

/// What is passed on is what the node says itself.
async fn node(world: &World, document: &Document) {
    let anvil = &world.stack.anvil;
    let (address, block) = (json!(world.stack.deployment.token), json!("latest"));
    let newest = anvil.ask("eth_getBlockByNumber", vec![block.clone(), json!(false)]).await.unwrap();
    let (hash, transaction) = (newest["hash"].clone(), newest["transactions"][0].clone());
    assert!(transaction.is_string(), "{newest}");
    let supply = json!({ "to": address, "data": "0x18160ddd" });
    let asked = [
        ("eth_blockNumber", vec![]),
        ("eth_gasPrice", vec![]),
        ("eth_maxPriorityFeePerGas", vec![]),
        ("eth_feeHistory", vec![json!("0x2"), block.clone(), json!([50])]),
        ("eth_getBalance", vec![address.clone(), block.clone()]),
        ("eth_getCode", vec![address.clone(), block.clone()]),
        ("eth_getStorageAt", vec![address.clone(), json!("0x0"), block.clone()]),
        ("eth_getTransactionCount", vec![address.clone(), block.clone()]),
        ("eth_getBlockByNumber", vec![block.clone(), json!(true)]),
        ("eth_getBlockByHash", vec![hash.clone(), json!(false)]),
        ("eth_getBlockTransactionCountByNumber", vec![block.clone()]),
        ("eth_getBlockTransactionCountByHash", vec![hash.clone()]),
        ("eth_getTransactionByHash", vec![transaction.clone()]),
        ("eth_getTransactionReceipt", vec![transaction.clone()]),
        ("eth_call", vec![supply.clone(), block.clone()]),
        ("eth_estimateGas", vec![supply.clone()]),
        ("eth_createAccessList", vec![supply.clone(), block]),
        ("eth_syncing", vec![]),
        ("net_version", vec![]),
    ];
    assert_eq!(asked.len(), fabstir::forward::READS.len());
    for (method, params) in asked {
        let itself = anvil.ask(method, params.clone()).await.unwrap();
        assert_eq!(document.ask(world, method, params).await, itself, "{method}");
    }
}

async fn paymaster(world: &World, document: &Document) {
    let ask = async |method: &str, params: Vec<Value>| document.ask(world, method, params).await;
    let stack = &world.stack;
    let chain = json!(U256::from(stack.deployment.chain_id));
    let version = EntryPointVersion::V0_8.to_string();
    let entry_point = json!(stack.deployment.entry_points[&version]);
    let client = stack.client(SecretKey::generate(), 0).await.unwrap();
    let op = client.prepare(&[approval(stack, 1)]).await.unwrap();
    let asked = |context: Value| vec![op.clone(), entry_point.clone(), chain.clone(), context];
    ask("pm_getPaymasterStubData", asked(Value::Null)).await;
    ask("pm_getPaymasterData", asked(Value::Null)).await;
    ask("fabstir_explainSponsorship", asked(Value::Null)).await;
    ask("pm_sponsorUserOperation", vec![op.clone(), entry_point.clone()]).await;
    ask("pm_validateSponsorshipPolicies", vec![op.clone(), entry_point.clone(), json!(["default", "marketplace"])])
        .await;
    ask("pm_getAcceptedPaymentTokens", vec![entry_point.clone(), chain.clone(), json!({})]).await;
    ask("pm_chainId", vec![]).await;
    assert_eq!(ask("pm_supportedEntryPoints", vec![]).await[0], entry_point);
    let supported = ask("pm_supportedERC20Tokens", vec![entry_point.clone()]).await;
    assert_eq!(supported["tokens"].as_array().unwrap().len(), 1);
    let asked = json!({
        "policyId": "marketplace", "entryPoint": entry_point, "userOperation": op, "dummySignature": op["signature"],
    });
    ask("alchemy_requestGasAndPaymasterAndData", vec![asked]).await;
    let asked = json!({ "chainId": 31_337, "entryPointAddress": entry_point, "userOp": op, "shouldOverrideFee": true });
    ask("zd_sponsorUserOperation", vec![asked]).await;
    let tokens = json!({ "tokens": [stack.deployment.token] });
    ask("pimlico_getTokenQuotes", vec![tokens, entry_point.clone(), chain]).await;
    let mut bare = json!({ "sender": client.account, "callData": calls::encode(&[approval(stack, 1)]) });
    for field in ["factory", "factoryData"] {
        bare[field] = op[field].clone();
    }
    ask("fabstir_prepareSponsoredUserOperation", vec![bare, entry_point]).await;
    let (account, op) = signed_first(stack).await;
    ask("fabstir_sponsorAndSend", vec![op, json!(account.entry_point)]).await;
}

async fn session(world: &World, document: &Document) {
    let ask = async |method: &str, params: Vec<Value>| document.ask(world, method, params).await;
    let host = registered_host(world).await;
    let (owner, user) = world.owner(100_000_000).await;
    ask("fabstir_createSession", vec![json!({ "curve": "p256" })]).await;
    let client = SessionClient::create(&world.stack.node.url, Curve::Secp256k1).await.unwrap();
    let as_client = async |method: &str, param: Value| document.ask_as(&client, method, param).await;

    let request = json!(world.request(&owner, user.account, client.to, daily(10_000_000)));
    let asked = as_client("wallet_requestExecutionPermissions", request).await;
    let policy: Policy = serde_json::from_value(asked[0]["policy"].clone()).unwrap();
    let digest = policy.digest(world.stack.deployment.chain_id, user.account).unwrap();
    let signature = Bytes::from(owner.sign(digest).unwrap().as_bytes());
    let context = asked[0]["context"].clone();
    let grant = json!({ "permissionContext": context, "signature": signature });
    as_client("fabstir_grantPermission", grant).await;
    ask("wallet_getSupportedExecutionPermissions", vec![]).await;
    ask("wallet_getCapabilities", vec![json!(user.account)]).await;

    let calls: Vec<_> =
        world.job(host.account, 1_000_000).iter().map(|call| json!({ "to": call.target, "data": call.data })).collect();
    for version in ["1.0", "2.0.0"] {
        let batch = json!({
            "version": version, "chainId": U256::from(world.stack.deployment.chain_id), "from": user.account,
            "calls": calls, "capabilities": { "permissions": { "context": context } },
        });
        let sent = as_client("wallet_sendCalls", batch).await;
        let id = sent.get("id").unwrap_or(&sent).clone();
        until("the calls are executed", async || {
            let status = as_client("wallet_getCallsStatus", id.clone()).await;
            status["status"] != "PENDING" && status["status"] != json!(100)
        })
        .await;
    }
    as_client("wallet_getGrantedExecutionPermissions", Value::Null).await;
    let op = json!({
        "sender": user.account,
        "nonce": nonce_key(serde_json::from_value(context.clone()).unwrap(), 0, 9) << 64,
        "callData": calls::encode(&world.job(host.account, 600_000)),
        "callGasLimit": "0x1", "verificationGasLimit": "0x1", "preVerificationGas": "0x1",
        "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x1", "signature": "0x",
        "paymaster": world.stack.deployment.paymasters["v0.8"], "paymasterData": "0x",
        "paymasterVerificationGasLimit": "0x1", "paymasterPostOpGasLimit": "0x1",
    });
    let sign = json!({ "permissionContext": context, "userOperation": op });
    as_client("fabstir_signUserOperation", sign).await;
    let done = json!({ "permissionContext": context });
    as_client("wallet_revokeExecutionPermission", done).await;

    let (_, _, client, session, mut chat) = conversation(world).await;
    let (said, _) = chat.sign_voucher("one", 100).await.unwrap();
    let next = Voucher { cumulative_amount: said.cumulative_amount + U256::ONE, ..said };
    let sign = json!({ "permissionContext": session.context, "voucher": next });
    document.ask_as(&client, "fabstir_signVoucher", sign).await;
}

async fn debug(world: &World, document: &Document) {
    let ask = async |method: &str, params: Vec<Value>| document.ask(world, method, params).await;
    let stack = &world.stack;
    let account = SimpleAccount::new(stack, EntryPointVersion::V0_8, parse_ether("1").unwrap()).await.unwrap();
    let entry_point = json!(account.entry_point);
    let mut op = account.operation(stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    account.finish(stack, &mut op).await.unwrap();
    ask("debug_bundler_setBundlingMode", vec![json!("manual")]).await;
    ask("debug_bundler_addUserOps", vec![json!([op]), entry_point.clone()]).await;
    let held = ask("debug_bundler_dumpMempool", vec![entry_point.clone()]).await;
    assert_eq!(held.as_array().unwrap().len(), 1);
    ask("debug_bundler_sendBundleNow", vec![]).await;
    let reputation = json!([{ "address": account.address, "opsSeen": "0x1", "opsIncluded": "0x1" }]);
    ask("debug_bundler_setReputation", vec![reputation, entry_point.clone()]).await;
    assert!(!ask("debug_bundler_dumpReputation", vec![entry_point.clone()]).await.as_array().unwrap().is_empty());
    ask("debug_bundler_getStakeStatus", vec![json!(stack.deployment.paymasters["v0.8"]), entry_point]).await;
    for forget in ["debug_bundler_clearState", "debug_bundler_clearMempool", "debug_bundler_clearReputation"] {
        ask(forget, vec![]).await;
    }
}

/// `docs/rpc.md` is what the document says now.
#[test]
fn the_reference_page_is_current() {
    let page = fabstir::openrpc::to_markdown(&fabstir::openrpc::whole().unwrap());
    let file = root().join("docs/rpc.md");
    if std::env::var_os("FABSTIR_WRITE_DOCS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap_or_default() == page,
        "docs/rpc.md is old: make reference writes it anew"
    );
}
