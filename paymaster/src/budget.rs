//! How much is promised in a day: the worst case of each signature is set aside before it is given.
//!
//! Nothing is given back before the day is over: what a signature could cost at most is what counts, whatever it came to
//! cost. The bound therefore holds for any order of requests and for sponsored operations that anybody bundles, in
//! any way. Kept in memory: a restart forgets what was promised.

use std::collections::HashMap;

use alloy::primitives::{Address, U256};

use crate::Denial;

/// Seconds that a budget is for.
pub const DAY: u64 = 86_400;

/// What may be promised in a day, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To all senders together.
    pub total: U256,
    /// To one of them.
    pub per_sender: U256,
}

/// An operation's place: of all signatures for it, at most one can ever be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The EntryPoint.
    pub entry_point: Address,
    /// The account.
    pub sender: Address,
    /// Its nonce, key and sequence.
    pub nonce: U256,
}

/// What has been promised today.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    day: u64,
    total: U256,
    senders: HashMap<Address, U256>,
    places: HashMap<Place, U256>,
}

impl Budget {
    /// Nothing is promised yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, day: 0, total: U256::ZERO, senders: HashMap::new(), places: HashMap::new() }
    }

    /// Whether `cost` wei could be promised at this place now; nothing is set aside. `now` in seconds since 1970.
    ///
    /// # Errors
    /// The budget that it would exceed.
    pub fn check(&mut self, place: Place, cost: U256, now: u64) -> Result<(), Denial> {
        self.more(place, cost, now).map(|_| ())
    }

    /// Sets aside what a signature for `cost` wei at this place adds to those given for it before.
    ///
    /// # Errors
    /// The budget that it would exceed; nothing is set aside then.
    pub fn reserve(&mut self, place: Place, cost: U256, now: u64) -> Result<(), Denial> {
        let more = self.more(place, cost, now)?;
        self.total += more;
        *self.senders.entry(place.sender).or_default() += more;
        *self.places.entry(place).or_default() += more;
        Ok(())
    }

    /// How much more a promise of `cost` would set aside.
    fn more(&mut self, place: Place, cost: U256, now: u64) -> Result<U256, Denial> {
        let day = now / DAY;
        if day != self.day {
            *self = Self { day, ..Self::new(self.limits) };
        }
        let promised = self.places.get(&place).copied().unwrap_or_default();
        let more = cost.saturating_sub(promised);
        let of_sender = self.senders.get(&place.sender).copied().unwrap_or_default();
        for (who, limit, spent) in
            [("all", self.limits.total, self.total), ("this account", self.limits.per_sender, of_sender)]
        {
            let remaining = limit.saturating_sub(spent);
            if more > remaining {
                return Err(Denial::OverBudget { who, limit, remaining, resets_at: (day + 1) * DAY });
            }
        }
        Ok(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(total: u64, per_sender: u64) -> Limits {
        Limits { total: U256::from(total), per_sender: U256::from(per_sender) }
    }

    fn place(sender: u8, nonce: u64) -> Place {
        Place { entry_point: Address::ZERO, sender: Address::repeat_byte(sender), nonce: U256::from(nonce) }
    }

    fn reserve(budget: &mut Budget, at: Place, cost: u64, now: u64) -> Result<(), Denial> {
        budget.reserve(at, U256::from(cost), now)
    }

    #[test]
    fn one_account_and_all_together_have_their_bounds_and_a_new_day_begins_anew() {
        let mut budget = Budget::new(limits(100, 60));
        reserve(&mut budget, place(1, 0), 60, 0).unwrap();
        let denial = reserve(&mut budget, place(1, 1), 1, DAY - 1).unwrap_err();
        let [limit, remaining] = [60, 0].map(U256::from);
        assert_eq!(denial, Denial::OverBudget { who: "this account", limit, remaining, resets_at: DAY });
        let denial = reserve(&mut budget, place(2, 0), 41, 0).unwrap_err();
        let [limit, remaining] = [100, 40].map(U256::from);
        assert_eq!(denial, Denial::OverBudget { who: "all", limit, remaining, resets_at: DAY });
        reserve(&mut budget, place(2, 0), 40, 0).unwrap();
        reserve(&mut budget, place(1, 1), 60, DAY).unwrap();
    }

    #[test]
    fn signatures_that_cannot_both_be_used_count_once_at_the_dearer() {
        let mut budget = Budget::new(limits(100, 100));
        reserve(&mut budget, place(1, 0), 50, 0).unwrap();
        reserve(&mut budget, place(1, 0), 30, 0).unwrap();
        reserve(&mut budget, place(1, 0), 70, 0).unwrap();
        reserve(&mut budget, place(1, 1), 30, 0).unwrap();
        assert!(reserve(&mut budget, place(1, 2), 1, 0).is_err());
        // A fresh nonce key is another place.
        assert!(reserve(&mut budget, place(1, 1 << 40), 1, 0).is_err());
    }

    #[test]
    fn whatever_is_asked_in_whatever_order_no_more_is_promised_than_the_limits() {
        let mut state = 7_u64;
        let mut dice = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let mut budget = Budget::new(limits(1_000, 300));
            // What could be drawn at most: the dearest signature of each place.
            let mut worst: HashMap<Place, u64> = HashMap::new();
            for _ in 0..100 {
                let (at, cost) = (place(u8::try_from(dice(6)).unwrap(), dice(4)), dice(150));
                if reserve(&mut budget, at, cost, 5).is_ok() {
                    let dearest = worst.entry(at).or_default();
                    *dearest = (*dearest).max(cost);
                }
            }
            assert!(worst.values().sum::<u64>() <= 1_000);
            for sender in 0..6 {
                let of_sender = worst.iter().filter(|(at, _)| at.sender == Address::repeat_byte(sender));
                assert!(of_sender.map(|(_, cost)| cost).sum::<u64>() <= 300);
            }
        }
    }
}
