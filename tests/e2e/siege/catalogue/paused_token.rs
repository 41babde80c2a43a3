//! A token whose policy or pause is turned between the validation of a paymaster and its postOp.

use alloy::primitives::{B256, U256, hex};
use erc4337::EntryPointVersion::{V0_7, V0_8, V0_9};
use futures::{FutureExt, future::BoxFuture};
use tests::programs::asm::{Asm, op};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct PausedToken;

impl Attacker for PausedToken {
    fn name(&self) -> &'static str {
        "paused_token"
    }

    fn claim(&self) -> &'static str {
        "what a paymaster is not paid back by a token is the paymaster's loss"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.flag(false).await;
            for version in [V0_7, V0_8, V0_9] {
                // Reverts while it is flagged.
                let token = field.account(version, &hex!("5f54600657005b5f5ffd")).await;
                field.flagged.lock().unwrap().push(token);
                let mut asm = Asm::default();
                let (asked, well) = (asm.label(), asm.label());
                asm.op(op::PUSH0).op(op::CALLDATALOAD).number(224).op(op::SHR);
                let selector = version.selectors().validate_paymaster_user_op;
                asm.push(U256::from_be_slice(&selector)).op(op::EQ).jump_if(asked);
                for _ in 0..5 {
                    asm.op(op::PUSH0);
                }
                asm.address(token).op(op::GAS).op(op::CALL).jump_if(well).op(op::PUSH0).op(op::PUSH0).op(op::REVERT);
                asm.place(well).op(op::STOP).place(asked);
                asm.number(64).op(op::PUSH0).op(op::MSTORE).number(32).number(64).op(op::MSTORE);
                asm.number(128).op(op::PUSH0).op(op::RETURN);
                let (sender, payer) = (field.account(version, &YES).await, field.staked(version, &asm.finish()).await);
                let taken = field.send_at_the_least(version, &field.sponsored(version, sender, payer)).await;
                field.expect(taken.is_some(), "it is taken as long as the token works");
            }
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
