//! Operations of many deployed SimpleAccounts, signed and written out before anything is timed.

use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes, U256, utils::parse_ether};
use anyhow::{Context, Result};
use erc4337::EntryPointVersion;
use serde_json::{Value, json};
use tests::{Stack, accounts::SimpleAccount};

use crate::clients::{Request, request};

/// The EntryPoint that all of them run on.
pub(crate) const VERSION: EntryPointVersion = EntryPointVersion::V0_8;

/// Accounts, and how far their nonces have been used up.
pub(crate) struct Fleet {
    accounts: Vec<SimpleAccount>,
    entry_point: Address,
    template: Value,
    used: usize,
}

/// Signed operations that nobody has sent yet.
pub(crate) struct Batch {
    pub(crate) hashes: Vec<B256>,
    pub(crate) requests: Arc<Vec<Request>>,
}

impl Fleet {
    /// Deploys so many.
    pub(crate) async fn deploy(stack: &Stack, count: usize) -> Result<Self> {
        let factory = SimpleAccount::new(stack, VERSION, U256::ZERO).await?;
        let accounts = factory.siblings(stack, count, parse_ether("100")?).await?;
        let any = accounts.first().context("no accounts")?;
        let mut template = any.operation(stack, Address::repeat_byte(0x99), U256::ZERO, Bytes::new()).await?;
        // Base fees rise while blocks are full.
        template["maxFeePerGas"] = json!(U256::from(100_000_000_000_u64));
        template["nonce"] = json!(U256::from(1) << 64);
        Ok(Self { entry_point: any.entry_point, accounts, template, used: 0 })
    }

    /// Requests for estimates, of one account after the other.
    pub(crate) fn estimates(&self, count: usize) -> Arc<Vec<Request>> {
        let senders = self.accounts.iter().cycle().take(count);
        let requests = senders.map(|account| {
            let mut op = self.template.clone();
            op["sender"] = json!(account.address);
            request("eth_estimateUserOperationGas", json!([op, self.entry_point]))
        });
        Arc::new(requests.collect())
    }

    /// The next so many, one of each account before the second of any. Each has a nonce key of its own, so that none
    /// waits for another.
    pub(crate) async fn next(&mut self, stack: &Stack, count: usize) -> Result<Batch> {
        if self.template.get("callGasLimit").is_none() {
            self.accounts[0].finish(stack, &mut self.template).await?;
            // Later nonces have more bytes that are not zero.
            let gas: U256 = serde_json::from_value(self.template["preVerificationGas"].clone())?;
            self.template["preVerificationGas"] = json!(gas + U256::from(1_000));
        }
        let mut batch = (Vec::new(), Vec::new());
        for number in self.used..self.used + count {
            let account = &self.accounts[number % self.accounts.len()];
            let mut op = self.template.clone();
            op["sender"] = json!(account.address);
            op["nonce"] = json!(U256::from(number / self.accounts.len() + 2) << 64);
            batch.0.push(account.sign(&mut op)?);
            batch.1.push(request("eth_sendUserOperation", json!([op, self.entry_point])));
        }
        self.used += count;
        Ok(Batch { hashes: batch.0, requests: Arc::new(batch.1) })
    }
}
