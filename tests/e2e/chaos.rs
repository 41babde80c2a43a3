//! The real chain under the real node, both misbehaving: whatever happens, each accepted operation is executed exactly
//! once, or not at all and then with a reason. `FABSTIR_CHAOS_SEEDS` (2) seeds from `FABSTIR_CHAOS_SEED` (1) on.

use std::{collections::BTreeMap, time::Duration};

use alloy::primitives::{B256, U256};
use serde_json::{Value, json};
use tests::{
    Anvil, Stack,
    anvil::KEYS,
    proxy::{Fault, Proxy},
};

use crate::inclusion::{accounts, executions, height, nth};

const STEPS: usize = 60;
const SENDERS: usize = 4;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

async fn status(stack: &Stack, hash: B256) -> Value {
    stack.node.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await.unwrap()
}

async fn run(seed: u64) {
    let anvil = Anvil::start().await.unwrap();
    let proxy = Proxy::start(&anvil.url).await.unwrap();
    let stack = Stack::on(anvil, &proxy.url, &[]).await.unwrap();
    let (accounts, template) = accounts(&stack, SENDERS).await;
    let chain = &stack.anvil;
    let bundler = session_keys::SecretKey::from_hex(KEYS[1]).unwrap().address();
    // Deep enough that no reorganisation takes the accounts away.
    chain.ask("anvil_mine", vec![json!(20)]).await.unwrap();
    chain.ask("evm_setAutomine", vec![json!(false)]).await.unwrap();

    let mut random = Random(seed);
    let mut next = [0_usize; SENDERS];
    let mut accepted: Vec<B256> = Vec::new();
    let mut reorgs = 0;
    for _ in 0..STEPS {
        match random.below(16) {
            0..=5 => {
                let sender = random.below(SENDERS as u64) as usize;
                let (hash, op) = nth(&accounts[sender], &template, next[sender]);
                if stack.node.ask("eth_sendUserOperation", vec![op, json!(accounts[sender].entry_point)]).await.is_ok()
                {
                    accepted.push(hash);
                    next[sender] += 1;
                }
            }
            6..=9 => drop(chain.ask("evm_mine", vec![]).await.unwrap()),
            10 => {
                chain.ask("anvil_reorg", vec![json!(1 + random.below(8)), json!([])]).await.unwrap();
                chain.ask("evm_mine", vec![]).await.unwrap();
                reorgs += 1;
            }
            11 => {
                let pool = chain.ask("txpool_content", vec![]).await.unwrap();
                let hashes: Vec<_> =
                    pool["pending"].as_object().into_iter().flat_map(|senders| senders.values()).collect();
                let hash = hashes.iter().filter_map(|it| it.as_object()?.values().next()).map(|it| it["hash"].clone());
                if let Some(hash) = hash.into_iter().next() {
                    // It may be mined by now.
                    let _ = chain.ask("anvil_dropTransaction", vec![hash]).await;
                }
            }
            12 => {
                // The nonce is taken from outside; refused if a transaction of ours is dearer.
                let count = chain.ask("eth_getTransactionCount", vec![json!(bundler), json!("latest")]).await.unwrap();
                let fee = json!(U256::from(50_000_000_000_u64));
                let tx = json!({ "from": bundler, "to": bundler, "nonce": count, "maxFeePerGas": fee, "maxPriorityFeePerGas": fee });
                let _ = chain.ask("eth_sendTransaction", vec![tx]).await;
            }
            13 => {
                let block = chain.ask("eth_getBlockByNumber", vec![json!("latest"), json!(false)]).await.unwrap();
                let fee: U256 = serde_json::from_value(block["baseFeePerGas"].clone()).unwrap();
                let fee = (fee * U256::from(10)).min(U256::from(10_000_000_000_u64));
                chain.ask("anvil_setNextBlockBaseFeePerGas", vec![json!(fee)]).await.unwrap();
            }
            14 => {
                let methods = [
                    "eth_sendRawTransaction",
                    "eth_getTransactionReceipt",
                    "eth_getBlockByNumber",
                    "eth_getLogs",
                    "eth_getTransactionCount",
                ];
                let faults = [Fault::HangUp, Fault::Limited, Fault::Unavailable, Fault::Held];
                let method = methods[random.below(5) as usize];
                proxy.fail(method, faults[random.below(4) as usize].clone());
            }
            _ => proxy.release(),
        }
        tokio::time::sleep(Duration::from_millis(random.below(60))).await;
    }
    proxy.release();

    // Quiet: everything comes to its end. The base fee falls with empty blocks, and patience is a time of the chain's.
    let mut open = accepted.clone();
    for _ in 0..400 {
        chain.ask("anvil_mine", vec![json!("0x2"), json!("0x1")]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut left = Vec::new();
        for hash in open {
            if !["included", "dropped"].contains(&status(&stack, hash).await["status"].as_str().unwrap_or_default()) {
                left.push(hash);
            }
        }
        open = left;
        if open.is_empty() {
            break;
        }
    }
    let mut states = Vec::new();
    for hash in &open {
        states.push(status(&stack, *hash).await);
    }
    assert!(open.is_empty(), "seed {seed}: not over: {states:?}");
    let mut executed: BTreeMap<B256, usize> = BTreeMap::new();
    executions(&stack).await.into_iter().for_each(|(hash, _, _)| *executed.entry(hash).or_default() += 1);
    let mut dropped = 0;
    for hash in &accepted {
        let stands = status(&stack, *hash).await;
        let times = executed.get(hash).copied().unwrap_or_default();
        if stands["status"] == "included" {
            assert_eq!(times, 1, "seed {seed}: {hash} {stands}");
        } else {
            assert!(
                times == 0 && !stands["reason"].as_str().unwrap_or_default().is_empty(),
                "seed {seed}: {hash} {stands}"
            );
            dropped += 1;
        }
    }
    println!(
        "seed {seed}: {} operations, {dropped} dropped, {reorgs} reorganisations, {} blocks",
        accepted.len(),
        height(&stack).await
    );
    assert!(!accepted.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_chain_and_node_do_each_accepted_operation_is_executed_once_or_dropped_with_a_reason() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default);
    let first: u64 = number("FABSTIR_CHAOS_SEED", 1);
    for seed in first..first + number("FABSTIR_CHAOS_SEEDS", 2) {
        run(seed).await;
    }
}

tests::on_base!(whatever_chain_and_node_do_each_accepted_operation_is_executed_once_or_dropped_with_a_reason,);
