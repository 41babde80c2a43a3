//! Accounts that bring an authorization which has been used already: nothing comes back for it, as is reckoned with.

use alloy::primitives::{B256, hex};
use bundler::l1_fee::L1Prices;
use erc4337::EntryPointVersion::V0_9;
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;

use super::super::{
    Attacker,
    field::{Field, USUAL, YES},
};

/// Dear, as blobs may be.
const DEAR: L1Prices = L1Prices { base_fee: 300_000_000_000, blob_base_fee: 100_000_000_000, ..USUAL };

pub(super) struct SpentDelegation;

impl Attacker for SpentDelegation {
    fn name(&self) -> &'static str {
        "spent_delegation"
    }

    fn claim(&self) -> &'static str {
        "what a bundle with authorizations costs is known before it is signed"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.set_prices_to(&DEAR, 1_000).await;
            let delegate = field.account(V0_9, &YES).await;
            let op = field.delegated(delegate).await;
            field.place(V0_9, op.sender, &[]).await;
            // It is done: the account runs the code, and has used the nonce.
            let code = format!("0xef0100{}", hex::encode(delegate));
            field.ask("anvil_setCode", vec![json!(op.sender), json!(code)]).await;
            field.ask("anvil_setNonce", vec![json!(op.sender), json!("0x1")]).await;
            field.seal().await;
            field.turn(&[]).await;
            let op = field.at_market(op, 2_000).await;
            let taken = field.send_at_the_least(V0_9, &op).await;
            field.expect(taken.is_some(), "it is taken with what it is told to have");
            field.set_prices_to(&DEAR, 1150).await;
            Vec::new()
        }
        .boxed()
    }
}
