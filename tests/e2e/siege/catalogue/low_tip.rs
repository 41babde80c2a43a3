//! Tips of a tenth of what the market pays, in a bundle with those who pay it.

use alloy::primitives::B256;
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct LowTip;

impl Attacker for LowTip {
    fn name(&self) -> &'static str {
        "low_tip"
    }

    fn claim(&self) -> &'static str {
        "the bid follows the market, not the bundle's poorest member"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            // What a bundle of the market's bid passes, and one of theirs does not.
            field.proxy.harden(|hard| hard.tip_floor = 500_000_000);
            for _ in 0..3 {
                let sender = field.account(V0_8, &YES).await;
                let op = UserOperation { max_priority_fee_per_gas: 100_000_000, ..field.operation(sender) };
                field.send(V0_8, &op).await;
            }
            Vec::new()
        }
        .boxed()
    }
}
