//! The ground that attackers and honest users meet on. Its blocks are made by hand: each only when the bundler has had its
//! turn, so that how long anything takes is counted in blocks, however slow the machine is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, Bytes, I256, U256, hex, keccak256, utils::parse_ether},
    sol_types::SolEvent,
};
use bundler::l1_fee::{L1Prices, Upgrade};
use erc4337::{
    EntryPointVersion, Paymaster, UserOperation, abi::entry_point_v08::UserOperationEvent, storage::deposit_slots, wire,
};
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{Anvil, Proxy, Stack, anvil::KEYS, op_stack, stack::NodeProcess};

use super::report::Report;

/// `return 0`, whatever is asked.
pub(super) const YES: [u8; 4] = hex!("60205ff3");
/// A paymaster that agrees, without a context.
pub(super) const PAYS: [u8; 8] = hex!("60405f5260605ff3");
/// Of the node.
const ARGUMENTS: [&str; 3] = ["--debug-rpc", "--calls-per-second", "0"];
/// Honest users.
pub(super) const USERS: u64 = 6;
/// Blocks of one second.
const A_SECOND: u64 = 5;
/// Wei per gas, unless an attacker changes it.
pub(super) const BASE_FEE: u64 = 1_000_000_000;
/// Looks of the bundler at the head without another question after which its turn is over, and at most.
const STILL: u64 = 3;
const LOOKS: u64 = 150;
/// Blocks that honest operations may take after all was sent.
const PATIENCE: u64 = 400;

/// What L1 costs on a usual day.
pub(super) const USUAL: L1Prices = L1Prices {
    upgrade: Upgrade::Jovian,
    base_fee: 1_000_000_000,
    blob_base_fee: 1_000_000,
    base_fee_scalar: 2_269,
    blob_base_fee_scalar: 1_055_762,
    bedrock: (U256::ZERO, U256::ZERO),
    operator_fee_scalar: 0,
    operator_fee_constant: 0,
    footprint_scalar: 0,
};

/// A stack behind a proxy that plays a hard chain.
pub(super) struct Field {
    pub(super) stack: Stack,
    pub(super) proxy: Proxy,
    salt: AtomicU64,
    /// Blocks made so far, and the second of the first; how many seconds the chain is beside that.
    made: AtomicU64,
    began: u64,
    ahead: AtomicI64,
    base_fee: AtomicU64,
    /// What L1 costs, from these blocks on.
    prices: Mutex<Vec<(u64, L1Prices)>>,
    /// Contracts whose first slot is what [`Field::flag`] says.
    pub(super) flagged: Mutex<Vec<Address>>,
    /// What attackers expected, and was not so.
    broken: Mutex<Vec<String>>,
    /// What they asked for beside the others, and is waited for.
    pub(super) asked: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

/// An operation of an honest user's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) hash: B256,
    pub(super) block: u64,
}

/// Where counting began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    height: u64,
    refused: u64,
}

pub(super) fn number(value: &Value) -> U256 {
    serde_json::from_value(value.clone()).unwrap()
}

/// So many thousandths of these.
pub(super) fn scaled(prices: &L1Prices, per_mille: u128) -> L1Prices {
    let scaled = |price: u128| price / 1_000 * per_mille;
    L1Prices { base_fee: scaled(prices.base_fee), blob_base_fee: scaled(prices.blob_base_fee), ..*prices }
}

impl Field {
    pub(super) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With more arguments for the node.
    pub(super) async fn with(arguments: &[&str]) -> Self {
        let anvil = Anvil::start_with(&["--chain-id", "8453", "--gas-limit", "40000000"]).await.unwrap();
        let proxy = Proxy::start(&anvil.url).await.unwrap();
        let arguments = [&ARGUMENTS[..], arguments].concat();
        let stack = Stack::on(anvil, &proxy.url, &arguments).await.unwrap();
        stack.anvil.hold().await.unwrap();
        let head = stack.anvil.ask("eth_getBlockByNumber", vec![json!("latest"), json!(false)]).await.unwrap();
        let field = Self {
            stack,
            proxy,
            salt: AtomicU64::new(0),
            made: AtomicU64::new(0),
            began: number(&head["timestamp"]).to::<u64>() + 1,
            ahead: AtomicI64::new(0),
            base_fee: AtomicU64::new(BASE_FEE),
            prices: Mutex::default(),
            flagged: Mutex::default(),
            broken: Mutex::default(),
            asked: Mutex::default(),
        };
        for user in 0..USERS {
            field.place(EntryPointVersion::V0_8, Self::user(user), &YES).await;
        }
        field.set_prices(&USUAL).await;
        for _ in 0..3 {
            field.seal().await;
            field.turn(&[]).await;
        }
        field
    }

