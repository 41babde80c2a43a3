//! A sender whose transactions the sequencer takes, and never mines.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct Swallowed;

impl Attacker for Swallowed {
    fn name(&self) -> &'static str {
        "swallowed"
    }

    fn claim(&self) -> &'static str {
        "an operation that nodes take and nobody mines holds up none of those it was bundled with for long"
    }

    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            if round == 0 {
                let sender = field.account(V0_8, &YES).await;
                field.proxy.harden(|hard| hard.swallowed.push(sender));
                field.send(V0_8, &field.operation(sender)).await;
            }
            Vec::new()
        }
        .boxed()
    }

    fn named(&self, _: u64) -> Option<super::super::report::Named> {
        let why = "one for each halving of his bundle: where nodes lie, that is known no other way";
        // Three halvings, each of which is waited for 45 blocks.
        Some(super::super::report::Named { transactions: 3, later: [150, 180], why })
    }
}
