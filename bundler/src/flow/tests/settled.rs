//! Nonces that were used, and are free again; and those that an earlier process gave out.

use std::sync::Arc;

use alloy::primitives::B256;

use super::overdue::{PLACE, SENT, attempt, bundle, fees, flow, of_sender};
use crate::{
    flow::{Action, Flow, Mined, Place, Policy, Restored},
    submitter::Attempt,
};

#[test]
fn what_was_in_flight_before_a_restart_is_first_sent_as_it_is() {
    let mut flow = flow();
    let restored = Restored {
        bundle: Some(bundle(100)),
        attempts: vec![attempt()],
        cancelled_by: Vec::new(),
        earlier: vec![B256::repeat_byte(5)],
        settled: None,
    };
    flow.restore(PLACE, restored, 1_000);
    assert!(!flow.may_go(B256::repeat_byte(5), Place { nonce: 1, ..PLACE }), "a transaction with it may be mined yet");
    let again = flow.advance(&[Some(0)], 50, 10_000, fees());
    assert!(again.iter().any(|action| matches!(action, Action::Broadcast { .. })), "{again:?}");
    assert!(!again.iter().any(|action| matches!(action, Action::Sign { .. })), "{again:?}");
}

#[test]
fn what_was_mined_before_a_restart_binds_all_that_was_ever_signed_for_its_nonce_if_that_is_free_again() {
    let (last, earlier) = (bundle(100), of_sender(2, 100));
    let elsewhere = Place { nonce: 1, ..PLACE };
    // What was signed last has another nonce since, or not.
    for moved in [false, true] {
        let mut flow = flow();
        let restored = Restored {
            bundle: Some(Arc::clone(&last)),
            attempts: vec![attempt()],
            cancelled_by: Vec::new(),
            earlier: earlier.hashes(),
            settled: Some(40),
        };
        flow.restore(PLACE, restored, 1_000);
        flow.advance(&[Some(1)], 41, 8_200, fees());
        if moved {
            assert!(!flow.place(Arc::clone(&last), elsewhere, fees(), 8_200).is_empty());
        }
        flow.advance(&[Some(0)], 42, 8_400, fees());
        assert!(flow.place(Arc::clone(&earlier), Place { nonce: 2, ..PLACE }, fees(), 8_400).is_empty(), "{moved}");
        assert_eq!(flow.place_of(last.hashes()[0]), Some(if moved { elsewhere } else { PLACE }));
    }
}

#[test]
fn what_two_nonces_carry_after_a_restart_goes_nowhere_else_before_both_are_used() {
    let mut flow = flow();
    let bundle = bundle(100);
    let places = [PLACE, Place { nonce: 1, ..PLACE }];
    for place in places {
        let restored = Restored {
            bundle: Some(Arc::clone(&bundle)),
            attempts: vec![attempt()],
            cancelled_by: Vec::new(),
            earlier: Vec::new(),
            settled: None,
        };
        flow.restore(place, restored, 1_000);
    }
    assert_eq!(flow.place_of(bundle.hashes()[0]), Some(PLACE));
    // The first is used by somebody else.
    flow.advance(&[Some(1)], 50, 10_000, fees());
    for _ in 0..2 {
        flow.settle(PLACE, None, 50);
    }
    let free = Place { nonce: 2, ..PLACE };
    assert!(flow.place(Arc::clone(&bundle), free, fees(), 10_000).is_empty());
    flow.advance(&[Some(2)], 51, 10_200, fees());
    for _ in 0..2 {
        flow.settle(places[1], None, 51);
    }
    assert!(!flow.place(Arc::clone(&bundle), free, fees(), 10_200).is_empty());
}

#[test]
fn what_was_mined_twice_is_in_flight_once_when_both_have_left_the_chain() {
    let policy =
        Policy { per_key: 4, patience: 3_000, cancel_after: 24_000, cancel_max_fee: u128::MAX, reorg_depth: 64 };
    let (mut flow, bundle) = (Flow::new(2, policy), bundle(100));
    let mut now = 1_000;
    flow.advance(&[Some(0), Some(0)], 1, now, fees());
    let places = [PLACE, Place { key: 1, ..PLACE }];
    for (height, (place, transaction)) in (40..).zip(places.into_iter().zip([SENT, B256::repeat_byte(7)])) {
        now += 200;
        assert!(!flow.place(Arc::clone(&bundle), place, fees(), now).is_empty());
        flow.signed(place, Attempt { transaction, ..attempt() }, Some(&bundle));
        flow.advance(&[Some(1), Some(place.key as u64)], height, now, fees());
        let mined = Mined { transaction, success: true, block: height, cost: 0 };
        flow.settle(place, Some(mined), height);
    }
    let again = flow.advance(&[Some(0), Some(0)], 43, now + 200, fees());
    let in_flight = again.iter().filter_map(|action| match action {
        Action::Unmined { place, .. } => Some(*place),
        _ => None,
    });
    assert_eq!(in_flight.collect::<Vec<_>>(), [places[1]]);
    let sent = again
        .iter()
        .any(|it| matches!(it, Action::Broadcast { place, attempt } if *place == PLACE && attempt.transaction == SENT));
    assert!(!sent, "{again:?}");
}
