//! A sender whose transactions the sequencer takes, and never mines.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};

use super::{
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

    /// One for each halving of his bundle; he is suspected from then on.
    fn cancellations(&self) -> usize {
        3
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
}
