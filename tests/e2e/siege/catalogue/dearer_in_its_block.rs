//! L1's base fee rises by an eighth with the block that an operation at its least is in, as anybody could tell twelve seconds
//! before.

use alloy::primitives::B256;
use bundler::l1_fee::L1Prices;
use erc4337::EntryPointVersion::V0_9;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, USUAL, YES, scaled},
};

/// Dear, as blobs may be.
const DEAR: L1Prices = L1Prices { base_fee: 300_000_000_000, blob_base_fee: 100_000_000_000, ..USUAL };

pub(super) struct DearerInItsBlock;

impl Attacker for DearerInItsBlock {
    fn name(&self) -> &'static str {
        "dearer_in_its_block"
    }

    fn claim(&self) -> &'static str {
        "what is asked of an operation never leaves its bundle below cost"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.set_prices_to(&DEAR, 1_000).await;
            let sender = field.account(V0_9, &YES).await;
            let op = field.at_market(field.operation(sender), 12_000).await;
            let taken = field.send_at_the_least(V0_9, &op).await;
            field.expect(taken.is_some(), "it is taken with what it is told to have");
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            field.set_prices(&scaled(&DEAR, 1_125)).await;
        }
        .boxed()
    }
}
