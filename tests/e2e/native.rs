//! Contracts that the chain's client executes itself, such as B20 tokens: the bundler is shown code of one byte, while
//! the node executes a real token there.

use std::collections::HashMap;

use alloy::{
    primitives::{Address, Bytes, U256, address, utils::parse_ether},
    sol_types::SolCall,
};
use erc4337::{
    EntryPointVersion, UserOperation,
    abi::{entry_point_v08::depositToCall, test_usdc},
};
use serde_json::json;
use session_keys::SecretKey;
use tests::{
    Anvil, Bench, Stack,
    accounts::{SimpleAccount, receipt},
    programs::asm::{Asm, op},
    proxy::Proxy,
};

/// Where tokens are on Base, by their address alone; and a singleton without code.
const TOKEN: Address = address!("0xb200000000000000000000aabbccddeeff001122");
const SINGLETON: Address = address!("0xB20f000000000000000000000000000000000000");
/// Operations in one bundle at most.
const MOST: usize = 8;

/// A chain where the deployment's token is executed by the client, and another is where Base has its own.
async fn bench(version: EntryPointVersion) -> (Bench, Address) {
    let anvil = Anvil::start().await.unwrap();
    let proxy = Proxy::start(&anvil.url).await.unwrap();
    let bench = Bench::on(anvil, &proxy.url, version).await;
    let token = bench.stack.deployment.token;
    proxy.make_native(token);
    let code = bench.anvil("eth_getCode", vec![json!(token), json!("latest")]).await;
    bench.anvil("anvil_setCode", vec![json!(TOKEN), code]).await;
    (bench, token)
}

async fn mint(stack: &Stack, token: Address, to: Address, amount: u64) {
    let mint = test_usdc::mintCall { to, amount: U256::from(amount) };
    stack.anvil.transact(Some(token), mint.abi_encode(), U256::ZERO).await.unwrap();
}

async fn balance(stack: &Stack, token: Address, account: Address) -> U256 {
    let call = json!({ "to": token, "data": Bytes::from(test_usdc::balanceOfCall { account }.abi_encode()) });
    serde_json::from_value(stack.anvil.ask("eth_call", vec![call, json!("latest")]).await.unwrap()).unwrap()
}

