//! What a bundle rests on, as a condition of its inclusion: once that has changed, the bundle would only cost us.

use std::{collections::BTreeMap, time::Duration};

use alloy::primitives::{Address, U256};
use erc4337::{EntryPointVersion, storage};

use super::Bundle;
use crate::{
    Head,
    node::{Condition, Word},
};

/// How long a bundle may wait to be mined under its condition; sent again, it gets as long again.
const HOLDS: Duration = Duration::from_secs(20);
/// Times that a deposit covers what a bundle may cost it, from which on it is not looked at by a sequencer that can only
/// compare for equality: others spend of it too.
const AMPLE: u64 = 10;

/// The nonces of the bundle's senders, which are exactly these, and the deposits of its paymasters, which cover it; and
/// the time that it may take, where blocks come so often.
pub(crate) fn condition(bundle: &Bundle, head: &Head, block_time: Duration) -> Condition {
    let entry_point = bundle.entry_point;
    // Of one nonce key the first, after which the others follow.
    let mut nonces: BTreeMap<(Address, U256), u64> = BTreeMap::new();
    let mut owed: BTreeMap<Address, U256> = BTreeMap::new();
    for op in bundle.operations.iter().map(|admitted| &admitted.op) {
        let next = nonces.entry((op.sender, op.nonce_key())).or_insert(u64::MAX);
        *next = op.nonce_sequence().min(*next);
        if let Some(paymaster) = op.paymaster_address() {
            let owed = owed.entry(paymaster).or_default();
            *owed = owed.saturating_add(op.required_prefund(bundle.version));
        }
    }
    let exactly = nonces.into_iter().map(|((sender, key), next)| {
        let (slot, mask) = (storage::nonce_slot(sender, key), U256::MAX);
        Word { account: entry_point, slot, mask, value: U256::from(next) }
    });
    // v0.6 keeps the stake in the same word.
    let mask = match bundle.version {
        EntryPointVersion::V0_6 => (U256::ONE << 112) - U256::ONE,
        EntryPointVersion::V0_7 | EntryPointVersion::V0_8 | EntryPointVersion::V0_9 => U256::MAX,
    };
    let deposit = |(paymaster, value): (&Address, &U256)| {
        let [slot, _] = storage::deposit_slots(*paymaster);
        Word { account: entry_point, slot, mask, value: *value }
    };
    let scarce = owed.iter().filter_map(|(paymaster, owed)| {
        let word = deposit((paymaster, owed));
        let now = head.view.slot(entry_point, word.slot)?;
        (now & mask < owed.saturating_mul(U256::from(AMPLE))).then_some(Word { value: now, mask: U256::MAX, ..word })
    });
    let blocks = HOLDS.as_millis().div_ceil(block_time.as_millis().max(1));
    Condition {
        exactly: exactly.collect(),
        scarce: scarce.collect(),
        at_least: owed.iter().map(deposit).collect(),
        until: head.block.timestamp.saturating_add(HOLDS.as_secs()),
        until_block: head.block.number.saturating_add(u64::try_from(blocks).unwrap_or(u64::MAX)),
    }
}
