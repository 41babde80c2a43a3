//! What is done for a nonce that the chain does not use, and when: by one bundle, step by step.

use std::sync::Arc;

use alloy::primitives::{B256, Bytes};
use erc4337::EntryPointVersion;

use crate::{
    builder::Bundle,
    fees::FeeSuggestion,
    flow::{Action, Flow, Mined, Outcome, Place, Policy},
    mempool::tests::operation,
    submitter::{Attempt, Fees},
};

pub(super) const PLACE: Place = Place { key: 0, nonce: 0 };
pub(super) const SENT: B256 = B256::repeat_byte(9);

pub(super) fn fees() -> FeeSuggestion {
    FeeSuggestion::flat(1, 1)
}

/// Whose key has used no nonce yet.
pub(super) fn flow() -> Flow {
    let policy =
        Policy { per_key: 4, patience: 3_000, cancel_after: 24_000, cancel_max_fee: u128::MAX, reorg_depth: 64 };
    let mut flow = Flow::new(1, policy);
    flow.advance(&[Some(0)], 1, 1_000, fees());
    flow
}

/// A bundle whose operation pays this much for gas.
pub(super) fn bundle(fee: u128) -> Arc<Bundle> {
    of_sender(1, fee)
}

pub(super) fn of_sender(sender: u8, fee: u128) -> Arc<Bundle> {
    let operation = operation(sender, 0, fee, sender);
    Arc::new(Bundle::new(operation.entry_point, EntryPointVersion::V0_8, vec![operation]))
}

pub(super) fn attempt() -> Attempt {
    Attempt { transaction: SENT, raw: Bytes::new(), fees: Fees { max_fee: 3, priority_fee: 1 } }
}

/// With this bundle in flight since the first second.
pub(super) fn in_flight(bundle: &Arc<Bundle>) -> Flow {
    let mut flow = flow();
    assert_eq!(flow.place(Arc::clone(bundle), PLACE, fees(), 1_000).len(), 1);
    flow.signed(PLACE, attempt(), Some(bundle));
    flow
}

pub(super) fn cancels(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Sign { bundle: None, .. }))
}

/// The nonces of the next bundle.
fn openings(flow: &Flow) -> Vec<u64> {
    flow.openings(0).iter().map(|opening| opening.place.nonce).collect()
}

/// Another bundle, behind: in flight under this nonce.
fn behind(flow: &mut Flow, nonce: u64) -> Arc<Bundle> {
    let other = of_sender(2, 100);
    let place = Place { nonce, ..PLACE };
    assert!(!flow.place(Arc::clone(&other), place, fees(), 1_000).is_empty());
    let transaction = B256::repeat_byte(8);
    flow.signed(place, Attempt { transaction, ..attempt() }, Some(&other));
    flow.taken(place, transaction);
    other
}

#[test]
fn the_nonce_of_a_bundle_that_the_state_has_overtaken_is_the_next_ones() {
    let bundle = bundle(100);
    let mut flow = in_flight(&bundle);
    assert!(flow.holds(bundle.hashes()[0]));
    assert_eq!(flow.overtaken(PLACE, SENT).len(), 1);
    assert!(!flow.holds(bundle.hashes()[0]) && flow.is_idle());
    assert!(!cancels(&flow.advance(&[Some(0)], 2, 1_200, fees())));
    assert_eq!(openings(&flow), [0, 1]);
}

#[test]
fn a_nonce_whose_transaction_no_node_took_is_free_at_once_and_costs_no_cancellation() {
    let bundle = bundle(100);
    let mut flow = in_flight(&bundle);
    assert_eq!(flow.refused(PLACE, SENT).map(|bundle| bundle.hashes()), Some(bundle.hashes()));
    assert!(flow.is_idle() && !flow.holds(bundle.hashes()[0]));
    assert_eq!(openings(&flow), [0, 1]);
    for now in (1_200..120_000).step_by(3_000) {
        assert!(flow.advance(&[Some(0)], now / 200, now, fees()).is_empty());
    }
    // The same operation goes under no other nonce before that one is used.
    let again = self::bundle(100);
    assert!(flow.place(Arc::clone(&again), Place { nonce: 1, ..PLACE }, fees(), 2_000).is_empty());
    assert!(!flow.may_go(again.hashes()[0], Place { nonce: 1, ..PLACE }));
    assert_eq!(flow.place(again, PLACE, fees(), 2_000).len(), 1);
}

