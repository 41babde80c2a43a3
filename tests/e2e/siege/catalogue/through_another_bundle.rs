//! An account in one bundle that voids, by its call and only on chain, what is in the bundle after it in the same block.

use std::sync::Mutex;

use alloy::primitives::{Address, B256};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};
use tests::programs::asm::{Asm, op};

use super::super::{Attacker, codes, field::Field};

static LATE: Mutex<Vec<(Address, Vec<B256>)>> = Mutex::new(Vec::new());

pub(super) struct ThroughAnotherBundle;

/// When called, and flagged: sets the first slot of these.
fn voiding(targets: &[Address]) -> alloy::primitives::Bytes {
    let mut asm = Asm::default();
    let (asked, yes) = (asm.label(), asm.label());
    asm.op(op::PUSH0).op(op::CALLDATALOAD).number(224).op(op::SHR);
    asm.push(alloy::primitives::U256::from_be_slice(&V0_8.selectors().validate_user_op)).op(op::EQ).jump_if(asked);
    asm.op(op::PUSH0).op(op::SLOAD).jump_if(yes).op(op::STOP).place(yes);
    asm.number(1).op(op::PUSH0).op(op::MSTORE);
    for target in targets {
        asm.op(op::PUSH0)
            .op(op::PUSH0)
            .number(32)
            .op(op::PUSH0)
            .op(op::PUSH0)
            .address(*target)
            .op(op::GAS)
            .op(op::CALL);
        asm.op(op::POP);
    }
    asm.op(op::STOP).place(asked);
    codes::AGREE(&mut asm);
    asm.finish()
}

impl Attacker for ThroughAnotherBundle {
    fn name(&self) -> &'static str {
        "through_another_bundle"
    }

    fn claim(&self) -> &'static str {
        "what one bundle does to the next of its block on chain alone, it does once for each fresh account"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.flag(false).await;
            let mut voided = Vec::new();
            for _ in 0..4 {
                voided.push(field.account(V0_8, &codes::switched(V0_8, false)).await);
            }
            let first = field.account(V0_8, &voiding(&voided)).await;
            field.flagged.lock().unwrap().push(first);
            let op = UserOperation { call_data: vec![1; 4].into(), call_gas_limit: 200_000, ..field.operation(first) };
            field.bundling("auto").await;
            let hash = field.send(V0_8, &op).await.unwrap();
            field.turn(&[hash]).await;
            field.bundling("manual").await;
            for late in &voided {
                let hash = field.send(V0_8, &field.operation(*late)).await;
                LATE.lock().unwrap().push((*late, hash.into_iter().collect()));
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

    fn named(&self, rounds: u64) -> Option<super::super::report::Named> {
        Some(super::super::report::Named {
            transactions: usize::try_from(rounds).unwrap_or_default(),
            later: super::super::report::LATER,
            why: "one for each fresh account that does it, and pays for its own",
        })
    }
}
