//! Bad operations get the code of ERC-7769 and the name of the field; the mempool stays as it was.

use alloy::{
    primitives::{Address, Bytes, U256, utils::parse_ether},
    sol_types::SolCall,
};
use erc4337::{
    EntryPointVersion,
    abi::{entry_point_v08, test_usdc},
    calls::Call,
};
use fabstir::Client;
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{Stack, accounts::SimpleAccount};

/// A stack that bundles only when asked, with one good operation in its mempool and another ready to be sent.
struct Fixture {
    stack: Stack,
    entry_point: Address,
    pool: Value,
    good: Value,
    client: Client,
}

impl Fixture {
    async fn new() -> Self {
        let stack = Stack::start(&["--debug-rpc"]).await.unwrap();
        stack.node.ask("debug_bundler_setBundlingMode", vec![json!("manual")]).await.unwrap();
        let entry_point = stack.deployment.entry_points[&EntryPointVersion::V0_8.to_string()];
        let approve = Call {
            target: stack.deployment.token,
            value: U256::ZERO,
            data: test_usdc::approveCall { spender: stack.deployment.payment_escrow, value: U256::from(1) }
                .abi_encode()
                .into(),
        };
        let calls = [approve];
        let waiting = stack.client(SecretKey::generate(), 0).await.unwrap();
        waiting.send(&waiting.sign(waiting.prepare(&calls).await.unwrap()).unwrap()).await.unwrap();
        let client = stack.client(SecretKey::generate(), 0).await.unwrap();
        let good = client.sign(client.prepare(&calls).await.unwrap()).unwrap();
        let pool = dump(&stack, entry_point).await;
        assert_eq!(pool.as_array().unwrap().len(), 1);
        Self { stack, entry_point, pool, good, client }
    }

    /// Sends it, expects a refusal, and that nothing has changed.
    async fn refused(&self, op: Value, entry_point: Value) -> (i32, String, Value) {
        let error = self.stack.node.ask("eth_sendUserOperation", vec![op, entry_point]).await.unwrap_err();
        assert_eq!(dump(&self.stack, self.entry_point).await, self.pool, "the mempool has changed");
        code_message_data(error)
    }
}

