//! Data that no compression makes smaller, at no more than is asked for it, on a day on which L1 is dear.

use alloy::primitives::{B256, keccak256};
use bundler::l1_fee::L1Prices;
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, USUAL, YES},
};

pub(super) struct RandomData;

impl Attacker for RandomData {
    fn name(&self) -> &'static str {
        "random_data"
    }

    fn claim(&self) -> &'static str {
        "what is asked for data on L1 is what it costs there"
    }

    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            if round == 0 {
                field
                    .set_prices(&L1Prices { base_fee: 1_000_000_000_000, blob_base_fee: 100_000_000_000, ..USUAL })
                    .await;
                field.seal().await;
                field.turn(&[]).await;
            }
            for length in [0, 200, 6_000] {
                let sender = field.account(V0_8, &YES).await;
                let words = (0..length)
                    .step_by(32)
                    .flat_map(|word: usize| keccak256([round.to_be_bytes(), word.to_be_bytes()].concat()).0);
                let op = UserOperation {
                    call_data: words.collect::<Vec<_>>().into(),
                    call_gas_limit: 50_000,
                    pre_verification_gas: 1_000,
                    signature: keccak256(sender).repeat(2).into(),
                    max_fee_per_gas: 4_000_000_000,
                    ..field.operation(sender)
                };
                let taken = field.send_at_the_least(V0_8, &op).await;
                field.expect(taken.is_some(), "it is taken with what it is told to have");
            }
            Vec::new()
        }
        .boxed()
    }
}
