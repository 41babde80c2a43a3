//! Paymasters with a context that take their stake back after their operations were taken.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::{V0_7, V0_8, V0_9};
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;

use super::super::{
    Attacker, codes,
    field::{Field, YES},
};

pub(super) struct WithdrawnStake;

impl Attacker for WithdrawnStake {
    fn name(&self) -> &'static str {
        "withdrawn_stake"
    }

    fn claim(&self) -> &'static str {
        "a stake that is gone has its paymaster's operations judged again"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            for version in [V0_7, V0_8, V0_9] {
                let code = codes::paymaster(version, 32, codes::FLAGGED, codes::BURN);
                let (sender, payer) = (field.account(version, &YES).await, field.staked(version, &code).await);
                field.send(version, &field.sponsored(version, sender, payer)).await;
                let unlock = json!({ "to": field.entry_point(version), "data": "0xbb9fe6bf", "gas": "0x186a0" });
                field.transact(payer, unlock).await;
            }
            field.seal().await;
            field.turn(&[]).await;
            Vec::new()
        }
        .boxed()
    }
}
