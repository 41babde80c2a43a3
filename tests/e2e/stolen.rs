//! A stolen session key at the real bundler's door: the list of escalations that the contract's test has, sent as
//! operations by RPC; then what the policy allows is taken, and no more can be.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::{SolCall, SolValue},
};
use erc4337::{
    EntryPointVersion, UserOperation,
    abi::{smart_account, smart_account_factory, test_usdc},
    calls, wire,
};
use serde_json::{Value, json};
use session_keys::{SecretKey, SessionKey};
use tests::{Stack, accounts::receipt, patience::until};

use crate::escalations::{DAY, GAS, IN_ALL, MERCHANT, PER_DAY, Stolen, THIEF, direct, escalations, merchant_policy};

/// Wei for a unit of gas.
const FEE: u128 = 3_000_000_000;

async fn view(stack: &Stack, to: Address, data: Vec<u8>) -> Bytes {
    let call = json!({ "to": to, "data": Bytes::from(data) });
    serde_json::from_value(stack.anvil.ask("eth_call", vec![call, json!("latest")]).await.unwrap()).unwrap()
}

async fn tokens(stack: &Stack, of: Address) -> U256 {
    let call = test_usdc::balanceOfCall { account: of }.abi_encode();
    U256::abi_decode(&view(stack, stack.deployment.token, call).await).unwrap()
}

