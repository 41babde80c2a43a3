//! SimpleAccounts of every EntryPoint version: the published bytecode, not ours.

use alloy::{
    eips::eip7702::Authorization,
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol,
    sol_types::{SolCall, SolValue},
};
use anyhow::{Context, Result};
use erc4337::{EntryPointVersion, HashContext, UserOperationRequest};
use serde_json::{Value, json};
use session_keys::SecretKey;

use crate::stack::{Stack, root};

sol! {
    function createAccount(address owner, uint256 salt) external returns (address);
    function getAddress(address owner, uint256 salt) external view returns (address);
    function execute(address dest, uint256 value, bytes func) external;
    function getNonce(address sender, uint192 key) external view returns (uint256);
}

/// An account of one EntryPoint version, its key, and where it runs.
#[derive(Debug)]
pub struct SimpleAccount {
    /// Of the EntryPoint.
    pub version: EntryPointVersion,
    /// The EntryPoint.
    pub entry_point: Address,
    /// The account, deployed or not.
    pub address: Address,
    factory: Option<Address>,
    key: SecretKey,
    chain_id: u64,
}

impl SimpleAccount {
    /// Deploys the factory, but not the account, which is given `wei`.
    pub async fn new(stack: &Stack, version: EntryPointVersion, wei: U256) -> Result<Self> {
        let entry_point = stack.deployment.entry_points[&version.to_string()];
        let factory = deploy(stack, version, "SimpleAccountFactory").await?;

        let key = SecretKey::generate();
        let address = account_of(stack, factory, &key).await?;
        if !wei.is_zero() {
            stack.anvil.transact(Some(address), Bytes::new(), wei).await?;
        }
        Ok(Self { version, entry_point, address, factory: Some(factory), key, chain_id: stack.deployment.chain_id })
    }

    /// Another account of the same factory, with a key of its own; not deployed yet either, and given `wei`.
    pub async fn sibling(&self, stack: &Stack, wei: U256) -> Result<Self> {
        let factory = self.factory.context("it has no factory")?;
        let key = SecretKey::generate();
        let address = account_of(stack, factory, &key).await?;
        stack.anvil.transact(Some(address), Bytes::new(), wei).await?;
        Ok(Self { address, key, ..*self })
    }

    /// Many more, deployed, each with `wei`.
    pub async fn siblings(&self, stack: &Stack, count: usize, wei: U256) -> Result<Vec<Self>> {
        let factory = self.factory.context("it has no factory")?;
        let creator = self.entry_point.create(1);
        stack.anvil.ask("anvil_impersonateAccount", vec![json!(creator)]).await?;
        stack.anvil.ask("anvil_setBalance", vec![json!(creator), json!(wei)]).await?;
        let first = stack.anvil.ask("eth_getTransactionCount", vec![json!(creator), json!("latest")]).await?;
        let (first, mut accounts) = (serde_json::from_value::<U256>(first)?, Vec::new());
        for index in 0..count {
            let key = SecretKey::generate();
            let address = account_of(stack, factory, &key).await?;
            let create = createAccountCall { owner: key.address(), salt: U256::ZERO };
            // With its nonce: while blocks come, anvil gives one twice. And with its gas: by itself each fills a block.
            let tx = json!({
                "from": creator, "to": factory, "data": Bytes::from(create.abi_encode()), "gas": "0x7a120",
                "nonce": first + U256::from(index),
            });
            stack.anvil.ask("anvil_setBalance", vec![json!(address), json!(wei)]).await?;
            stack.anvil.ask("eth_sendTransaction", vec![tx]).await?;
            accounts.push(Self { address, key, ..*self });
        }
        if let Some(last) = accounts.last() {
            let code = async || stack.anvil.ask("eth_getCode", vec![json!(last.address), json!("latest")]).await;
            let asked = async || Some(code().await).filter(|code| code.as_ref().map_or(true, |code| code != "0x"));
            crate::patience::found("the last account's code", asked).await?;
        }
        Ok(accounts)
    }

    /// Deploys it without an operation, as the EntryPoint's SenderCreator would.
    pub async fn deploy(&self, stack: &Stack) -> Result<()> {
        let create = createAccountCall { owner: self.key.address(), salt: U256::ZERO };
        let factory = self.factory.context("it has no factory")?;
        stack.anvil.transact_as(self.entry_point.create(1), factory, create.abi_encode()).await?;
        Ok(())
    }

    /// A key whose own address is the account, by EIP-7702; not delegated yet, and given `wei`.
    pub async fn eip7702(stack: &Stack, version: EntryPointVersion, wei: U256) -> Result<Self> {
        let entry_point = stack.deployment.entry_points[&version.to_string()];
        let key = SecretKey::generate();
        let address = key.address();
        stack.anvil.transact(Some(address), Bytes::new(), wei).await?;
        Ok(Self { version, entry_point, address, factory: None, key, chain_id: stack.deployment.chain_id })
    }

