//! Windows that open with the block to come, in seconds and in blocks (v0.9).

use alloy::primitives::{B256, U256, hex};
use erc4337::{EntryPointVersion::V0_9, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{Attacker, field::Field};

/// `return nonce >> 64 << 160`, of the operation that is the first argument: the window is in the nonce key.
const ECHO: [u8; 15] = hex!("60843560401c60a01b5f5260205ff3");
/// Says that a bound is a block number.
const BY_BLOCK: u64 = 1 << 47;

pub(super) struct BlockRanges;

impl Attacker for BlockRanges {
    fn name(&self) -> &'static str {
        "block_ranges"
    }

    fn claim(&self) -> &'static str {
        "what is taken before its window opens is executed when it has opened, and disagrees with no node"
    }

    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            let sender = field.account(V0_9, &ECHO).await;
            let number = |value| serde_json::from_value::<U256>(value).unwrap().to::<u64>();
            let head = field.head().await;
            let (height, second) = (number(head["number"].clone()), number(head["timestamp"].clone()));
            let mut taken = Vec::new();
            for (after, until) in [
                (second, second + 3_600),
                (second + 1, second + 3_600),
                (BY_BLOCK | height, BY_BLOCK | (height + 4_000)),
                (BY_BLOCK | (height + 3), BY_BLOCK | (height + 4_000)),
            ] {
                let nonce = U256::from(round + 1) << 160 | U256::from(after) << 112 | U256::from(until) << 64;
                let op = UserOperation { nonce, ..field.operation(sender) };
                taken.push(field.send(V0_9, &op).await.expect("it opens soon"));
            }
            taken
        }
        .boxed()
    }
}
