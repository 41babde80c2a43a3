//! Accounts whose code is another one by the time of the bundle.

use alloy::primitives::B256;
use erc4337::EntryPointVersion;
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct ChangedCode;

impl Attacker for ChangedCode {
    fn name(&self) -> &'static str {
        "changed_code"
    }

    fn claim(&self) -> &'static str {
        "what an operation was validated on is what it is bundled on (COD-010)"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            for version in EntryPointVersion::ALL {
                let sender = field.account(version, &YES).await;
                field.send(version, &field.operation(sender)).await;
                field.ask("anvil_setCode", vec![json!(sender), json!("0xfe")]).await;
            }
            field.seal().await;
            field.turn(&[]).await;
            Vec::new()
        }
        .boxed()
    }
}
