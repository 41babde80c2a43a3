//! Operations by the hundred that pay half of what others do.

use alloy::primitives::B256;
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct Flood;

impl Attacker for Flood {
    fn name(&self) -> &'static str {
        "flood"
    }

    fn claim(&self) -> &'static str {
        "who pays less waits behind those who pay more"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            for _ in 0..25 {
                let sender = field.account(V0_8, &YES).await;
                for _ in 0..3 {
                    let op = UserOperation {
                        max_fee_per_gas: 3_000_000_000,
                        max_priority_fee_per_gas: 1_500_000_000,
                        ..field.operation(sender)
                    };
                    field.send(V0_8, &op).await;
                }
            }
            Vec::new()
        }
        .boxed()
    }
}
