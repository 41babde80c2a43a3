//! The ground that attackers and honest users meet on, and what is counted there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, Bytes, U256, hex, keccak256, utils::parse_ether},
    sol_types::SolEvent,
};
use erc4337::{
    EntryPointVersion, UserOperation, abi::entry_point_v08::UserOperationEvent, storage::deposit_slots, wire,
};
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{Anvil, Proxy, Stack, anvil::KEYS};

/// `return 0`, whatever is asked.
pub(super) const YES: [u8; 4] = hex!("60205ff3");
/// Honest users.
const USERS: u64 = 6;
/// How long the last operation may take after all was sent.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stack behind a proxy that plays a hard chain.
pub(super) struct Field {
    pub(super) stack: Stack,
    pub(super) proxy: Proxy,
    salt: AtomicU64,
}

/// An operation of an honest user's.
pub(super) struct Sent {
    hash: B256,
    block: u64,
}

/// What an attack came to.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Wei that transactions of ours cost beyond what their operations paid, each by itself.
    loss: U256,
    honest: usize,
    /// Honest operations that were dropped, or not executed in the end; and why.
    lost: BTreeMap<B256, String>,
    /// Blocks from sent to executed, in order.
    latency: Vec<u64>,
    /// Transactions that nodes did not let through.
    refused: u64,
    /// Wei that operations of others than honest users paid.
    paid: U256,
    reverted: usize,
    cancelled: usize,
}

impl Report {
    pub(super) const HEAD: &'static str = "attacker          bundler's loss  reverted  cancelled  refused  honest: sent  lost  \
                                           median  p95 (blocks)  attacker paid (wei)";

    pub(super) fn row(&self, name: &str) -> String {
        let at = |share: usize| self.latency.get((self.latency.len() * share / 100).min(self.latency.len() - 1));
        let [median, p95] = [50, 95].map(|share| if self.latency.is_empty() { 0 } else { *at(share).unwrap() });
        format!(
            "{name:<18}{:<16}{:<10}{:<11}{:<9}{:<14}{:<6}{median:<8}{p95:<14}{}",
            self.loss,
            self.reverted,
            self.cancelled,
            self.refused,
            self.honest,
            self.lost.len(),
            self.paid
        )
    }

    /// What is wrong.
    pub(super) fn verdict(&self, cancellations: usize) -> Option<String> {
        if !self.lost.is_empty() {
            return Some(format!("{} of {} honest operations: {:?}", self.lost.len(), self.honest, self.lost));
        }
        let taken_into_account = self.reverted == 0 && self.cancelled <= cancellations;
        (!self.loss.is_zero() && !taken_into_account)
            .then(|| format!("{} wei lost in {} reverted and {} cancelled", self.loss, self.reverted, self.cancelled))
    }
}

fn number(value: &Value) -> U256 {
    serde_json::from_value(value.clone()).unwrap()
}

impl Field {
    pub(super) async fn new() -> Self {
        let anvil = Anvil::start_with(&["--block-time", "0.2"]).await.unwrap();
        let proxy = Proxy::start(&anvil.url).await.unwrap();
        let stack = Stack::on(anvil, &proxy.url, &["--debug-rpc", "--calls-per-second", "0"]).await.unwrap();
        let field = Self { stack, proxy, salt: AtomicU64::new(0) };
        for user in 0..USERS {
            field.place(EntryPointVersion::V0_8, Self::user(user), &YES).await;
        }
        field
    }

    fn user(number: u64) -> Address {
        Address::from_word(keccak256(format!("honest {number}")))
    }

    pub(super) fn entry_point(&self, version: EntryPointVersion) -> Address {
        self.stack.deployment.entry_points[&version.to_string()]
    }

    /// Somebody new with this code, and ten ether in the EntryPoint.
    pub(super) async fn account(&self, version: EntryPointVersion, code: &[u8]) -> Address {
        let salt = self.salt.fetch_add(1, Ordering::Relaxed);
        let account = Address::from_word(keccak256(format!("hostile {salt}")));
        self.place(version, account, code).await;
        account
    }

    pub(super) async fn place(&self, version: EntryPointVersion, account: Address, code: &[u8]) {
        let word = |value: U256| json!(format!("{value:#066x}"));
        let (slot, wei) = (word(deposit_slots(account)[0]), word(parse_ether("10").unwrap()));
        let wishes = [
            ("anvil_setCode", vec![json!(account), json!(Bytes::copy_from_slice(code))]),
            ("anvil_setStorageAt", vec![json!(self.entry_point(version)), slot, wei]),
        ];
        self.stack.anvil.ask_all(&wishes).await.unwrap();
    }

