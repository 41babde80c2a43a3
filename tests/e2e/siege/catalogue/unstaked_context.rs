//! Paymasters without a stake that want to be called again after the call.

use alloy::primitives::B256;
use erc4337::EntryPointVersion;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker, codes,
    field::{Field, YES},
};

pub(super) struct UnstakedContext;

impl Attacker for UnstakedContext {
    fn name(&self) -> &'static str {
        "unstaked_context"
    }

    fn claim(&self) -> &'static str {
        "a context is for staked paymasters (EREP-050)"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            for version in EntryPointVersion::ALL {
                let code = codes::paymaster(version, 32, codes::FLAGGED, codes::BURN);
                let (sender, payer) = (field.account(version, &YES).await, field.account(version, &code).await);
                let refused = field.try_send(version, &field.sponsored(version, sender, payer)).await;
                let named = refused.is_err_and(|(_, message, _)| message.contains("EREP-050"));
                field.expect(named, "a context of an unstaked paymaster is refused");
            }
            Vec::new()
        }
        .boxed()
    }
}
