//! Budgets outlive a node, are shared by many, and miss nothing that was mined while nobody looked.

use std::{path::PathBuf, time::Duration};

use alloy::primitives::U256;
use paymaster::ledger::{Ledger, Rules, Standing, Store};
use tests::{Redis, Stack, stack::NodeProcess};

use crate::attacks::{PER_ACCOUNT, VERSION, bundle_by_hand, deposit, hoard, of_key, parse, sponsor, sponsored};

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = tests::chain::own(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The ledger in it, once no node holds it any more.
    async fn ledger(&self, stack: &Stack) -> Ledger {
        let file = self.0.join(format!("budgets-{}.redb", stack.deployment.chain_id));
        for _ in 0..1_000 {
            if let Ok(store) = Store::file(&file) {
                return Ledger::start(store, Rules::default());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} stays in use", file.display());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ends a node as a power cut would.
async fn kill(node: NodeProcess) {
    let pid = node.pid().unwrap().to_string();
    let _ = tokio::process::Command::new("kill").args(["-KILL", &pid]).status().await;
    let _ = node.end(Duration::from_secs(30)).await;
}

async fn restart(stack: &mut Stack, arguments: &[&str]) {
    let node = NodeProcess::start(&stack.anvil.url, &stack.deployment_file, arguments).await.unwrap();
    kill(std::mem::replace(&mut stack.node, node)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_remembers_what_it_signed_and_settles_what_was_mined_meanwhile() {
    let folder = Folder::new("budgets");
    let path = folder.0.to_str().unwrap().to_owned();
    let arguments = ["--sponsor-per-account", PER_ACCOUNT, "--data-dir", &path];
    let mut stack = Stack::start(&arguments).await.unwrap();
    let deposited = deposit(&stack).await;
    let (client, op) = sponsored(&stack).await;
    let (hoarded, _) = hoard(&stack, &op).await;

    // Another node, of another budget, takes its place: the file must be free for a moment.
    restart(&mut stack, &[]).await;
    let signed: Vec<_> = hoarded.iter().map(|op| parse(&client.sign(op.clone()).unwrap())).collect();
    assert!(bundle_by_hand(&stack, &signed).await, "the signatures are good");
    let before: Standing = {
        let ledger = folder.ledger(&stack).await;
        ledger.standing().await.unwrap()
    };
    let paid = deposited - deposit(&stack).await;
    assert!(before.spent < paid, "the ledger does not know yet");

    drop(folder.ledger(&stack).await);
    let free = tokio::time::timeout(Duration::from_secs(60), async {
        // Dropped ledgers let go of the file a moment later.
        loop {
            match NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &arguments).await {
                Ok(node) => return node,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    kill(std::mem::replace(&mut stack.node, free.await.unwrap())).await;
    // It is ready: so it has read what it had missed, and still holds what it held.
    let (code, message) = sponsor(&stack, &of_key(&op, 999)).await.unwrap_err();
    assert_eq!((code, message.contains("this account")), (-32050, true), "{message}");
    restart(&mut stack, &[]).await;
    let after = folder.ledger(&stack).await.standing().await.unwrap();
    assert_eq!((after.spent, after.unreserved), (paid, U256::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_share_a_redis_share_their_budgets_and_without_it_none_signs() {
    let redis = Redis::start().await.unwrap();
    let arguments = ["--sponsor-per-account", PER_ACCOUNT, "--redis", &redis.url];
    let mut stack = Stack::start(&arguments).await.unwrap();
    let (_, op) = sponsored(&stack).await;
    let second = NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &arguments).await.unwrap();
    let (hoarded, _) = hoard(&stack, &op).await;
    let promised = hoarded.iter().map(|op| parse(op).required_prefund(VERSION)).sum::<U256>();
    let first = std::mem::replace(&mut stack.node, second);
    // The very same is granted by either; anything more by neither.
    sponsor(&stack, &op).await.unwrap();
    let (code, message) = sponsor(&stack, &of_key(&op, 999)).await.unwrap_err();
    assert_eq!((code, message.contains("this account")), (-32050, true), "{message}");
    println!("promised by two nodes on one Redis: {promised} wei of {PER_ACCOUNT} ether");

    drop(redis);
    let (code, message) = sponsor(&stack, &op).await.unwrap_err();
    assert_eq!(code, -32005, "{message}");
    assert!(!message.contains("redis://"), "no address in what strangers are told: {message}");
    kill(first).await;
}

tests::on_base!(
    a_node_that_is_killed_remembers_what_it_signed_and_settles_what_was_mined_meanwhile,
    nodes_that_share_a_redis_share_their_budgets_and_without_it_none_signs,
);
