//! Which of the waiting operations go together.

use std::collections::HashMap;

use alloy::primitives::{Address, B256, U256};
use erc4337::UserOperation;

use super::{Bundle, Room, native};
use crate::{
    admission::Admitted,
    fees::FeeSuggestion,
    gas::Load,
    mempool::{Class, Mempool},
    submitter::Fees,
};

/// Per cent of the first's offer that what goes with it offers at least, where the market does not set the bid.
const LIKE: u128 = 90;

/// What a bundle is chosen for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) room: &'a Room,
    pub(crate) fees: FeeSuggestion,
    /// Whether only what calls native code goes into it, or nothing that does.
    pub(crate) native: bool,
    /// What it has to bid at least, whatever the market asks.
    pub(crate) least_bid: Option<Fees>,
    /// Whether nothing of its key is in flight, so that what the market leaves behind for now is in nobody's way.
    pub(crate) quiet: bool,
}

/// How an operation's offer stands to the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    /// It pays what is bid, and does yet when the base fee has risen.
    Market,
    /// It pays what those bid who are in no hurry.
    Slow,
    /// It pays less than that, or is one that nobody is to wait for.
    Below,
}

/// Chooses from what waits, what earns most per gas first (its price above the base fee): one EntryPoint, a few operations per throttled entity, within
/// the room of a transaction, none that would not pay the base fee, and nothing beside what is set apart: what is suspected
/// goes with its like. Nothing at all while the base fee is more than we bid.
/// Those of one nonce key go in their order; nothing of a sender that is in another bundle already.
/// Either only what calls native code, or nothing that does, as far as that is known.
///
/// The market sets the bid, not the poorest member: what pays less than is bid goes with what pays alike, after all others,
/// and what pays less than even those bid who can wait goes only when it is in nobody's way.
pub(crate) fn choose(mempool: &Mempool, terms: &Terms<'_>, may_go: impl Fn(B256) -> bool) -> Option<Bundle> {
    let base_fee = terms.fees.base_fee;
    if base_fee > terms.fees.cap || terms.least_bid.is_some_and(|least| least.max_fee > terms.fees.cap) {
        return None;
    }
    let candidates: Vec<(usize, &Admitted, u64)> = mempool
        .candidates()
        .enumerate()
        .map(|(arrival, (admitted, ahead))| (arrival, admitted, ahead))
        .filter(|(_, admitted, _)| admitted.op.max_fee_per_gas >= base_fee && may_go(admitted.hash))
        .filter(|(_, admitted, _)| {
            let native = mempool.is_native(admitted.hash);
            native == terms.native && (!native || native::is_prompt(admitted, terms.fees))
        })
        .filter(|(_, admitted, _)| terms.least_bid.is_none_or(|least| pays(admitted, least, base_fee)))
        .collect();
    let of = |wanted: Offer| choose_offering(mempool, terms, &candidates, wanted);
    let below = || of(Offer::Below).filter(|_| terms.quiet);
    let mut bundle = of(Offer::Market).or_else(|| of(Offer::Slow)).or_else(below)?;
    // One that was refused alone is tried for more, as far as it pays.
    let refused = bundle.operations.first().map(|first| mempool.least_bid(first.hash)).unwrap_or_default();
    bundle.least_bid = terms.least_bid.unwrap_or_default().at_least(refused);
    Some(bundle)
}

/// Whether an operation pays for this bid.
fn pays(admitted: &Admitted, bid: Fees, base_fee: u128) -> bool {
    let offered = admitted.op.effective_gas_price(base_fee).saturating_sub(base_fee);
    admitted.op.max_fee_per_gas >= bid.max_fee && offered >= bid.priority_fee
}

/// Whether it waits for fees to fall, rather than for its turn.
pub(crate) fn is_below_market(op: &UserOperation, fees: FeeSuggestion) -> bool {
    op.effective_gas_price(fees.base_fee).saturating_sub(fees.base_fee) < fees.slow_priority_fee
        || op.max_fee_per_gas < fees.base_fee
}

fn offer(mempool: &Mempool, admitted: &Admitted, fees: FeeSuggestion) -> Offer {
    if mempool.is_shy(admitted.hash) {
        Offer::Below
    } else if native::is_prompt(admitted, fees) {
        Offer::Market
    } else if pays(admitted, Fees { priority_fee: fees.slow_priority_fee, ..Fees::default() }, fees.base_fee) {
        Offer::Slow
    } else {
        Offer::Below
    }
}

