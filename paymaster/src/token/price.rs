//! What a token is worth, and when that is not to be believed.

use std::{fmt::Debug, future::Future, pin::Pin};

use alloy::primitives::{Address, I256, U256};

/// Ten thousandths.
const BPS: u128 = 10_000;

/// Why there is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// The source has not spoken for too long.
    #[error("the price is {age} s old; {limit} s are allowed")]
    Stale {
        /// Seconds since it was set.
        age: u64,
        /// Seconds allowed.
        limit: u64,
    },
    /// It is too far from what the operator expects.
    #[error("the price of {price} base units for 1 ETH is further than {limit_bps}/10,000 from {reference}")]
    Deviates {
        /// Base units for 1 ETH.
        price: u128,
        /// What was expected.
        reference: u128,
        /// How far off it may be, in ten thousandths.
        limit_bps: u16,
    },
    /// It is none: zero, negative, or beyond all bounds.
    #[error("the source's price is zero, negative or too large")]
    Invalid,
    /// The source did not answer.
    #[error("the source of the price did not answer: {0}")]
    Unavailable(String),
}

impl PriceError {
    /// Whether asking again at once may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// What a [`PriceSource`] answers, in time: base units of the token for 1 ETH.
pub type Priced<'a> = Pin<Box<dyn Future<Output = Result<u128, PriceError>> + Send + 'a>>;

/// Knows what 1 ETH costs in a token.
pub trait PriceSource: Debug + Send + Sync {
    /// Base units of the token for 1 ETH, before any mark-up.
    fn tokens_per_eth(&self, token: Address) -> Priced<'_>;
}

/// The same price for ever, for tests and for tokens whose price the operator sets.
#[derive(Clone, Copy, Debug)]
pub struct Static(pub u128);

impl PriceSource for Static {
    fn tokens_per_eth(&self, _token: Address) -> Priced<'_> {
        Box::pin(std::future::ready(Ok(self.0)))
    }
}

/// How much of an oracle is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OracleLimits {
    /// Seconds that an answer holds.
    pub max_age: u64,
    /// Base units that 1 ETH costs as the operator sees it.
    pub reference: u128,
    /// How far an answer may be from that, in ten thousandths.
    pub max_deviation_bps: u16,
}

/// What a Chainlink feed of ETH's price answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// The price of 1 ETH.
    pub answer: I256,
    /// Its decimals.
    pub decimals: u8,
    /// When it was set, in seconds since 1970.
    pub updated_at: u64,
}

impl OracleLimits {
    /// The round as base units of a token with so many decimals, if it is within the limits at `now` (seconds since
    /// 1970).
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn price(&self, round: &Round, token_decimals: u8, now: u64) -> Result<u128, PriceError> {
        if !round.answer.is_positive() || round.decimals > 36 || token_decimals > 36 {
            return Err(PriceError::Invalid);
        }
        let ten = |power: u8| U256::from(10).pow(U256::from(power));
        let scaled = round.answer.into_raw().checked_mul(ten(token_decimals)).ok_or(PriceError::Invalid)?;
        let price = u128::try_from(scaled.div_ceil(ten(round.decimals))).map_err(|_| PriceError::Invalid)?;
        let age = now.saturating_sub(round.updated_at);
        if age > self.max_age {
            return Err(PriceError::Stale { age, limit: self.max_age });
        }
        let (far, allowed) = (
            U256::from(price.abs_diff(self.reference)) * U256::from(BPS),
            U256::from(self.reference) * U256::from(self.max_deviation_bps),
        );
        if far > allowed {
            let (reference, limit_bps) = (self.reference, self.max_deviation_bps);
            return Err(PriceError::Deviates { price, reference, limit_bps });
        }
        Ok(price)
    }
}

/// The price with so many ten thousandths added, rounded up.
///
/// # Errors
/// If it is none, or does not fit the contract's field.
pub(super) fn marked_up(price: u128, markup_bps: u16) -> Result<u128, PriceError> {
    let marked_up = (U256::from(price) * (U256::from(BPS) + U256::from(markup_bps))).div_ceil(U256::from(BPS));
    u128::try_from(marked_up).ok().filter(|price| *price > 0).ok_or(PriceError::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OracleLimits = OracleLimits { max_age: 60, reference: 3_000_000_000, max_deviation_bps: 1_000 };

    fn round(dollars: i64) -> Round {
        Round { answer: I256::try_from(dollars * 100_000_000).unwrap(), decimals: 8, updated_at: 1_000 }
    }

    #[test]
    fn an_answer_of_eight_decimals_is_a_price_in_base_units_of_six() {
        assert_eq!(LIMITS.price(&round(3_000), 6, 1_000), Ok(3_000_000_000));
        let odd = Round { answer: I256::try_from(300_000_000_001_i64).unwrap(), ..round(0) };
        assert_eq!(LIMITS.price(&odd, 6, 1_000), Ok(3_000_000_001), "rounded up: never cheaper than the source says");
    }

    #[test]
    fn an_answer_holds_for_so_long_and_no_longer() {
        assert!(LIMITS.price(&round(3_000), 6, 1_060).is_ok());
        assert_eq!(LIMITS.price(&round(3_000), 6, 1_061), Err(PriceError::Stale { age: 61, limit: 60 }));
    }

    #[test]
    fn a_price_that_is_too_far_off_in_either_direction_is_not_believed() {
        for (dollars, believed) in [(2_699, false), (2_700, true), (3_300, true), (3_301, false)] {
            let answer = LIMITS.price(&round(dollars), 6, 1_000);
            assert_eq!(answer.is_ok(), believed, "{dollars}: {answer:?}");
            assert!(believed || matches!(answer, Err(PriceError::Deviates { .. })));
        }
    }

    #[test]
    fn zero_negative_and_absurd_answers_are_no_prices() {
        let most = Round { answer: I256::MAX, ..round(0) };
        for round in [round(0), round(-3_000), most, Round { decimals: 77, ..round(3_000) }] {
            assert_eq!(LIMITS.price(&round, 6, 1_000), Err(PriceError::Invalid), "{round:?}");
        }
    }

    #[test]
    fn a_mark_up_is_added_and_rounded_up() {
        assert_eq!(marked_up(3_000_000_000, 500), Ok(3_150_000_000));
        assert_eq!(marked_up(1, 1), Ok(2));
        assert_eq!(marked_up(0, 500), Err(PriceError::Invalid));
        assert_eq!(marked_up(u128::MAX, 1), Err(PriceError::Invalid));
    }
}
