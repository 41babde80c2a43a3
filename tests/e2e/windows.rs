//! Validity windows at the second of the head: what is taken is mined, and what is valid is taken.
//!
//! Each operation carries the window that its account or paymaster answers with in its own nonce key, so that one account
//! serves for all windows: `nonce = salt ‖ validAfter (48) ‖ validUntil (48) ‖ sequence (64)`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy::primitives::{Address, B256, Bytes, U256, hex, keccak256, utils::parse_ether};
use erc4337::{EntryPointVersion, Paymaster, UserOperation, storage::deposit_slots, wire};
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use tests::{Anvil, Proxy, Stack, patience::found, programs::dice::Dice, proxy::Fault};

/// `return nonce >> 64 << 160`, of the operation that is the first argument.
const ECHO: [u8; 15] = hex!("60843560401c60a01b5f5260205ff3");
/// The same as a paymaster, beside an empty context.
const ECHO_AS_PAYMASTER: [u8; 20] = hex!("60405f5260843560401c60a01b60205260605ff3");
/// `return 0`.
const YES: [u8; 4] = hex!("60205ff3");
/// Says that a bound is a block number.
const BY_BLOCK: u64 = 1 << 47;
/// Senders of each kind, and paymasters: more than are pending at a time.
const SENDERS: u64 = 96;
const PAYMASTERS: u64 = 16;

/// Whose window it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Account,
    Paymaster,
}

#[derive(Debug)]
struct Ground {
    stack: Stack,
    salt: AtomicU64,
}

fn address(of: &str, version: EntryPointVersion, number: u64) -> Address {
    Address::from_word(keccak256(format!("{of} {version} {number}")))
}

impl Ground {
    async fn on(anvil: Anvil, node_url: &str) -> Self {
        let stack = Stack::on(anvil, node_url, &["--debug-rpc"]).await.unwrap();
        let mut wishes: Vec<(&str, Vec<Value>)> = Vec::new();
        for version in EntryPointVersion::ALL {
            let entry_point = stack.deployment.entry_points[&version.to_string()];
            let kinds: [(&str, &[u8], u64); 3] =
                [("echo", &ECHO, SENDERS), ("yes", &YES, SENDERS), ("payer", &ECHO_AS_PAYMASTER, PAYMASTERS)];
            for (kind, code, count) in kinds {
                for entity in (0..count).map(|number| address(kind, version, number)) {
                    wishes.push(("anvil_setCode", vec![json!(entity), json!(Bytes::copy_from_slice(code))]));
                    let word = |value: U256| json!(format!("{value:#066x}"));
                    let slot = word(deposit_slots(entity)[0]);
                    let wei = word(parse_ether("10").unwrap());
                    wishes.push(("anvil_setStorageAt", vec![json!(entry_point), slot, wei]));
                }
            }
        }
        for batch in wishes.chunks(200) {
            stack.anvil.ask_all(batch).await.unwrap();
        }
        stack.anvil.ask("evm_mine", vec![]).await.unwrap();
        Self { stack, salt: AtomicU64::new(0) }
    }

    /// The same with blocks every two seconds from now on: what has been deployed did not have to wait for them.
    async fn slowly(self) -> Self {
        self.stack.anvil.ask("evm_setAutomine", vec![json!(false)]).await.unwrap();
        self.stack.anvil.ask("evm_setIntervalMining", vec![json!(2)]).await.unwrap();
        self
    }

    fn entry_point(&self, version: EntryPointVersion) -> Address {
        self.stack.deployment.entry_points[&version.to_string()]
    }

    /// An operation that is valid after and until so.
    fn operation(&self, version: EntryPointVersion, whose: Whose, after: u64, until: u64) -> UserOperation {
        let salt = self.salt.fetch_add(1, Ordering::Relaxed);
        let kind = if whose == Whose::Account { "echo" } else { "yes" };
        let paymaster = (whose == Whose::Paymaster).then(|| Paymaster {
            address: address("payer", version, salt % PAYMASTERS),
            verification_gas_limit: if version.is_packed() { 100_000 } else { 0 },
            ..Paymaster::default()
        });
        UserOperation {
            sender: address(kind, version, salt % SENDERS),
            nonce: U256::from(salt) << 160 | U256::from(after) << 112 | U256::from(until) << 64,
            verification_gas_limit: 200_000,
            pre_verification_gas: 100_000,
            max_fee_per_gas: 5_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            paymaster,
            ..UserOperation::default()
        }
    }

