//! One account, without a stake, that voids its operation in the block that this is in, takes that back in the same block, and
//! sends another when it is told that the first is gone.

use std::sync::Mutex;

use alloy::primitives::{Address, B256, keccak256};
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};

use super::super::{Attacker, codes, field::Field};

static SENT: Mutex<(usize, Option<B256>)> = Mutex::new((0, None));

fn sender() -> Address {
    Address::from_word(keccak256("one account that never pays"))
}

pub(super) struct PaidByNobodyAgain;

impl Attacker for PaidByNobodyAgain {
    fn name(&self) -> &'static str {
        "paid_by_nobody_again"
    }

    fn claim(&self) -> &'static str {
        "who has his bundle reverted is alone in it after a few, and is tried more and more seldom"
    }

    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            if round == 0 {
                field.place(V0_8, sender(), &codes::switched(V0_8, false)).await;
                let hash = field.send(V0_8, &field.operation(sender())).await;
                *SENT.lock().unwrap() = (1, hash);
            }
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            let (count, last) = *SENT.lock().unwrap();
            if let Some(last) = last
                && field.status(last).await["status"] == "dropped"
            {
                let hash = field.send(V0_8, &field.operation(sender())).await;
                *SENT.lock().unwrap() = (count + 1, hash);
            }
            field.flicker(&[sender()]).await;
        }
        .boxed()
    }

    fn aftermath<'a>(&'a self, _: &'a Field) -> BoxFuture<'a, Result<(), String>> {
        async {
            println!("  {} operations of one account", SENT.lock().unwrap().0);
            Ok(())
        }
        .boxed()
    }

    fn named(&self, _: u64) -> Option<super::super::report::Named> {
        Some(super::super::report::Named {
            // One operation: in its first bundle, and twice alone.
            transactions: 8,
            later: super::super::report::LATER,
            why: "one account: in a bundle with others, alone twice, then more and more seldom",
        })
    }
}
