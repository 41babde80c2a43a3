//! A node that does not execute anything for us for a while.

use alloy::primitives::B256;
use futures::{FutureExt, future::BoxFuture};
use tests::proxy::Fault;

use super::super::{Attacker, field::Field};

pub(super) struct DeafNode;

impl Attacker for DeafNode {
    fn name(&self) -> &'static str {
        "deaf_node"
    }

    fn claim(&self) -> &'static str {
        "a bundle that could not be looked at a last time is not sent, and comes back"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.proxy.fail("eth_call", Fault::Unavailable);
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            field.proxy.release();
        }
        .boxed()
    }
}
