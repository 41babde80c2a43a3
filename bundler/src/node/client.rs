//! Typed calls of the few standard methods we use.

use std::{ops::Range, sync::Arc, time::Duration};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, Bytes, U64, U256},
    rpc::types::{Block, Filter, Header, Log, Transaction, TransactionReceipt, state::StateOverride},
};
use erc4337::ConditionalSend;
use jsonrpsee::{
    core::{
        client::Subscription,
        params::{ArrayParams, BatchRequestBuilder},
    },
    rpc_params,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Condition, FeeHistory, NodeError, endpoint::Endpoint, nodes::Nodes, receipt::OpReceipt};
use crate::{
    chain_time::TimedHeader,
    evm::{BlockPin, Moment},
    world::Wire,
};

const BLOCK: &str = "eth_getBlockByNumber";

fn no_latest() -> NodeError {
    NodeError::Unreadable { method: BLOCK, reason: "no latest block".into() }
}

/// How long one of several endpoints is given for an answer; another is asked then.
const PATIENCE_WITH_ONE_OF_SEVERAL: Duration = Duration::from_secs(3);
/// The same where there is no other.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a node, or to several that stand in for one another. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeClient {
    nodes: Arc<Nodes>,
}

impl NodeClient {
    /// A client for the node at this URL, HTTP(S) or WS(S). Connects on first use.
    ///
    /// # Errors
    /// If the URL cannot be used.
    pub fn new(url: &str) -> Result<Self, NodeError> {
        let endpoints = vec![Arc::new(Endpoint::new(url, PATIENCE)?)];
        // Of one node alone nobody is behind another, and nothing is conditional.
        Ok(Self { nodes: Arc::new(Nodes::new(endpoints, Vec::new(), ConditionalSend::Never, Duration::ZERO)) })
    }

    /// A client for nodes of one chain that are not reached by a URL; as [`Self::several`] otherwise. To be called on a
    /// tokio runtime.
    pub fn through(wires: Vec<Arc<dyn Wire>>, block_time: Duration) -> Self {
        let patience = if wires.len() > 1 { PATIENCE_WITH_ONE_OF_SEVERAL } else { PATIENCE };
        let endpoints = wires.into_iter().map(|wire| Arc::new(Endpoint::through(wire, patience))).collect();
        Self::of(Nodes::new(endpoints, Vec::new(), ConditionalSend::Never, block_time))
    }

    /// Looks after them if they are several.
    fn of(nodes: Nodes) -> Self {
        let nodes = Arc::new(nodes);
        if nodes.are_several() {
            tokio::spawn(Nodes::look_after(Arc::downgrade(&nodes)));
        }
        Self { nodes }
    }

    /// A client for several nodes of one chain: the first is asked, the others stand in for one that fails or falls
    /// behind. Transactions go to all of them, or to the `private` ones alone if there are any. The chain makes a block in
    /// `block_time`. To be called on a tokio runtime.
    ///
    /// # Errors
    /// If there is no URL, or one of them cannot be used.
    pub fn several(
        urls: &[String],
        private: &[String],
        conditional: ConditionalSend,
        block_time: Duration,
    ) -> Result<Self, NodeError> {
        let patience = if urls.len() > 1 { PATIENCE_WITH_ONE_OF_SEVERAL } else { PATIENCE };
        let open = |urls: &[String]| {
            urls.iter().map(|url| Endpoint::new(url, patience).map(Arc::new)).collect::<Result<Vec<_>, _>>()
        };
        if urls.is_empty() {
            return Err(NodeError::Url("none is given".into()));
        }
        Ok(Self::of(Nodes::new(open(urls)?, open(private)?, conditional, block_time)))
    }

    async fn call<R: DeserializeOwned>(&self, method: &'static str, params: ArrayParams) -> Result<R, NodeError> {
        let mut failure = None;
        for endpoint in self.nodes.route() {
            let begun = Instant::now();
            let answer = endpoint.request(method, params.clone()).await;
            self.nodes.took(method, begun, &answer);
            if !self.nodes.judge(endpoint, &answer) {
                return answer;
            }
            failure = failure.or(answer.err());
        }
        Err(failure.unwrap_or(NodeError::Transport { method, reason: "no endpoint".into() }))
    }

