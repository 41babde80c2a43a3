//! Paymasters whose answer rests on a nested mapping, as Permit2's allowances do.

use alloy::primitives::{B256, U256, hex, keccak256};
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};
use tests::programs::asm::{Asm, op};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct NestedMappings;

impl Attacker for NestedMappings {
    fn name(&self) -> &'static str {
        "nested_mappings"
    }

    fn claim(&self) -> &'static str {
        "what one write of a stranger's voids for many is not taken of unstaked paymasters (STO)"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            // Answers with the slot that it is asked for.
            let token = field.account(V0_8, &hex!("5f35545f5260205ff3")).await;
            let mut first = Asm::default();
            let slot =
                keccak256([token.into_word(), keccak256([B256::ZERO, B256::with_last_byte(1)].concat())].concat());
            first.push(U256::from_be_bytes(slot.0)).op(op::PUSH0).op(op::MSTORE);
            first
                .op(op::PUSH0)
                .op(op::PUSH0)
                .number(32)
                .op(op::PUSH0)
                .address(token)
                .op(op::GAS)
                .op(op::STATICCALL)
                .op(op::POP);
            let pays = [&first.finish()[..], &hex!("60405f525f60405260605ff3")].concat();
            for _ in 0..2 {
                let (sender, payer) = (field.account(V0_8, &YES).await, field.account(V0_8, &pays).await);
                let refused = field.try_send(V0_8, &field.sponsored(V0_8, sender, payer)).await;
                field.expect(refused.is_err_and(|(code, ..)| code == -32502), "a stranger's slot is refused");
            }
            Vec::new()
        }
        .boxed()
    }
}
