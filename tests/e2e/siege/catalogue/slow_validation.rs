//! Validations of three million gas, beside estimates that take all there is.

use alloy::primitives::B256;
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;
use tests::{greedy::Greed, programs::asm::op};

use super::super::{Attacker, codes, field::Field};

/// Counts down from a hundred thousand.
const COUNTS: codes::Does = |asm| {
    let again = asm.label();
    asm.number(100_000).place(again).number(1).op(0x90).op(op::SUB).op(op::DUP1).jump_if(again);
};

pub(super) struct SlowValidation;

impl Attacker for SlowValidation {
    fn name(&self) -> &'static str {
        "slow_validation"
    }

    fn claim(&self) -> &'static str {
        "how long a validation takes by the clock is no verdict on it"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let estimates = (0..6).map(|_| {
                let params = vec![Greed::Searched.operation(), json!(field.entry_point(V0_8))];
                field.stack.node.ask("eth_estimateUserOperationGas", params)
            });
            field.place(V0_8, Greed::Searched.address(), &Greed::Searched.code()).await;
            let sends = (0..3).map(|_| async {
                let sender = field.account(V0_8, &codes::validating(V0_8, COUNTS)).await;
                let op = UserOperation { verification_gas_limit: 4_000_000, ..field.operation(sender) };
                field.send(V0_8, &op).await.expect("it is valid, however long that takes")
            });
            futures::future::join(futures::future::join_all(estimates), futures::future::join_all(sends)).await.1
        }
        .boxed()
    }
}
