//! Transactions of the deployer, one after the other, each waited for.

use std::time::{Duration, Instant};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718,
    primitives::{Address, B256, Bytes, TxKind, U256, address, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::SolCall,
};
use anyhow::{Context, Result, bail};
use bundler::{
    fees::{FeePolicy, FeeSuggestion},
    node::NodeClient,
};

/// The factory that puts a contract at an address that depends on its code and a salt alone, on every chain.
const CREATE2_DEPLOYER: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");
/// Gas of a deployment: the largest contract takes 5.5 million.
const DEPLOYMENT_GAS: u64 = 8_000_000;
/// Gas of a configuring call.
const CALL_GAS: u64 = 1_000_000;
/// How long a transaction may take to be mined.
const PATIENCE: Duration = Duration::from_secs(120);

/// Signs and sends for one key.
pub(crate) struct Sender {
    node: NodeClient,
    key: PrivateKeySigner,
    nonce: u64,
    chain_id: u64,
}

impl Sender {
    pub(crate) async fn new(node: NodeClient, key: PrivateKeySigner) -> Result<Self> {
        let nonce = node.transaction_count(key.address()).await?;
        let chain_id = node.chain_id().await?;
        let sender = Self { node, key, nonce, chain_id };
        if !sender.exists(CREATE2_DEPLOYER).await? {
            bail!("the CREATE2 deployer {CREATE2_DEPLOYER} is not on chain {chain_id}");
        }
        Ok(sender)
    }

    pub(crate) fn chain_id(&self) -> u64 {
        self.chain_id
    }

    pub(crate) async fn exists(&self, contract: Address) -> Result<bool> {
        Ok(!self.node.code(contract).await?.is_empty())
    }

    /// Whether [`Self::create2`] would have something to do.
    pub(crate) async fn is_new(&self, salt: B256, init_code: &Bytes) -> Result<bool> {
        Ok(!self.exists(CREATE2_DEPLOYER.create2(salt, keccak256(init_code))).await?)
    }

    /// Puts a contract at its CREATE2 address, unless it is there.
    pub(crate) async fn create2(&mut self, salt: B256, init_code: &Bytes) -> Result<Address> {
        let address = CREATE2_DEPLOYER.create2(salt, keccak256(init_code));
        if !self.exists(address).await? {
            let input = [salt.as_slice(), init_code].concat().into();
            self.send(CREATE2_DEPLOYER, input, U256::ZERO, DEPLOYMENT_GAS).await?;
            if !self.exists(address).await? {
                bail!("the deployment at {address} left no code");
            }
        }
        Ok(address)
    }

    /// Calls a contract with this value in wei.
    pub(crate) async fn call(&mut self, to: Address, call: impl SolCall, value: U256) -> Result<()> {
        self.send(to, call.abi_encode().into(), value, CALL_GAS).await
    }

    /// Asks a contract.
    pub(crate) async fn read<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return> {
        let answer = self.node.eth_call(to, call.abi_encode().into()).await?;
        Ok(C::abi_decode_returns(&answer)?)
    }

    /// Sends native currency.
    pub(crate) async fn transfer(&mut self, to: Address, value: U256) -> Result<()> {
        self.send(to, Bytes::new(), value, 21_000).await
    }

    async fn send(&mut self, to: Address, input: Bytes, value: U256, gas_limit: u64) -> Result<()> {
        let fees = FeeSuggestion::ask(&self.node, &FeePolicy::UNBOUND).await?;
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_limit,
            max_fee_per_gas: fees.base_fee * 2 + fees.priority_fee,
            max_priority_fee_per_gas: fees.priority_fee,
            to: TxKind::Call(to),
            value,
            input,
            ..TxEip1559::default()
        };
        let signature = self.key.sign_hash_sync(&transaction.signature_hash())?;
        let envelope: TxEnvelope = transaction.into_signed(signature).into();
        let hash = self.node.send_raw_transaction(&envelope.encoded_2718().into()).await?;
        self.nonce += 1;

        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(receipt) = self.node.receipt(hash).await? {
                return if receipt.status() { Ok(()) } else { bail!("transaction {hash} to {to} reverted") };
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(anyhow::anyhow!("not mined within {} s", PATIENCE.as_secs())).with_context(|| format!("transaction {hash}"))
    }
}
