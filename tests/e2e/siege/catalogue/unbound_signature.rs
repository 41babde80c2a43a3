//! One signature that is good at every EntryPoint and on every chain.

use alloy::primitives::{B256, U256};
use erc4337::{EntryPointVersion, EntryPointVersion::V0_7, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct UnboundSignature;

impl Attacker for UnboundSignature {
    fn name(&self) -> &'static str {
        "unbound_signature"
    }

    fn claim(&self) -> &'static str {
        "an operation that is good in two places is two operations, and each pays for itself"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let sender = field.account(V0_7, &YES).await;
            let mut taken = Vec::new();
            let op = UserOperation { signature: vec![7; 65].into(), ..field.operation(sender) };
            for version in EntryPointVersion::ALL {
                field.set_deposit(version, sender, U256::from(10).pow(U256::from(19)), false).await;
                let at_once = field.send(version, &op).await;
                taken.extend(at_once.or(field.send(version, &field.operation(sender)).await));
            }
            field.expect(!taken.is_empty(), "it is good somewhere");
            taken
        }
        .boxed()
    }
}