    /// The key's authorization of a delegate, as it goes into an operation.
    pub fn authorize(&self, delegate: Address, nonce: u64) -> Result<Value> {
        let auth = Authorization { chain_id: U256::from(self.chain_id), address: delegate, nonce };
        let signature = self.key.sign(auth.signature_hash())?;
        Ok(json!(auth.into_signed(signature)))
    }

    /// An unsigned operation that makes one call, with its fees and a dummy signature but no gas limits.
    pub async fn operation(&self, stack: &Stack, to: Address, value: U256, data: Bytes) -> Result<Value> {
        let nonce = getNonceCall { sender: self.address, key: Default::default() };
        let mut op = json!({
            "sender": self.address,
            "nonce": U256::abi_decode(&view(stack, self.entry_point, nonce.abi_encode()).await?)?,
            "callData": Bytes::from(executeCall { dest: to, value, func: data }.abi_encode()),
            "maxFeePerGas": U256::from(3_000_000_000_u64),
            "maxPriorityFeePerGas": U256::from(1_000_000_000_u64),
            "signature": self.key.sign(keccak256("a dummy")).map(|signature| Bytes::from(signature.as_bytes()))?,
        });
        let deployed = stack.anvil.ask("eth_getCode", vec![json!(self.address), json!("latest")]).await? != "0x";
        if let (false, Some(factory)) = (deployed, self.factory) {
            let data = createAccountCall { owner: self.key.address(), salt: U256::ZERO }.abi_encode();
            if self.version.is_packed() {
                op["factory"] = json!(factory);
                op["factoryData"] = json!(Bytes::from(data));
            } else {
                op["initCode"] = json!(Bytes::from([factory.as_slice(), &data].concat()));
            }
        }
        Ok(op)
    }

    /// The hash and the signature of a complete operation.
    pub fn sign(&self, op: &mut Value) -> Result<B256> {
        let context = HashContext { version: self.version, entry_point: self.entry_point, chain_id: self.chain_id };
        let hash = UserOperationRequest::from_json(op, self.version)?.with_open_fields_zero().hash(&context, None)?;
        op["signature"] = json!(self.key.sign_operation(hash, self.version)?);
        Ok(hash)
    }

    /// With estimated limits, and signed; the hash.
    pub async fn finish(&self, stack: &Stack, op: &mut Value) -> Result<B256> {
        let gas = stack.node.ask("eth_estimateUserOperationGas", vec![op.clone(), json!(self.entry_point)]).await?;
        op.as_object_mut().context("no object")?.extend(gas.as_object().cloned().unwrap_or_default());
        self.sign(op)
    }

    /// Estimates, signs and sends; the hash.
    pub async fn send(&self, stack: &Stack, mut op: Value) -> Result<B256> {
        let hash = self.finish(stack, &mut op).await?;
        let sent = stack.node.ask("eth_sendUserOperation", vec![op, json!(self.entry_point)]).await?;
        anyhow::ensure!(sent == json!(hash), "the bundler names it {sent}, we {hash}");
        Ok(hash)
    }
}

/// Deploys the contract that EIP-7702 accounts of this version delegate to.
pub async fn delegate(stack: &Stack, version: EntryPointVersion) -> Result<Address> {
    deploy(stack, version, "Simple7702Account").await
}

/// Deploys a contract of the version's package whose only constructor argument is the EntryPoint.
async fn deploy(stack: &Stack, version: EntryPointVersion, contract: &str) -> Result<Address> {
    let entry_point = stack.deployment.entry_points[&version.to_string()];
    let package = format!("account-abstraction-{}", version.to_string().replace('.', ""));
    let path = root().join(format!("contracts/node_modules/{package}/artifacts/{contract}.json"));
    let artifact: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let bytecode: Bytes = artifact["bytecode"].as_str().context("no bytecode")?.parse()?;
    let init_code = [bytecode.as_ref(), &entry_point.abi_encode()].concat();
    let receipt = stack.anvil.transact(None, init_code, U256::ZERO).await?;
    Ok(serde_json::from_value(receipt["contractAddress"].clone())?)
}

/// Waits for an operation's receipt.
pub async fn receipt(stack: &Stack, hash: B256) -> Result<Value> {
    for _ in 0..500 {
        let receipt = stack.node.ask("eth_getUserOperationReceipt", vec![json!(hash)]).await?;
        if !receipt.is_null() {
            return Ok(receipt);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let status = stack.node.ask("fabstir_getUserOperationStatus", vec![json!(hash)]).await?;
    anyhow::bail!("{hash} has no receipt: {status}")
}

/// The address of the account that the factory makes for this key.
async fn account_of(stack: &Stack, factory: Address, key: &SecretKey) -> Result<Address> {
    let call = getAddressCall { owner: key.address(), salt: U256::ZERO };
    Ok(Address::abi_decode(&view(stack, factory, call.abi_encode()).await?)?)
}

/// What a view function answers at the latest block.
pub(crate) async fn view(stack: &Stack, to: Address, data: Vec<u8>) -> Result<Bytes> {
    let call = json!({ "to": to, "data": Bytes::from(data) });
    Ok(serde_json::from_value(stack.anvil.ask("eth_call", vec![call, json!("latest")]).await?)?)
}
