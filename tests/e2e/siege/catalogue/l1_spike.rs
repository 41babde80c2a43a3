//! Operations at no more than was asked for them, before L1 and its blobs become fifty times dearer.

use alloy::primitives::B256;
use bundler::l1_fee::L1Prices;
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, USUAL, YES},
};

pub(super) struct L1Spike;

impl Attacker for L1Spike {
    fn name(&self) -> &'static str {
        "l1_spike"
    }

    fn claim(&self) -> &'static str {
        "what does not pay for its data any more waits, and is paid for by nobody"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.set_prices(&USUAL).await;
            field.seal().await;
            field.turn(&[]).await;
            for _ in 0..3 {
                let sender = field.account(V0_8, &YES).await;
                let op = UserOperation {
                    pre_verification_gas: 1_000,
                    max_fee_per_gas: 4_000_000_000,
                    ..field.operation(sender)
                };
                field.send_at_the_least(V0_8, &op).await;
            }
            let [base_fee, blob_base_fee] = [USUAL.base_fee, USUAL.blob_base_fee].map(|wei| 50 * wei);
            field.set_prices(&L1Prices { base_fee, blob_base_fee, ..USUAL }).await;
            field.seal().await;
            field.turn(&[]).await;
            Vec::new()
        }
        .boxed()
    }
}
