//! Operations of one nonce key, all bytes and hardly any gas, that each pay for their data's floor price (EIP-7623) less what
//! any is metered for at the least; beside one another they are metered for less.

use alloy::primitives::{Address, B256, U256, keccak256};
use erc4337::{EntryPointVersion::V0_9, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, USUAL, YES},
};

pub(super) struct FloorLane;

impl FloorLane {
    fn sender() -> Address {
        Address::from_word(keccak256("all bytes and hardly any gas"))
    }
}

impl Attacker for FloorLane {
    fn name(&self) -> &'static str {
        "floor_lane"
    }

    fn claim(&self) -> &'static str {
        "what is asked of an operation never leaves its bundle below cost"
    }

    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            field.set_prices(&USUAL).await;
            if round == 0 {
                field.place(V0_9, Self::sender(), &YES).await;
            }
            for index in 0..4_u64 {
                let op = field.at_market(field.operation(Self::sender()), 12_000).await;
                let nonce = U256::from(77) << 64 | U256::from(4 * round + index);
                let op = UserOperation { nonce, ..op };
                let taken = field.send_at_the_least(V0_9, &op).await;
                field.expect(taken.is_some(), "it is taken with what it is told to have");
            }
            Vec::new()
        }
        .boxed()
    }
}
