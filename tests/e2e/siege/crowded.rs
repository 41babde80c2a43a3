//! A full mempool: who offers a tip, and who only says that he does.

use erc4337::{EntryPointVersion::V0_8, UserOperation};

use super::field::{BASE_FEE, Field, YES};

/// Ten gwei: more than honest users offer beside it.
const HIGH: u64 = 10 * BASE_FEE;

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_no_tip_pushes_nothing_out_that_leaves_one() {
    let field = Field::with(&["--max-mempool", "8"]).await;
    field.set_base_fee(HIGH);
    for _ in 0..3 {
        field.seal().await;
        field.turn(&[]).await;
    }
    field.bundling("manual").await;
    let honest = field.honest_round().await;
    let mut taken = 0;
    for _ in 0..8 {
        let sender = field.account(V0_8, &YES).await;
        // The base fee, and nothing beside it: whatever the second number says.
        let op = UserOperation {
            max_fee_per_gas: HIGH.into(),
            max_priority_fee_per_gas: HIGH.into(),
            ..field.operation(sender)
        };
        taken += usize::from(field.send(V0_8, &op).await.is_some());
    }
    let mut lost = Vec::new();
    for sent in &honest {
        let status = field.status(sent.hash).await;
        if status["status"] == "dropped" {
            lost.push(status.to_string());
        }
    }
    println!("{taken} taken that leave no tip; {} of {} honest ones dropped: {lost:?}", lost.len(), honest.len());
    assert!(lost.is_empty(), "{lost:?}");
}
