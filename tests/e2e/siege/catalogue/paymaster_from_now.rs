//! Paymasters that are valid from the head's own second on, in every EntryPoint.

use alloy::primitives::{B256, U256, hex};
use erc4337::{EntryPointVersion, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{self, Field, YES},
};

/// Pays for all within the window that is in the nonce key: `nonce >> 64 << 160`, beside an empty context.
const ECHO: [u8; 20] = hex!("60405f5260843560401c60a01b60205260605ff3");

pub(super) struct PaymasterFromNow;

impl Attacker for PaymasterFromNow {
    fn name(&self) -> &'static str {
        "paymaster_from_now"
    }

    fn claim(&self) -> &'static str {
        "what is valid with the block to come is in the block to come"
    }

    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            let second = field::number(&field.head().await["timestamp"]).to::<u64>();
            let mut taken = Vec::new();
            for version in EntryPointVersion::ALL {
                let payer = field.account(version, &ECHO).await;
                for after in [second, second + 1] {
                    let sender = field.account(version, &YES).await;
                    let nonce =
                        U256::from(round + 1) << 160 | U256::from(after) << 112 | U256::from(second + 3_600) << 64;
                    let op = UserOperation { nonce, ..field.sponsored(version, sender, payer) };
                    taken.push(field.send(version, &op).await.expect("it is valid at once"));
                }
            }
            taken
        }
        .boxed()
    }
}
