//! Operations that do not pay for their data any more, and one beside them whose execution brings gas back only in our proof.

use alloy::primitives::B256;
use bundler::l1_fee::L1Prices;
use erc4337::{EntryPointVersion::V0_9, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker, codes,
    field::{Field, USUAL, YES},
};

/// Dear, as blobs may be.
const DEAR: L1Prices = L1Prices { base_fee: 300_000_000_000, blob_base_fee: 300_000_000_000, ..USUAL };

pub(super) struct FalseRefund;

impl Attacker for FalseRefund {
    fn name(&self) -> &'static str {
        "false_refund"
    }

    fn claim(&self) -> &'static str {
        "what does not pay for its data any more waits, and is paid for by nobody"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.flag(false).await;
            field.set_prices(&DEAR).await;
            field.seal().await;
            field.turn(&[]).await;
            for _ in 0..4 {
                let sender = field.account(V0_9, &YES).await;
                let op = field.at_market(field.operation(sender), 4_000).await;
                let taken = field.send_at_the_least(V0_9, &op).await;
                field.expect(taken.is_some(), "it is taken with what it is told to have");
            }
            field
                .set_prices(&L1Prices {
                    base_fee: DEAR.base_fee / 1_000 * 1330,
                    blob_base_fee: DEAR.blob_base_fee / 1_000 * 1330,
                    ..USUAL
                })
                .await;
            field.seal().await;
            field.turn(&[]).await;
            let sender = field.account(V0_9, &codes::burns_if_flagged(V0_9, true, codes::refunded)).await;
            field.flagged.lock().unwrap().push(sender);
            let op = UserOperation { call_gas_limit: 1_400_000, ..field.at_market(field.operation(sender), 4).await };
            let taken = field.send_at_the_least(V0_9, &op).await;
            field.expect(taken.is_some(), "the one beside them is taken");
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            field.flag(true).await;
        }
        .boxed()
    }
}