    /// The node is killed, and started again.
    pub(super) async fn restart(&mut self, arguments: &[&str]) {
        self.stack.node.kill().await.unwrap();
        let arguments = [&ARGUMENTS[..], arguments].concat();
        let node = NodeProcess::start(&self.proxy.url, &self.stack.deployment_file, &arguments).await;
        self.stack.node = node.unwrap();
    }

    pub(super) fn user(number: u64) -> Address {
        Address::from_word(keccak256(format!("honest {number}")))
    }

    pub(super) fn entry_point(&self, version: EntryPointVersion) -> Address {
        self.stack.deployment.entry_points[&version.to_string()]
    }

    /// A number that nobody has had.
    pub(super) fn salt(&self) -> u64 {
        self.salt.fetch_add(1, Ordering::Relaxed)
    }

    /// Somebody new with this code, and ten ether in the EntryPoint.
    pub(super) async fn account(&self, version: EntryPointVersion, code: &[u8]) -> Address {
        let account = Address::from_word(keccak256(format!("hostile {}", self.salt())));
        self.place(version, account, code).await;
        account
    }

    /// The same, with a stake that is enough.
    pub(super) async fn staked(&self, version: EntryPointVersion, code: &[u8]) -> Address {
        let account = self.account(version, code).await;
        // staked (from bit 8 of the deposit's second word: bool, uint112 stake, uint32 delay, uint48 withdrawTime).
        self.set_deposit(version, account, parse_ether("10").unwrap(), true).await;
        account
    }

    pub(super) async fn place(&self, version: EntryPointVersion, account: Address, code: &[u8]) {
        self.ask("anvil_setCode", vec![json!(account), json!(Bytes::copy_from_slice(code))]).await;
        self.set_deposit(version, account, parse_ether("10").unwrap(), false).await;
    }

    pub(super) async fn set_deposit(&self, version: EntryPointVersion, of: Address, wei: U256, staked: bool) {
        let stake = parse_ether("1").unwrap();
        let (deposit, info) = match (version, staked) {
            // v0.6 packs uint112 deposit, bool, uint112 stake into one word.
            (EntryPointVersion::V0_6, true) => (wei | U256::ONE << 112 | stake << 120, U256::from(86_400)),
            (_, true) => (wei, U256::ONE | stake << 8 | U256::from(86_400) << 120),
            (_, false) => (wei, U256::ZERO),
        };
        let slots = deposit_slots(of);
        self.store(self.entry_point(version), slots[0], deposit).await;
        if staked {
            self.store(self.entry_point(version), slots[1], info).await;
        }
    }

    pub(super) async fn store(&self, contract: Address, slot: U256, value: U256) {
        let params = vec![json!(contract), json!(B256::from(slot)), json!(B256::from(value))];
        self.ask("anvil_setStorageAt", params).await;
    }

    /// Somebody changes what these contracts rest on: in the state of the newest block, and so of the next.
    pub(super) async fn flag(&self, value: bool) {
        let flagged = self.flagged.lock().unwrap().clone();
        for contract in flagged {
            self.store(contract, U256::ZERO, U256::from(value)).await;
        }
    }

    /// This has to be so, or the attacker has succeeded.
    pub(super) fn expect(&self, holds: bool, what: &str) {
        if !holds {
            self.broken.lock().unwrap().push(what.to_owned());
        }
    }

    /// Blocks made so far.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Asks the chain, past the proxy.
    pub(super) async fn ask(&self, method: &str, params: Vec<Value>) -> Value {
        self.stack.anvil.ask(method, params).await.unwrap()
    }

