//! Operations that offer just the base fee, and no tip.

use alloy::primitives::{B256, U256};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct NoTip;

impl Attacker for NoTip {
    fn name(&self) -> &'static str {
        "no_tip"
    }

    fn claim(&self) -> &'static str {
        "an operation that leaves no tip waits alone"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.proxy.harden(|hard| hard.tip_floor = 1);
            let base_fee: U256 = serde_json::from_value(field.head().await["baseFeePerGas"].clone()).unwrap();
            let fee = base_fee.to::<u128>();
            for _ in 0..3 {
                let sender = field.account(V0_8, &YES).await;
                let op =
                    UserOperation { max_fee_per_gas: fee, max_priority_fee_per_gas: fee, ..field.operation(sender) };
                field.send(V0_8, &op).await;
            }
            Vec::new()
        }
        .boxed()
    }
}
