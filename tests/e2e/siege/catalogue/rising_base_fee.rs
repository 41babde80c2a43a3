//! A base fee that rises by an eighth with each block, and falls back.

use alloy::primitives::B256;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{self, BASE_FEE, Field},
};

pub(super) struct RisingBaseFee;

impl Attacker for RisingBaseFee {
    fn name(&self) -> &'static str {
        "rising_base_fee"
    }

    fn claim(&self) -> &'static str {
        "a bid that was enough for the block before is raised, and costs us nothing"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.set_base_fee(BASE_FEE);
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            let fee = field::number(&field.head().await["baseFeePerGas"]).to::<u64>();
            // As long as honest users, who offer always the same, pay for it.
            field.set_base_fee(if fee < 5 * BASE_FEE { fee + fee / 8 } else { BASE_FEE });
        }
        .boxed()
    }
}