    /// An operation that pays what is usual, under a nonce key that nobody has used.
    pub(super) fn operation(&self, sender: Address) -> UserOperation {
        UserOperation {
            sender,
            nonce: U256::from(self.salt() + 1) << 64,
            verification_gas_limit: 200_000,
            pre_verification_gas: 100_000,
            max_fee_per_gas: 20_000_000_000,
            max_priority_fee_per_gas: 3_000_000_000,
            ..UserOperation::default()
        }
    }

    /// The same, paid for by this paymaster.
    pub(super) fn sponsored(&self, version: EntryPointVersion, sender: Address, address: Address) -> UserOperation {
        let gas = if version == EntryPointVersion::V0_6 { 0 } else { 150_000 };
        let paymaster =
            Paymaster { address, verification_gas_limit: gas, post_op_gas_limit: gas, ..Paymaster::default() };
        UserOperation { paymaster: Some(paymaster), ..self.operation(sender) }
    }

    /// The same with so many bytes of noise to call with, asking for no `preVerificationGas`, at the price that is bid.
    pub(super) async fn at_market(&self, op: UserOperation, noise: u64) -> UserOperation {
        let price = self.stack.node.ask("pimlico_getUserOperationGasPrice", vec![]).await.unwrap();
        let tip = number(&price["standard"]["maxPriorityFeePerGas"]).to::<u128>();
        let seed = self.salt();
        let data = (0..noise.div_ceil(32)).flat_map(|word| keccak256(format!("{seed} {word}")).0);
        UserOperation {
            call_data: data.map(|byte| byte.max(1)).take(usize::try_from(noise).unwrap()).collect(),
            call_gas_limit: 30_000,
            pre_verification_gas: 1_000,
            max_priority_fee_per_gas: tip,
            ..op
        }
    }

    /// Sends it, again as long as that passes by itself; none if it is refused.
    pub(super) async fn send(&self, version: EntryPointVersion, op: &UserOperation) -> Option<B256> {
        self.try_send(version, op).await.ok()
    }

    /// The same; the code, the message and the data of a refusal.
    pub(super) async fn try_send(
        &self,
        version: EntryPointVersion,
        op: &UserOperation,
    ) -> Result<B256, (i32, String, Value)> {
        let mut tries = 0;
        loop {
            let params = vec![wire::to_json(op, version), json!(self.entry_point(version))];
            match self.stack.node.ask("eth_sendUserOperation", params).await {
                Ok(hash) => return Ok(serde_json::from_value(hash).unwrap()),
                Err(ClientError::Call(error)) if [-32005, -32603].contains(&error.code()) && tries < 200 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(ClientError::Call(error)) => {
                    let data = error.data().map_or(Value::Null, |data| serde_json::from_str(data.get()).unwrap());
                    return Err((error.code(), error.message().to_owned(), data));
                }
                Err(error) => return Err((0, error.to_string(), Value::Null)),
            }
        }
    }

    /// Sends it with as little as it is taken with: whatever field is too low is set to what is asked for.
    pub(super) async fn send_at_the_least(&self, version: EntryPointVersion, op: &UserOperation) -> Option<B256> {
        let mut op = op.clone();
        for _ in 0..100 {
            let (field, required) = match self.try_send(version, &op).await {
                Ok(hash) => return Some(hash),
                // Validation itself ran out of it.
                Err((-32500, ..)) if op.verification_gas_limit < 1_000_000 => {
                    op.verification_gas_limit += 3_000;
                    continue;
                }
                Err((code, message, data)) if data["required"].is_null() => {
                    println!("  refused: {code} {message}");
                    return None;
                }
                Err((_, _, data)) => (data["field"].clone(), data["required"].clone()),
            };
            let required = serde_json::from_value::<U256>(required).ok()?.to::<u128>();
            match (field.as_str()?, &mut op.paymaster) {
                ("verificationGasLimit", _) => op.verification_gas_limit = required,
                ("preVerificationGas", _) => op.pre_verification_gas = required,
                ("callGasLimit", _) => op.call_gas_limit = required,
                ("paymasterVerificationGasLimit", Some(paymaster)) => paymaster.verification_gas_limit = required,
                ("paymasterPostOpGasLimit", Some(paymaster)) => paymaster.post_op_gas_limit = required,
                _ => return None,
            }
        }
        None
    }

