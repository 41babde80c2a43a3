//! A stack that bundles only when asked, with programs on its chain: what the mempool's tests work on.

use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use erc4337::{EntryPointVersion, UserOperation, wire};
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};

use crate::{
    Anvil, Stack,
    programs::{Scenario, World, asm::op, helpers, piece::Access, piece::Piece, scenario::Placement},
};

/// Answers every question with three words of zero: "valid" from an account, and from a paymaster with no context to
/// EntryPoints up to v0.7, which do not mind where the context lies.
pub const YES: [u8; 4] = [op::PUSH0 + 1, 0x60, op::PUSH0, op::RETURN];

/// A JSON-RPC error.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "as it says")]
pub struct Refusal {
    pub code: i32,
    pub message: String,
    pub data: Value,
}

/// See the module.
#[derive(Debug)]
pub struct Bench {
    /// Where everything runs.
    pub stack: Stack,
    /// Of the EntryPoint that operations are sent to.
    pub version: EntryPointVersion,
    /// That EntryPoint.
    pub entry_point: Address,
}

impl Bench {
    /// A chain of the kind that is set for this thread.
    pub async fn new(version: EntryPointVersion) -> Self {
        let anvil = Anvil::start().await.unwrap();
        let url = anvil.url.clone();
        Self::on(anvil, &url, version).await
    }

    /// This chain, which the node reaches through `node_url`.
    pub async fn on(anvil: Anvil, node_url: &str, version: EntryPointVersion) -> Self {
        let stack = Stack::on(anvil, node_url, &["--debug-rpc"]).await.unwrap();
        let entry_point = stack.deployment.entry_points[&version.to_string()];
        let bench = Self { stack, version, entry_point };
        bench.ask("debug_bundler_setBundlingMode", vec![json!("manual")]).await.unwrap();
        World::new(&bench.stack).await.unwrap();
        bench
    }

    /// Places what these operations need, and leaves mempool and reputations empty. Their addresses differ.
    pub async fn place(&self, scenarios: impl IntoIterator<Item = Scenario>) -> Vec<UserOperation> {
        let place = |(index, scenario): (usize, Scenario)| scenario.place(&index.to_string(), self.entry_point);
        let placements: Vec<Placement> = scenarios.into_iter().enumerate().map(place).collect();
        World::new(&self.stack).await.unwrap().place(&placements).await.unwrap();
        self.catch_up().await;
        self.ask("debug_bundler_clearState", vec![]).await.unwrap();
        placements.into_iter().map(|placement| placement.op).collect()
    }

    /// A scenario whose account runs these pieces.
    pub fn account(&self, program: Vec<Piece>) -> Scenario {
        let mut scenario = Scenario::new(self.version);
        scenario.account.program = program;
        scenario
    }

    /// A scenario with a paymaster that runs these pieces.
    pub fn sponsored(&self, program: Vec<Piece>) -> Scenario {
        let mut scenario = Scenario::new(self.version);
        scenario.paymaster.get_or_insert_default().program = program;
        scenario
    }

    /// Any method of the bundler's.
    pub async fn ask(&self, method: &str, params: Vec<Value>) -> Result<Value, Refusal> {
        self.stack.node.ask(method, params).await.map_err(|error| match error {
            ClientError::Call(error) => Refusal {
                code: error.code(),
                message: error.message().to_owned(),
                data: error.data().map_or(Value::Null, |data| serde_json::from_str(data.get()).unwrap()),
            },
            other => panic!("{method} got no JSON-RPC answer: {other}"),
        })
    }

    /// Sends an operation; its hash.
    pub async fn send(&self, op: &UserOperation) -> Result<B256, Refusal> {
        self.send_json(wire::to_json(op, self.version)).await
    }

    /// The same for an operation in the words of a client.
    pub async fn send_json(&self, op: Value) -> Result<B256, Refusal> {
        let hash = self.ask("eth_sendUserOperation", vec![op, json!(self.entry_point)]).await?;
        Ok(serde_json::from_value(hash).unwrap())
    }

    /// Has a bundle sent; its transaction, once it is known to the node.
    pub async fn bundle(&self) -> B256 {
        let sent = self.ask("debug_bundler_sendBundleNow", vec![]).await.unwrap();
        serde_json::from_value(sent.clone()).unwrap_or_else(|_| panic!("no transaction: {sent}"))
    }

    /// What `fabstir_getUserOperationStatus` says.
    pub async fn status(&self, hash: B256) -> Value {
        self.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await.unwrap()
    }