    /// An operation that pays what is usual, under a nonce key that nobody has used.
    pub(super) fn operation(&self, sender: Address) -> UserOperation {
        let key = self.salt.fetch_add(1, Ordering::Relaxed);
        UserOperation {
            sender,
            nonce: U256::from(key + 1) << 64,
            verification_gas_limit: 200_000,
            pre_verification_gas: 100_000,
            max_fee_per_gas: 20_000_000_000,
            max_priority_fee_per_gas: 3_000_000_000,
            ..UserOperation::default()
        }
    }

    /// Sends it, again as long as that passes by itself; none if it is refused.
    pub(super) async fn send(&self, version: EntryPointVersion, op: &UserOperation) -> Option<B256> {
        for _ in 0..200 {
            let params = vec![wire::to_json(op, version), json!(self.entry_point(version))];
            match self.stack.node.ask("eth_sendUserOperation", params).await {
                Ok(hash) => return Some(serde_json::from_value(hash).unwrap()),
                Err(ClientError::Call(error)) if [-32005, -32603].contains(&error.code()) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => {
                    println!("  refused: {error}");
                    return None;
                }
            }
        }
        None
    }

    pub(super) async fn head(&self) -> Value {
        self.stack.anvil.ask("eth_getBlockByNumber", vec![json!("latest"), json!(false)]).await.unwrap()
    }

    pub(super) async fn height(&self) -> u64 {
        number(&self.head().await["number"]).to()
    }

    pub(super) async fn status(&self, hash: B256) -> Value {
        self.stack.node.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await.unwrap()
    }

    /// Bundles go by themselves ("auto"), or not before they do ("manual").
    pub(super) async fn bundling(&self, mode: &str) {
        self.stack.node.ask("debug_bundler_setBundlingMode", vec![json!(mode)]).await.unwrap();
    }

    /// One operation of each honest user.
    pub(super) async fn honest_round(&self) -> Vec<Sent> {
        let each = (0..USERS).map(|user| async move {
            let block = self.height().await;
            let op = self.operation(Self::user(user));
            let hash = self.send(EntryPointVersion::V0_8, &op).await.expect("an honest operation is taken");
            Sent { hash, block }
        });
        futures::future::join_all(each).await
    }

    /// With nobody who attacks.
    pub(super) async fn calm(&self, rounds: u64) -> Report {
        let before = self.stand().await;
        let mut sent = Vec::new();
        for _ in 0..rounds {
            sent.extend(self.honest_round().await);
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        self.report(before, &sent, &[]).await
    }

    /// Where counting begins: the height, and what was refused so far.
    pub(super) async fn stand(&self) -> (u64, u64) {
        (self.height().await, self.proxy.refused())
    }

    /// Waits until all that is honest has come to an end, and counts.
    pub(super) async fn report(&self, (first, refused): (u64, u64), sent: &[Sent], as_good: &[B256]) -> Report {
        let mut report = Report { honest: sent.len() + as_good.len(), ..Report::default() };
        let until = tokio::time::Instant::now() + PATIENCE;
        for hash in sent.iter().map(|it| it.hash).chain(as_good.iter().copied()) {
            loop {
                let status = self.status(hash).await;
                if status["status"] == "included" {
                    break;
                }
                if status["status"] == "dropped" || tokio::time::Instant::now() > until {
                    report.lost.insert(hash, status.to_string());
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        report.refused = self.proxy.refused() - refused;
        let honest: BTreeSet<Address> = (0..USERS).map(Self::user).collect();
        let mut executed: BTreeMap<B256, u64> = BTreeMap::new();
        let bundler = json!(SecretKey::from_hex(KEYS[1]).unwrap().address()).to_string().to_lowercase();
        for block in first + 1..=self.height().await {
            let receipts = self.stack.anvil.ask("eth_getBlockReceipts", vec![json!(format!("{block:#x}"))]).await;
            for receipt in receipts.unwrap().as_array().unwrap() {
                if receipt["from"].to_string().to_lowercase() != bundler {
                    continue;
                }
                let cost = number(&receipt["gasUsed"]) * number(&receipt["effectiveGasPrice"]);
                report.reverted += usize::from(receipt["status"] != "0x1");
                report.cancelled += usize::from(receipt["to"] == receipt["from"]);
                let mut revenue = U256::ZERO;
                for log in receipt["logs"].as_array().unwrap() {
                    let log: alloy::rpc::types::Log = serde_json::from_value(log.clone()).unwrap();
                    let Ok(event) = UserOperationEvent::decode_log(&log.inner) else { continue };
                    executed.insert(event.userOpHash, block);
                    revenue += event.actualGasCost;
                    report.paid += if honest.contains(&event.sender) { U256::ZERO } else { event.actualGasCost };
                }
                report.loss += cost.saturating_sub(revenue);
            }
        }
        report.latency = sent.iter().filter_map(|it| Some(executed.get(&it.hash)?.saturating_sub(it.block))).collect();
        report.latency.sort_unstable();
        report
    }
}
