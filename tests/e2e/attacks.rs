//! What somebody with a signature of ours, or a thousand of them, can draw: the table of `docs/paymaster.md`.
//!
//! Each test prints what was lost and holds it against the limit that the operator set.

use alloy::primitives::{Address, Bytes, U256, utils::parse_ether};
use alloy::sol_types::{SolCall, SolValue};
use erc4337::{
    EntryPointVersion, UserOperation, UserOperationRequest,
    abi::{entry_point_v08, test_usdc},
    calls::Call,
    pack,
};
use fabstir::Client;
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::Stack;

pub(crate) const VERSION: EntryPointVersion = EntryPointVersion::V0_8;
/// What one account may be sponsored in a day, in ether; of the order of three operations' worst case.
pub(crate) const PER_ACCOUNT: &str = "0.006";
/// All of them together.
const PER_DAY: &str = "0.012";

async fn stack() -> Stack {
    Stack::start(&["--sponsor-per-account", PER_ACCOUNT, "--sponsor-per-day", PER_DAY]).await.unwrap()
}

fn entry_point(stack: &Stack) -> Address {
    stack.deployment.entry_points[&VERSION.to_string()]
}

/// Wei that our paymaster has in the EntryPoint.
pub(crate) async fn deposit(stack: &Stack) -> U256 {
    let paymaster = stack.deployment.paymasters[&VERSION.to_string()];
    let data = entry_point_v08::balanceOfCall { account: paymaster }.abi_encode();
    let call = json!({ "to": entry_point(stack), "data": Bytes::from(data) });
    let answer = stack.anvil.ask("eth_call", vec![call, json!("latest")]).await.unwrap();
    let bytes: Bytes = serde_json::from_value(answer).unwrap();
    U256::abi_decode(&bytes).unwrap()
}

pub(crate) fn approval(stack: &Stack, value: u64) -> Call {
    let approve = test_usdc::approveCall { spender: stack.deployment.payment_escrow, value: U256::from(value) };
    Call { target: stack.deployment.token, value: U256::ZERO, data: approve.abi_encode().into() }
}

pub(crate) fn parse(op: &Value) -> UserOperation {
    UserOperationRequest::from_json(op, VERSION).unwrap().with_open_fields_zero()
}

/// Has the paymaster sign this; the code and the text if it does not.
pub(crate) async fn sponsor(stack: &Stack, op: &Value) -> Result<Value, (i32, String)> {
    let chain = U256::from(stack.deployment.chain_id);
    let params = vec![op.clone(), json!(entry_point(stack)), json!(chain), Value::Null];
    match stack.node.ask("pm_getPaymasterData", params).await {
        Ok(answer) => {
            let mut op = op.clone();
            op.as_object_mut().unwrap().extend(answer.as_object().cloned().unwrap());
            Ok(op)
        }
        Err(ClientError::Call(error)) => Err((error.code(), error.message().to_owned())),
        Err(other) => panic!("{other}"),
    }
}

/// Bundles these ourselves, past our own bundler; whether the EntryPoint took the bundle.
pub(crate) async fn bundle_by_hand(stack: &Stack, ops: &[UserOperation]) -> bool {
    let data = pack::handle_ops(VERSION, ops, Address::repeat_byte(0xbe));
    stack.anvil.transact(Some(entry_point(stack)), data, U256::ZERO).await.is_ok()
}

/// An operation of an account that is there, complete and sponsored.
pub(crate) async fn sponsored(stack: &Stack) -> (Client, Value) {
    let client = stack.client(SecretKey::generate(), 0).await.unwrap();
    client.act(&[approval(stack, 1)]).await.unwrap();
    let op = client.prepare(&[approval(stack, 2)]).await.unwrap();
    (client, op)
}

/// The same with a nonce key that was never used, which costs validation a fresh slot.
pub(crate) fn of_key(op: &Value, key: u64) -> Value {
    let mut op = op.clone();
    op["nonce"] = json!(U256::from(key) << 64);
    op["verificationGasLimit"] = json!(U256::from(parse(&op).verification_gas_limit + 30_000));
    op
}

