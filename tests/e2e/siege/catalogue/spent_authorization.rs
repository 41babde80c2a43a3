//! An authorization whose nonce is spent on something else before it is bundled.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct SpentAuthorization;

impl Attacker for SpentAuthorization {
    fn name(&self) -> &'static str {
        "spent_authorization"
    }

    fn claim(&self) -> &'static str {
        "an authorization that is void by now takes nobody down"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let delegate = field.account(V0_8, &YES).await;
            for _ in 0..2 {
                let op = field.delegated(delegate).await;
                field.send(V0_8, &op).await;
                field.ask("anvil_setNonce", vec![json!(op.sender), json!("0x5")]).await;
            }
            field.seal().await;
            field.turn(&[]).await;
            Vec::new()
        }
        .boxed()
    }
}
