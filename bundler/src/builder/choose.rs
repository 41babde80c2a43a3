//! Which of the waiting operations go together.

use std::collections::HashMap;

use alloy::primitives::{Address, U256};

use super::{Bundle, Room, native};
use crate::{admission::Admitted, fees::FeeSuggestion, gas::Load, mempool::Mempool};

/// Chooses from what waits, what earns most per gas first (its price above the base fee): one EntryPoint, a few operations per throttled entity, within
/// the room of a transaction, none that would not pay the base fee, and nothing beside what is set apart. Nothing at all
/// while the base fee is more than we bid.
/// Those of one nonce key go in their order; nothing of a sender that is in another bundle already.
/// Either only what calls native code, or nothing that does, as far as that is known.
pub(crate) fn choose(mempool: &Mempool, room: &Room, fees: FeeSuggestion, native: bool) -> Option<Bundle> {
    let base_fee = fees.base_fee;
    if base_fee > fees.cap {
        return None;
    }
    let mut candidates: Vec<(usize, &Admitted, u64)> = mempool
        .candidates()
        .enumerate()
        .filter(|(_, (admitted, _))| admitted.op.max_fee_per_gas >= base_fee)
        .filter(|(_, (admitted, _))| {
            mempool.is_native(admitted.hash) == native && (!native || native::is_prompt(admitted, fees))
        })
        .map(|(arrival, (admitted, ahead))| (arrival, admitted, ahead))
        .collect();
    candidates.sort_by_key(|(_, _, ahead)| *ahead);
    // What has to go behind another is worth no more than that one. Lines stay together: a sender has one bundle at a
    // time, and what is left of its line would wait until that is mined.
    let mut lines: HashMap<(Address, U256), (usize, u128)> = HashMap::new();
    let mut candidates: Vec<_> = candidates
        .into_iter()
        .map(|(arrival, admitted, ahead)| {
            let line = lines.entry(line(admitted)).or_insert((arrival, u128::MAX));
            line.1 = line.1.min(admitted.op.effective_gas_price(base_fee));
            (std::cmp::Reverse(line.1), line.0, ahead, admitted)
        })
        .collect();
    candidates.sort_by_key(|(price, arrival, ahead, _)| (*price, *arrival, *ahead));
    let mut choice = Choice {
        mempool,
        room,
        native,
        bundle: None,
        load: Load::default(),
        lanes: HashMap::new(),
        throttled: HashMap::new(),
    };
    // Each pass may make room for those that had to go behind another.
    loop {
        let before = candidates.len();
        candidates.retain(|(_, _, ahead, admitted)| !choice.take(admitted, *ahead));
        if candidates.len() == before || choice.is_full() {
            break;
        }
    }
    choice.bundle.filter(|bundle| !bundle.operations.is_empty())
}

/// Operations with the same go one after the other: sender and nonce key.
fn line(admitted: &Admitted) -> (Address, U256) {
    (admitted.op.sender, admitted.op.nonce >> 64)
}

/// A bundle that is being chosen.
struct Choice<'a> {
    mempool: &'a Mempool,
    room: &'a Room,
    native: bool,
    bundle: Option<Bundle>,
    load: Load,
    /// Operations chosen, by sender and nonce key.
    lanes: HashMap<(Address, U256), u64>,
    throttled: HashMap<Address, usize>,
}

