//! More operations than their paymaster has money for, some replaced while others are on their way.

use alloy::primitives::{B256, U256};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, PAYS, YES},
};

pub(super) struct PoorPaymaster;

impl Attacker for PoorPaymaster {
    fn name(&self) -> &'static str {
        "poor_paymaster"
    }

    fn claim(&self) -> &'static str {
        "what a paymaster has promised for is never more than it has (EREP-010)"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let payer = field.account(V0_8, &PAYS).await;
            let wei = U256::from(700_000_u64) * U256::from(20_000_000_000_u64) * U256::from(2);
            field.set_deposit(V0_8, payer, wei, false).await;
            let mut taken = 0;
            for _ in 0..5 {
                let op = field.sponsored(V0_8, field.account(V0_8, &YES).await, payer);
                taken += usize::from(field.send(V0_8, &op).await.is_some());
                let fee = op.max_fee_per_gas * 11 / 10;
                let dearer = UserOperation { max_fee_per_gas: fee, max_priority_fee_per_gas: fee, ..op };
                field.send(V0_8, &dearer).await;
            }
            field.expect(taken < 5, "not all are taken");
            Vec::new()
        }
        .boxed()
    }
}
