//! Accounts that let their own windows run out, with the same honest paymaster.

use alloy::primitives::{Address, B256, U256, hex, keccak256};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{self, Field, PAYS, YES},
};

/// `return nonce >> 64 << 160`: the window is in the nonce key.
const ECHO: [u8; 15] = hex!("60843560401c60a01b5f5260205ff3");

pub(super) struct LetRunOut;

impl Attacker for LetRunOut {
    fn name(&self) -> &'static str {
        "let_run_out"
    }

    fn claim(&self) -> &'static str {
        "what fails for its account alone costs its paymaster no reputation"
    }

    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            let payer = Address::from_word(keccak256("a paymaster that is named in vain"));
            if round == 0 {
                field.place(V0_8, payer, &PAYS).await;
            }
            let second = field::number(&field.head().await["timestamp"]).to::<u64>();
            for _ in 0..8 {
                let sender = field.account(V0_8, &ECHO).await;
                let nonce = U256::from(field.salt() + 1) << 160 | U256::from(second + 16) << 64;
                field.send(V0_8, &UserOperation { nonce, ..field.sponsored(V0_8, sender, payer) }).await;
            }
            field.leap(20);
            field.seal().await;
            field.turn(&[]).await;
            let sender = field.account(V0_8, &YES).await;
            let taken = field.send(V0_8, &field.sponsored(V0_8, sender, payer)).await;
            field.expect(taken.is_some(), "others still may name that paymaster");
            taken.into_iter().collect()
        }
        .boxed()
    }
}