    /// Waits until an operation stands so; all that its status says.
    pub async fn until(&self, hash: B256, status: &str) -> Value {
        let mut last = Value::Null;
        for _ in 0..500 {
            last = self.status(hash).await;
            if last["status"] == status {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{hash} is not {status} but {last}");
    }

    /// Waits until an operation is dropped; why.
    pub async fn reason(&self, hash: B256) -> String {
        self.until(hash, "dropped").await["reason"].as_str().unwrap().to_owned()
    }

    /// What `debug_bundler_dumpMempool` says.
    pub async fn dump(&self) -> Vec<Value> {
        let dump = self.ask("debug_bundler_dumpMempool", vec![json!(self.entry_point)]).await.unwrap();
        serde_json::from_value(dump).unwrap()
    }

    /// A method of anvil's.
    pub async fn anvil(&self, method: &str, params: Vec<Value>) -> Value {
        self.stack.anvil.ask(method, params).await.unwrap()
    }

    /// Puts code at an address, and waits until the bundler judges by the block that has it. It must not have looked
    /// there before: on a real chain the code of a contract stays.
    pub async fn set_code(&self, at: Address, code: impl Into<Bytes>) {
        self.anvil("anvil_setCode", vec![json!(at), json!(code.into())]).await;
        self.anvil("evm_mine", vec![]).await;
        self.catch_up().await;
    }

    /// Has a contract of [`helpers`], or an entity, write one to this slot of its storage, in a transaction; its block.
    pub async fn write(&self, contract: Address, slot: U256) -> u64 {
        let data = [&[helpers::order(Access::Sstore)], slot.to_be_bytes::<32>().as_slice()].concat();
        let receipt = self.stack.anvil.transact(Some(contract), data, U256::ZERO).await.unwrap();
        serde_json::from_value::<U256>(receipt["blockNumber"].clone()).unwrap().to()
    }

    /// The hash of the chain's newest block.
    pub async fn newest(&self) -> B256 {
        let block = self.anvil("eth_getBlockByNumber", vec![json!("latest"), json!(false)]).await;
        serde_json::from_value(block["hash"].clone()).unwrap()
    }

    /// Waits until the bundler judges by the newest block.
    pub async fn catch_up(&self) {
        let mut newest = B256::ZERO;
        for _ in 0..1_500 {
            // Asked anew each time: another block may come meanwhile.
            newest = self.newest().await;
            if self.head().await == Some(newest) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the bundler has not come to block {newest}");
    }

    /// The block that the bundler judges by, if it can say.
    pub async fn head(&self) -> Option<B256> {
        let sender = Address::from_word(keccak256("nobody's account"));
        let nothing = wire::to_json(&UserOperation { sender, ..UserOperation::default() }, self.version);
        let explained = self.ask("fabstir_explainUserOperation", vec![nothing, json!(self.entry_point)]).await;
        explained.ok().and_then(|explained| serde_json::from_value(explained["block"]["hash"].clone()).ok())
    }
}

/// Ends an account's validation with this word for an answer.
pub fn answer(word: U256) -> Piece {
    let mut code = vec![op::PUSH0 + 32];
    code.extend(word.to_be_bytes::<32>());
    code.extend([op::PUSH0, op::MSTORE, op::PUSH0 + 1, 32, op::PUSH0, op::RETURN]);
    Piece::Raw(code)
}

/// Ends an account's validation with what it has in this slot for an answer: "valid" as long as that is zero.
pub fn answer_from(slot: u8) -> Piece {
    let code = [op::PUSH0 + 1, slot, op::SLOAD, op::PUSH0, op::MSTORE, op::PUSH0 + 1, 32, op::PUSH0, op::RETURN];
    Piece::Raw(code.to_vec())
}

/// `validationData` without a signer's refusal.
pub fn window(valid_until: u64, valid_after: u64) -> U256 {
    U256::from(valid_until) << 160 | U256::from(valid_after) << 208
}

/// This many per cent more of both fees.
pub fn dearer(op: &UserOperation, per_cent: u128) -> UserOperation {
    let more = |fee: u128| fee + fee * per_cent / 100;
    UserOperation {
        max_fee_per_gas: more(op.max_fee_per_gas),
        max_priority_fee_per_gas: more(op.max_priority_fee_per_gas),
        ..op.clone()
    }
}

/// The same operation with this nonce.
pub fn with_nonce(op: &UserOperation, key: u64, sequence: u64) -> UserOperation {
    UserOperation { nonce: U256::from(key) << 64 | U256::from(sequence), ..op.clone() }
}
