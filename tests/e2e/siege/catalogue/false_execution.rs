//! Operations that do not pay for their data any more, and one beside them whose execution, in our proof and only there, makes
//! up for that.

use alloy::primitives::B256;
use bundler::l1_fee::L1Prices;
use erc4337::{
    EntryPointVersion::{self, V0_6, V0_9},
    UserOperation,
};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    codes::{self, Does},
    field::{Field, USUAL, YES},
};

pub(super) struct FalseExecution {
    name: &'static str,
    version: EntryPointVersion,
    /// Wei per blob gas at which the others are taken, and thousandths of the prices of then that data costs when they are sent.
    blob_base_fee: u128,
    dearer: u128,
    /// Bytes of each of the others.
    bytes: u64,
    /// Whether it burns all of its call gas on chain, and does this in the proof; or the reverse.
    burns_on_chain: bool,
    does: Does,
    call_gas_limit: u128,
}

/// It burns so much that calldata is not charged at its floor (EIP-7623).
pub(super) const FLOOR: FalseExecution = FalseExecution {
    name: "false_floor",
    version: V0_9,
    blob_base_fee: 100_000_000_000,
    dearer: 1_250,
    bytes: 12_000,
    burns_on_chain: false,
    does: codes::NOTHING,
    call_gas_limit: 1_000_000,
};

/// It pays more for each gas that it burns than that costs.
pub(super) const MARGIN: FalseExecution =
    FalseExecution { name: "false_margin", version: V0_6, call_gas_limit: 6_000_000, ..FLOOR };

/// It brings gas back.
pub(super) const REFUND: FalseExecution = FalseExecution {
    name: "false_refund",
    version: V0_9,
    blob_base_fee: 300_000_000_000,
    dearer: 1_330,
    bytes: 4_000,
    burns_on_chain: true,
    does: codes::refunded,
    call_gas_limit: 1_400_000,
};

impl Attacker for FalseExecution {
    fn name(&self) -> &'static str {
        self.name
    }

    fn claim(&self) -> &'static str {
        "what does not pay for its data any more waits, and is paid for by nobody"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let version = self.version;
            let dear = L1Prices { base_fee: 300_000_000_000, blob_base_fee: self.blob_base_fee, ..USUAL };
            field.flag(false).await;
            field.set_prices_to(&dear, 1_000).await;
            for _ in 0..4 {
                let sender = field.account(version, &YES).await;
                let op = field.at_market(field.operation(sender), self.bytes).await;
                let taken = field.send_at_the_least(version, &op).await;
                field.expect(taken.is_some(), "it is taken with what it is told to have");
            }
            field.set_prices_to(&dear, self.dearer).await;
            let code = codes::burns_if_flagged(version, self.burns_on_chain, self.does);
            let sender = field.account(version, &code).await;
            field.flagged.lock().unwrap().push(sender);
            // A margin is what it offers beyond the market.
            let op = match version {
                V0_6 => UserOperation { call_data: vec![1; 4].into(), ..field.operation(sender) },
                _ => field.at_market(field.operation(sender), 4).await,
            };
            let op = UserOperation { call_gas_limit: self.call_gas_limit, ..op };
            let taken = field.send_at_the_least(version, &op).await;
            field.expect(taken.is_some(), "the one beside them is taken");
            Vec::new()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            field.flag(true).await;
        }
        .boxed()
    }
}
