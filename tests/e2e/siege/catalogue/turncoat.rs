//! Accounts that change their mind between being taken and being bundled.

use alloy::primitives::B256;
use erc4337::EntryPointVersion;
use futures::{FutureExt, future::BoxFuture};

use super::super::{Attacker, codes, field::Field};

pub(super) struct Turncoat;

impl Attacker for Turncoat {
    fn name(&self) -> &'static str {
        "turncoat"
    }

    fn claim(&self) -> &'static str {
        "what a block has made void since it was taken is in no bundle"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.flag(false).await;
            for version in EntryPointVersion::ALL {
                let code = codes::account(version, codes::AS_FLAGGED, codes::FLAGGED, codes::NOTHING);
                let sender = field.account(version, &code).await;
                field.flagged.lock().unwrap().push(sender);
                field.send(version, &field.operation(sender)).await;
            }
            field.flag(true).await;
            field.seal().await;
            field.turn(&[]).await;
            Vec::new()
        }
        .boxed()
    }
}
