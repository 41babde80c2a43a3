//! The keys' balances: which of them can pay for another bundle, and which the funder fills up. Pure.

use alloy::primitives::U256;

use super::Fees;
use crate::{fees::FeeSuggestion, head::Head, l1_fee::L1Prices};

/// Gas of a transfer.
const TRANSFER_GAS: u64 = 21_000;
/// Milliseconds of chain time after which a refill that is not mined is made dearer.
const PATIENCE: u64 = 6_000;
/// Gas that a key must be able to pay for to be given a bundle: that of a single operation, generously.
const LEAST_GAS: u64 = 500_000;
/// Bytes of its transaction.
const LEAST_BYTES: usize = 1_000;

/// Below what a key's balance is filled up, and to what; in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Below this the operator is warned, and the funder pays.
    pub low: U256,
    /// What the funder fills up to.
    pub target: U256,
    /// Wei per gas that a refill bids at most.
    pub max_fee: u128,
}

/// How an account stands at a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyState {
    pub(crate) nonce: u64,
    /// Wei.
    pub(crate) balance: U256,
    /// Whether it is EIP-7702-delegated.
    pub(crate) delegated: bool,
}

/// A transfer from the funder to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refill {
    pub(crate) nonce: u64,
    /// Which key.
    pub(crate) key: usize,
    /// Wei.
    pub(crate) amount: U256,
    pub(crate) fees: Fees,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Treasury {
    keeping: Keeping,
    /// On its way, since this chain time. One at a time: the funder has one nonce in flight.
    sending: Option<(Refill, u64)>,
    /// Keys that the operator was told of.
    warned: Vec<usize>,
}

impl Treasury {
    pub(crate) fn new(keeping: Keeping) -> Self {
        Self { keeping, sending: None, warned: Vec::new() }
    }

    /// Whether a key with this much to spend (wei) is given a bundle.
    pub(crate) fn is_enough(spare: U256, head: &Head) -> bool {
        Self::least(head.fees, head.l1) <= spare
    }

    /// Wei that a single operation costs, generously.
    fn least(fees: FeeSuggestion, charges: Option<L1Prices>) -> U256 {
        let price = (fees.base_fee * 2 + fees.priority_fee).max(1);
        let charged = charges.map_or(0, |it| it.most(LEAST_BYTES).saturating_add(it.operator_fee(LEAST_GAS.into())));
        U256::from(LEAST_GAS) * U256::from(price) + U256::from(charged)
    }

    /// Whether a refill is on its way.
    pub(crate) fn is_waiting(&self) -> bool {
        self.sending.is_some()
    }

    /// What to send at this chain time (milliseconds): a new refill, or the one on its way for more.
    pub(crate) fn advance(
        &mut self,
        keys: &[Option<KeyState>],
        funder: Option<KeyState>,
        now: u64,
        fees: FeeSuggestion,
    ) -> Option<Refill> {
        self.warn(keys);
        let funder = funder?;
        // Used, by this or by something else; or undone by a reorganisation that took earlier ones with it.
        self.sending.take_if(|(refill, _)| refill.nonce != funder.nonce);
        if let Some((refill, since)) = &mut self.sending {
            if now < since.saturating_add(PATIENCE) {
                return None;
            }
            *since = now;
            refill.fees = Fees::cancelling(Some(refill.fees), fees, self.keeping.max_fee).unwrap_or(refill.fees);
            return Some(*refill);
        }
        let balances = keys.iter().enumerate().filter_map(|(key, state)| Some((key, (*state)?.balance)));
        let (key, balance) =
            balances.filter(|(_, balance)| *balance < self.keeping.low).min_by_key(|(_, balance)| *balance)?;
        let fees = Fees::cancelling(None, fees, self.keeping.max_fee)?;
        let gas = U256::from(TRANSFER_GAS) * U256::from(fees.max_fee);
        let amount = self.keeping.target.saturating_sub(balance).min(funder.balance.saturating_sub(gas));
        if amount.is_zero() {
            tracing::error!(key, %balance, funder = %funder.balance, "the funder has nothing left to fill a key up with");
            return None;
        }
        let refill = Refill { nonce: funder.nonce, key, amount, fees };
        self.sending = Some((refill, now));
        Some(refill)
    }

