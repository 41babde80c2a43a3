//! Heads that extend, replace or precede the one that is known.

use std::sync::Mutex;

use jsonrpsee::{RpcModule, server::Server, types::ErrorObjectOwned};
use serde_json::{Value, json};

use alloy::rpc::types::Header;

use super::*;
use crate::index::Wanted;

fn header(number: u64, parent: B256, branch: u8) -> Value {
    let inner = alloy::consensus::Header {
        number,
        parent_hash: parent,
        timestamp: 1_800_000_000 + number / 5,
        gas_limit: 30_000_000,
        base_fee_per_gas: Some(7),
        beneficiary: Address::repeat_byte(branch),
        ..Default::default()
    };
    let header = Header { hash: inner.hash_slow(), inner, ..Default::default() };
    let mut block = serde_json::to_value(header).unwrap();
    block["transactions"] = json!([]);
    block["uncles"] = json!([]);
    block
}

fn hash(block: &Value) -> B256 {
    block["hash"].as_str().unwrap().parse().unwrap()
}

/// A node that has these blocks by height, the newest last.
async fn node(blocks: Vec<Value>) -> (jsonrpsee::server::ServerHandle, NodeClient, Arc<Mutex<Vec<Value>>>) {
    let blocks = Arc::new(Mutex::new(blocks));
    let mut module = RpcModule::new(Arc::clone(&blocks));
    let block = |tag: Value, blocks: &Mutex<Vec<Value>>| {
        let blocks = blocks.lock().unwrap();
        match tag.as_str() {
            Some("latest") => blocks.last().cloned(),
            number => blocks.iter().find(|it| it["number"].as_str() == number).cloned(),
        }
    };
    module
        .register_method("eth_getBlockByNumber", move |params, blocks, _| {
            let (tag, _): (Value, bool) = params.parse().unwrap();
            block(tag, blocks).unwrap_or(Value::Null)
        })
        .unwrap();
    // Of a range it would tell what it has. There is nothing before the first block of these tests.
    module
        .register_method("eth_getLogs", |params, blocks, _| {
            let filter: Value = params.one()?;
            let withheld =
                blocks.lock().unwrap().iter().any(|it| it["hash"] == filter["blockHash"] && it["withheld"] == true);
            let before = filter["fromBlock"].as_str().is_some_and(|from| from < "0x3e8");
            let told = before || filter.get("blockHash").is_some() && !withheld;
            told.then(|| json!([])).ok_or_else(|| ErrorObjectOwned::owned(-32000, "not these", None::<()>))
        })
        .unwrap();
    module
        .register_method("eth_feeHistory", |_, _, _| json!({"oldestBlock": "0x1", "baseFeePerGas": ["0x7", "0x7"]}))
        .unwrap();
    module.register_method("eth_maxPriorityFeePerGas", |_, _, _| json!("0x1")).unwrap();
    let server = Server::builder().build("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    (server.start(module), NodeClient::new(&url).unwrap(), blocks)
}

fn follower(node: &NodeClient) -> Follower {
    let config = Arc::new(Config::new(erc4337::ChainPreset::local()));
    let index =
        Arc::new(Index::open(Arc::clone(&config.disk), None, config.chain.chain_id, Wanted::of(&config)).unwrap());
    let logs = Arc::new(Logs::new(node.clone(), config.entry_points.keys().copied().collect()));
    Follower::new(node.clone(), config, index, logs, Arc::default(), BTreeSet::new())
}

#[tokio::test]
async fn a_block_with_another_parent_is_a_reorganisation_though_a_backend_has_the_old_block_yet() {
    let old = header(1_000, B256::ZERO, 1);
    let (_server, node, blocks) = node(vec![old.clone()]).await;
    let mut follower = follower(&node);
    let (head, _) = follower.first(None).await.unwrap();
    let other = header(1_000, B256::ZERO, 2);
    let child = header(1_001, hash(&other), 2);
    // Announced by one backend; the one that is asked has the branch that was left.
    blocks.lock().unwrap().push(child.clone());
    let rests = Rests { busy: true, pool: false };
    for look in [Look::Announced(vec![serde_json::from_value(child).unwrap()]), Look::Ask(0)] {
        let (new, mined) = follower.step(&head, look, rests).await.unwrap().unwrap();
        assert_eq!(new.block.number, 1_001);
        assert!(mined.from.is_some_and(|from| from <= 1_000), "{mined:?}");
    }
    // Its own child is none.
    let child = header(1_001, hash(&old), 1);
    let look = Look::Announced(vec![serde_json::from_value(child).unwrap()]);
    let (_, mined) = follower.step(&head, look, rests).await.unwrap().unwrap();
    assert_eq!(mined.from, None);
}

/// So many blocks after this one, all of which may have logged something.
fn branch_of(parent: &Value, count: u64, branch: u8) -> Vec<Value> {
    let mut blocks = vec![parent.clone()];
    for _ in 0..count {
        let last = &blocks[blocks.len() - 1];
        let number = u64::from_str_radix(last["number"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        let mut inner: alloy::consensus::Header =
            serde_json::from_value::<Header>(header(number + 1, hash(last), branch)).unwrap().inner;
        inner.gas_used = 1;
        let made = Header { hash: inner.hash_slow(), inner, ..Default::default() };
        let mut block = serde_json::to_value(made).unwrap();
        block["transactions"] = json!([]);
        block["uncles"] = json!([]);
        blocks.push(block);
    }
    blocks.split_off(1)
}

#[tokio::test]
async fn a_reorganisation_is_looked_through_from_where_it_began_block_by_block() {
    let root = header(1_000, B256::ZERO, 1);
    let ours = branch_of(&root, 6, 1);
    let theirs = branch_of(&ours[1], 30, 2);
    let (_server, node, blocks) = node(vec![root.clone()]).await;
    let mut follower = follower(&node);
    let (mut head, _) = follower.first(None).await.unwrap();
    let rests = Rests { busy: true, pool: false };
    blocks.lock().unwrap().extend(ours.clone());
    head = follower.step(&head, Look::Ask(9), rests).await.unwrap().unwrap().0;
    assert_eq!(head.block.number, 1_006);
    *blocks.lock().unwrap() = [vec![root], ours[..2].to_vec(), theirs].concat();
    let (head, mined) = follower.step(&head, Look::Ask(0), rests).await.unwrap().unwrap();
    assert_eq!((head.block.number, mined.from), (1_032, Some(1_003)));
}

#[tokio::test]
async fn a_node_that_only_tells_of_older_blocks_of_ours_is_waited_for_and_followed_in_the_end() {
    let root = header(1_000, B256::ZERO, 1);
    let ours = branch_of(&root, 6, 1);
    let (_server, node, blocks) = node(vec![root.clone()]).await;
    let mut follower = follower(&node);
    let (mut head, _) = follower.first(None).await.unwrap();
    let rests = Rests { busy: true, pool: false };
    blocks.lock().unwrap().extend(ours.clone());
    head = follower.step(&head, Look::Ask(9), rests).await.unwrap().unwrap().0;
    *blocks.lock().unwrap() = vec![root, ours[0].clone(), ours[1].clone()];
    assert!(follower.step(&head, Look::Ask(0), rests).await.unwrap().is_none());
    // It is the chain that was taken back.
    follower.behind_since = Instant::now().checked_sub(BEHIND);
    let (head, mined) = follower.step(&head, Look::Ask(0), rests).await.unwrap().unwrap();
    assert!(head.block.number == 1_002 && mined.from.is_some_and(|from| from <= 1_003), "{mined:?}");
}

#[tokio::test]
async fn a_look_that_failed_half_way_is_made_again_from_where_it_began() {
    let root = header(1_000, B256::ZERO, 1);
    let (ours, mut theirs) = (branch_of(&root, 6, 1), branch_of(&root, 8, 2));
    theirs[7]["withheld"] = json!(true);
    let (_server, node, blocks) = node(vec![root.clone()]).await;
    let mut follower = follower(&node);
    let (mut head, _) = follower.first(None).await.unwrap();
    let rests = Rests { busy: true, pool: false };
    blocks.lock().unwrap().extend(ours);
    head = follower.step(&head, Look::Ask(9), rests).await.unwrap().unwrap().0;
    *blocks.lock().unwrap() = [vec![root], theirs].concat();
    assert!(follower.step(&head, Look::Ask(0), rests).await.is_err());
    blocks.lock().unwrap()[8]["withheld"] = json!(false);
    let (head, mined) = follower.step(&head, Look::Ask(0), rests).await.unwrap().unwrap();
    assert_eq!((head.block.number, mined.from), (1_008, Some(1_001)));
}