/// Chooses from those that offer so much.
fn choose_offering(
    mempool: &Mempool,
    terms: &Terms<'_>,
    candidates: &[(usize, &Admitted, u64)],
    wanted: Offer,
) -> Option<Bundle> {
    let base_fee = terms.fees.base_fee;
    let mut candidates: Vec<_> =
        candidates.iter().filter(|(_, admitted, _)| offer(mempool, admitted, terms.fees) == wanted).copied().collect();
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
        terms,
        wanted,
        bundle: None,
        class: Class::Usual,
        load: Load::default(),
        context: 0,
        lanes: HashMap::new(),
        throttled: HashMap::new(),
    };
    // Each pass may make room for those that had to go behind another.
    loop {
        let before = candidates.len();
        candidates.retain(|(_, _, ahead, admitted)| !choice.take(admitted, *ahead));
        if candidates.len() == before {
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
    terms: &'a Terms<'a>,
    wanted: Offer,
    bundle: Option<Bundle>,
    /// Of the first, and so of all.
    class: Class,
    load: Load,
    /// Bytes of their contexts.
    context: usize,
    /// Operations chosen, by sender and nonce key.
    lanes: HashMap<(Address, U256), u64>,
    throttled: HashMap<Address, usize>,
}

impl Choice<'_> {
    /// Whether it offers about as much as the first, or the market sets the bid.
    fn is_alike(&self, admitted: &Admitted, bundle: &Bundle) -> bool {
        let base_fee = self.terms.fees.base_fee;
        let offered = |it: &Admitted| it.op.effective_gas_price(base_fee).saturating_sub(base_fee);
        let first = bundle.operations.first().map_or(0, offered);
        self.wanted == Offer::Market || offered(admitted).saturating_mul(100) >= first.saturating_mul(LIKE)
    }

    /// Takes an operation with so many of its nonce key before it, if it may go in now.
    fn take(&mut self, admitted: &Admitted, ahead: u64) -> bool {
        let lane = line(admitted);
        if ahead != self.lanes.get(&lane).copied().unwrap_or_default() {
            return false;
        }
        let (entry_point, version) = (admitted.entry_point, admitted.version);
        let (native, below_market) = (self.terms.native, self.wanted == Offer::Below);
        let new = || Bundle { native, below_market, ..Bundle::new(entry_point, version, Vec::new()) };
        let mut bundle = self.bundle.take().unwrap_or_else(new);
        let taken = self.fits(admitted, &bundle);
        if let Some((load, named)) = taken {
            if bundle.operations.is_empty() {
                self.class = self.mempool.class(admitted.hash);
            }
            self.load = load;
            self.context += admitted.evidence.context;
            bundle.operations.push(admitted.clone());
            *self.lanes.entry(lane).or_default() += 1;
            named.into_iter().for_each(|address| *self.throttled.entry(address).or_default() += 1);
            self.bundle = Some(bundle);
            return true;
        }
        self.bundle = Some(bundle).filter(|bundle| !bundle.operations.is_empty());
        false
    }

    /// Whether it may go into this bundle: the load with it, and whom it names that is throttled.
    fn fits(&self, admitted: &Admitted, bundle: &Bundle) -> Option<(Load, Vec<Address>)> {
        let first = bundle.operations.is_empty();
        if self.terms.native && bundle.operations.len() >= native::most(bundle.version) {
            return None;
        }
        let other = bundle.entry_point != admitted.entry_point || self.class != self.mempool.class(admitted.hash);
        // Its paymaster may revert whatever it is in.
        let alone = [admitted].into_iter().chain(&bundle.operations).any(|it| self.mempool.is_uncontained(it));
        if !first && (other || alone || !self.is_alike(admitted, bundle)) {
            return None;
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
            return None;
        }
        if !first && !self.terms.room.holds_context(self.context + admitted.evidence.context) {
            return None;
        }
        let load = self.load + Load::of(&admitted.op, admitted.version);
        self.terms.room.holds(load, !first).then_some((load, named))
    }
}

#[cfg(test)]
mod tests {
    use erc4337::{EntryPointVersion, Paymaster};

    use super::*;
    use crate::{
        mempool::{
            Counts, MempoolConfig, Reputation,
            tests::{block, operation},
        },
        rules::{Party, RuleConfig, Standing},
    };

    fn fees(base_fee: u128) -> FeeSuggestion {
        FeeSuggestion::flat(base_fee, 1)
    }

    fn chosen(pool: &Mempool, room: Room, fees: FeeSuggestion, native: bool) -> Option<Bundle> {
        choose(pool, &Terms { room: &room, fees, native, least_bid: None, quiet: true }, |_| true)
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
        assert_eq!(ids(chosen(&pool, Room::of_gas(u64::MAX), fees(10), false)), [2, 3, 4, 5, 1]);
    }