    /// How long ago any node last answered anything.
    pub(crate) fn silence(&self) -> Duration {
        self.nodes.silence()
    }

    /// New heads as the node announces them; none over HTTP.
    pub(crate) async fn new_heads(&self) -> Result<Option<Subscription<Value>>, NodeError> {
        self.nodes.chosen().new_heads().await
    }

    /// Asks what somebody else wants to know; the answer as it is. Nothing of it is held against the node: what they ask
    /// is none of its fault.
    ///
    /// # Errors
    /// If the node does not answer, or with an error.
    pub async fn ask(&self, method: &'static str, params: Vec<Value>) -> Result<Value, NodeError> {
        let mut positional = ArrayParams::new();
        for param in params {
            positional.insert(param).map_err(|error| NodeError::Unreadable { method, reason: error.to_string() })?;
        }
        self.nodes.chosen().request(method, positional).await
    }

    /// EIP-155 chain id.
    pub async fn chain_id(&self) -> Result<u64, NodeError> {
        Ok(self.call::<U64>("eth_chainId", rpc_params![]).await?.to())
    }

    /// A block's header and transaction hashes, by number or tag.
    pub async fn block(&self, block: BlockNumberOrTag) -> Result<Option<Block>, NodeError> {
        self.call(BLOCK, rpc_params![block, false]).await
    }

    /// A block's header and transaction hashes, by hash.
    pub async fn block_by_hash(&self, hash: B256) -> Result<Option<Block>, NodeError> {
        self.call("eth_getBlockByHash", rpc_params![hash, false]).await
    }

    /// Whether the node has this block at this height.
    pub async fn has_block(&self, number: u64, hash: B256) -> Result<bool, NodeError> {
        Ok(self.block(BlockNumberOrTag::Number(number)).await?.is_some_and(|block| block.header.hash == hash))
    }

    /// The newest block's header.
    ///
    /// # Errors
    /// If the node does not answer, or stands in for one that had come farther and is still behind it.
    pub async fn latest(&self) -> Result<Header, NodeError> {
        let mut headers = self.newest(0..0).await?;
        headers.pop().map(|newest| newest.header).ok_or_else(no_latest)
    }

    /// The newest block's header, which is the last, and before it, asked for in the same request, those of these blocks
    /// that the node has.
    ///
    /// # Errors
    /// As [`Self::latest`].
    pub(crate) async fn newest(&self, before: Range<u64>) -> Result<Vec<TimedHeader>, NodeError> {
        let (mut headers, newest) = if before.is_empty() {
            (Vec::new(), self.call(BLOCK, rpc_params![BlockNumberOrTag::Latest, false]).await?)
        } else {
            let tags = before.map(BlockNumberOrTag::Number).chain([BlockNumberOrTag::Latest]);
            let mut found: Vec<Option<TimedHeader>> = self.blocks(tags).await?;
            let newest = found.pop().flatten();
            (found.into_iter().flatten().collect(), newest)
        };
        let newest: TimedHeader = newest.ok_or_else(no_latest)?;
        let height = newest.header.number;
        if !self.follows(&newest.header) {
            let reason = format!("it is at block {height} only, behind the node it stands in for");
            return Err(NodeError::Transport { method: BLOCK, reason });
        }
        headers.retain(|header: &TimedHeader| header.header.number < height);
        headers.push(newest);
        Ok(headers)
    }

    /// The headers of these blocks, in one request; none where the node has none.
    ///
    /// # Errors
    /// If the node does not answer.
    pub(crate) async fn headers(&self, numbers: Range<u64>) -> Result<Vec<Option<TimedHeader>>, NodeError> {
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        self.blocks(numbers.map(BlockNumberOrTag::Number)).await
    }

