//! Transactions of the deployer, one after the other, each waited for; or, for a dry run, only told.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718,
    primitives::{Address, B256, Bytes, TxKind, U256, address, bytes, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::SolCall,
};
use anyhow::{Context, Result, bail};
use bundler::{
    fees::{FeePolicy, FeeSuggestion},
    node::NodeClient,
};

use crate::{deployment::Contract, migrate};

/// The factory that puts a contract at an address that depends on its code and a salt alone, on every chain.
pub(crate) const CREATE2_DEPLOYER: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");
/// Whose only transaction creates it: nobody has the key, the signature was chosen instead.
const CREATE2_DEPLOYERS_DEPLOYER: Address = address!("0x3fAB184622Dc19b6109349B94811493BF2a45362");
/// That transaction: 100,000 gas at 100 gwei.
const CREATE2_DEPLOYERS_DEPLOYMENT: Bytes = bytes!(
    "f8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf31ba02222222222222222222222222222222222222222222222222222222222222222a02222222222222222222222222222222222222222222222222222222222222222"
);
const CREATE2_DEPLOYERS_PRICE: u64 = 10_000_000_000_000_000;
/// Gas of a deployment: the largest contract takes 5.5 million.
const DEPLOYMENT_GAS: u64 = 8_000_000;
/// Gas of a configuring call.
const CALL_GAS: u64 = 1_000_000;
/// How long a transaction may take to be mined.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether anything is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything that is missing.
    Send,
    /// So many transactions, and then it ends with an error.
    SendAtMost(usize),
    /// Nothing.
    DryRun,
}

/// A transaction that was sent, or would be.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does.
    pub what: String,
    /// Whom it calls; for a deployment, where the contract will be.
    pub to: Address,
    /// Wei.
    pub value: U256,
    /// Gas that it may use.
    pub gas_limit: u64,
}

/// Signs and sends for one key.
pub(crate) struct Sender {
    pub(crate) node: NodeClient,
    key: PrivateKeySigner,
    nonce: u64,
    chain_id: u64,
    mode: Mode,
    /// Addresses that would have code by now, in a dry run.
    planned: BTreeSet<Address>,
    /// What was done, or would be.
    pub(super) steps: Vec<Step>,
    /// What is deployed, in order, whether now or before.
    pub(crate) contracts: Vec<Contract>,
}

impl Sender {
    pub(crate) async fn new(node: NodeClient, key: PrivateKeySigner, mode: Mode) -> Result<Self> {
        let chain_id = node.chain_id().await?;
        let nonce = node.transaction_count(key.address()).await?;
        let (planned, steps, contracts) = (BTreeSet::new(), Vec::new(), Vec::new());
        let mut sender = Self { node, key, nonce, chain_id, mode, planned, steps, contracts };
        if mode != Mode::DryRun {
            sender.wait_for_earlier().await?;
        }
        Ok(sender)
    }

