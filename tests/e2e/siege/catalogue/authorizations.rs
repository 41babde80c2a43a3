//! EIP-7702 operations at no more than they are asked for, on a day on which L1 is dear.

use alloy::primitives::B256;
use bundler::l1_fee::L1Prices;
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, USUAL, YES},
};

pub(super) struct Authorizations;

impl Attacker for Authorizations {
    fn name(&self) -> &'static str {
        "authorizations"
    }

    fn claim(&self) -> &'static str {
        "an authorization is paid for as what it is: bytes on L1, and gas beside the bundle's"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.set_prices(&L1Prices { base_fee: 1_000_000_000_000, blob_base_fee: 100_000_000_000, ..USUAL }).await;
            field.seal().await;
            field.turn(&[]).await;
            let delegate = field.account(V0_8, &YES).await;
            for _ in 0..3 {
                let op = field.delegated(delegate).await;
                let op = UserOperation { pre_verification_gas: 1_000, max_fee_per_gas: 4_000_000_000, ..op };
                field.send_at_the_least(V0_8, &op).await;
            }
            Vec::new()
        }
        .boxed()
    }
}