    #[test]
    fn a_transaction_is_filled_as_far_as_its_gas_goes_and_no_further() {
        let pool = mempool([operation(1, 0, 30, 1), operation(2, 0, 90, 2), operation(3, 0, 50, 3)]);
        let of = |count: usize| {
            let bundle = chosen(&pool, Room::of_gas(u64::MAX), fees(1), false).unwrap();
            let operations = bundle.operations.into_iter().take(count).collect();
            Bundle::new(bundle.entry_point, bundle.version, operations).gas_limit()
        };
        assert_eq!(ids(chosen(&pool, Room::of_gas(of(2)), fees(1), false)), [2, 3]);
        assert_eq!(ids(chosen(&pool, Room::of_gas(of(1)), fees(1), false)), [2]);
        assert_eq!(ids(chosen(&pool, Room::of_gas(of(1) - 1), fees(1), false)), [0_u8; 0]);
    }

    #[test]
    fn lim_050_the_contexts_of_a_bundle_are_bounded_together_and_lim_040_so_is_its_call() {
        let with_context = |sender: u8, bytes: usize| {
            let mut admitted = operation(sender, 0, 50, sender);
            std::sync::Arc::make_mut(&mut admitted.evidence).context = bytes;
            admitted
        };
        let pool = mempool([with_context(1, 60), with_context(2, 50), with_context(3, 40)]);
        let within = |rules: RuleConfig| ids(chosen(&pool, Room::of_gas(u64::MAX).within(&rules), fees(1), false));
        assert_eq!(within(RuleConfig { max_bundle_context_size: 100, ..RuleConfig::default() }), [1, 3]);
        assert_eq!(within(RuleConfig { max_bundle_context_size: 10, ..RuleConfig::default() }), [1], "alone it may go");
        assert_eq!(within(RuleConfig::default()), [1, 2, 3]);
        let one = Load::of(&UserOperation::default(), EntryPointVersion::V0_8);
        let of = |count: usize| RuleConfig {
            max_bundle_size: std::iter::repeat_n(one, count).sum::<Load>().bytes(),
            ..RuleConfig::default()
        };
        assert_eq!([within(of(1)), within(of(2))], [vec![1], vec![1, 2]]);
    }

    #[test]
    fn grep_020_of_the_throttled_a_few_go_into_one_bundle() {
        let of_paymaster = |sender: u8| {
            let mut admitted = operation(sender, 0, 50, sender);
            let address = Address::repeat_byte(0xaa);
            std::sync::Arc::make_mut(&mut admitted.op).paymaster = Some(Paymaster { address, ..Paymaster::default() });
            let evidence = std::sync::Arc::make_mut(&mut admitted.evidence);
            evidence.parties.paymaster = Some(Party::new(address, Standing::Staked));
            evidence.paymaster_deposit = U256::MAX;
            admitted
        };
        let mut pool = mempool((1..=6).map(of_paymaster));
        assert_eq!(ids(chosen(&pool, Room::of_gas(u64::MAX), fees(1), false)).len(), 6);
        pool.reputation_mut().set(Address::repeat_byte(0xaa), Counts { ops_seen: 200, ops_included: 5 });
        assert_eq!(ids(chosen(&pool, Room::of_gas(u64::MAX), fees(1), false)), [1, 2, 3, 4]);
    }

    #[test]
    fn what_does_not_pay_the_base_fee_waits_and_everything_does_while_that_is_above_our_cap() {
        let pool = mempool([operation(1, 0, 30, 1), operation(2, 0, 90, 2)]);
        assert_eq!(ids(chosen(&pool, Room::of_gas(u64::MAX), fees(31), false)), [2]);
        assert_eq!(ids(chosen(&pool, Room::of_gas(u64::MAX), FeeSuggestion { cap: 30, ..fees(31) }, false)), [0_u8; 0]);
    }

