//! A node that takes nothing at all for a while.

use alloy::primitives::B256;
use futures::{FutureExt, future::BoxFuture};

use super::super::{Attacker, field::Field};

pub(super) struct ClosedNode;

impl Attacker for ClosedNode {
    fn name(&self) -> &'static str {
        "closed_node"
    }

    fn claim(&self) -> &'static str {
        "while a node takes nothing, nothing is dropped"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.proxy.harden(|hard| {
                hard.closed = true;
                hard.words = "something is wrong with this transaction".into();
            });
            Vec::new()
        }
        .boxed()
    }

    fn lets_others_pass(&self) -> bool {
        false
    }
}