fn transfer(to: Address, amount: u64) -> Bytes {
    test_usdc::transferCall { to, value: U256::from(amount) }.abi_encode().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_of_such_a_token_is_estimated_and_lands_and_its_failure_is_told_on_every_entry_point() {
    let (bench, stubbed) = bench(EntryPointVersion::V0_8).await;
    let stack = &bench.stack;
    stack.node.ask("debug_bundler_setBundlingMode", vec![json!("auto")]).await.unwrap();
    for version in EntryPointVersion::ALL {
        let account = SimpleAccount::new(stack, version, parse_ether("1").unwrap()).await.unwrap();
        for token in [stubbed, TOKEN] {
            let somebody = SecretKey::generate().address();
            mint(stack, token, account.address, 10).await;
            bench.catch_up().await;
            let op = account.operation(stack, token, U256::ZERO, transfer(somebody, 10)).await.unwrap();
            let gas =
                stack.node.ask("eth_estimateUserOperationGas", vec![op.clone(), json!(account.entry_point)]).await;
            let call: U256 = serde_json::from_value(gas.unwrap()["callGasLimit"].clone()).unwrap();
            assert!((30_000..150_000).contains(&call.to::<u64>()), "{version}: {call}");
            let hash = account.send(stack, op.clone()).await.unwrap();
            let receipt = receipt(stack, hash).await.unwrap();
            assert_eq!(receipt["success"], true, "{version} {token}: {receipt}");
            assert_eq!(balance(stack, token, somebody).await, U256::from(10), "{version} {token}");

            // It has none left: that is told at the estimate, as of any call.
            bench.catch_up().await;
            let op = account.operation(stack, token, U256::ZERO, transfer(somebody, 1)).await.unwrap();
            let refused = bench.ask("eth_estimateUserOperationGas", vec![op, json!(account.entry_point)]).await;
            let refused = refused.unwrap_err();
            assert_eq!(refused.code, -32_521, "{version}: {refused:?}");
            assert!(refused.data["revertData"].as_str().is_some_and(|data| data.len() > 2), "{refused:?}");
        }
    }
}

/// An account whose validation begins with this, and which otherwise hands its calldata to `to`, whatever comes of it.
fn relay(version: EntryPointVersion, validation: &[u8], to: Address) -> Bytes {
    let mut asm = Asm::default();
    let asked = asm.label();
    asm.op(op::PUSH0).op(op::CALLDATALOAD).number(224).op(op::SHR);
    asm.number(u32::from_be_bytes(version.selectors().validate_user_op) as usize).op(op::EQ).jump_if(asked);
    asm.op(op::CALLDATASIZE).op(op::PUSH0).op(op::PUSH0).op(op::CALLDATACOPY);
    asm.op(op::PUSH0).op(op::PUSH0).op(op::CALLDATASIZE).op(op::PUSH0).op(op::PUSH0).address(to).op(op::GAS);
    asm.op(op::CALL).op(op::STOP);
    asm.place(asked);
    // The verdict is what is in the first word of memory.
    asm.raw(validation).number(32).op(op::PUSH0).op(op::RETURN);
    asm.finish()
}

/// Places such an account, with a deposit; its operation that makes this call.
async fn place(bench: &Bench, code: Bytes, call_data: Bytes) -> UserOperation {
    let sender = SecretKey::generate().address();
    bench.anvil("anvil_setCode", vec![json!(sender), json!(code)]).await;
    let deposit = depositToCall { account: sender }.abi_encode();
    bench.stack.anvil.transact(Some(bench.entry_point), deposit, parse_ether("1").unwrap()).await.unwrap();
    UserOperation {
        sender,
        call_data,
        call_gas_limit: 100_000,
        verification_gas_limit: 200_000,
        pre_verification_gas: 100_000,
        max_fee_per_gas: 5_000_000_000,
        max_priority_fee_per_gas: 2_000_000_000,
        ..UserOperation::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_validation_such_a_call_is_refused_whatever_is_made_of_its_answer() {
    let (bench, token) = bench(EntryPointVersion::V0_8).await;
    for callee in [token, TOKEN, SINGLETON] {
        // Such an address has one byte of code at which other EVMs halt, or none, as a precompile has.
        let code = bench.anvil("eth_getCode", vec![json!(callee), json!("latest")]).await;
        let rule = json!(if code == "0x" { "OP-062" } else { "OP-013" });
        // `totalSupply()`, by STATICCALL; whether it worked is on the stack.
        let mut call = Asm::default();
        call.number(0x1816_0ddd).number(224).raw(&[0x1b]).op(op::PUSH0).op(op::MSTORE);
        call.op(op::PUSH0).op(op::PUSH0).number(4).op(op::PUSH0).address(callee).op(op::GAS).op(op::STATICCALL);
        let call = call.finish();
        // One that is valid if it works, one that is if it does not, and one that does not care.
        let ends: [&[u8]; 3] = [
            &[op::ISZERO, op::PUSH0, op::MSTORE],
            &[op::PUSH0, op::MSTORE],
            &[op::POP, op::PUSH0, op::PUSH0, op::MSTORE],
        ];
        for end in ends {
            let code = relay(bench.version, &[&call[..], end].concat(), callee);
            let op = place(&bench, code, Bytes::new()).await;
            bench.catch_up().await;
            let refused = bench.send(&op).await.unwrap_err();
            assert_eq!((refused.code, &refused.data["rule"]), (-32_502, &rule), "{refused:?}");
            assert!(refused.message.contains("the chain's client executes itself"), "{refused:?}");
            assert_eq!(refused.data["accessed"], json!(callee), "{refused:?}");
            let mut open = erc4337::wire::to_json(&op, bench.version);
            for limit in ["callGasLimit", "verificationGasLimit", "preVerificationGas"] {
                open.as_object_mut().unwrap().remove(limit);
            }
            let estimate = bench.ask("eth_estimateUserOperationGas", vec![open, json!(bench.entry_point)]).await;
            assert_eq!(estimate.unwrap_err().data["rule"], rule);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_does_not_look_at_the_answer_is_taken_for_what_it_calls_and_not_for_what_comes_of_it() {
    let (bench, token) = bench(EntryPointVersion::V0_8).await;
    let somebody = SecretKey::generate().address();
    let op = place(&bench, relay(bench.version, &[], token), transfer(somebody, 7)).await;
    mint(&bench.stack, token, op.sender, 7).await;
    bench.catch_up().await;
    let mut open = erc4337::wire::to_json(&op, bench.version);
    // How much is enough for a call whose failure is caught is the account's matter.
    for limit in ["verificationGasLimit", "preVerificationGas"] {
        open.as_object_mut().unwrap().remove(limit);
    }
    let gas = bench.ask("eth_estimateUserOperationGas", vec![open.clone(), json!(bench.entry_point)]).await.unwrap();
    open.as_object_mut().unwrap().extend(gas.as_object().unwrap().clone());
    let hash = bench.send_json(open).await.unwrap();
    bench.ask("debug_bundler_setBundlingMode", vec![json!("auto")]).await.unwrap();
    assert_eq!(receipt(&bench.stack, hash).await.unwrap()["success"], true);
    assert_eq!(balance(&bench.stack, token, somebody).await, U256::from(7), "the call failed, and nobody looked");
}

#[tokio::test(flavor = "multi_thread")]
async fn such_operations_go_by_themselves_a_few_at_a_time_and_hold_up_no_others() {
    let (bench, token) = bench(EntryPointVersion::V0_8).await;
    let (somebody, mut native, mut others) = (SecretKey::generate().address(), Vec::new(), Vec::new());
    for index in 0..MOST as u64 + 4 {
        let op = place(&bench, relay(bench.version, &[], token), transfer(somebody, index + 1)).await;
        mint(&bench.stack, token, op.sender, index + 1).await;
        native.push(op);
        others.push(place(&bench, relay(bench.version, &[], Address::repeat_byte(5)), Bytes::new()).await);
    }
    bench.catch_up().await;
    let mut hashes = HashMap::new();
    for (native, other) in native.iter().zip(&others) {
        hashes.insert(bench.send(native).await.unwrap(), true);
        hashes.insert(bench.send(other).await.unwrap(), false);
    }
    // What others do is in the first bundle: it is seen in its proof who calls what.
    bench.ask("debug_bundler_setBundlingMode", vec![json!("auto")]).await.unwrap();
    let mut bundles: HashMap<String, Vec<bool>> = HashMap::new();
    for (hash, is_native) in hashes {
        let receipt = receipt(&bench.stack, hash).await.unwrap();
        assert_eq!(receipt["success"], true, "{receipt}");
        bundles.entry(receipt["receipt"]["transactionHash"].to_string()).or_default().push(is_native);
    }
    let sent: u64 = (1..=MOST as u64 + 4).sum();
    assert_eq!(balance(&bench.stack, token, somebody).await, U256::from(sent));
    let sizes: Vec<_> = bundles.values().filter(|bundle| bundle[0]).map(Vec::len).collect();
    assert!(bundles.values().all(|bundle| bundle.iter().all(|is_native| *is_native == bundle[0])), "{bundles:?}");
    assert!(sizes.len() >= 2 && sizes.iter().all(|size| *size <= MOST), "{sizes:?}");
    assert!(bundles.values().any(|bundle| !bundle[0] && bundle.len() == MOST + 4), "{bundles:?}");
}
