//! Validation that looks at the gas left, and does what it likes with it.

use alloy::primitives::B256;
use erc4337::EntryPointVersion;
use futures::{FutureExt, future::BoxFuture};
use tests::programs::asm::op;

use super::super::{Attacker, codes, field::Field};

/// Looks at the gas that is left.
const LOOKS: codes::Does = |asm| {
    asm.op(op::GAS).op(op::POP);
};
/// Looks at it twice.
const COPIES: codes::Does = |asm| {
    asm.op(op::GAS).op(op::DUP1).op(op::POP).op(op::POP);
};

pub(super) struct GasOpcode;

impl Attacker for GasOpcode {
    fn name(&self) -> &'static str {
        "gas_opcode"
    }

    fn claim(&self) -> &'static str {
        "GAS is followed by a call, or the operation is not taken (OP-012)"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            for version in EntryPointVersion::ALL {
                for first in [LOOKS, COPIES] {
                    let sender = field.account(version, &codes::validating(version, first)).await;
                    let refused = field.try_send(version, &field.operation(sender)).await;
                    field.expect(
                        refused.is_err_and(|(code, ..)| code == -32502),
                        "GAS before another opcode is refused",
                    );
                }
            }
            Vec::new()
        }
        .boxed()
    }
}
