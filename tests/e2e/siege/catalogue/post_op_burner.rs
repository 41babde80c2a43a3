//! Staked paymasters whose postOp, by the time it is mined, burns all it has and reverts.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::{V0_7, V0_8, V0_9};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker, codes,
    field::{Field, YES},
};

pub(super) struct PostOpBurner;

impl Attacker for PostOpBurner {
    fn name(&self) -> &'static str {
        "post_op_burner"
    }

    fn claim(&self) -> &'static str {
        "what a paymaster does after the call is paid by the paymaster, in every EntryPoint since v0.7"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.flag(false).await;
            for version in [V0_7, V0_8, V0_9] {
                let code = codes::paymaster(version, 32, codes::FLAGGED, codes::BURST);
                let (sender, payer) = (field.account(version, &YES).await, field.staked(version, &code).await);
                field.flagged.lock().unwrap().push(payer);
                field.send_at_the_least(version, &field.sponsored(version, sender, payer)).await;
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
}
