//! The newest block gives way to another of the same height, again and again.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct TwoHashes;

impl Attacker for TwoHashes {
    fn name(&self) -> &'static str {
        "two_hashes"
    }

    fn claim(&self) -> &'static str {
        "one height under two hashes is one block that holds"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let account = field.account(V0_8, &YES).await;
            // It is there before what is undone.
            field.seal().await;
            field.turn(&[]).await;
            field.send(V0_8, &field.operation(account)).await;
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            if field.made() % 4 == 1 {
                field.reorganise(1).await;
                // The bundler sees it, as it sees any other block.
                field.turn(&[]).await;
            }
        }
        .boxed()
    }

    fn mixes(&self) -> bool {
        false
    }
}
