//! Execution that looks at thousands of accounts nobody has looked at before.

use alloy::primitives::{B256, hex};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{Attacker, field::Field};

/// Answers a question for its validity, and else asks for the balance of one address after the other, named by the gas left.
const READER: [u8; 26] = hex!("5f3560e01c6319822f7c146015575b5a3150600e565b60205ff3");

pub(super) struct ManyReads;

impl Attacker for ManyReads {
    fn name(&self) -> &'static str {
        "many_reads"
    }

    fn claim(&self) -> &'static str {
        "a proof that cannot be made is halved, not made again for ever"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let sender = field.account(V0_8, &READER).await;
            let op =
                UserOperation { call_data: vec![1; 4].into(), call_gas_limit: 12_000_000, ..field.operation(sender) };
            field.send(V0_8, &op).await;
            Vec::new()
        }
        .boxed()
    }
}