#[test]
fn what_was_refused_under_a_later_nonce_may_take_an_earlier_one() {
    let mut flow = in_flight(&bundle(100));
    let other = of_sender(2, 100);
    let second = Place { nonce: 1, ..PLACE };
    flow.place(Arc::clone(&other), second, fees(), 1_000);
    let transaction = B256::repeat_byte(8);
    flow.signed(second, Attempt { transaction, ..attempt() }, Some(&other));
    assert!(flow.refused(PLACE, SENT).is_some() && flow.refused(second, transaction).is_some());
    assert_eq!(openings(&flow), [0, 2]);
    assert!(flow.may_go(other.hashes()[0], PLACE) && !flow.may_go(other.hashes()[0], Place { nonce: 2, ..PLACE }));
    assert!(!flow.may_go(B256::repeat_byte(1), second), "nor the first a later one");
}

#[test]
fn what_waits_behind_a_nonce_that_was_left_waits_for_the_next_bundle_or_a_little() {
    let mut flow = in_flight(&bundle(100));
    behind(&mut flow, 1);
    assert!(flow.refused(PLACE, SENT).is_some());
    assert!(!cancels(&flow.advance(&[Some(0)], 10, 3_900, fees())));
    let mut filled = flow.advance(&[Some(0)], 30, 6_000, fees());
    filled.retain(|action| matches!(action, Action::Sign { .. }));
    assert!(matches!(filled[..], [Action::Sign { place: PLACE, bundle: None, .. }]), "{filled:?}");
}

#[test]
fn what_a_node_may_have_keeps_its_nonce_though_it_is_refused_afterwards() {
    let bundle = bundle(4);
    for unsure in [
        |flow: &mut Flow| flow.taken(PLACE, SENT),
        |flow: &mut Flow| {
            // Sent once more: one of two answers is out.
            assert!(matches!(flow.advance(&[Some(0)], 20, 5_000, fees())[..], [Action::Broadcast { .. }]));
        },
    ] {
        let mut flow = in_flight(&bundle);
        unsure(&mut flow);
        assert!(flow.refused(PLACE, SENT).is_none());
        assert!(flow.holds(bundle.hashes()[0]) && !flow.is_idle());
    }
}

#[test]
fn a_bundle_that_cannot_be_made_dearer_is_cancelled_so_long_after_it_was_first_sent_if_others_wait() {
    // A raise would be to 5.
    let mut flow = in_flight(&bundle(4));
    flow.taken(PLACE, SENT);
    behind(&mut flow, 1);
    for now in (4_000..25_000).step_by(3_000) {
        assert!(!cancels(&flow.advance(&[Some(0)], now / 200, now, fees())), "after {now} ms");
    }
    assert!(cancels(&flow.advance(&[Some(0)], 140, 28_000, fees())));
}

#[test]
fn one_that_nobody_waits_for_is_left_where_it_is_unless_it_may_come_to_revert() {
    for (until, cancelled) in [(u64::MAX, false), (1_000_000, true)] {
        let mut admitted = operation(1, 0, 4, 1);
        admitted.validated.account.valid_until = until;
        let bundle = Arc::new(Bundle::new(admitted.entry_point, EntryPointVersion::V0_8, vec![admitted]));
        let mut flow = in_flight(&bundle);
        flow.taken(PLACE, SENT);
        let actions = (4_000..400_000).step_by(3_000).map(|now| flow.advance(&[Some(0)], now / 200, now, fees()));
        assert_eq!(actions.map(|actions| cancels(&actions)).fold(false, |any, it| any | it), cancelled, "{until}");
    }
}