    /// Once for each time that a key runs low.
    fn warn(&mut self, keys: &[Option<KeyState>]) {
        for (key, state) in keys.iter().enumerate() {
            let Some(state) = state else { continue };
            let low = state.balance < self.keeping.low;
            if low && !self.warned.contains(&key) {
                tracing::warn!(key, balance = %state.balance, low = %self.keeping.low, "a bundler key runs low");
                self.warned.push(key);
            } else if !low {
                self.warned.retain(|other| *other != key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l1_fee::Upgrade;

    const KEEPING: Keeping = Keeping {
        low: U256::from_limbs([1_000_000_000, 0, 0, 0]),
        target: U256::from_limbs([5_000_000_000, 0, 0, 0]),
        max_fee: 10_000,
    };

    fn with(nonce: u64, balance: u64) -> Option<KeyState> {
        Some(KeyState { nonce, balance: U256::from(balance), delegated: false })
    }

    fn fees() -> FeeSuggestion {
        FeeSuggestion::flat(100, 10)
    }

    #[test]
    fn the_neediest_key_is_filled_up_first_and_one_at_a_time() {
        let mut treasury = Treasury::new(KEEPING);
        let keys = [with(0, 900_000_000), with(3, 5), with(0, 2_000_000_000)];
        let first = treasury.advance(&keys, with(7, 1 << 60), 20_000, fees()).unwrap();
        assert_eq!((first.key, first.nonce, first.amount), (1, 7, U256::from(4_999_999_995_u64)));
        assert_eq!(treasury.advance(&keys, with(7, 1 << 60), 22_000, fees()), None, "it is on its way");
        let keys = [with(0, 900_000_000), with(3, 5_000_000_000), with(0, 2_000_000_000)];
        let second = treasury.advance(&keys, with(8, 1 << 60), 24_000, fees()).unwrap();
        assert_eq!((second.key, second.nonce), (0, 8));
    }

    #[test]
    fn a_refill_that_is_not_mined_is_made_dearer_under_its_own_nonce() {
        let mut treasury = Treasury::new(KEEPING);
        let first = treasury.advance(&[with(0, 5)], with(7, 1 << 60), 20_000, fees()).unwrap();
        let again = treasury.advance(&[with(0, 5)], with(7, 1 << 60), 26_000, fees()).unwrap();
        assert_eq!((again.nonce, again.key, again.amount), (first.nonce, first.key, first.amount));
        assert!(again.fees.max_fee * 10 > first.fees.max_fee * 11, "{again:?} after {first:?}");
        let mut last = again;
        for round in 0..40 {
            last = treasury.advance(&[with(0, 5)], with(7, 1 << 60), 32_000 + 6_000 * round, fees()).unwrap();
        }
        assert!(last.fees.max_fee <= KEEPING.max_fee, "{last:?}");
    }

    #[test]
    fn a_poor_funder_gives_what_it_has_and_no_funder_gives_nothing() {
        let mut treasury = Treasury::new(KEEPING);
        let given = treasury.advance(&[with(0, 5)], with(7, 100_000_000), 10, fees()).unwrap();
        assert_eq!(given.amount, U256::from(100_000_000 - 21_000 * 210));
        let mut treasury = Treasury::new(KEEPING);
        assert_eq!(treasury.advance(&[with(0, 5)], with(7, 1_000), 10, fees()), None);
        assert_eq!(treasury.advance(&[with(0, 5)], None, 10, fees()), None);
    }

    #[test]
    fn a_key_is_given_bundles_while_it_can_pay_for_an_operation_with_all_that_is_charged() {
        assert_eq!(Treasury::least(fees(), None), U256::from(500_000 * 210));
        // The operator's 700 wei for each gas and 9; data on L1 is free.
        let charges = L1Prices {
            upgrade: Upgrade::Jovian,
            operator_fee_scalar: 7,
            operator_fee_constant: 9,
            ..L1Prices::default()
        };
        assert_eq!(Treasury::least(fees(), Some(charges)), U256::from(500_000 * 910 + 9));
    }
}
