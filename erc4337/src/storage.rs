//! Where an EntryPoint keeps nonces, deposits and stakes, to know them without asking it.
//!
//! Layout of every version: `deposits` at slot 0, `nonceSequenceNumber` at slot 1. The packing of a deposit differs;
//! [`DepositInfo::read`] is held against `getDepositInfo` of the real EntryPoints in the tests.

use alloy::primitives::{Address, U256, keccak256};

use crate::EntryPointVersion;

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

/// An address's deposit and stake in one EntryPoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DepositInfo {
    /// Wei that pay for operations.
    pub deposit: U256,
    /// Whether the stake is locked: not there, or being withdrawn, if not.
    pub staked: bool,
    /// Wei staked.
    pub stake: U256,
    /// Seconds between unlocking a stake and its withdrawal.
    pub unstake_delay: u32,
}

impl DepositInfo {
    /// Reads the words at [`deposit_slots`].
    pub fn read(version: EntryPointVersion, [first, second]: [U256; 2]) -> Self {
        let bits = |word: U256, shift: usize, width: usize| (word >> shift) & ((U256::ONE << width) - U256::ONE);
        // `bool staked, uint112 stake, uint32 unstakeDelaySec` follow a deposit of 112 bits in v0.6 and of 256 after;
        // a delay that does not fit the first word in v0.6 begins the second.
        let (deposit, flags, delay) = match version {
            EntryPointVersion::V0_6 => (bits(first, 0, 112), first >> 112, bits(second, 0, 32)),
            EntryPointVersion::V0_7 | EntryPointVersion::V0_8 | EntryPointVersion::V0_9 => {
                (first, second, bits(second, 120, 32))
            }
        };
        Self {
            deposit,
            staked: !bits(flags, 0, 8).is_zero(),
            stake: bits(flags, 8, 112),
            unstake_delay: delay.to::<u32>(),
        }
    }
}
