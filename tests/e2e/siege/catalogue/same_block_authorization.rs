//! An authorization whose nonce is spent in the very block that its bundle is in.

use alloy::primitives::{Address, B256};
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;

use super::super::{
    Attacker,
    field::{Field, YES},
};

/// Of this round.
static SENDER: std::sync::Mutex<Option<Address>> = std::sync::Mutex::new(None);

pub(super) struct SameBlockAuthorization;

impl Attacker for SameBlockAuthorization {
    fn name(&self) -> &'static str {
        "same_block_authorization"
    }

    fn claim(&self) -> &'static str {
        "whoever spends what his own bundle rests on has it reverted once, and is gone"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let delegate = field.account(V0_8, &YES).await;
            let op = field.delegated(delegate).await;
            field.send(V0_8, &op).await;
            *SENDER.lock().unwrap() = Some(op.sender);
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            let sender = SENDER.lock().unwrap().take();
            if let Some(sender) = sender {
                field.ask("anvil_setNonce", vec![json!(sender), json!("0x5")]).await;
            }
        }
        .boxed()
    }

    fn named(&self, rounds: u64) -> Option<super::super::report::Named> {
        Some(super::super::report::Named {
            transactions: usize::try_from(rounds).unwrap_or_default(),
            later: super::super::report::LATER,
            why: "one for each fresh account: no node can know what is in the block to come",
        })
    }
}
