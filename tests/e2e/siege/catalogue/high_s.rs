//! Authorizations that a chain skips: with a high s, for another chain, for a nonce that is over.

use alloy::eips::eip7702::SignedAuthorization;
use alloy::primitives::{B256, U256, hex};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{Field, YES},
};

pub(super) struct HighS;

impl Attacker for HighS {
    fn name(&self) -> &'static str {
        "high_s"
    }

    fn claim(&self) -> &'static str {
        "an authorization that sets no code is not taken, let alone sent"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let delegate = field.account(V0_8, &YES).await;
            let order = U256::from_be_bytes(hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));
            for wrong in 0..3 {
                let op = field.delegated(delegate).await;
                let auth = op.eip7702_auth.clone().unwrap();
                let (mut inner, r, s, parity) = (auth.inner().clone(), auth.r(), auth.s(), auth.y_parity());
                let auth = match wrong {
                    0 => SignedAuthorization::new_unchecked(inner, 1 - parity, r, order - s),
                    1 => {
                        inner.chain_id = U256::from(1);
                        SignedAuthorization::new_unchecked(inner, parity, r, s)
                    }
                    _ => {
                        inner.nonce = 7;
                        SignedAuthorization::new_unchecked(inner, parity, r, s)
                    }
                };
                let taken = field.send(V0_8, &UserOperation { eip7702_auth: Some(auth), ..op }).await;
                field.expect(taken.is_none(), "such an authorization is refused");
            }
            Vec::new()
        }
        .boxed()
    }
}
