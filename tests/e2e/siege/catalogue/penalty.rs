//! Sponsored operations that use none of what was set apart for them: the penalty is the sponsor's to pay.

use alloy::primitives::B256;
use erc4337::{
    EntryPointVersion::{V0_7, V0_8, V0_9},
    UserOperation,
};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, PAYS, YES},
};

pub(super) struct Penalty;

impl Attacker for Penalty {
    fn name(&self) -> &'static str {
        "penalty"
    }

    fn claim(&self) -> &'static str {
        "the penalty for unused gas is the bundler's gain and nobody's surprise"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            for version in [V0_7, V0_8, V0_9] {
                let (sender, payer) = (field.account(version, &YES).await, field.account(version, &PAYS).await);
                let mut op = UserOperation { call_gas_limit: 3_000_000, ..field.sponsored(version, sender, payer) };
                op.paymaster.as_mut().unwrap().post_op_gas_limit = 2_000_000;
                field.send_at_the_least(version, &op).await;
            }
            Vec::new()
        }
        .boxed()
    }
}
