//! Bundler and paymaster in one round trip: what four calls come to, on one head.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::SolCall,
};
use erc4337::{
    EntryPointVersion,
    abi::{job_marketplace, test_usdc},
    calls::{self, Call},
    sponsorship::Validity,
};
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{
    Stack,
    accounts::{SimpleAccount, receipt},
};

use crate::attacks::approval;

/// The call's error: code, text and data.
fn refusal(answer: Result<Value, ClientError>) -> (i32, String, Value) {
    match answer.unwrap_err() {
        ClientError::Call(error) => {
            let data = error.data().map_or(Value::Null, |data| serde_json::from_str(data.get()).unwrap());
            (error.code(), error.message().to_owned(), data)
        }
        other => panic!("{other}"),
    }
}

/// That it is mined, succeeded, and was paid for by our paymaster.
async fn assert_sponsored(stack: &Stack, hash: &Value, version: EntryPointVersion) {
    let receipt = receipt(stack, serde_json::from_value(hash.clone()).unwrap()).await.unwrap();
    assert_eq!(receipt["success"], true, "{receipt}");
    let paymaster: Address = serde_json::from_value(receipt["paymaster"].clone()).unwrap();
    assert_eq!(paymaster, stack.deployment.paymasters[&version.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_prepares_what_three_calls_and_two_reads_prepare() {
    let stack = Stack::start(&[]).await.unwrap();
    let version = EntryPointVersion::V0_8;
    let entry_point = stack.deployment.entry_points[&version.to_string()];
    let client = stack.client(SecretKey::generate(), 0).await.unwrap();
    // One that creates the account, and one of the account that is there.
    for value in [1, 2] {
        let by_four = client.prepare(&[approval(&stack, value)]).await.unwrap();
        let mut asked = json!({ "sender": client.account, "callData": calls::encode(&[approval(&stack, value)]) });
        for field in ["factory", "factoryData"] {
            asked[field] = by_four[field].clone();
        }
        let prepared =
            stack.node.ask("fabstir_prepareSponsoredUserOperation", vec![asked, json!(entry_point)]).await.unwrap();
        let op = &prepared["userOperation"];
        for field in ["nonce", "callGasLimit", "paymasterVerificationGasLimit", "paymaster"] {
            assert_eq!(op[field], by_four[field], "{field}: {prepared}");
        }
        // The room in it goes by `preVerificationGas`, and that by the bytes of stub and signature.
        let limit = |of: &Value| serde_json::from_value::<U256>(of["verificationGasLimit"].clone()).unwrap();
        assert!(limit(op).abs_diff(limit(&by_four)) <= U256::from(16), "{by_four} {prepared}");
        let signed = client.sign(op.clone()).unwrap();
        let hash = client.send(&signed).await.unwrap();
        assert_eq!(json!(hash), prepared["userOpHash"], "what the user is told to sign is what is executed");
        assert_sponsored(&stack, &json!(hash), version).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eoa_that_delegates_in_the_operation_is_prepared_for_in_one_call() {
    let stack = Stack::start(&[]).await.unwrap();
    let version = EntryPointVersion::V0_8;
    let account = SimpleAccount::eip7702(&stack, version, U256::ZERO).await.unwrap();
    let mut op = json!({
        "sender": account.address, "callData": calls::encode(&[approval(&stack, 1)]), "factory": "0x7702",
        "eip7702Auth": account.authorize(stack.deployment.smart_account, 0).unwrap(),
    });
    let prepare = "fabstir_prepareSponsoredUserOperation";
    let prepared = stack.node.ask(prepare, vec![op.clone(), json!(account.entry_point)]).await.unwrap();
    let mut signed = prepared["userOperation"].clone();
    assert_eq!(json!(account.sign(&mut signed).unwrap()), prepared["userOpHash"]);
    let sent = stack.node.ask("eth_sendUserOperation", vec![signed, json!(account.entry_point)]).await.unwrap();
    assert_sponsored(&stack, &sent, version).await;

    op["eip7702Auth"] = account.authorize(Address::repeat_byte(0x66), 1).unwrap();
    let (code, message, _) = refusal(stack.node.ask(prepare, vec![op, json!(account.entry_point)]).await);
    assert_eq!(code, -32050, "{message}");
}

/// An account of EntryPoint v0.9 that is there, and an operation that it has signed: sponsored but for our signature.
pub(crate) async fn signed_first(stack: &Stack) -> (SimpleAccount, Value) {
    let account = SimpleAccount::new(stack, EntryPointVersion::V0_9, U256::ZERO).await.unwrap();
    account.deploy(stack).await.unwrap();
    let Call { target, data, .. } = approval(stack, 1);
    let mut op = account.operation(stack, target, U256::ZERO, data).await.unwrap();
    let prepare = "fabstir_prepareSponsoredUserOperation";
    let prepared = stack.node.ask(prepare, vec![op.clone(), json!(account.entry_point)]).await.unwrap();
    op.as_object_mut().unwrap().extend(prepared["userOperation"].as_object().cloned().unwrap());
    // The suffix that says where our signature ends.
    let gas: U256 = serde_json::from_value(op["preVerificationGas"].clone()).unwrap();
    op["preVerificationGas"] = json!(gas + U256::from(1_000));
    sign_first(&account, &mut op, Validity { until: now() + 55, after: now() - 60 });
    (account, op)
}

fn sign_first(account: &SimpleAccount, op: &mut Value, validity: Validity) {
    op["paymasterData"] = json!(validity.to_bounds());
    // Whatever it will be, it is not in what the user signs.
    op["paymasterSignature"] = json!(Bytes::from(vec![1; 65]));
    account.sign(op).unwrap();
    op.as_object_mut().unwrap().remove("paymasterSignature");
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_v09_an_operation_that_its_user_has_signed_is_sponsored_and_sent_in_one_call() {
    let stack = Stack::start(&[]).await.unwrap();
    let (account, op) = signed_first(&stack).await;
    let send =
        async |op: &Value| stack.node.ask("fabstir_sponsorAndSend", vec![op.clone(), json!(account.entry_point)]).await;
    // Nothing of it is ours to change, and what stands in the way is named.
    let mut other = op.clone();
    other["paymaster"] = json!(Address::repeat_byte(0x88));
    let mut late = op.clone();
    sign_first(&account, &mut late, Validity { until: now() + 3_600, after: now() - 60 });
    let mut early = op.clone();
    sign_first(&account, &mut early, Validity { until: now() + 55, after: now() + 30 });
    let mut bare = op.clone();
    bare["paymasterData"] = json!("0x");
    for (op, field) in
        [(other, "paymaster"), (late, "paymasterData"), (early, "paymasterData"), (bare, "paymasterData")]
    {
        let (code, message, data) = refusal(send(&op).await);
        assert_eq!((code, &data["field"]), (-32602, &json!(field)), "{message}");
    }
    let mut forged = op.clone();
    forged["signature"] =
        json!(SecretKey::generate().sign(alloy::primitives::keccak256("another")).unwrap().as_bytes().to_vec());
    let by_another = SecretKey::generate().sign(keccak256("another")).unwrap();
    forged["signature"] = json!(Bytes::from(by_another.as_bytes()));
    assert_eq!(refusal(send(&forged).await).0, -32507, "another key's signature");

    let sent = send(&op).await.unwrap();
    assert_sponsored(&stack, &sent, EntryPointVersion::V0_9).await;
    // The nonce is used: the same again is known, and paid for once.
    let (code, message, _) = refusal(send(&op).await);
    assert_eq!(code, -32050, "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_versions_have_no_signature_that_comes_after_the_user_s() {
    let stack = Stack::start(&[]).await.unwrap();
    let client = stack.client(SecretKey::generate(), 0).await.unwrap();
    let op = client.sign(client.prepare(&[approval(&stack, 1)]).await.unwrap()).unwrap();
    let entry_point = stack.deployment.entry_points["v0.8"];
    let (code, _, data) = refusal(stack.node.ask("fabstir_sponsorAndSend", vec![op, json!(entry_point)]).await);
    assert_eq!((code, &data["field"]), (-32602, &json!("paymasterSignature")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_revert_is_not_signed_for_unless_the_operator_says_so() {
    let accept = job_marketplace::acceptResultCall { jobId: B256::repeat_byte(1) }.abi_encode();
    for (arguments, signed) in [(&[][..], false), (&["--sponsor-unrehearsed"][..], true)] {
        let stack = Stack::start(arguments).await.unwrap();
        let (_, op) = crate::attacks::sponsored(&stack).await;
        let mut reverting = op.clone();
        let call = Call { target: stack.deployment.job_marketplace, value: U256::ZERO, data: accept.clone().into() };
        reverting["callData"] = json!(calls::encode(&[call]));
        let answer = crate::attacks::sponsor(&stack, &reverting).await;
        match answer {
            Ok(_) => assert!(signed),
            Err((code, message)) => {
                assert_eq!((code, signed), (-32050, false), "{message}");
                assert!(message.contains("execution would revert"), "{message}");
            }
        }
        // What does not is signed for, whichever the setting, and nothing was set aside for the other.
        let transfer = test_usdc::approveCall { spender: stack.deployment.payment_escrow, value: U256::from(9) };
        let mut good = op;
        let call = Call { target: stack.deployment.token, value: U256::ZERO, data: transfer.abi_encode().into() };
        good["callData"] = json!(calls::encode(&[call]));
        crate::attacks::sponsor(&stack, &good).await.unwrap();
    }
}

tests::on_base!(
    one_call_prepares_what_three_calls_and_two_reads_prepare,
    an_eoa_that_delegates_in_the_operation_is_prepared_for_in_one_call,
    on_v09_an_operation_that_its_user_has_signed_is_sponsored_and_sent_in_one_call,
    what_would_revert_is_not_signed_for_unless_the_operator_says_so,
);
