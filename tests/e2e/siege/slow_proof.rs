//! An operation whose call burns all gas there is between reads that each depend on the one before: with each of them its whole
//! bundle is executed anew. It is never mined, and pays nothing.

use std::time::{Duration, Instant};

use alloy::primitives::{B256, Bytes, U256, keccak256};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use tests::programs::asm::{Asm, op};

use super::{
    codes,
    field::{Field, Sent},
};

/// Slots of the chain that is followed.
const CHAIN: u64 = 200;

/// Agrees; called, it follows a chain of its slots, and burns much in between.
fn follower() -> Bytes {
    let mut asm = Asm::default();
    let (asked, next, burn) = (asm.label(), asm.label(), asm.label());
    asm.op(op::PUSH0).op(op::CALLDATALOAD).number(224).op(op::SHR);
    asm.push(U256::from_be_slice(&V0_8.selectors().validate_user_op)).op(op::EQ).jump_if(asked);
    // Where it begins.
    asm.number(1).place(next).op(op::SLOAD).number(40);
    asm.place(burn);
    asm.raw(&[op::JUMPDEST; 1_000]);
    // One less, until none is left.
    asm.number(1).raw(&[0x90]).op(op::SUB).op(op::DUP1).jump_if(burn).op(op::POP);
    asm.number(1).jump_if(next).op(op::STOP);
    asm.place(asked);
    codes::AGREE(&mut asm);
    asm.finish()
}

/// How long it takes until all of these are in transactions that nodes have, on one head.
async fn until_sent(field: &Field, honest: &[Sent]) -> Duration {
    let begun = Instant::now();
    loop {
        let mut left = 0;
        for sent in honest {
            left += usize::from(field.status(sent.hash).await["status"] == "pending");
        }
        if left == 0 || begun.elapsed() > Duration::from_secs(120) {
            return begun.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_proven_holds_the_others_up_for_no_longer_than_a_block() {
    let field = Field::new().await;
    let mut took = Vec::new();
    for count in [0, 1, 3] {
        field.bundling("manual").await;
        let mut his: Vec<B256> = Vec::new();
        for _ in 0..count {
            let sender = field.account(V0_8, &follower()).await;
            let mut slot = U256::ONE;
            for _ in 0..CHAIN {
                let then = U256::from_be_bytes(keccak256(slot.to_be_bytes::<32>()).0);
                field.store(sender, slot, then).await;
                slot = then;
            }
            let op = UserOperation {
                call_data: vec![1; 4].into(),
                call_gas_limit: 10_000_000,
                max_priority_fee_per_gas: 3_100_000_000,
                ..field.operation(sender)
            };
            his.extend(field.send(V0_8, &op).await);
        }
        field.seal().await;
        field.turn(&[]).await;
        let honest = field.honest_round().await;
        let pid = field.stack.node.pid().unwrap();
        let cpu = tests::process::cpu_time(pid).unwrap();
        field.bundling("auto").await;
        let time = until_sent(&field, &honest).await;
        for hash in &his {
            println!("  {}", field.status(*hash).await);
        }
        let cpu = tests::process::cpu_time(pid).unwrap() - cpu;
        println!("{} beside them: {time:?} until honest ones were sent, {cpu:?} of a core", his.len());
        took.push(time);
        for _ in 0..3 {
            field.seal().await;
            field.turn(&[]).await;
        }
        field.rest().await;
    }
    assert!(took.iter().all(|time| *time < took[0] + Duration::from_millis(600)), "{took:?}: three blocks are 600 ms");
}
