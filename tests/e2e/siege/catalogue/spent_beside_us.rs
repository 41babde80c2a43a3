//! Others spend of an open paymaster's deposit in the block that an honest operation of its is in, and fill it up in the same
//! block: the honest operation has done nothing wrong, and can be executed with the next.

use std::sync::Mutex;

use alloy::primitives::{Address, B256, U256};
use erc4337::{EntryPointVersion::V0_8, Paymaster, UserOperation, pack};
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;

use super::super::{
    Attacker,
    deeds::{AFTER, BEFORE},
    field::{Field, PAYS, YES},
};

static PAYERS: Mutex<Vec<(Address, Address)>> = Mutex::new(Vec::new());
/// Wei: twice what the honest operation has to be covered with.
const DEPOSIT: u64 = 24_000_000_000_000_000;

pub(super) struct SpentBesideUs;

impl Attacker for SpentBesideUs {
    fn name(&self) -> &'static str {
        "spent_beside_us"
    }

    fn claim(&self) -> &'static str {
        "`dropped` is never for a reason that passes by itself"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let payer = field.account(V0_8, &PAYS).await;
            field.set_deposit(V0_8, payer, U256::from(DEPOSIT), false).await;
            let (honest, other) = (field.account(V0_8, &YES).await, field.account(V0_8, &YES).await);
            PAYERS.lock().unwrap().push((payer, other));
            let hash = field.send(V0_8, &field.sponsored(V0_8, honest, payer)).await;
            field.expect(hash.is_some(), "an honest operation is taken");
            hash.into_iter().collect()
        }
        .boxed()
    }

    fn strike<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, ()> {
        async {
            let payers = PAYERS.lock().unwrap().clone();
            for (payer, other) in payers {
                // As much as it was at first, whatever was filled up since.
                field.set_deposit(V0_8, payer, U256::from(DEPOSIT), false).await;
                let paymaster = Paymaster { address: payer, verification_gas_limit: 60_000, ..Paymaster::default() };
                let price = 100_000_000_000;
                let op = UserOperation {
                    paymaster: Some(paymaster),
                    verification_gas_limit: 60_000,
                    max_fee_per_gas: price,
                    max_priority_fee_per_gas: price,
                    ..field.operation(other)
                };
                let data = pack::handle_ops(V0_8, [&op], BEFORE);
                let entry_point = field.entry_point(V0_8);
                field
                    .transact_at(BEFORE, json!({ "to": entry_point, "data": data, "gas": "0x7a120" }), 4_000_000_000)
                    .await;
                // depositTo(payer).
                let data = format!("0xb760faf9{}", alloy::primitives::hex::encode(payer.into_word()));
                let filled = U256::from(DEPOSIT);
                let filling = json!({ "to": entry_point, "data": data, "value": filled, "gas": "0x186a0" });
                field.transact_at(AFTER, filling, 0).await;
            }
        }
        .boxed()
    }

    fn named(&self, rounds: u64) -> Option<super::super::report::Named> {
        Some(super::super::report::Named {
            transactions: 10 * usize::try_from(rounds).unwrap_or_default(),
            later: super::super::report::LATER,
            why: "what is reverted is not what is asked here",
        })
    }
}
