//! No attacker but a chain whose floor of tips is above what its node suggests.

use alloy::primitives::B256;
use futures::{FutureExt, future::BoxFuture};

use super::super::{Attacker, field::Field};

pub(super) struct TipFloor;

impl Attacker for TipFloor {
    fn name(&self) -> &'static str {
        "tip_floor"
    }

    fn claim(&self) -> &'static str {
        "a bid that no node takes is raised as far as operations pay for it, and drops none"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.proxy.harden(|hard| hard.tip_floor = 2_500_000_000);
            Vec::new()
        }
        .boxed()
    }
}
