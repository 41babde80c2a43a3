//! A replacement that names a paymaster of which nothing is taken.

use alloy::primitives::B256;
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;

use super::super::{
    Attacker,
    field::{Field, PAYS, YES},
};

pub(super) struct BannedByReplacement;

impl Attacker for BannedByReplacement {
    fn name(&self) -> &'static str {
        "banned_by_replacement"
    }

    fn claim(&self) -> &'static str {
        "who is banned does not come in through a replacement (GREP-010)"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let (sender, payer) = (field.account(V0_8, &YES).await, field.account(V0_8, &PAYS).await);
            let banned = json!([{ "address": payer, "opsSeen": "0x2710", "opsIncluded": "0x0" }]);
            field.stack.node.ask("debug_bundler_setReputation", vec![banned]).await.unwrap();
            let first = field.operation(sender);
            field.send(V0_8, &first).await;
            let other = field.sponsored(V0_8, sender, payer);
            let fee = 2 * first.max_fee_per_gas;
            let op = UserOperation { nonce: first.nonce, max_fee_per_gas: fee, max_priority_fee_per_gas: fee, ..other };
            let refused = field.try_send(V0_8, &op).await;
            field.expect(refused.is_err_and(|(code, ..)| code == -32504), "a banned paymaster is refused");
            Vec::new()
        }
        .boxed()
    }
}
