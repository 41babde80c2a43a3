//! What an OP-stack chain charges a transaction for its data on L1 (Fjord's formula), computed here.
//!
//! The values come from the `L1Block` predeploy at the pinned block; the size is told by compressing as the chain does.

use alloy::primitives::{Address, U256, address};

use crate::evm::{StateView, Wanted};

/// Predeployed on every OP-stack chain.
const L1_BLOCK: Address = address!("0x4200000000000000000000000000000000000015");
/// `basefee`.
const BASE_FEE: U256 = U256::from_limbs([1, 0, 0, 0]);
/// `sequenceNumber`, then from bit 64 `blobBaseFeeScalar`, from bit 96 `baseFeeScalar`.
const SCALARS: U256 = U256::from_limbs([3, 0, 0, 0]);
/// `blobBaseFee`.
const BLOB_BASE_FEE: U256 = U256::from_limbs([7, 0, 0, 0]);

/// Fjord's linear model of the compressed size, in millionths of a byte.
const INTERCEPT: i128 = -42_585_600;
/// Millionths of a byte for each byte that FastLZ leaves.
const PER_BYTE: i128 = 836_500;
/// No transaction counts as less.
const LEAST: i128 = 100_000_000;

/// Prices of L1 data at one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L1Prices {
    /// Wei per gas on L1.
    pub base_fee: u128,
    /// Wei per blob gas on L1.
    pub blob_base_fee: u128,
    /// The chain's weight of the first, in millionths.
    pub base_fee_scalar: u32,
    /// The chain's weight of the second, in millionths.
    pub blob_base_fee_scalar: u32,
}

impl L1Prices {
    /// Where they are.
    pub(crate) fn reads() -> Wanted {
        Wanted {
            slots: [BASE_FEE, SCALARS, BLOB_BASE_FEE].map(|slot| (L1_BLOCK, slot)).into_iter().collect(),
            ..Wanted::default()
        }
    }

    /// What a view that has fetched [`Self::reads`] says.
    pub(crate) fn of(view: &StateView) -> Option<Self> {
        let [base_fee, scalars, blob_base_fee] =
            [BASE_FEE, SCALARS, BLOB_BASE_FEE].map(|slot| view.slot(L1_BLOCK, slot));
        let scalars = scalars?;
        Some(Self {
            base_fee: base_fee?.saturating_to(),
            blob_base_fee: blob_base_fee?.saturating_to(),
            base_fee_scalar: (scalars >> 96_usize).wrapping_to::<u32>(),
            blob_base_fee_scalar: (scalars >> 64_usize).wrapping_to::<u32>(),
        })
    }

    /// Wei that a transaction of these bytes is charged, its signature included in them.
    pub fn fee(&self, transaction: &[u8]) -> u128 {
        self.fee_of(compressed(transaction))
    }

    /// Wei that a transaction is charged of which FastLZ leaves so many bytes.
    pub fn fee_of(&self, compressed: u32) -> u128 {
        let size = (INTERCEPT + PER_BYTE * i128::from(compressed)).max(LEAST).unsigned_abs();
        let weighed = U256::from(self.base_fee_scalar) * U256::from(self.base_fee) * U256::from(16)
            + U256::from(self.blob_base_fee_scalar) * U256::from(self.blob_base_fee);
        (U256::from(size) * weighed / U256::from(1_000_000_000_000_u64)).saturating_to()
    }
}

/// Bytes that FastLZ leaves of a transaction.
pub fn compressed(transaction: &[u8]) -> u32 {
    op_alloy_flz::flz_compress_len(transaction)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICES: L1Prices =
        L1Prices { base_fee: 1_000_000_000, blob_base_fee: 10_000_000, base_fee_scalar: 2, blob_base_fee_scalar: 3 };

    #[test]
    fn small_transactions_cost_as_much_as_one_of_100_bytes() {
        // 100 bytes × (2 × 16 × 1 gwei + 3 × 0.01 gwei) / 10^6.
        assert_eq!(PRICES.fee_of(0), 3_203_000);
        assert_eq!(PRICES.fee_of(170), 3_203_000);
    }

    #[test]
    fn larger_ones_cost_by_their_compressed_size() {
        // (-42.5856 + 0.8365 × 1,000) bytes.
        assert_eq!(PRICES.fee_of(1_000), 793_914_400 * 32_030_000_000 / 1_000_000_000_000);
    }

    #[test]
    fn repetition_is_cheaper_than_noise() {
        let noise: Vec<u8> =
            (0..64_u64).flat_map(|index| alloy::primitives::keccak256(index.to_be_bytes()).0).collect();
        assert!(PRICES.fee(&noise) > 5 * PRICES.fee(&vec![7; noise.len()]));
    }
}
