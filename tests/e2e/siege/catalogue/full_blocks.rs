//! Others fill every block, and operations of ours run out of time meanwhile.

use alloy::primitives::{B256, U256, hex};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{self, Field},
};

pub(super) struct FullBlocks;

impl Attacker for FullBlocks {
    fn name(&self) -> &'static str {
        "full_blocks"
    }

    fn claim(&self) -> &'static str {
        "what has run out of time leaves its bundle before that is signed again"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let second = field::number(&field.head().await["timestamp"]).to::<u64>();
            for _ in 0..2 {
                let sender = field.account(V0_8, &hex!("60843560401c60a01b5f5260205ff3")).await;
                let nonce = U256::from(field.salt() + 1) << 160 | U256::from(second + 16) << 64;
                field.send(V0_8, &UserOperation { nonce, ..field.operation(sender) }).await;
            }
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            field.fill(39_990_000).await;
            field.leap(2);
        }
        .boxed()
    }

    fn lets_others_pass(&self) -> bool {
        false
    }

    fn mixes(&self) -> bool {
        false
    }
}
