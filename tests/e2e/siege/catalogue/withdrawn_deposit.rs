//! Paymasters that take their deposit back after their operations were taken.

use alloy::primitives::{B256, U256};
use erc4337::EntryPointVersion;
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, PAYS, YES},
};

pub(super) struct WithdrawnDeposit;

impl Attacker for WithdrawnDeposit {
    fn name(&self) -> &'static str {
        "withdrawn_deposit"
    }

    fn claim(&self) -> &'static str {
        "who cannot pay by the time of the bundle is in none"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            for version in EntryPointVersion::ALL {
                let (sender, payer) = (field.account(version, &YES).await, field.account(version, &PAYS).await);
                field.send(version, &field.sponsored(version, sender, payer)).await;
                field.set_deposit(version, payer, U256::ZERO, false).await;
            }
            field.seal().await;
            field.turn(&[]).await;
            Vec::new()
        }
        .boxed()
    }
}
