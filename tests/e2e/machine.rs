//! What one request can make the machine do is bounded, in gas and bytes and values, and over when it is over.

use std::{sync::atomic::Ordering, time::Duration};

use alloy::primitives::{Address, Bytes, U256, utils::parse_ether};
use bundler::{Bundler, Config, Rejection, node::NodeClient, work};
use erc4337::{ChainPreset, EntryPointVersion, UserOperationRequest};
use futures::future::join_all;
use serde_json::json;
use session_keys::SecretKey;
use tests::{
    Anvil, Proxy, Stack,
    accounts::SimpleAccount,
    anvil::KEYS,
    greedy::{self, Greed},
    process::memory,
};

const VERSION: EntryPointVersion = EntryPointVersion::V0_8;

fn request(greed: Greed) -> UserOperationRequest {
    UserOperationRequest::from_json(&greed.operation(), VERSION).unwrap()
}

/// In this process, on the chain of a stack with everything greedy on it.
async fn bundler(change: impl FnOnce(&mut Config)) -> (Stack, Address, Bundler) {
    let stack = Stack::start(&[]).await.unwrap();
    let entry_point = greedy::place(&stack).await.unwrap();
    let mut config = Config::new(ChainPreset::local());
    config.entry_points = stack.deployment.entry_point_versions().unwrap();
    change(&mut config);
    let signer = SecretKey::from_hex(KEYS[3]).unwrap().into_signer().into();
    let node = NodeClient::new(&stack.anvil.url).unwrap();
    let (bundler, _) = Bundler::start(config, node, vec![signer], None).await.unwrap();
    (stack, entry_point, bundler)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_estimate_has_more_simulated_than_a_dozen_transactions_hold_and_what_it_finds_is_admitted() {
    let (_stack, entry_point, bundler) = bundler(|_| {}).await;
    let most = 12 * ChainPreset::local().max_transaction_gas;
    for greed in Greed::ALL {
        let estimating = bundler.estimate(request(greed), entry_point, Default::default());
        let (estimate, gas) = work::counted(estimating).await;
        println!("{greed:?}: {gas} gas, {estimate:?}");
        assert!(gas > 0 && gas <= most, "{greed:?}: {gas} gas");
        if greed == Greed::Chased {
            assert!(matches!(estimate, Err(Rejection::Simulation(_))), "{estimate:?}");
            continue;
        }
        let estimate = estimate.unwrap();
        let mut op = request(greed).with_open_fields_zero();
        op.call_gas_limit = estimate.call_gas_limit;
        op.verification_gas_limit = estimate.verification_gas_limit;
        op.pre_verification_gas = estimate.pre_verification_gas;
        bundler.rehearse(op, entry_point).await.unwrap();
        if greed == Greed::Searched {
            // It works from 12,000,000 on, of which the search comes as near as its gas goes.
            assert!((12_000_000..24_000_000).contains(&estimate.call_gas_limit), "{estimate:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_do_not_wait_for_estimates() {
    let (stack, entry_point, bundler) = bundler(|config| config.max_concurrent_estimates = 1).await;
    let account = SimpleAccount::new(&stack, VERSION, parse_ether("1").unwrap()).await.unwrap();
    let mut op = account.operation(&stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    account.finish(&stack, &mut op).await.unwrap();
    let op = UserOperationRequest::from_json(&op, VERSION).unwrap().with_open_fields_zero();
    // As many as would take all places, and long.
    let greedy = |_| {
        let (bundler, request) = (bundler.clone(), request(Greed::Searched));
        tokio::spawn(async move { bundler.estimate(request, entry_point, Default::default()).await })
    };
    let estimates: Vec<_> = (0..70).map(greedy).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    bundler.send(op, account.entry_point).await.unwrap();
    let open = estimates.iter().filter(|estimate| !estimate.is_finished()).count();
    assert!(open > 0, "they were not at it any more");
    estimates.iter().for_each(|estimate| estimate.abort());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_estimate_read_is_not_read_again_of_every_block_after_it() {
    let (stack, entry_point, bundler) = bundler(|_| {}).await;
    let account = SimpleAccount::new(&stack, VERSION, parse_ether("1").unwrap()).await.unwrap();
    let op = account.operation(&stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    let honest = UserOperationRequest::from_json(&op, VERSION).unwrap();
    let fetched = || bundler.head().view.shared().counters.fetched.load(Ordering::Relaxed);
    // In each block somebody has an honest estimate made; how many values that has read.
    let block = async || {
        stack.anvil.ask("anvil_mine", vec![json!("0x1")]).await.unwrap();
        let height = stack.anvil.ask("eth_blockNumber", vec![]).await.unwrap();
        let height: u64 = serde_json::from_value::<U256>(height).unwrap().to();
        while bundler.head().block.number < height {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let before = fetched();
        bundler.estimate(honest.clone(), account.entry_point, Default::default()).await.unwrap();
        fetched() - before
    };
    let mut usual = 0;
    for _ in 0..4 {
        usual = block().await.max(usual);
    }
    let before = fetched();
    bundler.estimate(request(Greed::Strangers), entry_point, Default::default()).await.unwrap();
    assert!(fetched() - before > 3_600, "it does not read what it is to read");
    for number in 1..=20 {
        let read = block().await;
        assert!(read <= usual + 20, "{number} blocks later {read} values are read, {usual} before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_estimates_took_is_given_back() {
    let anvil = Anvil::start().await.unwrap();
    let proxy = Proxy::start(&anvil.url).await.unwrap();
    let url = proxy.url.clone();
    let stack = Stack::on(anvil, &url, &[]).await.unwrap();
    let entry_point = greedy::place(&stack).await.unwrap();
    let pid = stack.node.pid().unwrap();
    let estimate = async |greed: Greed| {
        let params = vec![greed.operation(), json!(entry_point)];
        let _ = stack.node.ask("eth_estimateUserOperationGas", params).await;
    };
    let resident = || memory(pid, "VmRSS").unwrap();
    let account = SimpleAccount::new(&stack, VERSION, parse_ether("1").unwrap()).await.unwrap();
    let mut op = account.operation(&stack, Address::repeat_byte(5), U256::ZERO, Bytes::new()).await.unwrap();
    for _ in 0..20 {
        account.finish(&stack, &mut op).await.unwrap();
    }
    let before = resident();
    estimate(Greed::Frames).await;
    let one = memory(pid, "VmHWM").unwrap();
    for _ in 0..4 {
        join_all(Greed::ALL.into_iter().map(&estimate)).await;
    }
    for _ in 0..20 {
        stack.anvil.ask("anvil_mine", vec![json!("0x1")]).await.unwrap();
        account.finish(&stack, &mut op).await.unwrap();
    }
    let after = resident();
    println!("resident: {before} KiB, at most {one} after one, {after} 20 blocks later");
    assert!(one <= before + 24 * 1_024, "one request took {} KiB", one - before);
    assert!(after <= before + 16 * 1_024, "{} KiB stay", after - before);
}
