//! One staked paymaster that voids all it has agreed to in the block that it is in, and takes that back in the same block.

use std::sync::Mutex;

use alloy::primitives::{Address, B256};
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker, codes,
    field::{Field, YES},
};

static PAYER: Mutex<Option<Address>> = Mutex::new(None);

pub(super) struct FlickeringPaymaster;

impl Attacker for FlickeringPaymaster {
    fn name(&self) -> &'static str {
        "flickering_paymaster"
    }

    fn claim(&self) -> &'static str {
        "what an attacker costs is bounded by one transaction for each fresh staked entity"
    }

    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            if round == 0 {
                let payer = field.staked(V0_8, &codes::switched(V0_8, true)).await;
                *PAYER.lock().unwrap() = Some(payer);
            }
            let payer = PAYER.lock().unwrap().unwrap();
            for _ in 0..6 {
                let sender = field.account(V0_8, &YES).await;
                field.send(V0_8, &field.sponsored(V0_8, sender, payer)).await;
            }
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            let payer = PAYER.lock().unwrap().unwrap();
            field.flicker(&[payer]).await;
        }
        .boxed()
    }

    fn named(&self, rounds: u64) -> Option<super::super::report::Named> {
        Some(super::super::report::Named {
            // One block of bundles of six in halves; then one at a time, after a while from the fourth on.
            transactions: 12 + usize::try_from(rounds).unwrap_or_default(),
            later: super::super::report::LATER,
            why: "one staked paymaster: more and more seldom",
        })
    }
}
