//! Operations whose nonces begin with the second, and the first never comes.

use alloy::primitives::{B256, U256};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct NonceGap;

impl Attacker for NonceGap {
    fn name(&self) -> &'static str {
        "nonce_gap"
    }

    fn claim(&self) -> &'static str {
        "what can never be executed takes nobody's place"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            for _ in 0..4 {
                let op = field.operation(field.account(V0_8, &YES).await);
                for sequence in 1..4 {
                    field.send(V0_8, &UserOperation { nonce: op.nonce + U256::from(sequence), ..op.clone() }).await;
                }
            }
            Vec::new()
        }
        .boxed()
    }
}