    /// A run that was cut short may have left transactions that are not mined yet.
    async fn wait_for_earlier(&mut self) -> Result<()> {
        let start = Instant::now();
        let pending = self.node.pending_transaction_count(self.key.address()).await?;
        while self.nonce < pending {
            if start.elapsed() > PATIENCE {
                bail!("transactions of {} before nonce {pending} are not mined", self.key.address());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.nonce = self.node.transaction_count(self.key.address()).await?;
        }
        Ok(())
    }

    pub(crate) fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Whether there is code, or would be by now.
    pub(crate) async fn exists(&self, contract: Address) -> Result<bool> {
        Ok(self.planned.contains(&contract) || !self.node.code(contract).await?.is_empty())
    }

    /// The CREATE2 deployer, which a development chain may not have.
    pub(super) async fn ensure_create2(&mut self) -> Result<()> {
        if self.exists(CREATE2_DEPLOYER).await? {
            return Ok(());
        }
        let price = U256::from(CREATE2_DEPLOYERS_PRICE);
        if self.node.balance(CREATE2_DEPLOYERS_DEPLOYER).await? < price {
            let what = "pay for the CREATE2 deployer's transaction";
            self.send(what, CREATE2_DEPLOYERS_DEPLOYER, CREATE2_DEPLOYERS_DEPLOYER, Bytes::new(), price, 21_000)
                .await?;
        }
        let step =
            Step { what: "deploy the CREATE2 deployer".into(), to: CREATE2_DEPLOYER, value: U256::ZERO, gas_limit: 0 };
        if self.take(step)? {
            let hash = self.node.send_raw_transaction(&CREATE2_DEPLOYERS_DEPLOYMENT).await?;
            self.wait(hash, CREATE2_DEPLOYER).await?;
        } else {
            self.planned.insert(CREATE2_DEPLOYER);
        }
        Ok(())
    }

    /// Puts a contract at its CREATE2 address, unless it is there.
    pub(crate) async fn create2(
        &mut self,
        name: &str,
        artifact: &str,
        salt: B256,
        bytecode: &[u8],
        arguments: &[u8],
    ) -> Result<Address> {
        let init_code = [bytecode, arguments].concat();
        let address = CREATE2_DEPLOYER.create2(salt, keccak256(&init_code));
        if !self.exists(address).await? {
            let input = [salt.as_slice(), &init_code].concat().into();
            let what = format!("deploy {name}");
            self.send(&what, address, CREATE2_DEPLOYER, input, U256::ZERO, DEPLOYMENT_GAS).await?;
            if self.mode == Mode::DryRun {
                self.planned.insert(address);
            }
            if !self.exists(address).await? {
                bail!("the deployment of {name} at {address} left no code");
            }
        }
        self.contracts.push(Contract {
            name: name.to_owned(),
            artifact: artifact.to_owned(),
            address,
            salt,
            arguments: Bytes::copy_from_slice(arguments),
            layouts: migrate::layouts_of(artifact)?,
        });
        Ok(address)
    }

    /// Calls a contract with this value in wei.
    pub(crate) async fn call(&mut self, what: &str, to: Address, call: impl SolCall, value: U256) -> Result<()> {
        self.send(what, to, to, call.abi_encode().into(), value, CALL_GAS).await
    }

    /// Asks a contract; nothing if it is not there yet in a dry run.
    pub(crate) async fn read<C: SolCall>(&self, to: Address, call: C) -> Result<Option<C::Return>> {
        if self.planned.contains(&to) {
            return Ok(None);
        }
        let answer = self.node.eth_call(to, call.abi_encode().into()).await?;
        Ok(Some(C::abi_decode_returns(&answer)?))
    }

    /// Sends native currency.
    pub(crate) async fn transfer(&mut self, to: Address, value: U256) -> Result<()> {
        self.send("send ether", to, to, Bytes::new(), value, 21_000).await
    }

    /// Notes the step; whether it is to be sent.
    fn take(&mut self, step: Step) -> Result<bool> {
        if let Mode::SendAtMost(limit) = self.mode
            && self.steps.len() >= limit
        {
            bail!("stopped after {limit} transactions, before: {}. Run it again to go on", step.what);
        }
        if self.mode != Mode::DryRun {
            tracing::debug!(to = %step.to, "{}", step.what);
        }
        self.steps.push(step);
        Ok(self.mode != Mode::DryRun)
    }

    /// `at` is what the step is about, which `to` is asked for.
    async fn send(
        &mut self,
        what: &str,
        at: Address,
        to: Address,
        input: Bytes,
        value: U256,
        gas_limit: u64,
    ) -> Result<()> {
        if !self.take(Step { what: what.to_owned(), to: at, value, gas_limit })? {
            return Ok(());
        }
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
        self.wait(hash, to).await.with_context(|| what.to_owned())
    }

    async fn wait(&self, hash: B256, to: Address) -> Result<()> {
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
