//! A line of operations whose first no node takes: what waits behind it, and behind its nonce, must not wait for ever.

use alloy::primitives::{B256, U256};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct Gap;

impl Attacker for Gap {
    fn name(&self) -> &'static str {
        "gap"
    }

    fn claim(&self) -> &'static str {
        "a nonce whose transaction no node took is free again at once, and costs no cancellation"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let sender = field.account(V0_8, &YES).await;
            field.proxy.harden(|hard| hard.filtered.push(sender));
            let first = field.operation(sender);
            for sequence in 0..3 {
                let op = UserOperation { nonce: first.nonce + U256::from(sequence), ..first.clone() };
                field.send(V0_8, &op).await;
            }
            Vec::new()
        }
        .boxed()
    }
}