    async fn blocks(
        &self,
        blocks: impl Iterator<Item = BlockNumberOrTag>,
    ) -> Result<Vec<Option<TimedHeader>>, NodeError> {
        let (mut batch, mut count) = (BatchRequestBuilder::new(), 0);
        for block in blocks {
            // A number or a tag always serialises.
            let _ = batch.insert(BLOCK, rpc_params![block, false]);
            count += 1;
        }
        self.batch(BLOCK, batch, count).await
    }

    /// Whether this head may be followed; see [`Self::latest`].
    pub(crate) fn follows(&self, head: &Header) -> bool {
        self.nodes.ahead(head.number)
    }

    /// The account's balance in wei, at the latest block.
    pub async fn balance(&self, account: Address) -> Result<U256, NodeError> {
        self.call("eth_getBalance", rpc_params![account, "latest"]).await
    }

    /// The account's code, at the latest block.
    pub async fn code(&self, account: Address) -> Result<Bytes, NodeError> {
        self.call("eth_getCode", rpc_params![account, "latest"]).await
    }

    /// The account's code after a block.
    pub(crate) async fn code_at(&self, account: Address, block: u64) -> Result<Bytes, NodeError> {
        self.call("eth_getCode", rpc_params![account, U64::from(block)]).await
    }

    /// The account's next transaction nonce, mined transactions only.
    pub async fn transaction_count(&self, account: Address) -> Result<u64, NodeError> {
        Ok(self.call::<U64>("eth_getTransactionCount", rpc_params![account, "latest"]).await?.to())
    }

    /// The same, with those that wait to be mined.
    pub async fn pending_transaction_count(&self, account: Address) -> Result<u64, NodeError> {
        Ok(self.call::<U64>("eth_getTransactionCount", rpc_params![account, "pending"]).await?.to())
    }

    /// Result of a call from nobody at the latest block.
    pub async fn eth_call(&self, to: Address, data: Bytes) -> Result<Bytes, NodeError> {
        self.call("eth_call", rpc_params![json!({"to": to, "data": data}), "latest"]).await
    }

    /// Result of a call by `from` with this much gas, on the state after this block and what is pretended beside.
    pub async fn call_from(
        &self,
        from: Address,
        to: Address,
        data: Bytes,
        gas: u64,
        block: B256,
        pretended: &StateOverride,
    ) -> Result<Bytes, NodeError> {
        let call = json!({"from": from, "to": to, "data": data, "gas": U64::from(gas)});
        let block = json!({"blockHash": block});
        let params = if pretended.is_empty() { rpc_params![call, block] } else { rpc_params![call, block, pretended] };
        self.call("eth_call", params).await
    }

    /// The same in a block to come, by `eth_call`'s block overrides. Nodes that do not have them refuse, or take no notice.
    pub(crate) async fn call_from_at(
        &self,
        from: Address,
        to: Address,
        data: Bytes,
        gas: u64,
        (block, at): (B256, Moment),
        pretended: &StateOverride,
    ) -> Result<Bytes, NodeError> {
        let call = json!({"from": from, "to": to, "data": data, "gas": U64::from(gas)});
        self.call("eth_call", rpc_params![call, json!({"blockHash": block}), pretended, to_come(at)]).await
    }

    /// The same at these fees, which the sender could pay; in a block to come, if the node can be asked for one.
    pub(crate) async fn call_paying(
        &self,
        call: &PaidCall,
        block: B256,
        pretended: &StateOverride,
        at: Option<Moment>,
    ) -> Result<Bytes, NodeError> {
        let block = json!({"blockHash": block});
        let params = match at {
            Some(at) => rpc_params![call, block, pretended, to_come(at)],
            None => rpc_params![call, block, pretended],
        };
        self.call("eth_call", params).await
    }