async fn dump(stack: &Stack, entry_point: Address) -> Value {
    stack.node.ask("debug_bundler_dumpMempool", vec![json!(entry_point)]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_code_and_names_the_field() {
    let fixture = Fixture::new().await;
    let entry_point = json!(fixture.entry_point);

    let mut op = fixture.good.clone();
    let mut signature: Bytes = serde_json::from_value(op["signature"].clone()).unwrap();
    let mut bytes = signature.to_vec();
    bytes[40] ^= 1;
    signature = bytes.into();
    op["signature"] = json!(signature);
    let (code, message, _) = fixture.refused(op, entry_point.clone()).await;
    assert_eq!((code, message.as_str()), (-32507, "signature: AA24 signature error"));

    for field in ["sender", "nonce", "callData", "callGasLimit", "maxFeePerGas", "signature", "preVerificationGas"] {
        for unset in [None, Some(Value::Null)] {
            let mut op = fixture.good.clone();
            match unset {
                None => drop(op.as_object_mut().unwrap().remove(field)),
                Some(null) => op[field] = null,
            }
            let (code, message, data) = fixture.refused(op, entry_point.clone()).await;
            assert_eq!((code, message), (-32602, format!("{field}: missing")));
            assert_eq!(data["field"], field);
        }
    }

    let mut op = fixture.good.clone();
    let enough: U256 = serde_json::from_value(op["preVerificationGas"].clone()).unwrap();
    op["preVerificationGas"] = json!(enough - U256::from(1));
    let (code, message, data) = fixture.refused(op, entry_point.clone()).await;
    assert_eq!(code, -32602);
    assert!(message.starts_with("preVerificationGas: ") && message.contains("too low"), "{message}");
    assert_eq!(data["required"], json!(enough));

    let nowhere = json!(Address::repeat_byte(0x42));
    let (code, message, data) = fixture.refused(fixture.good.clone(), nowhere).await;
    assert_eq!(code, -32602);
    assert!(message.starts_with("entryPoint: "), "{message}");
    assert_eq!(data["supportedEntryPoints"].as_array().unwrap().len(), 4);

    let mut op = fixture.good.clone();
    op["paymasterData"] = json!(Bytes::from(vec![1; 77]));
    let op = fixture.client.sign(op).unwrap();
    let (code, message, data) = fixture.refused(op, entry_point.clone()).await;
    assert_eq!(code, -32507, "{message}");
    assert!(message.starts_with("paymasterData: AA34"), "{message}");
    assert_eq!(data["paymaster"], fixture.good["paymaster"]);

    // After all of this the good one is as good as it was.
    fixture.stack.node.ask("eth_sendUserOperation", vec![fixture.good.clone(), entry_point]).await.unwrap();
}

fn code_message_data(error: ClientError) -> (i32, String, Value) {
    let ClientError::Call(error) = error else { panic!("no JSON-RPC error: {error}") };
    let data = error.data().map_or(Value::Null, |data| serde_json::from_str(data.get()).unwrap());
    (error.code(), error.message().to_owned(), data)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_outside_the_policy_is_denied_at_the_stub_with_its_reason() {
    let stack = Stack::start(&[]).await.unwrap();
    let entry_point = stack.deployment.entry_points[&EntryPointVersion::V0_8.to_string()];
    let stranger = Address::repeat_byte(0x99);
    let call = Call { target: stranger, value: U256::ZERO, data: vec![1, 2, 3, 4].into() };
    let sender = Address::repeat_byte(0x98);
    let op = json!({ "sender": sender, "nonce": "0x0", "callData": erc4337::calls::encode(&[call]) });
    let params = |chain: &str| vec![op.clone(), json!(entry_point), json!(chain), Value::Null];

    for method in ["pm_getPaymasterStubData", "pm_getPaymasterData"] {
        let mut params = params("0x7a69");
        if method == "pm_getPaymasterData" {
            let gas =
                ["callGasLimit", "verificationGasLimit", "preVerificationGas", "maxFeePerGas", "maxPriorityFeePerGas"];
            gas.iter().for_each(|field| params[0][*field] = json!("0x1"));
        }
        let (code, message, data) = code_message_data(stack.node.ask(method, params).await.unwrap_err());
        assert_eq!(code, -32050, "{message}");
        assert_eq!(message, format!("not sponsored: call 0 goes to {stranger}, which is not sponsored"));
        assert_eq!(data["policyId"], "marketplace");
        assert!(!message.contains("AA"), "an AAxx text would be taken for the EntryPoint's");
    }
    let wrong = stack.node.ask("pm_getPaymasterStubData", params("0x1")).await.unwrap_err();
    assert_eq!(code_message_data(wrong).0, -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_could_never_be_sent_are_refused_before_they_are_run() {
    let stack = Stack::start(&[]).await.unwrap();
    let entry_point = json!(stack.deployment.entry_points[&EntryPointVersion::V0_8.to_string()]);
    for field in ["callGasLimit", "verificationGasLimit", "preVerificationGas"] {
        let mut op = json!({ "sender": Address::repeat_byte(1), "nonce": "0x0", "callData": "0x" });
        op[field] = json!("0xffffffffffffffffff");
        let params = vec![op, entry_point.clone()];
        let error = stack.node.ask("eth_estimateUserOperationGas", params).await.unwrap_err();
        let (code, message, data) = code_message_data(error);
        assert_eq!((code, data["field"].as_str()), (-32602, Some(field)), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_would_revert_is_told_when_it_is_estimated() {
    let stack = Stack::start(&[]).await.unwrap();
    let client = stack.client(SecretKey::generate(), 0).await.unwrap();
    let accept = erc4337::abi::job_marketplace::acceptResultCall { jobId: alloy::primitives::B256::repeat_byte(1) };
    let call = Call { target: stack.deployment.job_marketplace, value: U256::ZERO, data: accept.abi_encode().into() };
    let error = client.prepare(&[call]).await.unwrap_err().downcast::<ClientError>().unwrap();
    let (code, message, data) = code_message_data(error);
    assert_eq!(code, -32521);
    assert!(message.starts_with("callData: execution reverted: "), "{message}");
    let revert_data = data["revertData"].as_str().unwrap_or_default();
    assert!(revert_data.len() > 10, "the revert data is handed on: {data}");
    // Through the account and the marketplace's proxy, down to the code that reverted.
    assert!(
        data["callPath"].as_array().is_some_and(|path| path.contains(&json!(stack.deployment.job_marketplace))),
        "{data}"
    );
    assert_eq!(data["callPath"].as_array().and_then(|path| path.last()), Some(&data["contract"]), "{data}");
    assert_eq!(data["outOfGas"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_account_may_be_sponsored_in_a_day_has_an_end_and_the_denial_says_when_it_begins_anew() {
    let stack = Stack::start(&["--sponsor-per-account", "0.000001"]).await.unwrap();
    let client = stack.client(SecretKey::generate(), 0).await.unwrap();
    let data =
        test_usdc::approveCall { spender: stack.deployment.payment_escrow, value: U256::from(1) }.abi_encode().into();
    let approve = Call { target: stack.deployment.token, value: U256::ZERO, data };
    let error = client.prepare(&[approve]).await.unwrap_err().downcast::<ClientError>().unwrap();
    let (code, message, data) = code_message_data(error);
    assert_eq!(code, -32050, "{message}");
    assert!(message.starts_with("not sponsored: what this account may be sponsored in a day is spent"), "{message}");
    assert_eq!(data["limit"], json!(U256::from(1_000_000_000_000_u64)));
    assert_eq!(data["remaining"], data["limit"]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let resets_at = data["resetsAt"].as_u64().unwrap();
    assert!(resets_at > now && resets_at <= now + 86_400, "{resets_at}");
}

/// What has no code cannot be asked; which of the two it is, each EntryPoint's callers are told alike.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_or_a_paymaster_without_code_is_called_that_on_every_entry_point() {
    let stack = Stack::start(&[]).await.unwrap();
    let nobody = Address::repeat_byte(0x99);
    for version in EntryPointVersion::ALL {
        let account = SimpleAccount::new(&stack, version, parse_ether("1").unwrap()).await.unwrap();
        let entry_point = json!(account.entry_point);
        let deposit = entry_point_v08::depositToCall { account: nobody }.abi_encode();
        stack.anvil.transact(Some(account.entry_point), deposit, parse_ether("1").unwrap()).await.unwrap();
        let mut op = account.operation(&stack, nobody, U256::ZERO, Bytes::new()).await.unwrap();
        for (field, gas) in
            [("verificationGasLimit", 800_000), ("callGasLimit", 100_000), ("preVerificationGas", 200_000)]
        {
            op[field] = json!(U256::from(gas));
        }
        let mut alone = op.clone();
        for field in ["factory", "factoryData", "initCode"] {
            alone.as_object_mut().unwrap().remove(field);
        }
        let mut unpaid = op;
        if version.is_packed() {
            unpaid["paymaster"] = json!(nobody);
            unpaid["paymasterData"] = json!("0x");
            unpaid["paymasterVerificationGasLimit"] = json!("0x186a0");
            unpaid["paymasterPostOpGasLimit"] = json!("0x0");
        } else {
            unpaid["paymasterAndData"] = json!(nobody);
        }
        for (op, code, words) in [(alone, -32_500, "AA20 "), (unpaid, -32_501, "AA30 ")] {
            for method in ["eth_estimateUserOperationGas", "eth_sendUserOperation"] {
                let error = stack.node.ask(method, vec![op.clone(), entry_point.clone()]).await.unwrap_err();
                let (given, message, _) = code_message_data(error);
                assert!(given == code && message.contains(words), "{version} {method}: {given} {message}");
            }
        }
    }
}
