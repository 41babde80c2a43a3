//! L1 becomes dearer by a hundredth after an operation was taken at its least: a loss of one in a hundred is taken each time.

use alloy::primitives::B256;
use bundler::l1_fee::L1Prices;
use erc4337::EntryPointVersion::V0_9;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, USUAL, YES},
};

/// Dear, as blobs may be.
const DEAR: L1Prices = L1Prices { base_fee: 300_000_000_000, blob_base_fee: 100_000_000_000, ..USUAL };

pub(super) struct AHundredth;

impl Attacker for AHundredth {
    fn name(&self) -> &'static str {
        "a_hundredth"
    }

    fn claim(&self) -> &'static str {
        "what does not pay for its data any more waits, and is paid for by nobody"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.set_prices_to(&DEAR, 1_000).await;
            let sender = field.account(V0_9, &YES).await;
            let op = field.at_market(field.operation(sender), 30_000).await;
            field.send_at_the_least(V0_9, &op).await;
            field.set_prices_to(&DEAR, 1030).await;
            Vec::new()
        }
        .boxed()
    }
}
