//! What is done for a nonce that the chain does not use, and when: by one bundle, step by step.

use std::sync::Arc;

use alloy::primitives::{B256, Bytes};
use erc4337::EntryPointVersion;

use crate::{
    builder::Bundle,
    fees::FeeSuggestion,
    flow::{Action, Flow, Mined, Place, Policy, Restored},
    mempool::tests::operation,
    submitter::{Attempt, Fees},
};

const PLACE: Place = Place { key: 0, nonce: 0 };
const SENT: B256 = B256::repeat_byte(9);

fn fees() -> FeeSuggestion {
    FeeSuggestion::flat(1, 1)
}

/// Whose key has used no nonce yet.
fn flow() -> Flow {
    let policy =
        Policy { per_key: 4, patience: 3_000, cancel_after: 24_000, cancel_max_fee: u128::MAX, reorg_depth: 64 };
    let mut flow = Flow::new(1, policy);
    flow.advance(&[Some(0)], 1, 1_000, fees());
    flow
}

/// A bundle whose operation pays this much for gas.
fn bundle(fee: u128) -> Arc<Bundle> {
    let operation = operation(1, 0, fee, 1);
    Arc::new(Bundle::new(operation.entry_point, EntryPointVersion::V0_8, vec![operation]))
}

fn attempt() -> Attempt {
    Attempt { transaction: SENT, raw: Bytes::new(), fees: Fees { max_fee: 3, priority_fee: 1 } }
}

/// With this bundle in flight since the first second.
fn in_flight(bundle: &Arc<Bundle>) -> Flow {
    let mut flow = flow();
    assert_eq!(flow.place(Arc::clone(bundle), 0, fees(), 1_000).len(), 1);
    flow.signed(PLACE, attempt(), Some(bundle));
    flow
}

fn cancels(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Sign { bundle: None, .. }))
}

#[test]
fn the_nonce_of_a_bundle_that_the_state_has_overtaken_is_filled_at_the_next_head_and_its_operations_are_free() {
    let bundle = bundle(100);
    let mut flow = in_flight(&bundle);
    assert!(flow.holds(bundle.hashes()[0]));
    assert_eq!(flow.overtaken(PLACE, SENT).len(), 1);
    assert!(!flow.holds(bundle.hashes()[0]));
    assert!(cancels(&flow.advance(&[Some(0)], 2, 1_200, fees())));
}

#[test]
fn a_bundle_that_cannot_be_made_dearer_is_cancelled_so_long_after_it_was_first_sent() {
    // A raise would be to 5.
    let mut flow = in_flight(&bundle(4));
    for now in (4_000..25_000).step_by(3_000) {
        assert!(!cancels(&flow.advance(&[Some(0)], now / 200, now, fees())), "after {now} ms");
    }
    assert!(cancels(&flow.advance(&[Some(0)], 140, 28_000, fees())));
}

#[test]
fn what_was_in_flight_before_a_restart_is_first_sent_as_it_is() {
    let mut flow = flow();
    let restored =
        Restored { bundle: Some(bundle(100)), attempts: vec![attempt()], cancelled_by: Vec::new(), settled: None };
    flow.restore(PLACE, restored, 1_000);
    let again = flow.advance(&[Some(0)], 50, 10_000, fees());
    assert!(again.iter().any(|action| matches!(action, Action::Broadcast { .. })), "{again:?}");
    assert!(!again.iter().any(|action| matches!(action, Action::Sign { .. })), "{again:?}");
}

/// Of two operations that pay this much.
fn bundle_of_two(fee: u128) -> Arc<Bundle> {
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
    flow.give_up(PLACE, &bundle);
    assert!(flow.holds(bundle.hashes()[0]));
    assert!(cancels(&flow.advance(&[Some(0)], 31, 10_200, fees())));
}

#[test]
fn a_bundle_with_an_operation_that_runs_out_is_made_anew_however_lately_it_was_sent() {
    let again = |actions: &[Action]| matches!(actions, [Action::SignAgain { .. }]);
    let bundle = bundle_of_two(100);
    let mut flow = in_flight(&bundle);
    flow.hurry(&[Some(0)], |_| false);
    assert!(flow.advance(&[Some(0)], 2, 1_200, fees()).is_empty());
    flow.hurry(&[Some(0)], |admitted| admitted.op.sender == bundle.operations[1].op.sender);
    assert!(again(&flow.advance(&[Some(0)], 3, 1_400, fees())));
    // What bids all that its operations pay cannot take its own place.
    let poor = bundle_of_two(3);
    let mut flow = in_flight(&poor);
    flow.hurry(&[Some(0)], |_| true);
    assert!(cancels(&flow.advance(&[Some(0)], 3, 1_400, fees())));
}
