//! What becomes of a nonce whose bundle, or some of it, is not to be mined any more.

use std::sync::Arc;

use alloy::primitives::{B256, Bytes};

use super::overdue::{PLACE, attempt, bundle_of_two, cancels, fees, in_flight, of_sender};
use crate::{admission::Admitted, fees::FeeSuggestion, flow::Action, submitter::Attempt};

#[test]
fn a_bundle_with_an_operation_that_runs_out_is_made_anew_however_lately_it_was_sent() {
    let again = |actions: &[Action]| matches!(actions, [Action::SignAgain { .. }]);
    let bundle = bundle_of_two(100);
    let mut flow = in_flight(&bundle);
    flow.hurry(&[Some(0)], |_| false, |_| false);
    assert!(flow.advance(&[Some(0)], 2, 1_200, fees()).is_empty());
    flow.hurry(&[Some(0)], |admitted| admitted.op.sender == bundle.operations[1].op.sender, |_| false);
    assert!(again(&flow.advance(&[Some(0)], 3, 1_400, fees())));
    // What bids all that its operations pay cannot take its own place.
    let poor = bundle_of_two(3);
    let mut flow = in_flight(&poor);
    flow.hurry(&[Some(0)], |_| true, |_| false);
    assert!(cancels(&flow.advance(&[Some(0)], 3, 1_400, fees())));
}

#[test]
fn a_lone_operation_that_nobody_mines_is_cancelled_when_others_that_cannot_outbid_it_are_bound_to_its_nonce() {
    let (poor, rich) = (of_sender(1, 20), of_sender(2, 1_000));
    let dear = FeeSuggestion::flat(10, 2);
    for waits in [false, true] {
        let mut flow = in_flight(&poor);
        // Fees leave it behind, and what is dearer takes its place, and is mined for no price.
        let actions = flow.advance(&[Some(0)], 3, 60_000, FeeSuggestion::flat(30, 2));
        assert!(!actions.iter().any(|action| matches!(action, Action::Sign { .. } | Action::SignAgain { .. })));
        let opening = flow.openings(0).into_iter().find(|opening| opening.place == PLACE).unwrap();
        assert!(!flow.place(Arc::clone(&rich), PLACE, dear, 60_000).is_empty() && opening.least_bid.is_some());
        let mut cancelled = false;
        for at in 0..60_u64 {
            flow.await_nonces(&[Some(0)], |hash| waits && hash == poor.hashes()[0]);
            for action in flow.advance(&[Some(0)], 4 + at, 60_000 + at * 4_000, dear) {
                let (bundle, fees) = match action {
                    Action::SignAgain { bundle, fees, .. } => (Some(bundle), fees),
                    Action::Sign { bundle, fees, .. } => (bundle, fees),
                    _ => continue,
                };
                cancelled |= bundle.is_none();
                let transaction = B256::left_padding_from(&(at + 100).to_be_bytes());
                flow.signed(PLACE, Attempt { transaction, raw: Bytes::new(), fees }, bundle.as_ref());
            }
            if at == 0 {
                let fees = opening.least_bid.unwrap();
                flow.signed(PLACE, Attempt { transaction: B256::repeat_byte(8), raw: Bytes::new(), fees }, Some(&rich));
            }
        }
        assert_eq!(cancelled, waits);
    }
}

#[test]
fn what_ends_soon_leaves_the_others_room_to_take_its_place() {
    let bundle = bundle_of_two(100);
    let brief = bundle.operations[0].op.sender;
    let is_brief = |admitted: &Admitted| admitted.op.sender == brief;
    let mut flow = in_flight(&bundle);
    flow.hurry(&[Some(0)], |_| false, is_brief);
    let dear = FeeSuggestion::flat(60, 5);
    let actions = flow.advance(&[Some(0)], 4, 8_000, dear);
    let [Action::SignAgain { bundle: all, fees: last, .. }] = actions.as_slice() else { panic!("{actions:?}") };
    assert!(last.max_fee > 80 && last.raised().max_fee <= 100, "{last:?}");
    let attempt = Attempt { transaction: B256::repeat_byte(8), raw: Bytes::new(), fees: *last };
    flow.signed(PLACE, attempt, Some(all));
    flow.hurry(&[Some(0)], is_brief, |_| false);
    let actions = flow.advance(&[Some(0)], 5, 8_200, dear);
    let [Action::SignAgain { bundle: rest, fees, .. }] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(rest.hashes(), bundle.hashes()[1..]);
    assert!(*fees == fees.at_least(last.raised()) && fees.max_fee <= 100, "{fees:?}");
    assert!(flow.holds(bundle.hashes()[0]), "the transaction that carries it may be mined yet");
}

#[test]
fn what_is_cancelled_so_as_not_to_come_too_late_bids_what_takes_its_place_and_no_more() {
    let dear = FeeSuggestion::flat(100, 50);
    let poor = bundle_of_two(3);
    let mut flow = in_flight(&poor);
    flow.hurry(&[Some(0)], |_| true, |_| false);
    let actions = flow.advance(&[Some(0)], 3, 1_400, dear);
    let [Action::Sign { bundle: None, fees, .. }] = actions[..] else { panic!("{actions:?}") };
    assert_eq!(fees, attempt().fees.raised(), "whatever the market asks");
    let cancellation = Attempt { transaction: B256::repeat_byte(8), raw: Bytes::new(), fees };
    flow.signed(PLACE, cancellation, None);
    for at in 2..20 {
        let actions = flow.advance(&[Some(0)], 3 + at, at * 4_000, dear);
        assert!(matches!(actions[..], [Action::Broadcast { .. }]), "it is as good unmined: {actions:?}");
    }
}
