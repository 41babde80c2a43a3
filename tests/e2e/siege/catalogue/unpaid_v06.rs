//! v0.6: limits as tight as they are taken, and a call that burns all of them only when it is mined.

use alloy::primitives::B256;
use erc4337::{EntryPointVersion::V0_6, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{Attacker, codes, field::Field};

pub(super) struct UnpaidV06;

impl Attacker for UnpaidV06 {
    fn name(&self) -> &'static str {
        "unpaid_v06"
    }

    fn claim(&self) -> &'static str {
        "what an operation of v0.6 does in execution never costs more than it has paid for"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.flag(false).await;
            let sender = field.account(V0_6, &codes::account(V0_6, codes::AGREE, codes::FLAGGED, codes::BURST)).await;
            field.flagged.lock().unwrap().push(sender);
            let op = UserOperation {
                call_data: vec![7; 300].into(),
                call_gas_limit: 100_000,
                verification_gas_limit: 10_000,
                max_fee_per_gas: 4_000_000_000,
                ..field.operation(sender)
            };
            let taken = field.send_at_the_least(V0_6, &op).await;
            field.expect(taken.is_some(), "it is taken with what it is told to have");
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
