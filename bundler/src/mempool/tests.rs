use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};
use erc4337::{EntryPointVersion, UserOperation, ValidationData};

use super::{Inserted, Mempool};
use crate::{Rejection, admission::Admitted, admission::Validated};

fn operation(sender: u8, nonce: u64, fee: u128, id: u8) -> Admitted {
    let op = UserOperation {
        sender: Address::repeat_byte(sender),
        nonce: U256::from(nonce),
        max_fee_per_gas: fee,
        max_priority_fee_per_gas: fee,
        ..UserOperation::default()
    };
    Admitted {
        op: Arc::new(op),
        hash: B256::repeat_byte(id),
        entry_point: EntryPointVersion::V0_8.canonical_address(),
        version: EntryPointVersion::V0_8,
        validated: Validated { account: ValidationData::VALID, paymaster: None, gas_used: 0 },
    }
}

fn waiting(pool: &Mempool) -> Vec<u8> {
    pool.waiting().map(|admitted| admitted.hash[0]).collect()
}

#[test]
fn operations_wait_in_the_order_of_their_arrival() {
    let mut pool = Mempool::default();
    for id in [3, 1, 2] {
        assert_eq!(pool.insert(operation(id, 0, 100, id)).unwrap(), Inserted::New);
    }
    assert_eq!(waiting(&pool), [3, 1, 2]);
}

#[test]
fn the_same_operation_twice_is_one() {
    let mut pool = Mempool::default();
    pool.insert(operation(1, 0, 100, 1)).unwrap();
    assert_eq!(pool.insert(operation(1, 0, 100, 1)).unwrap(), Inserted::Known);
    assert_eq!(pool.len(), 1);
}

#[test]
fn a_replacement_needs_ten_per_cent_more_of_both_fees() {
    let mut pool = Mempool::default();
    pool.insert(operation(1, 0, 101, 1)).unwrap();
    let refused = pool.insert(operation(1, 0, 111, 2));
    assert!(matches!(refused, Err(Rejection::ReplacementUnderpriced { field: "maxFeePerGas", required: 112, .. })));
    assert_eq!(waiting(&pool), [1]);
    assert_eq!(pool.insert(operation(1, 0, 112, 2)).unwrap(), Inserted::Replaced(B256::repeat_byte(1)));
    assert_eq!(waiting(&pool), [2]);
}

#[test]
fn what_is_in_a_bundle_is_neither_chosen_again_nor_replaced() {
    let mut pool = Mempool::default();
    pool.insert(operation(1, 0, 100, 1)).unwrap();
    pool.mark_bundled(&[B256::repeat_byte(1)]);
    assert!(waiting(&pool).is_empty());
    assert!(matches!(pool.insert(operation(1, 0, 900, 2)), Err(Rejection::AlreadyBundled { .. })));
    pool.return_to_waiting(&[B256::repeat_byte(1)]);
    assert_eq!(waiting(&pool), [1]);
}

#[test]
fn an_operation_is_given_up_after_its_third_reverted_bundle() {
    let mut pool = Mempool::default();
    pool.insert(operation(1, 0, 100, 1)).unwrap();
    let hashes = [B256::repeat_byte(1)];
    assert!(pool.return_failed(&hashes).is_empty());
    assert!(pool.return_failed(&hashes).is_empty());
    assert_eq!(pool.return_failed(&hashes), hashes);
    assert!(pool.is_empty());
}

#[test]
fn removal_frees_the_nonce() {
    let mut pool = Mempool::default();
    pool.insert(operation(1, 7, 100, 1)).unwrap();
    pool.remove(B256::repeat_byte(1));
    // At no higher fee, it could not have taken an occupied one.
    assert_eq!(pool.insert(operation(1, 7, 100, 2)).unwrap(), Inserted::New);
}
