//! One operation that is replaced again and again, always with the same honest paymaster.

use alloy::primitives::{Address, B256, keccak256};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, PAYS, YES},
};

pub(super) struct Replacements;

impl Attacker for Replacements {
    fn name(&self) -> &'static str {
        "replacements"
    }

    fn claim(&self) -> &'static str {
        "a nonce counts once for its entities, however often it is replaced"
    }

    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            let payer = Address::from_word(keccak256("a paymaster that everybody uses"));
            if round == 0 {
                field.place(V0_8, payer, &PAYS).await;
            }
            let (sender, honest) = (field.account(V0_8, &YES).await, field.account(V0_8, &YES).await);
            let first = field.sponsored(V0_8, sender, payer);
            let mut fee = 5_000_000_000;
            for _ in 0..40 {
                let op = UserOperation { max_fee_per_gas: fee, max_priority_fee_per_gas: fee, ..first.clone() };
                field.send(V0_8, &op).await;
                fee += fee / 9;
            }
            // And the last names nobody else any more.
            let last = UserOperation { max_fee_per_gas: fee, max_priority_fee_per_gas: fee, paymaster: None, ..first };
            field.send(V0_8, &last).await;
            let taken = field.send(V0_8, &field.sponsored(V0_8, honest, payer)).await;
            field.expect(taken.is_some(), "others still may name that paymaster");
            taken.into_iter().collect()
        }
        .boxed()
    }
}