async fn send(stack: &Stack, entry_point: Address, op: &UserOperation) -> Result<B256, (i32, String)> {
    let params = vec![wire::to_json(op, EntryPointVersion::V0_8), json!(entry_point)];
    match stack.node.ask("eth_sendUserOperation", params).await {
        Ok(hash) => Ok(serde_json::from_value(hash).unwrap()),
        Err(jsonrpsee::core::ClientError::Call(error)) => Err((error.code(), error.message().to_owned())),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_key_takes_through_the_bundler_at_most_what_its_policy_states() {
    let stack = Stack::start(&[]).await.unwrap();
    let entry_point = stack.deployment.account_entry_point().unwrap();
    let (chain_id, token) = (stack.deployment.chain_id, stack.deployment.token);
    let owner = SecretKey::generate();
    let account = stack.client(owner.clone(), 1_000_000).await.unwrap().account;
    stack.anvil.transact(Some(account), Bytes::new(), U256::from(10).pow(U256::from(18))).await.unwrap();

    // The key was granted, and used once; then it was stolen.
    let head = stack.anvil.ask("eth_getBlockByNumber", vec![json!("latest"), json!(false)]).await.unwrap();
    let now = serde_json::from_value::<U256>(head["timestamp"].clone()).unwrap().to::<u64>();
    let start = now - 60;
    let key = SessionKey::Secp256k1(SecretKey::generate());
    let policy = merchant_policy(token, &key, start, DAY, (PER_DAY, IN_ALL), FEE);
    let id = policy.id().unwrap();
    let granted = owner.sign(policy.digest(chain_id, account).unwrap()).unwrap().as_bytes();
    let enable = smart_account::enableSessionCall { session: policy.to_session().unwrap() }.abi_encode();
    let owners: Vec<Bytes> = vec![owner.address().abi_encode().into()];
    let create = smart_account_factory::createAccountCall { owners, nonce: U256::ZERO }.abi_encode();
    stack.anvil.transact(Some(stack.deployment.smart_account_factory), create, U256::ZERO).await.unwrap();
    stack.anvil.transact_as(owner.address(), account, enable).await.unwrap();
    let thief = Stolen {
        key: &key,
        policy: &policy,
        account,
        owner: owner.address(),
        granted: &granted,
        token,
        entry_point,
        chain_id,
        fee: FEE,
    };

    let before = (tokens(&stack, account).await, stack.anvil.balance(account).await.unwrap());
    let attempts = escalations(&thief);
    let mut codes = std::collections::BTreeMap::<i32, usize>::new();
    for (what, op) in &attempts {
        let (code, message) = send(&stack, entry_point, op).await.expect_err(what);
        // Refused for what it is, not because something else was wrong with it.
        assert!([-32500, -32501, -32502, -32503, -32507, -32602].contains(&code), "it {what}: {code} {message}");
        *codes.entry(code).or_default() += 1;
    }
    let session_key = match key.public() {
        session_keys::PublicKey::Address(address) => address,
        other => panic!("{other} is no address"),
    };
    let calls = direct(&thief);
    for data in &calls {
        let call = json!({ "from": session_key, "to": account, "data": Bytes::from(data.clone()) });
        stack.anvil.ask("eth_call", vec![call, json!("latest")]).await.expect_err("the key acts by itself");
    }
    let hash = B256::repeat_byte(5);
    let asked = smart_account::isValidSignatureCall { hash, signature: key.sign(hash).unwrap() }.abi_encode();
    assert_ne!(view(&stack, account, asked).await[..4], [0x16, 0x26, 0xba, 0x7e], "the key signs for the account");
    let after = (tokens(&stack, account).await, stack.anvil.balance(account).await.unwrap());
    assert_eq!(before, after, "nothing was taken so far");

    // What is left is what the owner agreed to. Each day it asks for more than there is.
    let mut refused = 0;
    let mut last = None;
    for day in 0..3 {
        for (amount, lane) in [(PER_DAY, 0), (PER_DAY, 1), (50, 2), (1, 3)] {
            let data = calls::encode(&[thief.pay(MERCHANT, amount)]);
            let op = thief.sign(thief.operation(id, day, lane, 0, data));
            match send(&stack, entry_point, &op).await {
                Ok(hash) => match receipt(&stack, hash).await {
                    Ok(receipt) => {
                        assert_eq!(receipt["success"], json!(true));
                        last = Some(op);
                    }
                    // Taken at the head before the one that it is in vain at, and dropped then.
                    Err(error) => {
                        assert!(error.to_string().contains("dropped"), "{error}");
                        refused += 1;
                    }
                },
                Err(_) => refused += 1,
            }
        }
        stack.anvil.ask("evm_increaseTime", vec![json!(DAY)]).await.unwrap();
        stack.anvil.ask("evm_mine", vec![]).await.unwrap();
        // An operation of the new day is early until the bundler has seen it: what is refused then proves nothing.
        let early = thief.sign(thief.operation(id, day + 1, 9, 0, calls::encode(&[thief.pay(MERCHANT, 0)])));
        let early = vec![wire::to_json(&early, EntryPointVersion::V0_8), json!(entry_point)];
        if day < 2 {
            until("the new day", async || is_valid_now(&stack, early.clone()).await).await;
        }
    }
    // The bundler may say that it knows a replayed operation; the chain takes it once.
    let _ = send(&stack, entry_point, &last.unwrap()).await;
    let taken = before.0 - tokens(&stack, account).await;
    let gas = before.1 - stack.anvil.balance(account).await.unwrap();
    assert_eq!((taken, tokens(&stack, MERCHANT).await), (U256::from(IN_ALL), U256::from(IN_ALL)));
    assert_eq!(tokens(&stack, THIEF).await, U256::ZERO);
    assert!(gas <= U256::from(10 * GAS * FEE));
    println!(
        "through the bundler: {} escalations refused ({codes:?}), {} direct; {taken} of {IN_ALL} units taken, all by the \
         merchant, {refused} more asked for in vain; {gas} of {} wei of gas",
        attempts.len(),
        calls.len() + 1,
        10 * GAS * FEE
    );
    assert!(attempts.len() + calls.len() > 30);
}

/// Whether the bundler would take it now.
async fn is_valid_now(stack: &Stack, params: Vec<Value>) -> bool {
    let explained = stack.node.ask("fabstir_explainUserOperation", params).await.unwrap();
    explained["accepted"] == json!(true)
}

tests::on_base!(a_stolen_key_takes_through_the_bundler_at_most_what_its_policy_states,);
