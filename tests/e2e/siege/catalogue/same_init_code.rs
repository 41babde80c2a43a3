//! Two first operations of one account on different nonce keys, in v0.9; and two that carry one authorization.

use alloy::{
    eips::eip7702::Authorization,
    primitives::{Address, B256, U256, hex},
    signers::{SignerSync, local::PrivateKeySigner},
};
use erc4337::{
    EntryPointVersion::{V0_8, V0_9},
    Initializer, UserOperation,
};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

/// Code that makes an account which answers `0` to everything.
const INIT: [u8; 12] = hex!("6360205ff35f526004601cf3");
/// A factory of such accounts, whose salt is the first word of its data; it answers with the account's address.
const FACTORY: [u8; 29] = hex!("6b6360205ff35f526004601cf35f525f35600c60145ff55f5260205ff3");

pub(super) struct SameInitCode;

impl Attacker for SameInitCode {
    fn name(&self) -> &'static str {
        "same_init_code"
    }

    fn claim(&self) -> &'static str {
        "an operation that another one of its account has come before in deploying or delegating is executed all the same"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            let factory = field.account(V0_9, &FACTORY).await;
            let salt = B256::repeat_byte(7);
            let made: Address = factory.create2_from_code(salt, INIT);
            field.place(V0_9, made, &[]).await;
            let initializer = Some(Initializer::Factory { address: factory, data: salt.into() });
            let mut taken = Vec::new();
            for _ in 0..2 {
                let op = UserOperation { initializer: initializer.clone(), ..field.operation(made) };
                taken.extend(field.send(V0_9, &op).await);
            }

            let (delegate, key) = (field.account(V0_8, &YES).await, PrivateKeySigner::random());
            field.place(V0_8, key.address(), &[]).await;
            let chain_id = U256::from(field.stack.deployment.chain_id);
            let inner = Authorization { chain_id, address: delegate, nonce: 0 };
            let auth = inner.clone().into_signed(key.sign_hash_sync(&inner.signature_hash()).unwrap());
            for _ in 0..2 {
                let op = UserOperation {
                    initializer: Some(Initializer::Eip7702 { data: Default::default() }),
                    eip7702_auth: Some(auth.clone()),
                    ..field.operation(key.address())
                };
                taken.extend(field.send(V0_8, &op).await);
            }
            assert_eq!(taken.len(), 4, "each is taken");
            taken
        }
        .boxed()
    }
}
