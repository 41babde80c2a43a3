//! Calls that burn their gas at another coinbase, price or height than their bundle was proven at.

use alloy::primitives::{Address, B256};
use erc4337::{EntryPointVersion, UserOperation};
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;

use super::super::{Attacker, codes, field::Field};

pub(super) struct OtherEnvironment;

impl Attacker for OtherEnvironment {
    fn name(&self) -> &'static str {
        "other_environment"
    }

    fn claim(&self) -> &'static str {
        "no bundle reverts for being mined in another block than it was proven in"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            field.ask("anvil_setCoinbase", vec![json!(Address::ZERO)]).await;
            for version in EntryPointVersion::ALL {
                for when in [codes::COINBASE, codes::DEAR, codes::ODD_BLOCK, codes::ODD_SECOND] {
                    let sender =
                        field.account(version, &codes::account(version, codes::AGREE, when, codes::BURST)).await;
                    let op = UserOperation { call_gas_limit: 60_000, ..field.operation(sender) };
                    field.send_at_the_least(version, &op).await;
                }
            }
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            field.ask("anvil_setCoinbase", vec![json!(Address::repeat_byte(0xcb))]).await;
            field.set_base_fee(2_200_000_000);
        }
        .boxed()
    }
}
