//! A sender that the sequencer filters, in words that nobody knows, in a bundle with everybody else.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct Filtered;

impl Attacker for Filtered {
    fn name(&self) -> &'static str {
        "filtered"
    }

    fn claim(&self) -> &'static str {
        "an operation that no node takes harms none of those it was bundled with"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            for _ in 0..2 {
                let sender = field.account(V0_8, &YES).await;
                field.proxy.harden(|hard| {
                    hard.filtered.push(sender);
                    hard.words = "E_7731".into();
                });
                field.send(V0_8, &field.operation(sender)).await;
            }
            Vec::new()
        }
        .boxed()
    }
}
