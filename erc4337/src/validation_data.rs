//! What `validateUserOp` and `validatePaymasterUserOp` return: verdict and validity window in one word.

use alloy::primitives::{Address, U256};

use crate::EntryPointVersion;

/// Top bit of a 48-bit bound: on both bounds it says that they are block numbers (v0.9).
const BLOCK_FLAG: u64 = 1 << 47;
const BOUND_MASK: u64 = (1 << 48) - 1;

/// Unpacked `validationData` (ERC-4337).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct ValidationData {
    /// Zero: valid; one: bad signature; else the aggregator that must check it.
    pub aggregator: Address,
    /// Last second (or block) in which the operation may run; `u64::MAX` if unbounded.
    pub valid_until: u64,
    /// As it was returned: seconds, or a block number. Whether this very one is in or out depends on the version, see
    /// [`Self::first_valid`].
    pub valid_after: u64,
    /// Whether the bounds are block numbers.
    pub by_block: bool,
}

impl ValidationData {
    /// Signature valid, no window.
    pub const VALID: Self = Self { aggregator: Address::ZERO, valid_until: u64::MAX, valid_after: 0, by_block: false };

    /// Unpacks `aggregator (160) ‖ validUntil (48) ‖ validAfter (48)`, lowest bits first, as the EntryPoint of this
    /// version reads it: an upper bound of zero means "for ever", and v0.9 takes both bounds for block numbers if both
    /// are above 2^47. Everything else is time, however far.
    pub fn unpack(word: U256, version: EntryPointVersion) -> Self {
        let aggregator = Address::from_word(word.into());
        let bound = |shift: usize| (word >> shift).wrapping_to::<u64>() & BOUND_MASK;
        let (until, after) = (bound(160), bound(208));
        let last = if until == 0 { BOUND_MASK } else { until };
        // A bare flag, which is block zero, does not count as one.
        if version.supports_block_validity() && last > BLOCK_FLAG && after > BLOCK_FLAG {
            return Self {
                aggregator,
                valid_until: last & !BLOCK_FLAG,
                valid_after: after & !BLOCK_FLAG,
                by_block: true,
            };
        }
        let valid_until = if until == 0 { u64::MAX } else { until };
        Self { aggregator, valid_until, valid_after: after, by_block: false }
    }

    /// First second (or block) in which the EntryPoint of this version takes the operation: v0.6 and v0.7 at
    /// `validAfter` already, v0.8 and v0.9 only after it.
    pub const fn first_valid(&self, version: EntryPointVersion) -> u64 {
        self.valid_after + if version.excludes_valid_after() { 1 } else { 0 }
    }

    /// Whether the signature was refused (`SIG_VALIDATION_FAILED`).
    pub fn is_signature_failure(&self) -> bool {
        self.aggregator == Address::with_last_byte(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(aggregator: u64, until: u64, after: u64) -> U256 {
        U256::from(aggregator) | U256::from(until) << 160 | U256::from(after) << 208
    }

    #[test]
    fn zero_is_valid_for_ever() {
        assert_eq!(ValidationData::unpack(U256::ZERO, EntryPointVersion::V0_7), ValidationData::VALID);
    }

    #[test]
    fn one_is_a_refused_signature_with_its_window_kept() {
        let data = ValidationData::unpack(word(1, 20, 10), EntryPointVersion::V0_6);
        assert!(data.is_signature_failure());
        assert_eq!((data.valid_after, data.valid_until), (10, 20));
    }

    #[test]
    fn before_v0_9_every_bound_is_a_time() {
        for version in [EntryPointVersion::V0_6, EntryPointVersion::V0_7, EntryPointVersion::V0_8] {
            let data = ValidationData::unpack(word(0, BOUND_MASK, BLOCK_FLAG | 3), version);
            assert_eq!((data.valid_after, data.valid_until, data.by_block), (BLOCK_FLAG | 3, BOUND_MASK, false));
        }
    }

    #[test]
    fn v0_9_reads_block_numbers_where_both_bounds_are_flagged() {
        let read = |until, after| {
            let data = ValidationData::unpack(word(0, until, after), EntryPointVersion::V0_9);
            (data.valid_after, data.valid_until, data.by_block)
        };
        assert_eq!(read(BLOCK_FLAG | 5, BLOCK_FLAG | 3), (3, 5, true));
        assert_eq!(read(0, BLOCK_FLAG | 3), (3, BLOCK_FLAG - 1, true), "no upper bound");
        assert_eq!(read(BOUND_MASK, 3), (3, BOUND_MASK, false), "for ever, as many write it");
        assert_eq!(read(BLOCK_FLAG | 5, BLOCK_FLAG), (BLOCK_FLAG, BLOCK_FLAG | 5, false), "a bare flag is no block");
    }

    #[test]
    fn only_from_v0_8_on_valid_after_itself_is_out() {
        let data = ValidationData { valid_after: 10, ..ValidationData::VALID };
        assert_eq!(EntryPointVersion::ALL.map(|version| data.first_valid(version)), [10, 10, 11, 11]);
    }
}
