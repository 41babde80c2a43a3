//! Blocks with our bundles leave the chain.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
    report::{LATER, Named},
};

pub(super) struct Reorganisation;

impl Attacker for Reorganisation {
    fn name(&self) -> &'static str {
        "reorganisation"
    }

    fn claim(&self) -> &'static str {
        "what left the chain with its block is executed again, and once"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let account = field.account(V0_8, &YES).await;
            // It is there before what is undone.
            for _ in 0..2 {
                field.seal().await;
                field.turn(&[]).await;
            }
            let sent = field.send(V0_8, &field.operation(account)).await;
            sent.into_iter().collect()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            if field.made() % 4 == 2 {
                field.reorganise(2).await;
                // The bundler sees it, as it sees any other block.
                field.turn(&[]).await;
            }
        }
        .boxed()
    }

    fn named(&self, _: u64) -> Option<Named> {
        let why = "two blocks are undone at a time: what was in them comes two blocks later at least";
        Some(Named { transactions: 0, later: [LATER[0] + 2, LATER[1] + 2], why })
    }

    fn mixes(&self) -> bool {
        false
    }
}
