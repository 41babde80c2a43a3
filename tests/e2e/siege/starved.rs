//! Operations that have to be validated again with each block and never go, before an honest one that has to be once.

use std::time::{Duration, Instant};

use alloy::primitives::U256;
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use serde_json::json;
use tests::programs::asm::op;

use super::{
    codes,
    field::{BASE_FEE, Field, YES},
};

/// Its own first slot.
const READS: codes::Does = |asm| {
    asm.op(op::PUSH0).op(op::SLOAD).op(op::POP);
};
/// Operations that wait for ever.
const PARKED: usize = 1_200;

/// Blocks of 200 ms until an honest operation is executed whose account has got a wei meanwhile, beside so many.
async fn blocks(field: &Field, parked: usize) -> (u64, Duration) {
    let code = codes::validating(V0_8, READS);
    field.bundling("manual").await;
    let (mut taken, mut senders) = (0, Vec::new());
    for _ in 0..parked / 4 {
        let sender = field.account(V0_8, &code).await;
        for _ in 0..4 {
            let op = UserOperation {
                max_fee_per_gas: BASE_FEE.into(),
                max_priority_fee_per_gas: BASE_FEE.into(),
                ..field.operation(sender)
            };
            taken += usize::from(field.send(V0_8, &op).await.is_some());
        }
        senders.push(sender);
    }
    field.set_base_fee(2 * BASE_FEE);
    field.seal().await;
    field.turn(&[]).await;
    let honest = field.account(V0_8, &YES).await;
    let hash = field.send(V0_8, &field.operation(honest)).await.unwrap();
    field.ask("anvil_setBalance", vec![json!(honest), json!("0x1")]).await;
    field.bundling("auto").await;
    let begun = Instant::now();
    for made in 0..150 {
        let each = senders.iter().map(|sender| field.store(*sender, U256::ZERO, U256::from(made + 1)));
        futures::future::join_all(each).await;
        field.seal().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        if field.status(hash).await["status"] == "included" {
            println!("{taken} parked: {made} blocks, {:?}", begun.elapsed());
            return (made, begun.elapsed());
        }
    }
    println!("{taken} parked: never, {}", field.status(hash).await);
    (150, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_operation_is_validated_again_whoever_waits_before_it() {
    let field = Field::new().await;
    let (calm, _) = blocks(&field, 0).await;
    field.rest().await;
    field.set_base_fee(BASE_FEE);
    field.rest().await;
    let (beside, _) = blocks(&field, PARKED).await;
    assert!(beside <= calm + 3, "{beside} blocks, {calm} without them");
}