    pub(super) async fn head(&self) -> Value {
        self.ask("eth_getBlockByNumber", vec![json!("latest"), json!(false)]).await
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

    /// Wei per gas that blocks to come have for their base fee.
    pub(super) fn set_base_fee(&self, wei: u64) {
        self.base_fee.store(wei, Ordering::Relaxed);
    }

    /// The chain's clock leaps.
    pub(super) fn leap(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }

    /// What L1 costs from the next block on.
    pub(super) async fn set_prices(&self, prices: &L1Prices) {
        op_stack::store_prices(&self.stack.anvil, prices).await.unwrap();
        let from = self.height().await + 1;
        self.prices.lock().unwrap().push((from, *prices));
    }

    /// Data on L1 costs so many thousandths of this from a block on that is made.
    pub(super) async fn set_prices_to(&self, prices: &L1Prices, per_mille: u128) {
        self.set_prices(&scaled(prices, per_mille)).await;
        self.seal().await;
        self.turn(&[]).await;
    }

    /// Makes one block of what is in the chain's pool.
    pub(super) async fn seal(&self) {
        let made = self.made.fetch_add(1, Ordering::Relaxed) / A_SECOND;
        let second = self.began.saturating_add(made).saturating_add_signed(self.ahead.load(Ordering::Relaxed));
        let last = number(&self.head().await["timestamp"]).to::<u64>();
        self.ask("evm_setNextBlockTimestamp", vec![json!(second.max(last))]).await;
        let fee = U256::from(self.base_fee.load(Ordering::Relaxed));
        self.ask("anvil_setNextBlockBaseFeePerGas", vec![json!(fee)]).await;
        self.ask("evm_mine", vec![]).await;
    }

    /// Lets the bundler do what it does at this head: until these operations are on their way, or it is said what they wait
    /// for, and it asks for nothing but new heads.
    pub(super) async fn turn(&self, watched: &[B256]) {
        let looked = || {
            let methods = self.proxy.methods();
            let looks = methods.get("eth_getBlockByNumber").copied().unwrap_or_default();
            (looks, methods.values().sum::<u64>() - looks)
        };
        let (first, mut others) = looked();
        let mut still_since = first;
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let (looks, asked) = looked();
            if asked != others {
                (others, still_since) = (asked, looks);
            }
            let over = looks >= first + 2 && looks >= still_since + STILL;
            if looks >= first + LOOKS || (over && self.all_accounted_for(watched).await) {
                return;
            }
        }
    }

    async fn all_accounted_for(&self, watched: &[B256]) -> bool {
        for hash in watched {
            let status = self.status(*hash).await;
            if status["status"] == "pending" && status["reason"].is_null() {
                return false;
            }
        }
        true
    }

    /// One operation of each honest user.
    pub(super) async fn honest_round(&self) -> Vec<Sent> {
        let each = (0..USERS).map(|user| async move {
            let block = self.height().await;
            let op = self.operation(Self::user(user));
            match self.try_send(EntryPointVersion::V0_8, &op).await {
                Ok(hash) => Some(Sent { hash, block }),
                Err(why) => {
                    self.expect(false, &format!("an honest operation is taken: {why:?}"));
                    None
                }
            }
        });
        futures::future::join_all(each).await.into_iter().flatten().collect()
    }

    /// Where counting begins.
    pub(super) async fn stand(&self) -> Stand {
        Stand { height: self.height().await, refused: self.proxy.refused() }
    }

    /// Of these, those that have not come to an end.
    pub(super) async fn waiting(&self, of: &[B256]) -> Vec<B256> {
        let mut waiting = Vec::new();
        for hash in of {
            let status = self.status(*hash).await;
            if !["included", "dropped"].contains(&status["status"].as_str().unwrap_or_default()) {
                waiting.push(*hash);
            }
        }
        waiting
    }

    /// Makes blocks until all of these have come to an end, or for so long that they never will.
    pub(super) async fn finish(&self, of: &[B256]) {
        let mut waiting = self.waiting(of).await;
        for _ in 0..PATIENCE {
            if waiting.is_empty() {
                return;
            }
            self.turn(&waiting).await;
            self.seal().await;
            self.turn(&[]).await;
            waiting = self.waiting(&waiting).await;
        }
    }

