//! An account of ours that acts without gas: sponsored, estimated, signed, sent, waited for.

use std::time::{Duration, Instant};

use alloy::{
    primitives::{Address, B256, Bytes, U256, hex},
    sol_types::{SolCall, SolValue},
};
use anyhow::{Context, Result, bail};
use bundler::{
    fees::{FeePolicy, FeeSuggestion},
    node::NodeClient,
};
use erc4337::{
    EntryPointVersion, HashContext, UserOperationRequest,
    abi::{entry_point_v08, smart_account_factory},
    calls::{self, Call},
};
use jsonrpsee::{
    core::client::ClientT,
    http_client::{HttpClient, HttpClientBuilder},
    rpc_params,
};
use serde_json::{Value, json};
use session_keys::SecretKey;

use crate::deployment::Deployment;

/// EntryPoint version of our accounts.
const VERSION: EntryPointVersion = EntryPointVersion::V0_8;
/// How long an operation may take to be mined.
const PATIENCE: Duration = Duration::from_secs(60);

/// One account and its key.
pub struct Client {
    rpc: HttpClient,
    node: NodeClient,
    key: SecretKey,
    deployment: Deployment,
    entry_point: Address,
    /// The account, deployed or not.
    pub account: Address,
}

impl Client {
    /// A client of the endpoint `rpc` for the account that `key` owns.
    pub async fn new(rpc: &str, node: NodeClient, deployment: Deployment, key: SecretKey) -> Result<Self> {
        let entry_point = deployment.account_entry_point()?;
        let owners = vec![owner(&key)];
        let call = smart_account_factory::getAddressCall { owners, nonce: U256::ZERO };
        let answer = node.eth_call(deployment.smart_account_factory, call.abi_encode().into()).await?;
        let account = smart_account_factory::getAddressCall::abi_decode_returns(&answer)?;
        let rpc = HttpClientBuilder::default().build(rpc)?;
        Ok(Self { rpc, node, key, deployment, entry_point, account })
    }

    /// Makes these calls in one sponsored operation; the transaction that did.
    ///
    /// # Errors
    /// If it is refused anywhere, reverts, or is not mined in time.
    pub async fn act(&self, calls: &[Call]) -> Result<B256> {
        let op = self.prepare(calls).await?;
        let sent = self.send(&self.sign(op)?).await?;
        self.wait(sent).await
    }

    /// The operation with gas and sponsorship, but for its signature.
    ///
    /// # Errors
    /// If the paymaster or the estimation refuses.
    pub async fn prepare(&self, calls: &[Call]) -> Result<Value> {
        let fees = FeeSuggestion::ask(&self.node, &FeePolicy::UNBOUND).await?;
        let mut op = json!({
            "sender": self.account,
            "nonce": self.nonce().await?,
            "callData": calls::encode(calls),
            "maxFeePerGas": U256::from(fees.base_fee * 2 + fees.priority_fee),
            "maxPriorityFeePerGas": U256::from(fees.priority_fee),
            "signature": Bytes::from_static(&DUMMY_SIGNATURE),
        });
        if self.node.code(self.account).await?.is_empty() {
            let call = smart_account_factory::createAccountCall { owners: vec![owner(&self.key)], nonce: U256::ZERO };
            op["factory"] = json!(self.deployment.smart_account_factory);
            op["factoryData"] = json!(Bytes::from(call.abi_encode()));
        }
        let chain = U256::from(self.deployment.chain_id);
        let pm_params = |op: &Value| rpc_params![op, self.entry_point, chain, Value::Null];
        // The order of ERC-7677 clients; what the service signs is complete but for the user's signature.
        op["callGasLimit"] = json!("0x0");
        op["verificationGasLimit"] = json!("0x0");
        op["preVerificationGas"] = json!("0x0");
        let stub: Value = self.rpc.request("pm_getPaymasterStubData", pm_params(&op)).await?;
        merge(&mut op, stub);
        let gas: Value = self.rpc.request("eth_estimateUserOperationGas", rpc_params![&op, self.entry_point]).await?;
        merge(&mut op, gas);
        let data: Value = self.rpc.request("pm_getPaymasterData", pm_params(&op)).await?;
        merge(&mut op, data);
        Ok(op)
    }

    /// The operation with this account's signature.
    ///
    /// # Errors
    /// If it is no complete operation.
    pub fn sign(&self, mut op: Value) -> Result<Value> {
        let context =
            HashContext { version: VERSION, entry_point: self.entry_point, chain_id: self.deployment.chain_id };
        let request = UserOperationRequest::from_json(&op, VERSION)?;
        let hash = request.with_open_fields_zero().hash(&context, None)?;
        op["signature"] = json!(self.key.sign_operation(hash, VERSION)?);
        Ok(op)
    }

    /// Hands a signed operation to the bundler; its hash.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn send(&self, op: &Value) -> Result<B256> {
        Ok(self.rpc.request("eth_sendUserOperation", rpc_params![op, self.entry_point]).await?)
    }

    async fn nonce(&self) -> Result<U256> {
        let call = entry_point_v08::getNonceCall { sender: self.account, key: Default::default() };
        let answer = self.node.eth_call(self.entry_point, call.abi_encode().into()).await?;
        Ok(U256::abi_decode(&answer)?)
    }

    /// Waits for an operation's receipt; the transaction.
    ///
    /// # Errors
    /// If it reverted, or is not mined in time.
    pub async fn wait(&self, operation: B256) -> Result<B256> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let receipt: Value = self.rpc.request("eth_getUserOperationReceipt", rpc_params![operation]).await?;
            if !receipt.is_null() {
                if receipt["success"] != json!(true) {
                    bail!("operation {operation} was mined and reverted: {}", receipt["reason"]);
                }
                let transaction = receipt["receipt"]["transactionHash"].as_str().unwrap_or_default();
                return transaction.parse().context("the receipt names no transaction");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("operation {operation} was not mined within {} s", PATIENCE.as_secs())
    }
}

/// A signature that recovers to nobody we know, so that validation goes the way it goes with a real one.
const DUMMY_SIGNATURE: [u8; 65] = hex!(
    "fffffffffffffffffffffffffffffff0000000000000000000000000000000007aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1c"
);

/// An ECDSA owner as our account stores it: the address, left-padded to a word.
fn owner(key: &SecretKey) -> Bytes {
    key.address().abi_encode().into()
}

fn merge(op: &mut Value, answer: Value) {
    if let (Value::Object(op), Value::Object(answer)) = (op, answer) {
        op.extend(answer.into_iter().filter(|(field, _)| field != "sponsor" && field != "isFinal"));
    }
}
