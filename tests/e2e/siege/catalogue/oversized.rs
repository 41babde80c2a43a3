//! Operations that fill a transaction, to a node that takes smaller ones only.

use alloy::primitives::B256;
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct Oversized;

impl Attacker for Oversized {
    fn name(&self) -> &'static str {
        "oversized"
    }

    fn claim(&self) -> &'static str {
        "what makes a bundle too large for a node goes without those it was bundled with"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.proxy.harden(|hard| hard.max_bytes = 30_000);
            let sender = field.account(V0_8, &YES).await;
            let op = UserOperation {
                call_data: vec![1; 40_000].into(),
                call_gas_limit: 100_000,
                pre_verification_gas: 2_000_000,
                ..field.operation(sender)
            };
            field.send(V0_8, &op).await;
            Vec::new()
        }
        .boxed()
    }
}
