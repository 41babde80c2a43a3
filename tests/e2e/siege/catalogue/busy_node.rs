//! A node that says it is asked too often when it is given a transaction.

use alloy::primitives::B256;
use futures::{FutureExt, future::BoxFuture};
use tests::proxy::Fault;

use super::super::{Attacker, field::Field};

pub(super) struct BusyNode;

impl Attacker for BusyNode {
    fn name(&self) -> &'static str {
        "busy_node"
    }

    fn claim(&self) -> &'static str {
        "who is told to wait waits, and drops nothing"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.proxy.fail("eth_sendRawTransaction", Fault::Limited);
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
