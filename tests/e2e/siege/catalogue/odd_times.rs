//! Blocks that come ten seconds after one another, then many within one.

use alloy::primitives::B256;
use futures::{FutureExt, future::BoxFuture};

use super::super::{Attacker, field::Field};

pub(super) struct OddTimes;

impl Attacker for OddTimes {
    fn name(&self) -> &'static str {
        "odd_times"
    }

    fn claim(&self) -> &'static str {
        "what a chain's clock does holds nobody up"
    }

    fn attack<'a>(&'a self, _: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async { Vec::new() }.boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            if field.made().is_multiple_of(3) {
                field.leap(10);
            }
        }
        .boxed()
    }
}
