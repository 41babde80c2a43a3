//! Operations that somebody else has executed before we do, after we have taken them.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct BundledByOthers;

impl Attacker for BundledByOthers {
    fn name(&self) -> &'static str {
        "bundled_by_others"
    }

    fn claim(&self) -> &'static str {
        "what is executed already is in no bundle"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let op = field.operation(field.account(V0_8, &YES).await);
            let taken = field.send(V0_8, &op).await;
            field.bundle_by_hand(V0_8, &op).await;
            field.seal().await;
            field.turn(&[]).await;
            taken.into_iter().collect()
        }
        .boxed()
    }
}
