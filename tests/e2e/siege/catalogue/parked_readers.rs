//! Operations that can never go, as they offer what the base fee was, each resting on hundreds of its account's own slots:
//! what do they cost the chain's node with each block?

use alloy::primitives::B256;
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker, codes,
    field::{BASE_FEE, Field},
};

pub(super) struct ParkedReaders;

impl ParkedReaders {
    async fn asked(field: &Field) -> u64 {
        let methods = || field.proxy.methods();
        let before = methods();
        for _ in 0..10 {
            field.seal().await;
            field.turn(&[]).await;
        }
        let now = methods();
        println!("  {now:?} {before:?}");
        now.values().sum::<u64>() - before.values().sum::<u64>()
    }
}

impl Attacker for ParkedReaders {
    fn name(&self) -> &'static str {
        "parked_readers"
    }

    fn claim(&self) -> &'static str {
        "state that is carried is bounded by use and by age"
    }

    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            if round > 0 {
                return Vec::new();
            }
            let before = Self::asked(field).await;
            let code = codes::validating(V0_8, |asm| {
                for slot in 256..656 {
                    asm.number(slot).op(0x54).op(0x50);
                }
            });
            let mut taken = 0;
            for _ in 0..5 {
                let sender = field.account(V0_8, &code).await;
                let op = UserOperation {
                    max_fee_per_gas: BASE_FEE.into(),
                    max_priority_fee_per_gas: BASE_FEE.into(),
                    verification_gas_limit: 1_500_000,
                    ..field.operation(sender)
                };
                taken += usize::from(field.send_at_the_least(V0_8, &op).await.is_some());
            }
            field.set_base_fee(2 * BASE_FEE);
            for _ in 0..20 {
                field.seal().await;
                field.turn(&[]).await;
            }
            let after = Self::asked(field).await;
            println!("  {taken} parked: {before} questions in ten blocks before, {after} after");
            field.set_base_fee(BASE_FEE);
            field.expect(after < before + 100, &format!("{after} questions in ten blocks, {before} before"));
            Vec::new()
        }
        .boxed()
    }

    fn mixes(&self) -> bool {
        false
    }
}
