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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use erc4337::Paymaster;

    use super::*;
    use crate::{
        evm::{Shared, StateView},
        fees::FeeSuggestion,
        mempool::tests::{block, operation},
        node::NodeClient,
    };

    const PAYMASTER: Address = Address::repeat_byte(7);

    /// Of operations of one sender with these nonces, which cost its paymaster 100 wei each, on blocks of 200 ms. Its
    /// deposit's word is this.
    fn condition_of(version: EntryPointVersion, nonces: &[u64], word: U256) -> Condition {
        let operations = nonces.iter().map(|nonce| {
            let mut admitted = operation(1, *nonce, 100, 1);
            let paymaster = Paymaster { address: PAYMASTER, ..Paymaster::default() };
            Arc::make_mut(&mut admitted.op).paymaster = Some(paymaster);
            admitted
        });
        let bundle = Bundle::new(version.canonical_address(), version, operations.collect());
        let node = NodeClient::new("http://127.0.0.1:1").unwrap();
        let view = Arc::new(StateView::new(node, block(1).hash, 0, Arc::<Shared>::default()));
        let [slot, _] = storage::deposit_slots(PAYMASTER);
        view.know_slot(bundle.entry_point, slot, word);
        let head = Head { block: block(1), time: 0, view, fees: FeeSuggestion::flat(1, 1), l1: None };
        condition(&bundle, &head, Duration::from_millis(200))
    }

    #[tokio::test]
    async fn of_a_nonce_key_the_first_counts_whatever_the_order() {
        for nonces in [[5, 4], [4, 5]] {
            let exactly = condition_of(EntryPointVersion::V0_8, &nonces, U256::MAX).exactly;
            assert_eq!(exactly.iter().map(|word| word.value).collect::<Vec<_>>(), [U256::from(4)]);
        }
    }

    #[tokio::test]
    async fn a_deposit_is_to_cover_the_bundle_and_told_exactly_only_if_it_is_less_than_ten_such() {
        // v0.6 keeps the stake above the deposit.
        let stake = U256::ONE << 120;
        let mask = (U256::ONE << 112) - U256::ONE;
        for (version, beside, mask) in
            [(EntryPointVersion::V0_6, stake, mask), (EntryPointVersion::V0_8, U256::ZERO, U256::MAX)]
        {
            let least = |word| condition_of(version, &[4, 5], word).at_least[0];
            assert_eq!((least(beside).value, least(beside).mask), (U256::from(200), mask), "{version}");
            let scarce = |deposit: u64| condition_of(version, &[4, 5], beside + U256::from(deposit)).scarce;
            assert!(scarce(2_000).is_empty(), "{version}");
            let words = scarce(1_999);
            assert_eq!((words.len(), words[0].value), (1, beside + U256::from(1_999)), "{version}");
        }
    }

    #[tokio::test]
    async fn it_holds_for_twenty_seconds_and_for_the_blocks_that_come_in_them() {
        let condition = condition_of(EntryPointVersion::V0_8, &[0], U256::MAX);
        let head = block(1);
        assert_eq!((condition.until, condition.until_block), (head.timestamp + 20, head.number + 100));
    }
}
