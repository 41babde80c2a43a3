//! Typed calls of the few standard methods we use.

use std::time::Duration;

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, Bytes, U64, U256},
    rpc::types::{Block, Filter, Header, Log, Transaction, TransactionReceipt},
};
use jsonrpsee::{
    core::{
        client::{BatchResponse, ClientT},
        params::{ArrayParams, BatchRequestBuilder},
        traits::ToRpcParams,
    },
    http_client::{HttpClient, HttpClientBuilder},
    rpc_params,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::NodeError;

/// A connection to one node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeClient {
    http: HttpClient,
}

/// What to bid, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeSuggestion {
    /// Base fee of the next block.
    pub base_fee: u128,
    /// Priority fee that the node suggests.
    pub priority_fee: u128,
}

impl NodeClient {
    /// A client for the node at this HTTP(S) URL. Connects on first use.
    ///
    /// # Errors
    /// If the URL cannot be used.
    pub fn new(url: &str) -> Result<Self, NodeError> {
        let http = HttpClientBuilder::default()
            .request_timeout(Duration::from_secs(10))
            .max_response_size(64 * 1024 * 1024)
            .build(url)
            .map_err(|error| NodeError::Url(error.to_string()))?;
        Ok(Self { http })
    }

    async fn call<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl ToRpcParams + Send,
    ) -> Result<R, NodeError> {
        self.http.request(method, params).await.map_err(|error| NodeError::from_call(method, error))
    }

    /// EIP-155 chain id.
    pub async fn chain_id(&self) -> Result<u64, NodeError> {
        Ok(self.call::<U64>("eth_chainId", rpc_params![]).await?.to())
    }

    /// A block's header and transaction hashes, by number or tag.
    pub async fn block(&self, block: BlockNumberOrTag) -> Result<Option<Block>, NodeError> {
        self.call("eth_getBlockByNumber", rpc_params![block, false]).await
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
    pub async fn latest(&self) -> Result<Header, NodeError> {
        let unreadable = || NodeError::Unreadable { method: "eth_getBlockByNumber", reason: "no latest block".into() };
        Ok(self.block(BlockNumberOrTag::Latest).await?.ok_or_else(unreadable)?.header)
    }

    /// The account's balance in wei, at the latest block.
    pub async fn balance(&self, account: Address) -> Result<U256, NodeError> {
        self.call("eth_getBalance", rpc_params![account, "latest"]).await
    }

    /// The account's code, at the latest block.
    pub async fn code(&self, account: Address) -> Result<Bytes, NodeError> {
        self.call("eth_getCode", rpc_params![account, "latest"]).await
    }

    /// The account's next transaction nonce, mined transactions only.
    pub async fn transaction_count(&self, account: Address) -> Result<u64, NodeError> {
        Ok(self.call::<U64>("eth_getTransactionCount", rpc_params![account, "latest"]).await?.to())
    }

    /// Result of a call from nobody at the latest block.
    pub async fn eth_call(&self, to: Address, data: Bytes) -> Result<Bytes, NodeError> {
        self.call("eth_call", rpc_params![json!({"to": to, "data": data}), "latest"]).await
    }

    /// Result of a call by `from` with this much gas, on the state after this block.
    pub async fn call_from(
        &self,
        from: Address,
        to: Address,
        data: Bytes,
        gas: u64,
        block: B256,
    ) -> Result<Bytes, NodeError> {
        let call = json!({"from": from, "to": to, "data": data, "gas": U64::from(gas)});
        self.call("eth_call", rpc_params![call, json!({"blockHash": block})]).await
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

    /// A transaction, mined or known.
    pub async fn transaction(&self, transaction: B256) -> Result<Option<Transaction>, NodeError> {
        self.call("eth_getTransactionByHash", rpc_params![transaction]).await
    }

    /// Hands a signed transaction to the node.
    pub async fn send_raw_transaction(&self, raw: &Bytes) -> Result<B256, NodeError> {
        self.call("eth_sendRawTransaction", rpc_params![raw]).await
    }

    /// The node's suggestion for a transaction that should make the next block.
    pub async fn fees(&self) -> Result<FeeSuggestion, NodeError> {
        let history: FeeHistory = self.call("eth_feeHistory", rpc_params!["0x1", "latest", [50.0]]).await?;
        let base_fee = history.base_fee_per_gas.last().copied().unwrap_or_default();
        let priority_fee: U256 = self.call("eth_maxPriorityFeePerGas", rpc_params![]).await?;
        Ok(FeeSuggestion { base_fee: saturate(base_fee), priority_fee: saturate(priority_fee) })
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeeHistory {
    base_fee_per_gas: Vec<U256>,
}

fn saturate(value: U256) -> u128 {
    u128::try_from(value).unwrap_or(u128::MAX)
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
        let answers: BatchResponse<'_, HexBytes> =
            self.node.http.batch_request(self.batch).await.map_err(|error| NodeError::from_call(METHOD, error))?;
        let values = answers
            .into_iter()
            .map(|answer| {
                answer.map(|HexBytes(bytes)| bytes).map_err(|error| NodeError::Refused {
                    method: METHOD,
                    code: error.code(),
                    message: error.message().to_owned(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if values.len() != self.length {
            let reason = format!("{} answers to {} reads", values.len(), self.length);
            return Err(NodeError::Unreadable { method: METHOD, reason });
        }
        Ok(values)
    }
}

/// Quantities and data alike: nodes write the first with an odd number of digits.
#[derive(Debug)]
struct HexBytes(Bytes);

impl<'de> serde::Deserialize<'de> for HexBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").ok_or_else(|| serde::de::Error::custom("hex without 0x"))?;
        let padded = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() };
        alloy::hex::decode(padded).map(|bytes| Self(bytes.into())).map_err(serde::de::Error::custom)
    }
}