/// One that cannot be made dearer, a while later, with a dearer one in its place.
fn displaced() -> (Flow, Arc<Bundle>, Arc<Bundle>) {
    let (poor, rich) = (bundle(4), of_sender(2, 100));
    let mut flow = in_flight(&poor);
    flow.taken(PLACE, SENT);
    assert_eq!(openings(&flow), [1], "it has its time");
    flow.advance(&[Some(0)], 30, 5_000, fees());
    let opening = flow.openings(0)[0];
    assert_eq!((opening.place, openings(&flow)), (PLACE, vec![0, 1]));
    let least = opening.least_bid.unwrap();
    assert!(least.max_fee > 3 && least.priority_fee > 1, "{least:?}");
    // One that pays no more cannot have its place, but the one behind.
    assert!(flow.place(of_sender(3, 4), PLACE, fees(), 5_000).is_empty());
    let actions = flow.place(Arc::clone(&rich), PLACE, fees(), 5_000);
    let [Action::Settled { outcome: Outcome::Displaced, .. }, Action::Sign { fees: bid, .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert!(least.is_within(*bid), "{bid:?}");
    flow.signed(PLACE, Attempt { transaction: B256::repeat_byte(7), ..attempt() }, Some(&rich));
    assert!(!flow.holds(poor.hashes()[0]) && flow.holds(rich.hashes()[0]));
    assert!(!flow.may_go(poor.hashes()[0], Place { nonce: 1, ..PLACE }));
    (flow, poor, rich)
}

#[test]
fn several_that_bid_what_others_do_and_are_not_mined_are_tried_in_halves_and_one_makes_way() {
    for count in [1, 2] {
        let operations: Vec<_> = (1..=count).map(|sender| operation(sender, 0, 1_000, sender)).collect();
        let bundle = Arc::new(Bundle::new(operations[0].entry_point, EntryPointVersion::V0_8, operations));
        let mut flow = flow();
        flow.place(Arc::clone(&bundle), PLACE, fees(), 1_000);
        let mut given_up = Vec::new();
        for raise in 0..5_u64 {
            let transaction = B256::with_last_byte(1 + raise as u8);
            let bid = Fees { max_fee: 3 << raise, priority_fee: 1 << raise };
            flow.signed(PLACE, Attempt { transaction, raw: Bytes::new(), fees: bid }, Some(&bundle));
            flow.taken(PLACE, transaction);
            assert_eq!(flow.openings(0).iter().any(|it| it.place == PLACE), raise > 2 || !given_up.is_empty());
            given_up.extend(outcomes(&flow.advance(&[Some(0)], 20 + raise, 4_000 + 3_000 * raise, fees())));
            if count == 2 && raise == 2 {
                break;
            }
        }
        // One is made dearer on, and its nonce is anybody's who pays more.
        assert_eq!(given_up.len(), usize::from(count == 2));
        let fees_of = Fees { max_fee: 96, priority_fee: 32 };
        flow.signed(
            PLACE,
            Attempt { transaction: B256::with_last_byte(9), raw: Bytes::new(), fees: fees_of },
            Some(&bundle),
        );
        let least = flow.openings(0)[0].least_bid.unwrap();
        assert!(least.priority_fee > 4, "{least:?}");
        // Until then it is sent again: it may be mined yet.
        let again = flow.advance(&[Some(0)], 200, 40_000, fees());
        assert!(matches!(again[..], [Action::Broadcast { .. } | Action::SignAgain { .. }]), "{again:?}");
    }
}

#[test]
fn one_that_bids_what_others_do_and_is_not_mined_is_cancelled_soon_if_others_wait() {
    let bundle = bundle(1_000);
    let mut flow = in_flight(&bundle);
    flow.taken(PLACE, SENT);
    behind(&mut flow, 1);
    let mut cancelled = Vec::new();
    for raise in 0..3_u64 {
        let actions = flow.advance(&[Some(0)], 20 + raise, 4_000 + 3_000 * raise, fees());
        cancelled.push(cancels(&actions));
        let bid = Fees { max_fee: 3 << (raise + 1), priority_fee: 1 << (raise + 1) };
        let transaction = B256::with_last_byte(1 + raise as u8);
        flow.signed(PLACE, Attempt { transaction, raw: Bytes::new(), fees: bid }, Some(&bundle));
    }
    assert_eq!(cancelled, [false, false, true]);
}

#[test]
fn what_goes_behind_one_that_was_not_heard_of_yet_waits_for_that_or_for_a_head() {
    let second = Place { nonce: 1, ..PLACE };
    let mut flow = in_flight(&bundle(100));
    assert!(flow.is_unsure(second) && !flow.is_unsure(PLACE));
    flow.taken(PLACE, SENT);
    assert!(!flow.is_unsure(second));
    let mut flow = in_flight(&bundle(100));
    flow.advance(&[Some(0)], 2, 1_200, fees());
    assert!(!flow.is_unsure(second), "the node does not answer");
    let mut flow = in_flight(&bundle(100));
    assert_eq!(flow.left_before(second), 0);
    flow.refused(PLACE, SENT);
    assert_eq!((flow.is_unsure(second), flow.left_before(second)), (false, 1));
}

fn outcomes(actions: &[Action]) -> Vec<(Vec<B256>, &'static str)> {
    let settled = actions.iter().filter_map(|action| match action {
        Action::Settled { bundle: Some(bundle), outcome, .. } => Some((bundle.hashes(), outcome.name())),
        _ => None,
    });
    settled.collect()
}

#[test]
fn what_fees_have_left_behind_makes_way_for_what_pays_more_and_is_executed_once_whichever_is_mined() {
    let mined = |transaction| Some(Mined { transaction, success: true, block: 40, cost: 0 });
    for (transaction, ends) in [(B256::repeat_byte(7), ["executed"].as_slice()), (SENT, &["superseded", "executed"])] {
        let (mut flow, poor, rich) = displaced();
        let asked = flow.advance(&[Some(1)], 40, 8_000, fees());
        let [Action::Ask { transactions, .. }] = &asked[..] else { panic!("{asked:?}") };
        assert!(transactions.contains(&SENT) && transactions.contains(&B256::repeat_byte(7)));
        let ended = outcomes(&flow.settle(PLACE, mined(transaction), 40));
        assert_eq!(ended.iter().map(|(_, end)| *end).collect::<Vec<_>>(), ends);
        let executed = if transaction == SENT { &poor } else { &rich };
        assert_eq!(ended.last().map(|(hashes, _)| hashes.clone()), Some(executed.hashes()));
        assert!(flow.is_idle() && flow.may_go(poor.hashes()[0], Place { nonce: 1, ..PLACE }));
        // Its block leaves the chain: what was mined is what is in flight again.
        let again = flow.advance(&[Some(0)], 41, 8_200, fees());
        assert!(
            again.iter().any(|it| matches!(it, Action::Unmined { bundle, .. } if bundle.hashes() == executed.hashes()))
        );
        // So may the other be, whose transaction is signed too.
        for either in [&poor, &rich] {
            let bundle = Arc::new(Bundle::clone(either));
            assert!(flow.place(bundle, Place { nonce: 1, ..PLACE }, fees(), 8_200).is_empty());
        }
    }
}

/// Of two operations that pay this much.
pub(super) fn bundle_of_two(fee: u128) -> Arc<Bundle> {
    let operations = vec![operation(1, 0, fee, 1), operation(2, 0, fee, 2)];
    Arc::new(Bundle::new(operations[0].entry_point, EntryPointVersion::V0_8, operations))
}

#[test]
fn what_does_not_work_any_more_leaves_a_bundle_that_is_made_dearer_and_stays_bound_to_its_nonce() {
    let bundle = bundle_of_two(100);
    let [first, second] = bundle.hashes().try_into().unwrap();
    let mut flow = in_flight(&bundle);
    let actions = flow.advance(&[Some(0)], 30, 10_000, fees());
    let Some(Action::SignAgain { bundle: again, fees: bid, .. }) = actions.first() else { panic!("{actions:?}") };
    assert!(Arc::ptr_eq(again, &bundle));
    let rest = Bundle::new(bundle.entry_point, bundle.version, vec![bundle.operations[1].clone()]);
    let rest = flow.reduce(PLACE, again, rest).unwrap();
    let dearer = Attempt { transaction: B256::repeat_byte(8), raw: Bytes::new(), fees: *bid };
    assert!(flow.signed(PLACE, dearer.clone(), Some(&bundle)).is_empty(), "the whole is not carried any more");
    assert_eq!(flow.signed(PLACE, dearer, Some(&rest)).len(), 1);
    assert_eq!(flow.carried(PLACE, B256::repeat_byte(8)).unwrap().hashes(), [second]);
    assert!(flow.holds(first), "the first transaction may be mined yet");
    // Whichever is mined, both are told.
    flow.advance(&[Some(1)], 31, 10_200, fees());
    let mined = Mined { transaction: B256::repeat_byte(8), success: true, block: 31, cost: 1 };
    let settled = flow.settle(PLACE, Some(mined), 31);
    let [Action::Settled { bundle: Some(told), .. }] = settled.as_slice() else { panic!("{settled:?}") };
    assert_eq!((told.hashes(), flow.holds(first)), (vec![first, second], false));
}

#[test]
fn a_bundle_of_which_nothing_works_any_more_is_cancelled_at_the_next_head() {
    let bundle = bundle_of_two(100);
    let mut flow = in_flight(&bundle);
    let actions = flow.advance(&[Some(0)], 30, 10_000, fees());
    assert!(matches!(actions[..], [Action::SignAgain { .. }]), "{actions:?}");
    flow.withdraw(PLACE, &bundle);
    assert!(flow.holds(bundle.hashes()[0]));
    assert!(cancels(&flow.advance(&[Some(0)], 31, 10_200, fees())));
}

#[test]
fn a_cancellation_that_others_wait_for_bids_no_more_than_twice_the_market() {
    let first = of_sender(1, 3);
    let mut flow = in_flight(&first);
    let (market, mut bids, mut last) = (FeeSuggestion::flat(10, 5), Vec::new(), 1);
    let second = Place { nonce: 1, ..PLACE };
    let behind = of_sender(2, 1_000);
    assert_eq!(flow.place(Arc::clone(&behind), second, fees(), 1_000).len(), 1);
    let fees = Fees { max_fee: 1_000, priority_fee: 50 };
    flow.signed(second, Attempt { transaction: B256::repeat_byte(7), raw: Bytes::new(), fees }, Some(&behind));
    for at in 1..60 {
        for action in flow.advance(&[Some(0)], 3 + at, at * 4_000, market) {
            if let Action::Sign { bundle: None, fees, place: PLACE } = action {
                bids.push(fees.max_fee);
                last += 1;
                let transaction = B256::with_last_byte(last);
                flow.signed(PLACE, Attempt { transaction, raw: Bytes::new(), fees }, None);
            }
        }
    }
    // Two base fees and the tip, and a tenth more each time.
    assert!(bids.len() > 3 && bids[0] == 25 && *bids.last().unwrap() < 60, "{bids:?}");
}

#[test]
fn nothing_is_cancelled_for_those_that_could_not_be_mined_at_this_base_fee_either() {
    let mut flow = in_flight(&of_sender(1, 3));
    let second = Place { nonce: 1, ..PLACE };
    let behind = of_sender(2, 3);
    assert_eq!(flow.place(Arc::clone(&behind), second, fees(), 1_000).len(), 1);
    flow.signed(second, Attempt { transaction: B256::repeat_byte(7), ..attempt() }, Some(&behind));
    let dear = FeeSuggestion::flat(10, 1);
    assert!((1..30).all(|at| !cancels(&flow.advance(&[Some(0)], 3 + at, at * 4_000, dear))));
    let now = |at: u64| at * 4_000;
    let cancelled = (31..60).any(|at| cancels(&flow.advance(&[Some(0)], 3 + at, now(at), fees())));
    assert!(cancelled, "it is in their way once they could be");
}
