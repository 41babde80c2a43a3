//! v0.6: a staked paymaster whose postOp reverts twice in the very block, and with it the bundle.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::V0_6;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker, codes,
    field::{Field, YES},
};

pub(super) struct ContextV06;

impl Attacker for ContextV06 {
    fn name(&self) -> &'static str {
        "context_v06"
    }

    fn claim(&self) -> &'static str {
        "a paymaster of v0.6 has one bundle reverted at the most, in which nobody else is"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.flag(false).await;
            let code = codes::paymaster(V0_6, 32, codes::FLAGGED, codes::EMPTY_REVERT);
            let payer = field.staked(V0_6, &code).await;
            field.flagged.lock().unwrap().push(payer);
            for _ in 0..3 {
                let sender = field.account(V0_6, &YES).await;
                field.send(V0_6, &field.sponsored(V0_6, sender, payer)).await;
            }
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

    fn named(&self, rounds: u64) -> Option<super::super::report::Named> {
        Some(super::super::report::Named {
            transactions: usize::try_from(rounds).unwrap_or_default(),
            later: super::super::report::LATER,
            why: "one for each fresh staked paymaster",
        })
    }
}