    #[test]
    fn what_is_held_waits_for_the_next_head() {
        let mut pool = mempool([operation(1, 0, 30, 1), operation(2, 0, 90, 2)]);
        let held = pool.all().map(|it| it.hash).find(|hash| hash[0] == 2).unwrap();
        pool.mark_bundled(&[held]);
        pool.hold(&[held], "not now");
        let again = pool.all().find(|it| it.hash == held).unwrap().clone();
        pool.refresh(held, Ok(again));
        assert_eq!(ids(chosen(&pool, Room::of_gas(u64::MAX), fees(1), false)), [1]);
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
        let choose = |pool: &Mempool| ids(chosen(pool, Room::of_gas(u64::MAX), fees(1), false));
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
        assert_eq!(ids(chosen(&pool, Room::of_gas(u64::MAX), fees(10), true)), [0_u8; 0]);
        pool.set_native(&hashes[2..]);
        assert_eq!(ids(chosen(&pool, Room::of_gas(u64::MAX), fees(10), false)), [1, 2]);
        let bundle = chosen(&pool, Room::of_gas(u64::MAX), fees(10), true).unwrap();
        assert!(bundle.native && bundle.operations.len() == native::most(bundle.version));
        assert_eq!(bundle.hashes()[0][0], 3);
        // They offer 30 in all, and the base fee may rise by a tenth.
        assert_eq!(ids(chosen(&pool, Room::of_gas(u64::MAX), FeeSuggestion::flat(10, 20), true)), [0_u8; 0]);
        assert!(chosen(&pool, Room::of_gas(u64::MAX), FeeSuggestion::flat(10, 19), true).is_some());
    }

    #[test]
    fn what_is_left_of_a_block_bounds_several_operations_and_not_the_first() {
        let pool = mempool([operation(1, 0, 30, 1), operation(2, 0, 90, 2), operation(3, 0, 50, 3)]);
        assert_eq!(ids(chosen(&pool, Room::of_gas(u64::MAX).leaving(1), fees(1), false)), [2]);
    }

    #[test]
    fn what_pays_less_than_is_bid_lowers_nobodys_bid_and_goes_when_it_is_in_nobodys_way() {
        // Two are bid above a base fee of ten.
        let fees = FeeSuggestion::flat(10, 2);
        let room = Room::of_gas(u64::MAX);
        let pool = mempool([
            operation(1, 0, 30, 1),
            operation(2, 0, 40, 2),
            // No tip at all, and half of one.
            operation(3, 0, 10, 3),
            operation(4, 0, 11, 4),
        ]);
        let terms = |quiet| Terms { room: &room, fees, native: false, least_bid: None, quiet };
        let bundle = choose(&pool, &terms(true), |_| true).unwrap();
        assert_eq!(Fees::first(&bundle, fees), Fees { max_fee: 22, priority_fee: 2 });
        assert_eq!((bundle.below_market, ids(Some(bundle))), (false, vec![2, 1]));
        let rest = |hash: B256| hash[0] > 2;
        assert_eq!(ids(choose(&pool, &terms(false), rest)), [0_u8; 0], "something of the key is in flight");
        let bundle = choose(&pool, &terms(true), rest).unwrap();
        assert!(bundle.below_market);
        assert_eq!(Fees::first(&bundle, fees), Fees { max_fee: 11, priority_fee: 1 });
        assert_eq!(ids(Some(bundle)), [4], "nor that of its like");
        assert_eq!(ids(choose(&pool, &terms(true), |hash| hash[0] == 3)), [3]);
    }

    #[test]
    fn what_has_a_nonces_place_to_take_pays_for_that() {
        let room = Room::of_gas(u64::MAX);
        let pool = mempool([operation(1, 0, 30, 1), operation(2, 0, 40, 2)]);
        let of = |max_fee, cap| {
            let least_bid = Some(Fees { max_fee, priority_fee: 5 });
            let fees = FeeSuggestion { cap, ..FeeSuggestion::flat(10, 2) };
            choose(&pool, &Terms { room: &room, fees, native: false, least_bid, quiet: false }, |_| true)
        };
        assert_eq!(ids(of(35, u128::MAX)), [2]);
        let bundle = of(25, u128::MAX).unwrap();
        assert_eq!(Fees::first(&bundle, FeeSuggestion::flat(10, 2)), Fees { max_fee: 25, priority_fee: 5 });
        assert_eq!((ids(of(41, u128::MAX)), ids(of(35, 34))), (vec![], vec![]));
    }

    #[test]
    fn what_is_suspected_goes_with_its_like() {
        let mut pool = mempool((1..=6).map(|sender| operation(sender, 0, 30 - u128::from(sender), sender)));
        let hashes: Vec<_> = pool.all().map(|it| it.hash).collect();
        pool.set_back(&hashes[1..5], crate::mempool::Trouble::Disagreed, "why");
        for admitted in pool.stale(9) {
            pool.refresh(admitted.hash, Ok(admitted.clone()));
        }
        let terms = Terms { room: &Room::of_gas(u64::MAX), fees: fees(1), native: false, least_bid: None, quiet: true };
        let of = |after: u8| ids(choose(&pool, &terms, |hash| hash[0] > after));
        assert_eq!([of(0), of(1), of(3)], [vec![1, 6], vec![2, 3], vec![4, 5]]);
    }
}
