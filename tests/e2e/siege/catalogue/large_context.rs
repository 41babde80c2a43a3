//! The largest contexts there are, and a postOp that has too little gas to read them.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::{V0_7, V0_8, V0_9};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker, codes,
    field::{Field, YES},
};

pub(super) struct LargeContext;

impl Attacker for LargeContext {
    fn name(&self) -> &'static str {
        "large_context"
    }

    fn claim(&self) -> &'static str {
        "a context is copied at its paymaster's cost, however large it is"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            for version in [V0_7, V0_8, V0_9] {
                let code = codes::paymaster(version, 2_048, codes::ALWAYS, codes::BURN);
                let (sender, payer) = (field.account(version, &YES).await, field.staked(version, &code).await);
                let mut op = field.sponsored(version, sender, payer);
                op.paymaster.as_mut().unwrap().post_op_gas_limit = 10_000;
                field.send_at_the_least(version, &op).await;
            }
            Vec::new()
        }
        .boxed()
    }
}
