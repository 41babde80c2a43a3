//! Validations that revert with nothing or run out of gas, and calls that do.

use alloy::primitives::B256;
use erc4337::{EntryPointVersion, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{Attacker, codes, field::Field};

pub(super) struct SilentReverts;

impl Attacker for SilentReverts {
    fn name(&self) -> &'static str {
        "silent_reverts"
    }

    fn claim(&self) -> &'static str {
        "an empty revert is no want of gas, nor the reverse: what is refused says which"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            for version in EntryPointVersion::ALL {
                for first in [codes::EMPTY_REVERT, codes::BURN] {
                    let sender = field.account(version, &codes::validating(version, first)).await;
                    let refused = field.try_send(version, &field.operation(sender)).await;
                    let says = refused
                        .as_ref()
                        .err()
                        .is_some_and(|(code, message, _)| *code == -32500 && message.contains("AA23"));
                    field.expect(says, "a validation that reverts is AA23");
                }
                for does in [codes::EMPTY_REVERT, codes::BURN] {
                    let code = codes::account(version, codes::AGREE, codes::ALWAYS, does);
                    let sender = field.account(version, &code).await;
                    let op = UserOperation { call_gas_limit: 50_000, ..field.operation(sender) };
                    field.send_at_the_least(version, &op).await;
                }
            }
            Vec::new()
        }
        .boxed()
    }
}