    /// A transaction's call on the state of the newest block that the node has, and what is pretended beside, in the block to
    /// come after `head`.
    pub(crate) async fn call_newest(
        &self,
        call: &PaidCall,
        head: &BlockPin,
        at: Moment,
        pretended: &StateOverride,
    ) -> Result<Bytes, NodeError> {
        let mut block = to_come(at);
        block["baseFeePerGas"] = json!(U256::from(head.next_base_fee));
        block["feeRecipient"] = json!(head.beneficiary);
        block["prevRandao"] = json!(head.prevrandao);
        self.call("eth_call", rpc_params![call, "latest", pretended, block]).await
    }

    /// The least gas limit with which a call succeeds, as the node estimates it, on the state after this block and what
    /// is pretended beside.
    pub(crate) async fn estimate_call(
        &self,
        from: Address,
        to: Address,
        data: Bytes,
        most: u64,
        block: B256,
        pretended: &StateOverride,
    ) -> Result<u64, NodeError> {
        let call = json!({"from": from, "to": to, "data": data, "gas": U64::from(most)});
        let block = json!({"blockHash": block});
        Ok(self.call::<U64>("eth_estimateGas", rpc_params![call, block, pretended]).await?.to())
    }

    /// What this init code returns, run with this much gas by nobody at the latest block.
    pub async fn call_init_code(&self, init_code: &[u8], gas: u64) -> Result<Bytes, NodeError> {
        let call = json!({"data": Bytes::copy_from_slice(init_code), "gas": U64::from(gas)});
        self.call("eth_call", rpc_params![call, "latest"]).await
    }

    /// Gas that a call from nobody would use, as the node estimates it.
    pub async fn estimate_gas(&self, to: Address, data: Bytes) -> Result<u64, NodeError> {
        let call = json!({"to": to, "data": data});
        Ok(self.call::<U64>("eth_estimateGas", rpc_params![call]).await?.to())
    }

    /// Logs that match.
    pub async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, NodeError> {
        self.call("eth_getLogs", rpc_params![filter]).await
    }

    /// A mined transaction's receipt.
    pub async fn receipt(&self, transaction: B256) -> Result<Option<TransactionReceipt>, NodeError> {
        self.call("eth_getTransactionReceipt", rpc_params![transaction]).await
    }

    /// A mined transaction's receipt, with what was charged beside gas where the chain says so.
    pub(crate) async fn op_receipt(&self, transaction: B256) -> Result<Option<OpReceipt>, NodeError> {
        self.call("eth_getTransactionReceipt", rpc_params![transaction]).await
    }

    /// Receipts of several transactions in one round trip, in their order.
    ///
    /// # Errors
    /// If any of them cannot be had; that a transaction is not mined is no error.
    pub async fn receipts(
        &self,
        transactions: impl ExactSizeIterator<Item = B256>,
    ) -> Result<Vec<Option<TransactionReceipt>>, NodeError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        let count = transactions.len();
        let mut batch = BatchRequestBuilder::new();
        for transaction in transactions {
            // A hash always serialises.
            let _ = batch.insert(METHOD, rpc_params![transaction]);
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        self.batch(METHOD, batch, count).await
    }

