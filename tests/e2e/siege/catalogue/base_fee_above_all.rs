//! A base fee above what any operation offers, for a while.

use alloy::primitives::B256;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{BASE_FEE, Field},
};

pub(super) struct BaseFeeAboveAll;

impl Attacker for BaseFeeAboveAll {
    fn name(&self) -> &'static str {
        "base_fee_above_all"
    }

    fn claim(&self) -> &'static str {
        "what the fees have left behind waits, and is executed when they come back"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.set_base_fee(BASE_FEE);
            field.seal().await;
            field.turn(&[]).await;
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            field.set_base_fee(25_000_000_000);
        }
        .boxed()
    }

    fn lets_others_pass(&self) -> bool {
        false
    }

    fn mixes(&self) -> bool {
        false
    }
}
