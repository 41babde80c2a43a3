//! Clients that only want their operations taken.

use alloy::primitives::{Address, Bytes, U256, utils::parse_ether};
use anyhow::{Context, Result};
use erc4337::EntryPointVersion;
use jsonrpsee::{
    core::{ClientError, client::ClientT},
    http_client::HttpClient,
    rpc_params,
};
use serde_json::{Value, json};

use crate::{accounts::SimpleAccount, stack::Stack};

/// Deployed SimpleAccounts of one factory, each with ether of its own.
#[derive(Debug)]
pub(super) struct Fleet {
    accounts: Vec<SimpleAccount>,
    /// An operation with gas limits that suffice for each of them.
    template: Value,
    rpc: HttpClient,
}

impl Fleet {
    pub(super) async fn new(stack: &Stack, count: usize) -> Result<Self> {
        let first = SimpleAccount::new(stack, EntryPointVersion::V0_8, U256::ZERO).await?;
        let mut accounts = Vec::new();
        for _ in 0..count {
            let account = first.sibling(stack, parse_ether("10")?).await?;
            account.deploy(stack).await?;
            accounts.push(account);
        }
        let any = accounts.first().context("no accounts")?;
        let mut template = any.operation(stack, Address::repeat_byte(0x99), U256::ZERO, Bytes::new()).await?;
        any.finish(stack, &mut template).await?;
        // A fresh nonce key each time has more bytes that are not zero, and more to write.
        let more = |field: &str| -> Result<Value> {
            Ok(json!(serde_json::from_value::<U256>(template[field].clone())? + U256::from(20_000)))
        };
        (template["preVerificationGas"], template["verificationGasLimit"]) =
            (more("preVerificationGas")?, more("verificationGasLimit")?);
        Ok(Self { accounts, template, rpc: stack.node.rpc.clone() })
    }

    /// The operation of this number: accounts take turns, and each time use a nonce key of its own.
    pub(super) fn operation(&self, number: u64) -> Result<Value> {
        let count = self.accounts.len() as u64;
        let account = &self.accounts[usize::try_from(number % count)?];
        let mut op = self.template.clone();
        op["sender"] = json!(account.address);
        op["nonce"] = json!(U256::from(number / count + 1) << 64);
        account.sign(&mut op)?;
        Ok(op)
    }

    pub(super) async fn send(&self, op: Value) -> Result<Value, ClientError> {
        self.rpc.request("eth_sendUserOperation", rpc_params![op, self.accounts[0].entry_point]).await
    }
}
