//! Accounts by the dozen that rest on one slot of somebody else's.

use alloy::primitives::{B256, hex};
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};
use tests::programs::asm::{Asm, op};

use super::super::{Attacker, field::Field};

pub(super) struct SharedSlot;

impl Attacker for SharedSlot {
    fn name(&self) -> &'static str {
        "shared_slot"
    }

    fn claim(&self) -> &'static str {
        "one write does not void many operations at once (STO)"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let other = field.account(V0_8, &hex!("5f545f5260205ff3")).await;
            let mut asm = Asm::default();
            asm.number(32)
                .op(op::PUSH0)
                .op(op::PUSH0)
                .op(op::PUSH0)
                .address(other)
                .op(op::GAS)
                .op(op::STATICCALL)
                .op(op::POP);
            asm.number(32).op(op::PUSH0).op(op::RETURN);
            let code = asm.finish();
            for _ in 0..8 {
                let sender = field.account(V0_8, &code).await;
                let refused = field.try_send(V0_8, &field.operation(sender)).await;
                field.expect(refused.is_err_and(|(code, ..)| code == -32502), "a stranger's slot is refused");
            }
            Vec::new()
        }
        .boxed()
    }
}
