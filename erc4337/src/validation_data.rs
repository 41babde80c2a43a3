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
    /// Last second (or block) before it may run, as v0.7 and later compare (`<=`); v0.6 also accepts this instant.
    pub valid_after: u64,
    /// Whether the bounds are block numbers.
    pub by_block: bool,
}

/// The window cannot be what its author meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWindow {
    /// A bound has its top bit set where seconds are meant.
    #[error("validity bound {bound:#x} is not below 2^47")]
    OutOfRange {
        /// The bound as returned.
        bound: u64,
    },
    /// One bound is a block number and the other a time.
    #[error("validAfter {valid_after:#x} and validUntil {valid_until:#x} mix seconds and block numbers")]
    Mixed {
        /// Lower bound as returned.
        valid_after: u64,
        /// Upper bound as returned.
        valid_until: u64,
    },
}

impl ValidationData {
    /// Signature valid, no window.
    pub const VALID: Self = Self { aggregator: Address::ZERO, valid_until: u64::MAX, valid_after: 0, by_block: false };

    /// Unpacks `aggregator (160) ‖ validUntil (48) ‖ validAfter (48)`, lowest bits first.
    ///
    /// # Errors
    /// If a bound is at least 2^47, or (v0.9) only one is a block number.
    pub fn unpack(word: U256, version: EntryPointVersion) -> Result<Self, InvalidWindow> {
        let aggregator = Address::from_word(word.into());
        let bound = |shift: usize| (word >> shift).wrapping_to::<u64>() & BOUND_MASK;
        let (until, after) = (bound(160), bound(208));

        if until < BLOCK_FLAG && after < BLOCK_FLAG {
            // The contracts read an upper bound of zero as "for ever".
            let valid_until = if until == 0 { u64::MAX } else { until };
            return Ok(Self { aggregator, valid_until, valid_after: after, by_block: false });
        }
        if !version.supports_block_validity() {
            return Err(InvalidWindow::OutOfRange { bound: until.max(after) });
        }
        // The contract compares with `>`: a bare flag, which is block zero, does not count as one.
        if until <= BLOCK_FLAG || after <= BLOCK_FLAG {
            return Err(InvalidWindow::Mixed { valid_after: after, valid_until: until });
        }
        Ok(Self { aggregator, valid_until: until & !BLOCK_FLAG, valid_after: after & !BLOCK_FLAG, by_block: true })
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
        assert_eq!(ValidationData::unpack(U256::ZERO, EntryPointVersion::V0_7), Ok(ValidationData::VALID));
    }

    #[test]
    fn one_is_a_refused_signature_with_its_window_kept() {
        let data = ValidationData::unpack(word(1, 20, 10), EntryPointVersion::V0_6).unwrap();
        assert!(data.is_signature_failure());
        assert_eq!((data.valid_after, data.valid_until), (10, 20));
    }

    #[test]
    fn bounds_of_2_pow_47_or_more_are_refused_before_v0_9() {
        for version in [EntryPointVersion::V0_6, EntryPointVersion::V0_7, EntryPointVersion::V0_8] {
            let refused = ValidationData::unpack(word(0, BLOCK_FLAG | 5, BLOCK_FLAG | 3), version);
            assert!(matches!(refused, Err(InvalidWindow::OutOfRange { .. })), "{version}");
        }
    }

    #[test]
    fn v0_9_reads_block_numbers_and_refuses_a_mixture() {
        let data = ValidationData::unpack(word(0, BLOCK_FLAG | 5, BLOCK_FLAG | 3), EntryPointVersion::V0_9).unwrap();
        assert!(data.by_block);
        assert_eq!((data.valid_after, data.valid_until), (3, 5));
        let mixed = ValidationData::unpack(word(0, BLOCK_FLAG | 5, 3), EntryPointVersion::V0_9);
        assert!(matches!(mixed, Err(InvalidWindow::Mixed { .. })));
    }
}
