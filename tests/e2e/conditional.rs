//! Bundles that are tied to the state they rest on, at sequencers that take conditions, and at others.

use alloy::primitives::{Address, B256, Bytes, U256, utils::parse_ether};
use erc4337::{EntryPointVersion, UserOperationRequest, pack, storage};
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{
    Anvil, Stack,
    accounts::{SimpleAccount, receipt},
    anvil::KEYS,
    proxy::{Fault, Proxy, Sequencer},
};

const CONDITIONAL: &str = "eth_sendRawTransactionConditional";
const VALIDITY: &str = "base_sendRawTransactionValidity";
const PLAIN: &str = "eth_sendRawTransaction";
const VERSION: EntryPointVersion = EntryPointVersion::V0_8;

async fn stack(sequencer: Option<Sequencer>, arguments: &[&str]) -> (Stack, Proxy) {
    let anvil = Anvil::start().await.unwrap();
    let proxy = Proxy::start(&anvil.url).await.unwrap();
    sequencer.into_iter().for_each(|sequencer| proxy.take_conditions(sequencer));
    (Stack::on(anvil, &proxy.url, arguments).await.unwrap(), proxy)
}

async fn account(stack: &Stack) -> SimpleAccount {
    SimpleAccount::new(stack, VERSION, parse_ether("1").unwrap()).await.unwrap()
}

/// An operation that is ready to be sent.
async fn ready(stack: &Stack, account: &SimpleAccount) -> (B256, Value) {
    let mut op = account.operation(stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    (account.finish(stack, &mut op).await.unwrap(), op)
}

/// Has an operation included.
async fn carry(stack: &Stack, account: &SimpleAccount) {
    let (_, op) = ready(stack, account).await;
    let hash = stack.node.ask("eth_sendUserOperation", vec![op, json!(account.entry_point)]).await.unwrap();
    let receipt = receipt(stack, serde_json::from_value(hash).unwrap()).await.unwrap();
    assert_eq!(receipt["success"], true);
}

fn asked(proxy: &Proxy, method: &str) -> u64 {
    proxy.methods().get(method).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_tied_to_the_nonces_that_it_rests_on_and_to_a_time() {
    let (stack, proxy) = stack(Some(Sequencer::Conditional), &[]).await;
    let account = account(&stack).await;
    for _ in 0..2 {
        carry(&stack, &account).await;
    }
    assert_eq!(asked(&proxy, PLAIN), 0, "{:?}", proxy.methods());
    let conditions = proxy.conditions();
    assert_eq!(conditions.len(), 2, "{conditions:?}");
    let slot = B256::from(storage::nonce_slot(account.address, U256::ZERO)).to_string();
    let entry_point = account.entry_point.to_string().to_lowercase();
    for (nonce, condition) in conditions.iter().enumerate() {
        let known = &condition["knownAccounts"][&entry_point];
        assert_eq!(known[&slot], json!(B256::from(U256::from(nonce))), "{condition}");
        assert!(condition["timestampMax"].is_string() && condition["blockNumberMax"].is_null(), "{condition}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_base_s_own_method_is_served_the_same_is_said_in_predicates() {
    let (stack, proxy) = stack(Some(Sequencer::Validity), &[]).await;
    let account = account(&stack).await;
    for _ in 0..2 {
        carry(&stack, &account).await;
    }
    assert_eq!((asked(&proxy, PLAIN), asked(&proxy, CONDITIONAL)), (0, 1), "{:?}", proxy.methods());
    assert_eq!(proxy.conditions().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_such_method_is_served_or_not_to_us_bundles_are_sent_as_ever() {
    let (plain, proxy) = stack(None, &[]).await;
    carry(&plain, &account(&plain).await).await;
    let each = [CONDITIONAL, VALIDITY, PLAIN].map(|method| asked(&proxy, method));
    assert_eq!(each, [1, 1, 1], "tried once, at the start");

    let (closed, proxy) = stack(Some(Sequencer::Closed), &[]).await;
    let account_there = account(&closed).await;
    for _ in 0..2 {
        carry(&closed, &account_there).await;
    }
    assert_eq!((proxy.conditions().len(), asked(&proxy, PLAIN)), (1, 2), "{:?}", proxy.methods());

    let (never, proxy) = stack(Some(Sequencer::Conditional), &["--conditional-send=never"]).await;
    carry(&never, &account(&never).await).await;
    assert_eq!([CONDITIONAL, VALIDITY, PLAIN].map(|method| asked(&proxy, method)), [0, 0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_the_state_has_overtaken_is_not_mined_and_its_innocents_go_into_another() {
    let (stack, proxy) = stack(Some(Sequencer::Conditional), &["--debug-rpc"]).await;
    stack.node.ask("debug_bundler_setBundlingMode", vec![json!("manual")]).await.unwrap();
    let first = account(&stack).await;
    let second = first.sibling(&stack, parse_ether("1").unwrap()).await.unwrap();
    let ((taken, op), (innocent, other)) = (ready(&stack, &first).await, ready(&stack, &second).await);
    for op in [&op, &other] {
        let params = vec![op.clone(), json!(first.entry_point)];
        stack.node.ask("eth_sendUserOperation", params).await.unwrap();
    }
    // While our transaction is on its way, somebody else has one of the two executed.
    proxy.fail(CONDITIONAL, Fault::Held);
    stack.node.ask("debug_bundler_setBundlingMode", vec![json!("auto")]).await.unwrap();
    proxy.struck().await;
    let op = UserOperationRequest::from_json(&op, VERSION).unwrap().complete(VERSION).unwrap();
    let beneficiary = SecretKey::from_hex(KEYS[0]).unwrap().address();
    let data = pack::handle_ops(VERSION, [&op], beneficiary);
    stack.anvil.transact(Some(first.entry_point), data, U256::ZERO).await.unwrap();
    proxy.release();
    // The chain goes on, as every chain does.
    for _ in 0..10 {
        stack.anvil.ask("evm_mine", vec![]).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }

    for hash in [taken, innocent] {
        assert_eq!(receipt(&stack, hash).await.unwrap()["success"], true);
    }
    assert!(proxy.conditions().len() >= 2, "{:?}", proxy.conditions());
    // Of ours nothing has reverted: the bundle that was overtaken cost a transfer of nothing, if that.
    let ours = SecretKey::from_hex(KEYS[1]).unwrap().address();
    let head = stack.anvil.ask("eth_blockNumber", vec![]).await.unwrap();
    let head: U256 = serde_json::from_value(head).unwrap();
    let mut mined = 0;
    for number in 0..=head.to::<u64>() {
        let params = vec![json!(U256::from(number)), json!(true)];
        let block = stack.anvil.ask("eth_getBlockByNumber", params).await.unwrap();
        for transaction in block["transactions"].as_array().unwrap().iter().filter(|it| it["from"] == json!(ours)) {
            let receipt =
                stack.anvil.ask("eth_getTransactionReceipt", vec![transaction["hash"].clone()]).await.unwrap();
            assert_eq!(receipt["status"], "0x1", "{receipt}");
            mined += 1;
        }
    }
    assert!((1..=2).contains(&mined), "{mined} transactions");
}
