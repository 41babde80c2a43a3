//! Operations that ask for nearly all the gas of a transaction, and use none.

use alloy::primitives::B256;
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct IdleGas;

impl Attacker for IdleGas {
    fn name(&self) -> &'static str {
        "idle_gas"
    }

    fn claim(&self) -> &'static str {
        "room that is asked for and not used leaves others theirs"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            for _ in 0..3 {
                let sender = field.account(V0_8, &YES).await;
                let op = UserOperation { call_gas_limit: 13_000_000, ..field.operation(sender) };
                field.send(V0_8, &op).await;
            }
            Vec::new()
        }
        .boxed()
    }
}
