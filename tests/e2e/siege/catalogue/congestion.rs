//! Others fill three quarters of each block, at a tip that nobody of ours pays.

use alloy::primitives::B256;
use futures::{FutureExt, future::BoxFuture};

use super::super::{Attacker, field::Field};

pub(super) struct Congestion;

impl Attacker for Congestion {
    fn name(&self) -> &'static str {
        "congestion"
    }

    fn claim(&self) -> &'static str {
        "a bundle is as large as what others leave of a block"
    }

    fn attack<'a>(&'a self, _: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async { Vec::new() }.boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            field.fill(30_000_000).await;
        }
        .boxed()
    }
}