    /// Counts what happened since.
    pub(super) async fn report(&self, since: Stand, sent: &[Sent], as_good: &[B256]) -> Report {
        let broken = std::mem::take(&mut *self.broken.lock().unwrap());
        let mut report = Report { honest: sent.len() + as_good.len(), broken, ..Report::default() };
        for hash in sent.iter().map(|it| it.hash).chain(as_good.iter().copied()) {
            let status = self.status(hash).await;
            if status["status"] != "included" {
                report.lost.insert(hash, status.to_string());
            }
        }
        report.refused = self.proxy.refused() - since.refused;
        let honest: BTreeSet<Address> = (0..USERS).map(Self::user).collect();
        let mut executed: BTreeMap<B256, u64> = BTreeMap::new();
        let bundler = SecretKey::from_hex(KEYS[1]).unwrap().address();
        for block in since.height + 1..=self.height().await {
            let receipts = self.ask("eth_getBlockReceipts", vec![json!(format!("{block:#x}"))]).await;
            for receipt in receipts.as_array().unwrap() {
                if serde_json::from_value::<Address>(receipt["from"].clone()).unwrap() != bundler {
                    continue;
                }
                let cost = self.cost(block, receipt).await;
                report.sent += 1;
                report.reverted += usize::from(receipt["status"] != "0x1");
                report.cancelled += usize::from(receipt["to"] == receipt["from"]);
                let mut revenue = U256::ZERO;
                for log in receipt["logs"].as_array().unwrap() {
                    let log: alloy::rpc::types::Log = serde_json::from_value(log.clone()).unwrap();
                    let Ok(event) = UserOperationEvent::decode_log(&log.inner) else { continue };
                    executed.insert(event.userOpHash, block);
                    revenue += event.actualGasCost;
                    if !honest.contains(&event.sender) {
                        report.executed += 1;
                        report.paid += event.actualGasCost.to::<u128>();
                    }
                }
                report.losing += usize::from(cost > revenue);
                if std::env::var_os("FABSTIR_SIEGE_TRACE").is_some() {
                    let (gas, price) = (number(&receipt["gasUsed"]), number(&receipt["effectiveGasPrice"]));
                    let events = receipt["logs"].as_array().unwrap().len();
                    let (index, status) = (&receipt["transactionIndex"], &receipt["status"]);
                    println!(
                        "  block {block} at {index}: {status} {gas} gas at {price}, {cost} wei, {revenue} in, {events} logs"
                    );
                }
                report.loss += cost.saturating_sub(revenue).to::<u128>();
                let signed = I256::try_from(cost).unwrap() - I256::try_from(revenue).unwrap();
                report.net += i128::try_from(signed).unwrap();
            }
        }
        report.latency = sent.iter().filter_map(|it| Some(executed.get(&it.hash)?.saturating_sub(it.block))).collect();
        report.latency.sort_unstable();
        report
    }

    /// Wei that a transaction of ours cost, what L1 and the operator take with it: anvil takes nothing for them.
    async fn cost(&self, block: u64, receipt: &Value) -> U256 {
        let gas = number(&receipt["gasUsed"]);
        let prices = self.prices.lock().unwrap().iter().rev().find(|(from, _)| *from <= block).map(|it| it.1);
        let Some(prices) = prices else { return gas * number(&receipt["effectiveGasPrice"]) };
        let raw = self.ask("eth_getRawTransactionByHash", vec![receipt["transactionHash"].clone()]).await;
        let raw: Bytes = serde_json::from_value(raw).unwrap();
        let beside = prices.fee(&raw).saturating_add(prices.operator_fee(gas.to()));
        gas * number(&receipt["effectiveGasPrice"]) + U256::from(beside)
    }
}

impl Field {
    /// The chain is as it is on a usual day.
    pub(super) async fn relent(&self) {
        self.proxy.harden(|hard| *hard = tests::hard::Hard { refused: hard.refused, ..Default::default() });
        self.proxy.release();
        self.set_base_fee(BASE_FEE);
        self.flag(false).await;
        self.flagged.lock().unwrap().clear();
        let changed = self.prices.lock().unwrap().last().is_some_and(|(_, prices)| *prices != USUAL);
        if changed {
            self.set_prices(&USUAL).await;
        }
    }
}
