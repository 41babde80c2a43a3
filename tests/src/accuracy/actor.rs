//! Who makes an operation, who pays for it, and what both sign.

use alloy::primitives::{Address, U256};
use anyhow::Result;
use erc4337::EntryPointVersion;
use serde_json::{Value, json};

use super::{own::OwnAccount, payer::Payer};
use crate::{accounts::SimpleAccount, stack::Stack};

/// An account of either make.
#[derive(Debug)]
pub(super) enum Actor {
    Simple(SimpleAccount),
    Own(Box<OwnAccount>),
}

impl Actor {
    pub(super) fn version(&self) -> EntryPointVersion {
        match self {
            Self::Simple(account) => account.version,
            Self::Own(account) => account.version,
        }
    }

    pub(super) fn entry_point(&self) -> Address {
        match self {
            Self::Simple(account) => account.entry_point,
            Self::Own(account) => account.entry_point,
        }
    }

    /// Signs a complete operation: who pays first, since the account's signature covers that one.
    pub(super) async fn sign(&self, stack: &Stack, payer: &Payer, op: &mut Value) -> Result<()> {
        payer.sign(stack, self.version(), self.entry_point(), op).await?;
        match self {
            Self::Simple(account) => account.sign(op).map(drop),
            Self::Own(account) => account.sign(op),
        }
    }
}

/// The fees of all operations here.
pub(super) fn with_fees(mut op: Value) -> Value {
    op["maxFeePerGas"] = json!(U256::from(3_000_000_000_u64));
    op["maxPriorityFeePerGas"] = json!(U256::from(1_000_000_000_u64));
    op
}
