//! An operation whose call burns all gas there is between reads that each depend on the one before: with each of them its whole
//! bundle is executed anew. It is never mined, and pays nothing.

use alloy::primitives::{B256, Bytes, U256, keccak256};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use tests::{
    patience::until,
    programs::asm::{Asm, op},
};

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

/// Waits until all of these are in transactions that nodes have, on one head.
async fn until_sent(field: &Field, honest: &[Sent]) {
    until("honest operations are sent", async || {
        for sent in honest {
            if field.status(sent.hash).await["status"] == "pending" {
                return false;
            }
        }
        true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_proven_goes_after_the_others_and_is_read_for_no_more_than_a_few_times() {
    let field = Field::new().await;
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
        let asked = || field.proxy.methods().get("eth_getStorageAt").copied().unwrap_or_default();
        let before = asked();
        field.bundling("auto").await;
        until_sent(&field, &honest).await;
        // Each is found out in the bundle that it shares with them, and is then proven by itself at the most once.
        let most = 60 + 150 * his.len() as u64;
        assert!(asked() - before <= most, "{} values asked of the node beside {count}", asked() - before);
        for hash in &his {
            let reason = field.status(*hash).await["reason"].to_string();
            assert!(reason.contains("values of state would be read"), "{reason}");
        }
        for _ in 0..3 {
            field.seal().await;
            field.turn(&[]).await;
        }
        field.rest().await;
    }
}
