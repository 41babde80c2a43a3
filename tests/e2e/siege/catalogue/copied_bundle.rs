//! Somebody copies our bundle out of the pool and has it executed before ours, in the same block.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct CopiedBundle;

impl Attacker for CopiedBundle {
    fn name(&self) -> &'static str {
        "copied_bundle"
    }

    fn claim(&self) -> &'static str {
        "where a pool is public, whoever copies a bundle costs us that one transaction, and its operations are executed"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.send(V0_8, &field.operation(field.account(V0_8, &YES).await)).await;
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            field.copy_bundles().await;
        }
        .boxed()
    }

    fn named(&self, rounds: u64) -> Option<super::super::report::Named> {
        Some(super::super::report::Named {
            transactions: usize::try_from(rounds).unwrap_or_default() * 2,
            later: super::super::report::LATER,
            why: "one for each bundle that is copied: Base has no public pool",
        })
    }

    fn mixes(&self) -> bool {
        false
    }
}