impl Choice<'_> {
    /// Whether what is in it goes by itself.
    fn is_full(&self) -> bool {
        let first = self.bundle.as_ref().and_then(|bundle| bundle.operations.first());
        first.is_some_and(|admitted| self.goes_alone(admitted))
    }

    /// Whether it goes by itself: a bundle with it and others has failed, or its paymaster may revert whatever it is in.
    fn goes_alone(&self, admitted: &Admitted) -> bool {
        self.mempool.is_set_apart(admitted.hash) || self.mempool.is_uncontained(admitted)
    }

    /// Takes an operation with so many of its nonce key before it, if it may go in now.
    fn take(&mut self, admitted: &Admitted, ahead: u64) -> bool {
        let lane = line(admitted);
        if self.is_full() || ahead != self.lanes.get(&lane).copied().unwrap_or_default() {
            return false;
        }
        let (entry_point, version) = (admitted.entry_point, admitted.version);
        let (native, alone) = (self.native, self.goes_alone(admitted));
        let new = || Bundle { native, ..Bundle::new(entry_point, version, Vec::new()) };
        let bundle = self.bundle.get_or_insert_with(new);
        if native && bundle.operations.len() >= native::most(bundle.version) {
            return false;
        }
        let bars = alone && !bundle.operations.is_empty();
        if bundle.entry_point != admitted.entry_point || bars {
            return false;
        }
        let parties = &admitted.evidence.parties;
        let named: Vec<_> = [Some(parties.account), parties.factory, parties.paymaster]
            .into_iter()
            .flatten()
            .map(|party| party.address)
            .filter(|address| self.mempool.is_throttled(*address))
            .collect();
        let most = self.mempool.config().throttled_in_bundle;
        if named.iter().any(|address| self.throttled.get(address).is_some_and(|count| *count >= most)) {
            return false;
        }
        let load = self.load + Load::of(&admitted.op, admitted.version);
        if !self.room.holds(load, !bundle.operations.is_empty()) {
            return false;
        }
        self.load = load;
        bundle.operations.push(admitted.clone());
        *self.lanes.entry(lane).or_default() += 1;
        named.into_iter().for_each(|address| *self.throttled.entry(address).or_default() += 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use erc4337::{EntryPointVersion, Paymaster};

    use super::*;
    use crate::mempool::{
        MempoolConfig, Reputation,
        tests::{block, operation},
    };

    fn fees(base_fee: u128) -> FeeSuggestion {
        FeeSuggestion::flat(base_fee, 1)
    }

    fn mempool(operations: impl IntoIterator<Item = Admitted>) -> Mempool {
        let mut mempool = Mempool::new(MempoolConfig::default(), Reputation::default());
        operations.into_iter().for_each(|it| drop(mempool.insert(it, &block(1)).unwrap()));
        mempool
    }

    fn behind(mut admitted: Admitted, ahead: u64) -> Admitted {
        std::sync::Arc::make_mut(&mut admitted.evidence).ahead = ahead;
        admitted
    }

    fn ids(bundle: Option<Bundle>) -> Vec<u8> {
        bundle.map(|bundle| bundle.hashes().iter().map(|hash| hash[0]).collect()).unwrap_or_default()
    }

    #[test]
    fn the_dearest_go_first_and_none_is_worth_more_than_what_goes_before_it() {
        let pool = mempool([
            operation(1, 0, 30, 1),
            operation(2, 0, 90, 2),
            operation(3, 0, 50, 3),
            behind(operation(2, 1, 40, 4), 1),
            behind(operation(2, 2, 200, 5), 2),
        ]);
        // The last of the second sender's has to go behind one that is worth 40.
        assert_eq!(ids(choose(&pool, &Room::of_gas(u64::MAX), fees(10), false)), [2, 3, 4, 5, 1]);
    }

    #[test]
    fn a_transaction_is_filled_as_far_as_its_gas_goes_and_no_further() {
        let pool = mempool([operation(1, 0, 30, 1), operation(2, 0, 90, 2), operation(3, 0, 50, 3)]);
        let of = |count: usize| {
            let bundle = choose(&pool, &Room::of_gas(u64::MAX), fees(1), false).unwrap();
            let operations = bundle.operations.into_iter().take(count).collect();
            Bundle::new(bundle.entry_point, bundle.version, operations).gas_limit()
        };
        assert_eq!(ids(choose(&pool, &Room::of_gas(of(2)), fees(1), false)), [2, 3]);
        assert_eq!(ids(choose(&pool, &Room::of_gas(of(1)), fees(1), false)), [2]);
        assert_eq!(ids(choose(&pool, &Room::of_gas(of(1) - 1), fees(1), false)), [0_u8; 0]);
    }

    #[test]
    fn what_does_not_pay_the_base_fee_waits_and_everything_does_while_that_is_above_our_cap() {
        let pool = mempool([operation(1, 0, 30, 1), operation(2, 0, 90, 2)]);
        assert_eq!(ids(choose(&pool, &Room::of_gas(u64::MAX), fees(31), false)), [2]);
        assert_eq!(
            ids(choose(&pool, &Room::of_gas(u64::MAX), FeeSuggestion { cap: 30, ..fees(31) }, false)),
            [0_u8; 0]
        );
    }

    #[test]
    fn what_is_held_waits_for_the_next_head() {
        let mut pool = mempool([operation(1, 0, 30, 1), operation(2, 0, 90, 2)]);
        let held = pool.all().map(|it| it.hash).find(|hash| hash[0] == 2).unwrap();
        pool.mark_bundled(&[held]);
        pool.hold(&[held]);
        let again = pool.all().find(|it| it.hash == held).unwrap().clone();
        pool.refresh(held, Ok(again));
        assert_eq!(ids(choose(&pool, &Room::of_gas(u64::MAX), fees(1), false)), [1]);
    }

    /// An operation of v0.6 whose paymaster returned a context.
    fn uncontained(sender: u8, fee: u128, paymaster: u8) -> Admitted {
        let mut admitted = operation(sender, 0, fee, sender);
        admitted.version = EntryPointVersion::V0_6;
        let paymaster = Paymaster { address: Address::repeat_byte(paymaster), ..Paymaster::default() };
        std::sync::Arc::make_mut(&mut admitted.op).paymaster = Some(paymaster);
        std::sync::Arc::make_mut(&mut admitted.evidence).context = 32;
        admitted
    }

    #[test]
    fn what_may_revert_whatever_it_is_in_goes_alone_and_one_at_a_time_for_each_paymaster() {
        let all = || [uncontained(1, 90, 7), uncontained(2, 80, 7), uncontained(3, 70, 8), operation(4, 0, 60, 4)];
        let choose = |pool: &Mempool| ids(choose(pool, &Room::of_gas(u64::MAX), fees(1), false));
        let mut pool = mempool(all());
        for expected in [vec![1], vec![3], vec![4], vec![]] {
            assert_eq!(choose(&pool), expected);
            let hashes: Vec<_> = pool.all().map(|it| it.hash).filter(|hash| expected.contains(&hash[0])).collect();
            pool.mark_bundled(&hashes);
        }
        let config = MempoolConfig { allowed: [Address::repeat_byte(7)].into_iter().collect(), ..Default::default() };
        let mut pool = Mempool::new(config, Reputation::default());
        all().into_iter().for_each(|it| drop(pool.insert(it, &block(1)).unwrap()));
        assert_eq!(choose(&pool), [1, 2, 4], "one that is trusted goes with others");
    }

    #[test]
    fn what_calls_native_code_goes_by_itself_a_few_at_a_time_and_only_at_the_price_that_is_bid() {
        let mut pool = mempool((1..=12).map(|sender| operation(sender, 0, 30, sender)));
        let hashes: Vec<_> = pool.all().map(|it| it.hash).collect();
        assert_eq!(ids(choose(&pool, &Room::of_gas(u64::MAX), fees(10), true)), [0_u8; 0]);
        pool.set_native(&hashes[2..]);
        assert_eq!(ids(choose(&pool, &Room::of_gas(u64::MAX), fees(10), false)), [1, 2]);
        let bundle = choose(&pool, &Room::of_gas(u64::MAX), fees(10), true).unwrap();
        assert!(bundle.native && bundle.operations.len() == native::most(bundle.version));
        assert_eq!(bundle.hashes()[0][0], 3);
        // They offer 30 in all, and the base fee may rise by a tenth.
        assert_eq!(ids(choose(&pool, &Room::of_gas(u64::MAX), FeeSuggestion::flat(10, 20), true)), [0_u8; 0]);
        assert!(choose(&pool, &Room::of_gas(u64::MAX), FeeSuggestion::flat(10, 19), true).is_some());
    }

    #[test]
    fn what_is_left_of_a_block_bounds_several_operations_and_not_the_first() {
        let pool = mempool([operation(1, 0, 30, 1), operation(2, 0, 90, 2), operation(3, 0, 50, 3)]);
        assert_eq!(ids(choose(&pool, &Room::of_gas(u64::MAX).leaving(1), fees(1), false)), [2]);
    }
}
