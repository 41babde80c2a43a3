//! Eight fresh accounts at once that each void their operation in the block that it is in, and take that back in it.

use std::sync::Mutex;

use alloy::primitives::{Address, B256};
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};

use super::super::{Attacker, codes, field::Field};

static SENDERS: Mutex<Vec<Address>> = Mutex::new(Vec::new());

/// In each round.
const CROWD: usize = 8;

pub(super) struct SameBlockCrowd;

impl Attacker for SameBlockCrowd {
    fn name(&self) -> &'static str {
        "same_block_crowd"
    }

    fn claim(&self) -> &'static str {
        "two reverted transactions for each fresh account at the most, and honest operations four blocks later"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let mut senders = Vec::new();
            for _ in 0..CROWD {
                let sender = field.account(V0_8, &codes::switched(V0_8, false)).await;
                field.send(V0_8, &field.operation(sender)).await;
                senders.push(sender);
            }
            *SENDERS.lock().unwrap() = senders;
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            let senders = SENDERS.lock().unwrap().clone();
            field.flicker(&senders).await;
        }
        .boxed()
    }

    fn named(&self, rounds: u64) -> Option<super::super::report::Named> {
        Some(super::super::report::Named {
            // Halving tries some of them twice.
            transactions: 3 * CROWD * usize::try_from(rounds).unwrap_or_default() / 2,
            later: [3, 4],
            why: "one or two for each fresh account",
        })
    }
}
