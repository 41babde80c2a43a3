//! Many operations over one-second blocks: each is included, once, soon, and at no loss.
//! `FABSTIR_SENDERS` (20) send `FABSTIR_OPERATIONS` (200) between them.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, U256, utils::parse_ether};
use alloy::sol_types::SolEvent;
use erc4337::{EntryPointVersion, abi::entry_point_v08::UserOperationEvent};
use serde_json::{Value, json};
use tests::{Anvil, Stack, accounts::SimpleAccount};

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

pub(crate) fn quantity(value: &Value) -> u64 {
    serde_json::from_value::<U256>(value.clone()).unwrap().to()
}

pub(crate) async fn height(stack: &Stack) -> u64 {
    quantity(&stack.anvil.ask("eth_blockNumber", vec![]).await.unwrap())
}

/// Every execution on the chain: operation, transaction, block.
pub(crate) async fn executions(stack: &Stack) -> Vec<(B256, B256, u64)> {
    /// Blocks that are asked for at once: an answer has its limit too.
    const RANGE: usize = 200;
    let word = |value: &Value| serde_json::from_value::<B256>(value.clone()).unwrap();
    let (mut all, tip) = (Vec::new(), height(stack).await);
    for from in (0..=tip).step_by(RANGE) {
        let to = U256::from(tip.min(from + RANGE as u64 - 1));
        let topics = [UserOperationEvent::SIGNATURE_HASH];
        let filter = json!({ "fromBlock": U256::from(from), "toBlock": to, "topics": topics });
        let logs = stack.anvil.ask("eth_getLogs", vec![filter]).await.unwrap();
        all.extend(
            logs.as_array()
                .unwrap()
                .iter()
                .map(|log| (word(&log["topics"][1]), word(&log["transactionHash"]), quantity(&log["blockNumber"]))),
        );
    }
    all
}

/// Deployed accounts, and what an operation of theirs looks like.
pub(crate) async fn accounts(stack: &Stack, count: usize) -> (Vec<SimpleAccount>, Value) {
    let first = SimpleAccount::new(stack, EntryPointVersion::V0_8, parse_ether("1").unwrap()).await.unwrap();
    first.deploy(stack).await.unwrap();
    let mut accounts = Vec::new();
    for _ in 1..count {
        let account = first.sibling(stack, parse_ether("1").unwrap()).await.unwrap();
        account.deploy(stack).await.unwrap();
        accounts.push(account);
    }
    accounts.push(first);
    // Warm slots, a nonce that was zero: with room for either.
    let mut template = accounts[0].operation(stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    let gas = json!({
        "callGasLimit": "0x9c40", "verificationGasLimit": "0x186a0", "preVerificationGas": "0xea60",
    });
    template.as_object_mut().unwrap().extend(gas.as_object().unwrap().clone());
    (accounts, template)
}

/// The account's operation of this sequence number.
pub(crate) fn nth(account: &SimpleAccount, template: &Value, sequence: usize) -> (B256, Value) {
    let mut op = template.clone();
    op["sender"] = json!(account.address);
    op["nonce"] = json!(U256::from(sequence));
    (account.sign(&mut op).unwrap(), op)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_one_second_blocks_every_operation_is_included_once_and_soon() {
    let (senders, operations) = (number("FABSTIR_SENDERS", 20), number("FABSTIR_OPERATIONS", 200));
    // Blocks as large as Base's.
    let anvil = Anvil::start_with(&["--gas-limit", "240000000"]).await.unwrap();
    let url = anvil.url.clone();
    let stack = Stack::on(anvil, &url, &["--calls-per-second", "0"]).await.unwrap();
    let (accounts, template) = accounts(&stack, senders).await;
    stack.anvil.ask("evm_setIntervalMining", vec![json!(1)]).await.unwrap();
    let each = accounts.iter().map(|account| async {
        let mut sent = Vec::new();
        for sequence in 0..operations / senders {
            let (hash, op) = nth(account, &template, sequence);
            let params = vec![op, json!(account.entry_point)];
            // An unstaked sender may have four pending: the next one waits.
            let mut refusals = 0;
            while let Err(error) = stack.node.ask("eth_sendUserOperation", params.clone()).await {
                refusals += 1;
                assert!(refusals < 3_000, "{error}");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            sent.push((hash, height(&stack).await));
        }
        for (hash, _) in &sent {
            tests::accounts::receipt(&stack, *hash).await.unwrap();
        }
        sent
    });
    let sent: BTreeMap<B256, u64> = futures::future::join_all(each).await.into_iter().flatten().collect();

    let executions = executions(&stack).await;
    let hashes: BTreeSet<B256> = executions.iter().map(|(hash, _, _)| *hash).collect();
    assert_eq!((hashes.len(), executions.len()), (sent.len(), sent.len()), "not each exactly once");
    let mut waits: Vec<u64> = executions.iter().map(|(hash, _, block)| block.saturating_sub(sent[hash])).collect();
    waits.sort_unstable();
    let transactions: BTreeSet<B256> = executions.iter().map(|(_, transaction, _)| *transaction).collect();
    let mut cost = U256::ZERO;
    for transaction in &transactions {
        let receipt = stack.anvil.ask("eth_getTransactionReceipt", vec![json!(transaction)]).await.unwrap();
        cost += U256::from(quantity(&receipt["gasUsed"])) * U256::from(quantity(&receipt["effectiveGasPrice"]));
    }
    let mut revenue = U256::ZERO;
    for hash in sent.keys() {
        let receipt = tests::accounts::receipt(&stack, *hash).await.unwrap();
        revenue += serde_json::from_value::<U256>(receipt["actualGasCost"].clone()).unwrap();
    }
    println!(
        "{} operations of {senders} senders in {} bundles, {:.1} each; blocks from sent to included: median {}, p95 {}, \
         most {}; cost per operation {} wei, paid {} wei",
        sent.len(),
        transactions.len(),
        sent.len() as f64 / transactions.len() as f64,
        waits[waits.len() / 2],
        waits[waits.len() * 95 / 100],
        waits[waits.len() - 1],
        cost / U256::from(sent.len()),
        revenue / U256::from(sent.len()),
    );
    assert!(revenue >= cost, "paid {revenue}, cost {cost}");
    assert!(waits[waits.len() / 2] <= 2, "{waits:?}");
}
