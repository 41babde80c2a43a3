//! EIP-7702 operations, to a node that does not take their type of transaction.

use alloy::{
    eips::eip7702::Authorization,
    primitives::{B256, U256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use erc4337::{EntryPointVersion::V0_8, Initializer, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct BurnedType;

impl Attacker for BurnedType {
    fn name(&self) -> &'static str {
        "burned_type"
    }

    fn claim(&self) -> &'static str {
        "an authorization that makes its bundle's transaction of a type that nodes refuse takes no other operation down"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.proxy.harden(|hard| {
                hard.types = vec![4];
                hard.words = "transaction type not supported".into();
            });
            let (delegate, key) = (field.account(V0_8, &YES).await, PrivateKeySigner::random());
            // A deposit, and no code yet.
            field.place(V0_8, key.address(), &[]).await;
            let chain_id = U256::from(field.stack.deployment.chain_id);
            let inner = Authorization { chain_id, address: delegate, nonce: 0 };
            let signature = key.sign_hash_sync(&inner.signature_hash()).unwrap();
            let op = UserOperation {
                initializer: Some(Initializer::Eip7702 { data: Default::default() }),
                eip7702_auth: Some(inner.into_signed(signature)),
                ..field.operation(key.address())
            };
            field.send(V0_8, &op).await;
            Vec::new()
        }
        .boxed()
    }
}