    /// Sends a batch; all answers, of one node, or an error.
    async fn batch<R: DeserializeOwned + Clone + std::fmt::Debug + 'static>(
        &self,
        method: &'static str,
        batch: BatchRequestBuilder<'static>,
        count: usize,
    ) -> Result<Vec<R>, NodeError> {
        let mut failure = None;
        for endpoint in self.nodes.route() {
            let begun = Instant::now();
            let answer = endpoint.batch(method, batch.clone(), count).await;
            self.nodes.took(method, begun, &answer);
            if !self.nodes.judge(endpoint, &answer) {
                return answer;
            }
            failure = failure.or(answer.err());
        }
        Err(failure.unwrap_or(NodeError::Transport { method, reason: "no endpoint".into() }))
    }

    /// A transaction, mined or known.
    pub async fn transaction(&self, transaction: B256) -> Result<Option<Transaction>, NodeError> {
        self.call("eth_getTransactionByHash", rpc_params![transaction]).await
    }

    /// Hands a signed transaction to every node that is to have it. That one has it already is no error.
    ///
    /// # Errors
    /// If none took it: `Refused` only if all of them did.
    pub async fn send_raw_transaction(&self, raw: &Bytes) -> Result<B256, NodeError> {
        self.nodes.send(raw).await
    }

    /// Tries which of the nodes that are given transactions take them under a condition.
    pub(crate) async fn try_conditions(&self) {
        self.nodes.try_conditions().await;
    }

    /// [`Self::send_raw_transaction`] under a condition, where there is one and nodes take it.
    ///
    /// # Errors
    /// As there; `Overtaken` if the condition does not hold.
    pub(crate) async fn send_bundle(&self, raw: &Bytes, condition: Option<&Condition>) -> Result<B256, NodeError> {
        match condition {
            Some(condition) => self.nodes.send_if(raw, condition).await,
            None => self.nodes.send(raw).await,
        }
    }

    /// What was paid in so many last blocks, at these percentiles.
    pub(crate) async fn fee_history(&self, blocks: u64, percentiles: &[f64]) -> Result<FeeHistory, NodeError> {
        self.call("eth_feeHistory", rpc_params![U64::from(blocks), "latest", percentiles]).await
    }

    /// The node's own suggestion of a priority fee, in wei per gas; none if it has no such method.
    pub(crate) async fn max_priority_fee(&self) -> Result<Option<u128>, NodeError> {
        match self.call::<U256>("eth_maxPriorityFeePerGas", rpc_params![]).await {
            Ok(fee) => Ok(Some(fee.saturating_to())),
            Err(NodeError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// `eth_call`'s block overrides for this moment.
fn to_come(at: Moment) -> Value {
    json!({"number": U64::from(at.number), "time": U64::from(at.timestamp)})
}

/// A call as the transaction that it stands for.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PaidCall {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) data: Bytes,
    pub(crate) gas: U64,
    pub(crate) max_fee_per_gas: U256,
    pub(crate) max_priority_fee_per_gas: U256,
}

/// Reads state at one block, by hash, many values in one round trip.
#[derive(Debug)]
pub struct BatchReader<'a> {
    node: &'a NodeClient,
    block: B256,
    batch: BatchRequestBuilder<'static>,
    length: usize,
}

impl<'a> BatchReader<'a> {
    /// An empty batch for this block (EIP-1898: a node that does not have it refuses, rather than answer another).
    pub fn new(node: &'a NodeClient, block: B256) -> Self {
        Self { node, block, batch: BatchRequestBuilder::new(), length: 0 }
    }

    /// Adds a read of `method(..params, block)`.
    pub fn read(&mut self, method: &'static str, params: &[Value]) {
        let mut array = ArrayParams::new();
        for param in params.iter().chain([&json!({"blockHash": self.block})]) {
            // Values of `serde_json` always serialise.
            let _ = array.insert(param);
        }
        let _ = self.batch.insert(method, array);
        self.length += 1;
    }

    /// Reads in the batch.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Sends the batch; answers in the order of the reads. An empty batch costs nothing.
    ///
    /// # Errors
    /// If any read failed: there is no partial answer.
    pub async fn send(self) -> Result<Vec<Bytes>, NodeError> {
        const METHOD: &str = "eth_get*";
        if self.length == 0 {
            return Ok(Vec::new());
        }
        let values: Vec<HexBytes> = self.node.batch(METHOD, self.batch, self.length).await?;
        Ok(values.into_iter().map(|HexBytes(bytes)| bytes).collect())
    }
}

/// Quantities and data alike: nodes write the first with an odd number of digits.
#[derive(Clone, Debug)]
struct HexBytes(Bytes);

impl<'de> serde::Deserialize<'de> for HexBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").ok_or_else(|| serde::de::Error::custom("hex without 0x"))?;
        let padded = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() };
        alloy::hex::decode(padded).map(|bytes| Self(bytes.into())).map_err(serde::de::Error::custom)
    }
}