    /// Sends it, again as long as that passes by itself.
    async fn send(&self, version: EntryPointVersion, op: &UserOperation) -> Result<B256, (i32, String, Value)> {
        found("an answer that is not to be asked for again", async || {
            let params = vec![wire::to_json(op, version), json!(self.entry_point(version))];
            match self.stack.node.ask("eth_sendUserOperation", params).await {
                Ok(hash) => Some(Ok(serde_json::from_value(hash).unwrap())),
                Err(ClientError::Call(error)) if error.code() == -32005 => None,
                Err(ClientError::Call(error)) => {
                    let data = error.data().map_or(Value::Null, |data| serde_json::from_str(data.get()).unwrap());
                    Some(Err((error.code(), error.message().to_owned(), data)))
                }
                Err(other) => panic!("{other}"),
            }
        })
        .await
    }

    async fn status(&self, hash: B256) -> Value {
        self.stack.node.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await.unwrap()
    }

    /// Waits until it is mined; the block's number and second. What became of it instead otherwise.
    async fn mined(&self, hash: B256) -> Result<(u64, u64), Value> {
        for _ in 0..400 {
            let status = self.status(hash).await;
            if status["status"] == "dropped" {
                return Err(status);
            }
            let receipt = self.stack.node.ask("eth_getUserOperationReceipt", vec![json!(hash)]).await.unwrap();
            if !receipt.is_null() {
                assert_eq!(receipt["success"], true, "{receipt}");
                let block = self.block(receipt["receipt"]["blockNumber"].clone()).await;
                return Ok((number(&block["number"]), number(&block["timestamp"])));
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        Err(self.status(hash).await)
    }

    async fn block(&self, block: Value) -> Value {
        self.stack.anvil.ask("eth_getBlockByNumber", vec![block, json!(false)]).await.unwrap()
    }

    async fn head(&self) -> (u64, u64) {
        let head = self.block(json!("latest")).await;
        (number(&head["number"]), number(&head["timestamp"]))
    }

    /// Bundles since this block; and those of them that reverted.
    async fn bundles(&self, since: u64) -> (usize, Vec<Value>) {
        let entry_points: Vec<Value> = self.stack.deployment.entry_points.values().map(|it| json!(it)).collect();
        let (mut count, mut reverted) = (0, Vec::new());
        for block in since..=self.head().await.0 {
            let receipts =
                self.stack.anvil.ask("eth_getBlockReceipts", vec![json!(format!("{block:#x}"))]).await.unwrap();
            for receipt in receipts.as_array().unwrap() {
                if entry_points.iter().any(|it| it.as_str().map(str::to_lowercase) == lower(&receipt["to"])) {
                    count += 1;
                    reverted.extend((receipt["status"] != "0x1").then(|| receipt.clone()));
                }
            }
        }
        (count, reverted)
    }
}

fn lower(text: &Value) -> Option<String> {
    text.as_str().map(str::to_lowercase)
}

fn number(value: &Value) -> u64 {
    serde_json::from_value::<U256>(value.clone()).unwrap().to()
}

/// What became of operations, by how they stood to the head.
type Figures = BTreeMap<(String, i64), [u64; 3]>;

/// Sends operations whose window begins or ends at the head's second, or one beside it, at so many moments. What was
/// taken has to be mined within its window; what is refused has to be over, or nearly.
async fn at_random_moments(ground: Ground, pause: usize, seed: u64, moments: u64) {
    let ground = Arc::new(ground);
    let (begun, _) = ground.head().await;
    let mut dice = Dice::new(seed);
    let mut waiting = tokio::task::JoinSet::new();
    let mut figures = Figures::new();
    for _ in 0..moments {
        tokio::time::sleep(Duration::from_millis(dice.below(pause) as u64)).await;
        let version = dice.pick(&EntryPointVersion::ALL);
        let whose = dice.pick(&[Whose::Account, Whose::Paymaster]);
        let by_block = version.supports_block_validity() && dice.chance(40);
        let (height, second) = ground.head().await;
        let (now, flag, long) = if by_block { (height, BY_BLOCK, 40_000) } else { (second, 0, 3_600) };
        for beside in [-1_i64, 0, 1] {
            let bound = now.checked_add_signed(beside).unwrap();
            let unit = if by_block { "block" } else { "second" };
            let begins = ground.operation(version, whose, flag | bound, flag | (now + long));
            let ends = ground.operation(version, whose, flag | u64::from(by_block), flag | bound);
            let name = format!("{version} {whose:?} {unit}");
            let first = bound + u64::from(version.excludes_valid_after());
            let figure = figures.entry((format!("{name} validAfter"), beside)).or_default();
            match ground.send(version, &begins).await {
                Ok(hash) => {
                    figure[0] += 1;
                    let ground = Arc::clone(&ground);
                    waiting.spawn(async move {
                        let (height, second) = ground
                            .mined(hash)
                            .await
                            .unwrap_or_else(|status| panic!("{name} validAfter {beside:+}: taken, and then {status}"));
                        let at = if by_block { height } else { second };
                        assert!(at >= first, "{name}: mined at {at}, valid from {first}");
                        at - first.max(now)
                    });
                }
                Err(refused) => panic!("{name} validAfter {beside:+} of the head at {now}: {refused:?}"),
            }
            let figure = figures.entry((format!("{version} {whose:?} {unit} validUntil"), beside)).or_default();
            let (code, message, data) = ground.send(version, &ends).await.unwrap_err();
            assert_eq!((code, &data["validUntil"]), (-32503, &json!(bound)), "{message}: {data}");
            figure[1] += 1;
        }
    }
    let (mut taken, mut latest) = (0_u64, 0);
    while let Some(after) = waiting.join_next().await {
        latest = latest.max(after.unwrap());
        taken += 1;
    }
    let (bundles, reverted) = ground.bundles(begun).await;
    println!("{moments} moments: {taken} operations taken and mined in {bundles} bundles,");
    println!("{} bundles reverted; the latest was mined {latest} s (or blocks) after it was valid", reverted.len());
    for ((what, beside), [taken, refused, _]) in figures {
        println!("  {what} {beside:+}: {taken} taken, {refused} refused");
    }
    assert!(reverted.is_empty(), "{reverted:#?}");
}

/// `FABSTIR_MOMENTS`, or this many.
fn moments(few: u64) -> u64 {
    std::env::var("FABSTIR_MOMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_at_any_moment_of_blocks_that_share_seconds_is_mined_in_its_window() {
    let anvil = Anvil::start_with(&["--block-time", "0.2"]).await.unwrap();
    let url = anvil.url.clone();
    at_random_moments(Ground::on(anvil, &url).await, 200, 18, moments(100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_at_any_moment_of_blocks_of_two_seconds_is_mined_in_its_window() {
    let anvil = Anvil::start().await.unwrap();
    let url = anvil.url.clone();
    at_random_moments(Ground::on(anvil, &url).await.slowly().await, 400, 19, moments(100) / 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_valid_yet_is_held_for_half_a_minute_at_most_and_holds_nobody_up() {
    let anvil = Anvil::start_with(&["--block-time", "0.2"]).await.unwrap();
    let url = anvil.url.clone();
    let ground = Ground::on(anvil, &url).await;
    for version in EntryPointVersion::ALL {
        for whose in [Whose::Account, Whose::Paymaster] {
            let (_, now) = ground.head().await;
            let later = ground.operation(version, whose, now + 100, now + 3_600);
            let (code, message, data) = ground.send(version, &later).await.unwrap_err();
            assert_eq!((code, &data["validAfter"]), (-32503, &json!(now + 100)), "{message}: {data}");
            assert!(message.contains("taken 30 s before it is valid"), "{message}");

            let soon = ground.operation(version, whose, now + 20, now + 3_600);
            let held = ground.send(version, &soon).await.unwrap();
            let valid = ground.operation(version, whose, now - 1, now + 3_600);
            // The same sender's, in another lane.
            let valid = UserOperation { sender: soon.sender, ..valid };
            let mined = ground.send(version, &valid).await.unwrap();
            ground.mined(mined).await.unwrap();
            assert_eq!(ground.status(held).await["status"], "pending", "{version} {whose:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn for_ever_is_all_48_bits_in_every_version_and_a_refused_window_names_its_paymaster() {
    let anvil = Anvil::start_with(&["--block-time", "0.2"]).await.unwrap();
    let url = anvil.url.clone();
    let ground = Ground::on(anvil, &url).await;
    const FOR_EVER: u64 = (1 << 48) - 1;
    for version in EntryPointVersion::ALL {
        for whose in [Whose::Account, Whose::Paymaster] {
            let (_, now) = ground.head().await;
            // From 2^47 on a bound has the bit that says "block" in v0.9, where both have it.
            for (after, until) in [(0, FOR_EVER), (now - 1, FOR_EVER), (0, BY_BLOCK), (0, BY_BLOCK | now)] {
                let op = ground.operation(version, whose, after, until);
                let hash = ground.send(version, &op).await.unwrap_or_else(|refused| {
                    panic!("{version} {whose:?} ({after}, {until}): {refused:?}");
                });
                ground.mined(hash).await.unwrap();
            }
            let over = ground.operation(version, whose, 0, now + 5);
            let (code, message, data) = ground.send(version, &over).await.unwrap_err();
            assert_eq!((code, &data["validUntil"]), (-32503, &json!(now + 5)), "{message}: {data}");
            let paymaster = over.paymaster_address().filter(|_| whose == Whose::Paymaster);
            assert_eq!(data["paymaster"], json!(paymaster), "{version} {whose:?}: {data}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_chain_that_mines_on_demand_the_clock_makes_it_valid() {
    let anvil = Anvil::start().await.unwrap();
    let url = anvil.url.clone();
    let ground = Ground::on(anvil, &url).await;
    // Behind our clock by nothing, then ahead of it by a day.
    for ahead in [0, 86_400] {
        ground.stack.anvil.ask("evm_increaseTime", vec![json!(ahead)]).await.unwrap();
        ground.stack.anvil.ask("evm_mine", vec![]).await.unwrap();
        for version in [EntryPointVersion::V0_6, EntryPointVersion::V0_8] {
            let (_, now) = ground.head().await;
            let op = ground.operation(version, Whose::Account, now + 2, now + 3_600);
            let hash = ground.send(version, &op).await.unwrap();
            let (_, at) = ground.mined(hash).await.unwrap();
            assert!(at >= now + 2, "{at}");
        }
    }
    assert_eq!(ground.bundles(0).await.1, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn estimates_are_made_for_the_time_at_which_the_operation_is_valid() {
    let anvil = Anvil::start_with(&["--block-time", "0.2"]).await.unwrap();
    let url = anvil.url.clone();
    let ground = Ground::on(anvil, &url).await;
    for version in EntryPointVersion::ALL {
        for whose in [Whose::Account, Whose::Paymaster] {
            for beside in [0, 1, 20] {
                let (_, now) = ground.head().await;
                let op = ground.operation(version, whose, now + beside, now + 3_600);
                let params = vec![wire::to_json(&op, version), json!(ground.entry_point(version))];
                let estimate = ground.stack.node.ask("eth_estimateUserOperationGas", params).await;
                assert!(estimate.is_ok(), "{version} {whose:?} {beside}: {estimate:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_knows_only_the_heads_time_is_not_believed_about_the_next_blocks() {
    for fault in [Fault::AtMost(3), Fault::Ignored(3)] {
        let anvil = Anvil::start().await.unwrap();
        let proxy = Proxy::start(&anvil.url).await.unwrap();
        let ground = Ground::on(anvil, &proxy.url).await.slowly().await;
        proxy.fail("eth_call", fault);
        // Versions that compare in one way and in the other.
        for (version, whose) in [(EntryPointVersion::V0_7, Whose::Account), (EntryPointVersion::V0_8, Whose::Paymaster)]
        {
            let (_, now) = ground.head().await;
            // Valid a second after the head, and so before there is another.
            let after = now + 1 - u64::from(version.excludes_valid_after());
            let op = ground.operation(version, whose, after, now + 3_600);
            let hash = ground.send(version, &op).await.unwrap();
            ground.mined(hash).await.unwrap_or_else(|status| panic!("{version} {whose:?}: {status}"));
        }
        assert!(proxy.met() > 0, "the node was asked about the block to come");
    }
}