/// As many signatures as there are for operations that differ in the nonce's key alone.
pub(crate) async fn hoard(stack: &Stack, op: &Value) -> (Vec<Value>, String) {
    let mut hoarded = vec![op.clone()];
    for key in 1_u64..200 {
        match sponsor(stack, &of_key(op, key)).await {
            Ok(other) => hoarded.push(other),
            Err((code, message)) => {
                assert_eq!(code, -32050, "{message}");
                return (hoarded, message);
            }
        }
    }
    panic!("a budget without an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn hoarded_signatures_of_fresh_nonce_keys_draw_no_more_than_the_accounts_limit_whoever_bundles_them() {
    let stack = stack().await;
    let (client, op) = sponsored(&stack).await;
    let before = deposit(&stack).await;
    let (hoarded, message) = hoard(&stack, &op).await;
    assert!(message.contains("this account"), "{message}");
    let limit = parse_ether(PER_ACCOUNT).unwrap();
    let worst = hoarded.iter().map(|op| parse(op).required_prefund(VERSION)).sum::<U256>();
    assert!(worst <= limit, "{worst} promised of {limit}");
    assert!(hoarded.len() > 1, "the limit leaves room for an attack");
    let signed: Vec<_> = hoarded.into_iter().map(|op| parse(&client.sign(op).unwrap())).collect();
    assert!(bundle_by_hand(&stack, &signed).await, "the signatures are good");
    let lost = before - deposit(&stack).await;
    println!("lost to {} hoarded signatures, self-bundled: {lost} wei of {limit}", signed.len());
    assert!(!lost.is_zero() && lost <= limit, "{lost} of {limit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counterfactual_sybils_are_promised_no_more_than_the_limit_of_all_together() {
    let stack = stack().await;
    let limit = parse_ether(PER_DAY).unwrap();
    let mut promised = U256::ZERO;
    for _ in 0..200 {
        let client = stack.client(SecretKey::generate(), 0).await.unwrap();
        match client.prepare(&[approval(&stack, 1)]).await {
            Ok(op) => promised += parse(&op).required_prefund(VERSION),
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("what all may be sponsored"), "{error}");
                println!("promised to sybils: {promised} wei of {limit}");
                assert!(!promised.is_zero() && promised <= limit);
                return;
            }
        }
    }
    panic!("{promised} promised of {limit}, and no end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_swapped_after_signing_costs_nothing() {
    let stack = stack().await;
    let (client, op) = sponsored(&stack).await;
    let before = deposit(&stack).await;
    let swaps: [(&str, Value); 6] = [
        ("callData", json!(erc4337::calls::encode(&[approval(&stack, 3)]))),
        ("callGasLimit", json!("0x100000")),
        ("verificationGasLimit", json!("0x100000")),
        ("preVerificationGas", json!("0x100000")),
        ("maxFeePerGas", json!("0x2540be400")),
        ("paymasterVerificationGasLimit", json!("0x100000")),
    ];
    for (field, value) in swaps {
        let mut swapped = op.clone();
        swapped[field] = value;
        let swapped = client.sign(swapped).unwrap();
        assert!(client.send(&swapped).await.is_err(), "{field}: our bundler takes it");
        assert!(!bundle_by_hand(&stack, &[parse(&swapped)]).await, "{field}: the EntryPoint takes it");
    }
    let lost = before - deposit(&stack).await;
    println!("lost to swapped fields: {lost} wei");
    assert_eq!(lost, U256::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sponsored_operation_is_paid_for_once() {
    let stack = stack().await;
    let (client, op) = sponsored(&stack).await;
    let signed = parse(&client.sign(op).unwrap());
    let before = deposit(&stack).await;
    assert!(bundle_by_hand(&stack, std::slice::from_ref(&signed)).await);
    let once = deposit(&stack).await;
    assert!(once < before && before - once <= signed.required_prefund(VERSION));
    assert!(!bundle_by_hand(&stack, &[signed]).await, "the nonce is used");
    let lost = once - deposit(&stack).await;
    println!("lost to a replay: {lost} wei");
    assert_eq!(lost, U256::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn inflated_gas_and_fees_are_refused_or_bear_on_the_accounts_own_limit() {
    let stack = stack().await;
    let (_, op) = sponsored(&stack).await;
    let inflated: [(&str, u128); 4] = [
        ("preVerificationGas", 10_000_000),
        ("callGasLimit", 1 << 40),
        ("verificationGasLimit", 1 << 40),
        ("maxFeePerGas", 1 << 60),
    ];
    for (field, value) in inflated {
        let mut inflated = op.clone();
        inflated[field] = json!(U256::from(value));
        let (code, message) = sponsor(&stack, &inflated).await.unwrap_err();
        assert_eq!(code, -32050, "{field}: {message}");
    }
    println!("lost to inflated limits and fees: 0 wei");
    // What was refused was not charged either.
    sponsor(&stack, &op).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_that_revert_after_validation_end_in_a_cool_down() {
    // With the rehearsal on, the first of these is refused; this is what is left to whoever gets past it.
    let stack = Stack::start(&["--sponsor-unrehearsed"]).await.unwrap();
    let (client, op) = sponsored(&stack).await;
    let before = deposit(&stack).await;
    let accept = erc4337::abi::job_marketplace::acceptResultCall { jobId: alloy::primitives::B256::repeat_byte(1) };
    let call = Call { target: stack.deployment.job_marketplace, value: U256::ZERO, data: accept.abi_encode().into() };
    let mut mined = 0_u64;
    let mut promised = U256::ZERO;
    for key in 1_u64..1_000 {
        let mut reverting = of_key(&op, key);
        reverting["callData"] = json!(erc4337::calls::encode(std::slice::from_ref(&call)));
        match sponsor(&stack, &reverting).await {
            // Between its block and the ledger's hearing of it, another is signed now and then.
            Ok(reverting) => {
                let signed = parse(&client.sign(reverting).unwrap());
                promised += signed.required_prefund(VERSION);
                assert!(bundle_by_hand(&stack, &[signed]).await);
                mined += 1;
            }
            Err((code, message)) => {
                assert_eq!((code, message.contains("reverted; none is sponsored until")), (-32050, true), "{message}");
                let lost = before - deposit(&stack).await;
                println!("lost to {mined} operations that revert: {lost} wei of {promised} promised");
                assert!(mined >= 5 && lost <= promised, "{mined}: {lost} of {promised}");
                return;
            }
        }
    }
    panic!("{mined} operations reverted, and no end");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_hide_in_nested_batches_are_not_sponsored() {
    let stack = stack().await;
    let (client, op) = sponsored(&stack).await;
    let stranger = Call { target: Address::repeat_byte(0x99), value: U256::ZERO, data: vec![1, 2, 3, 4].into() };
    let inner = erc4337::calls::encode(&[approval(&stack, 1), stranger.clone()]);
    let to_itself = Call { target: client.account, value: U256::ZERO, data: inner };
    let twice = Call { data: erc4337::calls::encode(std::slice::from_ref(&to_itself)), ..to_itself.clone() };
    for hidden in [vec![approval(&stack, 1), stranger], vec![approval(&stack, 1), to_itself], vec![twice]] {
        let mut op = op.clone();
        op["callData"] = json!(erc4337::calls::encode(&hidden));
        let (code, message) = sponsor(&stack, &op).await.unwrap_err();
        assert_eq!(code, -32050, "{message}");
    }
    println!("lost to hidden calls: 0 wei");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundler_that_pays_itself_gets_no_more_than_the_accounts_limit() {
    let stack = stack().await;
    let (client, op) = sponsored(&stack).await;
    let (before, limit) = (deposit(&stack).await, parse_ether(PER_ACCOUNT).unwrap());
    // All that the policy lets an operation waste, at the highest price that the limit has room for.
    let mut siphon = of_key(&op, 1);
    siphon["preVerificationGas"] = json!(U256::from(300_000));
    let mut fee = 10_000_000_000_u128;
    let signed = loop {
        siphon["maxFeePerGas"] = json!(U256::from(fee));
        siphon["maxPriorityFeePerGas"] = json!(U256::from(fee));
        match sponsor(&stack, &siphon).await {
            Ok(signed) => break parse(&client.sign(signed).unwrap()),
            Err(_) => fee = fee * 9 / 10,
        }
        assert!(fee > 1_000_000, "nothing is sponsored at all");
    };
    assert!(bundle_by_hand(&stack, &[signed]).await);
    let (lost, gained) =
        (before - deposit(&stack).await, stack.anvil.balance(Address::repeat_byte(0xbe)).await.unwrap());
    println!("lost to a bundler that pays itself: {lost} wei of {limit}");
    assert!(!lost.is_zero() && gained == lost && lost <= limit);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_delegated_elsewhere_after_signing_costs_no_more_than_was_promised() {
    let stack = stack().await;
    let account = SecretKey::generate().address();
    let delegate = async |code: Address| {
        let code = Bytes::from([&[0xef, 0x01, 0x00], code.as_slice()].concat());
        stack.anvil.ask("anvil_setCode", vec![json!(account), json!(code)]).await.unwrap();
    };
    delegate(stack.deployment.smart_account).await;
    let op = json!({
        "sender": account, "nonce": "0x0", "signature": "0x",
        "callData": erc4337::calls::encode(&[approval(&stack, 1)]),
        "callGasLimit": "0x7a120", "verificationGasLimit": "0x30d40", "preVerificationGas": "0xea60",
        "maxFeePerGas": "0xb2d05e00", "maxPriorityFeePerGas": "0x3b9aca00",
    });
    let signed = parse(&sponsor(&stack, &op).await.unwrap());

    // Says that it is valid, and burns all gas when it is called.
    let hostile = Address::repeat_byte(0x77);
    let code = alloy::hex!("5f3560e01c6319822f7c14600f57fe5b60205ff3");
    stack.anvil.ask("anvil_setCode", vec![json!(hostile), json!(Bytes::from(code))]).await.unwrap();
    delegate(hostile).await;
    let before = deposit(&stack).await;
    assert!(bundle_by_hand(&stack, std::slice::from_ref(&signed)).await);
    let (lost, promised) = (before - deposit(&stack).await, signed.required_prefund(VERSION));
    println!("lost to an account that is delegated elsewhere: {lost} wei of {promised}");
    assert!(!lost.is_zero() && lost <= promised, "{lost} of {promised}");
}

tests::on_base!(
    hoarded_signatures_of_fresh_nonce_keys_draw_no_more_than_the_accounts_limit_whoever_bundles_them,
    a_sponsored_operation_is_paid_for_once,
    inflated_gas_and_fees_are_refused_or_bear_on_the_accounts_own_limit,
    operations_that_revert_after_validation_end_in_a_cool_down,
    an_account_that_is_delegated_elsewhere_after_signing_costs_no_more_than_was_promised,
);
