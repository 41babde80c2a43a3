//! An account that voids its own operation in the very block that its bundle is in, and takes that back.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};

use super::super::{Attacker, codes, field::Field};

pub(super) struct SameBlock;

impl Attacker for SameBlock {
    fn name(&self) -> &'static str {
        "same_block"
    }

    fn claim(&self) -> &'static str {
        "who has his bundle reverted is alone in it after a few, and gone after two more"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.flag(false).await;
            let code = codes::account(V0_8, codes::AS_FLAGGED, codes::FLAGGED, codes::NOTHING);
            let sender = field.account(V0_8, &code).await;
            field.flagged.lock().unwrap().push(sender);
            field.send(V0_8, &field.operation(sender)).await;
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            field.flag(true).await;
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
