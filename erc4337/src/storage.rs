//! Where an EntryPoint keeps nonces and deposits, to fetch them before they are asked for.
//!
//! Only a prediction: a wrong slot costs a fetch, never a wrong answer. Layout of every version:
//! `deposits` at slot 0, `nonceSequenceNumber` at slot 1.

use alloy::primitives::{Address, U256, keccak256};

/// Slot of the mapping `deposits`.
const DEPOSITS: U256 = U256::ZERO;
/// Slot of the mapping `nonceSequenceNumber`.
const NONCES: U256 = U256::ONE;

/// The slot of `nonceSequenceNumber[sender][key]`.
pub fn nonce_slot(sender: Address, key: U256) -> U256 {
    mapping_slot(key, mapping_slot(U256::from_be_bytes(sender.into_word().0), NONCES))
}

/// The two slots of `deposits[account]`: the deposit, then stake and delays (v0.6 packs most into the first).
pub fn deposit_slots(account: Address) -> [U256; 2] {
    let first = mapping_slot(U256::from_be_bytes(account.into_word().0), DEPOSITS);
    [first, first.wrapping_add(U256::ONE)]
}

fn mapping_slot(key: U256, mapping: U256) -> U256 {
    keccak256([key.to_be_bytes::<32>(), mapping.to_be_bytes::<32>()].concat()).into()
}
