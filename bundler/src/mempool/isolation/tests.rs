//! Bundles that somebody refuses, as the engine would make them of what waits.

use std::{collections::BTreeMap, sync::Arc};

use alloy::primitives::{Address, B256, U256};
use erc4337::{Paymaster, UserOperation};

use super::{Class, REMEMBERED, Trouble};
use crate::{
    Rejection,
    admission::Admitted,
    mempool::{
        Dropped, Mempool, MempoolConfig, Phase, Reputation,
        tests::{block, operation},
    },
    submitter::Fees,
};

const BID: Fees = Fees { max_fee: 20, priority_fee: 2 };
const WORDS: &str = "transaction type not supported";

fn id(id: u8) -> B256 {
    B256::repeat_byte(id)
}

const PAYMASTER: Address = Address::repeat_byte(0xaa);

fn sponsored(sender: u8, nonce: u64, id: u8) -> Admitted {
    let mut admitted = operation(sender, nonce, 100, id);
    let paymaster = Paymaster { address: PAYMASTER, ..Paymaster::default() };
    admitted.op = Arc::new(UserOperation { paymaster: Some(paymaster), ..(*admitted.op).clone() });
    admitted
}

fn pool(count: u8) -> Mempool {
    let mut pool = Mempool::new(MempoolConfig::default(), Reputation::default());
    for sender in 1..=count {
        pool.insert(operation(sender, 0, 100, sender), &block(1)).unwrap();
    }
    pool
}

/// Each part of what could be bundled now, in the order of its first.
fn bundles(pool: &mut Mempool) -> Vec<Vec<B256>> {
    // What was given back is found valid again.
    for admitted in pool.stale(usize::MAX) {
        pool.refresh(admitted.hash, Ok(admitted.clone()));
    }
    let mut order: Vec<(Class, Vec<B256>)> = Vec::new();
    for admitted in pool.waiting() {
        let class = pool.class(admitted.hash);
        match order.iter_mut().find(|(other, _)| *other == class) {
            Some((_, hashes)) => hashes.push(admitted.hash),
            None => order.push((class, vec![admitted.hash])),
        }
    }
    order.into_iter().map(|(_, hashes)| hashes).collect()
}

/// Offers bundles to a node, one after the other, one block for each that it takes or when none is left to try; what was
/// dropped, by reason, and how many bundles of several and of one it refused.
fn offer(pool: &mut Mempool, takes: impl Fn(&[B256]) -> bool, attempts: usize) -> (BTreeMap<B256, String>, [usize; 2]) {
    let (mut dropped, mut refusals) = (BTreeMap::new(), [0; 2]);
    for _ in 0..attempts {
        let Some(bundle) = bundles(pool).into_iter().next() else {
            (pool.time, pool.probed) = (pool.time + 2_000, false);
            continue;
        };
        pool.mark_bundled(&bundle);
        if takes(&bundle) {
            pool.went(&bundle, Some(BID));
            bundle.iter().for_each(|hash| drop(pool.remove_included(*hash)));
        } else {
            refusals[usize::from(bundle.len() == 1)] += 1;
            let out = pool.set_back(&bundle, Trouble::Refused { bid: BID, passing: false }, WORDS);
            dropped.extend(out.into_iter().map(|Dropped { hash, reason }| (hash, reason)));
        }
    }
    (dropped, refusals)
}

#[test]
fn a_culprit_is_found_in_as_many_attempts_as_his_bundle_can_be_halved_and_innocents_go_meanwhile() {
    for count in [2_u8, 3, 8, 17, 64] {
        for culprit in [1, count / 2 + 1, count] {
            let mut pool = pool(count);
            let halvings = u64::from(count).next_power_of_two().ilog2() as usize;
            let takes = |bundle: &[B256]| !bundle.contains(&id(culprit));
            let (dropped, [together, _]) = offer(&mut pool, takes, 100);
            assert!(together <= halvings, "{count}: {together} refusals");
            assert!(dropped.keys().all(|hash| *hash == id(culprit)), "{count}: {dropped:?}");
            assert!(pool.all().all(|admitted| admitted.hash == id(culprit)), "all others were executed");
            // What comes next goes past him, and shows that it is him.
            let mut dropped = dropped;
            for other in 200..205 {
                pool.insert(operation(other, 0, 100, other), &block(1)).unwrap();
                let (out, [together, _]) = offer(&mut pool, takes, 60);
                assert_eq!((together, pool.contains(id(other))), (0, false));
                dropped.extend(out);
            }
            assert_eq!(dropped.into_iter().collect::<Vec<_>>(), [(id(culprit), WORDS.to_owned())]);
        }
    }
}

#[test]
fn it_is_dropped_when_others_go_that_bid_no_more_and_it_still_does_not() {
    let mut pool = pool(3);
    let refuse = |pool: &mut Mempool| pool.set_back(&[id(1)], Trouble::Refused { bid: BID, passing: false }, WORDS);
    for _ in 0..5 {
        assert_eq!(refuse(&mut pool), [], "no other was taken since");
        pool.went(&[id(2)], Some(Fees { priority_fee: 3, ..BID }));
        assert_eq!(refuse(&mut pool), [], "another was, and bid more");
    }
    pool.went(&[id(3)], Some(BID));
    assert_eq!(refuse(&mut pool), []);
    pool.went(&[id(2)], Some(BID));
    assert_eq!(refuse(&mut pool), [Dropped { hash: id(1), reason: WORDS.into() }]);
}

#[test]
fn a_node_that_takes_nothing_has_nothing_dropped_and_one_of_all_is_tried_with_each_head() {
    let mut pool = pool(8);
    let (dropped, [together, alone]) = offer(&mut pool, |_| false, 2_000);
    assert!(dropped.is_empty() && pool.len() == 8, "{dropped:?}");
    // Of 2,000 attempts half find none to be tried any more, so that the next head comes.
    assert!(together == 7 && (500..1_500).contains(&alone), "{together}, {alone}");
    // It gets well, which is seen at the next head: all are executed at once, and none carries a mark.
    pool.probed = false;
    let (dropped, _) = offer(&mut pool, |_| true, 8);
    assert!(dropped.is_empty() && pool.is_empty(), "{dropped:?}");
}

#[test]
fn when_nodes_took_nothing_of_several_they_go_together_again_as_soon_as_one_is_taken() {
    let mut pool = pool(9);
    offer(&mut pool, |_| false, 60);
    assert_eq!(bundles(&mut pool).iter().map(Vec::len).max().unwrap_or(1), 1, "each is tried alone");
    let mut taken = Vec::new();
    for _ in 0..40 {
        let all = std::cell::RefCell::new(&mut taken);
        let takes = |bundle: &[B256]| {
            all.borrow_mut().push(bundle.len());
            true
        };
        offer(&mut pool, takes, 1);
    }
    assert_eq!(taken, [1, 8]);
}

#[test]
fn one_sender_that_is_refused_alone_is_not_tried_with_each_head() {
    let mut pool = pool(1);
    let (dropped, [_, alone]) = offer(&mut pool, |_| false, 200);
    // 200 heads of two seconds: after 1, 2, 4 and 8 s, and then every 15.
    assert!(dropped.is_empty() && (20..60).contains(&alone), "{alone}");
}

#[test]
fn what_is_refused_for_its_price_or_our_key_is_never_dropped() {
    let mut pool = pool(2);
    for _ in 0..50 {
        let passing = Trouble::Refused { bid: BID, passing: true };
        assert_eq!(pool.set_back(&[id(1)], passing, "transaction underpriced"), []);
        pool.went(&[id(2)], Some(BID));
    }
    assert_eq!(pool.waits_for(id(1)), Some("transaction underpriced"));
    assert!(pool.least_bid(id(1)).priority_fee > BID.priority_fee, "it is tried for more");
}

#[test]
fn a_culprit_is_remembered_by_hash_and_sender_and_his_paymaster_when_there_are_several() {
    let mut pool = Mempool::new(MempoolConfig::default(), Reputation::default());
    let insert = |pool: &mut Mempool, admitted| pool.insert(admitted, &block(1));
    let convict = |pool: &mut Mempool, hash| {
        let unprovable = Trouble::Unprovable { for_good: true };
        assert_eq!(pool.set_back(&[hash], unprovable, "too much").len(), 1);
    };
    insert(&mut pool, sponsored(1, 0, 1)).unwrap();
    convict(&mut pool, id(1));
    let again = insert(&mut pool, sponsored(1, 0, 1)).unwrap_err();
    assert!(matches!(&again, Rejection::NotTaken { reason } if reason == "too much"), "{again}");
    // Another of the sender goes apart from everybody's, and others of the paymaster do not.
    insert(&mut pool, sponsored(1, 1, 2)).unwrap();
    insert(&mut pool, sponsored(2, 0, 3)).unwrap();
    insert(&mut pool, operation(3, 0, 100, 4)).unwrap();
    assert_eq!(
        [2, 3, 4].map(|it| pool.class(id(it))),
        [Class::Entity(Address::repeat_byte(1)), Class::Usual, Class::Usual]
    );
    convict(&mut pool, id(3));
    insert(&mut pool, sponsored(4, 0, 5)).unwrap();
    insert(&mut pool, sponsored(5, 0, 6)).unwrap();
    assert_eq!([5, 6].map(|it| pool.class(id(it))), [Class::Entity(PAYMASTER); 2], "they go with their like");
    // One of the sender's is executed: nothing is held against it any more. And after ten minutes, against nobody.
    pool.remove_included(id(2));
    insert(&mut pool, operation(1, 2, 100, 7)).unwrap();
    assert_eq!(pool.class(id(7)), Class::Usual);
    pool.culprits.forget(REMEMBERED);
    assert_eq!(pool.class(id(5)), Class::Usual);
    insert(&mut pool, sponsored(2, 0, 3)).unwrap();
}

#[test]
fn operations_of_one_line_are_not_parted_unless_it_is_all_there_is() {
    let mut pool = Mempool::new(MempoolConfig::default(), Reputation::default());
    let of = |sender, nonce: u64, id| {
        let mut admitted = operation(sender, 0, 100, id);
        admitted.op = Arc::new(UserOperation { nonce: U256::from(nonce), ..(*admitted.op).clone() });
        Arc::make_mut(&mut admitted.evidence).ahead = nonce;
        admitted
    };
    for admitted in [of(1, 0, 1), of(2, 0, 2), of(2, 1, 3), of(2, 2, 4)] {
        pool.insert(admitted, &block(1)).unwrap();
    }
    let all = [1, 2, 3, 4].map(id);
    pool.set_back(&all, Trouble::Disagreed, "why");
    let [first, second, third, fourth] = all.map(|hash| pool.class(hash));
    assert!(first != second && second == third && third == fourth);
    pool.set_back(&all[1..], Trouble::Disagreed, "why");
    let [_, second, third, fourth] = all.map(|hash| pool.class(hash));
    assert!(second != third && third == fourth);
}

#[test]
fn what_reverts_alone_twice_goes_and_what_the_node_alone_disagrees_about_goes_when_it_agrees_about_another() {
    let mut pool = pool(3);
    let reverted =
        |pool: &mut Mempool, hashes: &[B256]| pool.set_back(hashes, Trouble::Reverted { block: 1 }, "reverted").len();
    assert_eq!(reverted(&mut pool, &[id(1), id(2)]), 0, "it could be either");
    assert_eq!((reverted(&mut pool, &[id(1)]), reverted(&mut pool, &[id(1)])), (0, 1));
    for _ in 0..5 {
        assert!(pool.set_back(&[id(2)], Trouble::Disagreed, "AA23").is_empty(), "nothing else was asked about");
    }
    pool.went(&[id(3)], None);
    assert!(pool.set_back(&[id(2)], Trouble::Disagreed, "AA23").is_empty());
    pool.went(&[id(3)], None);
    assert_eq!(pool.set_back(&[id(2)], Trouble::Disagreed, "AA23").len(), 1);
}

#[test]
fn what_was_sent_and_not_mined_is_tried_in_halves_and_never_dropped() {
    let mut pool = pool(2);
    assert!(pool.set_back(&[id(1), id(2)], Trouble::Unmined, "not mined").is_empty());
    assert_ne!(pool.class(id(1)), pool.class(id(2)));
    for _ in 0..50 {
        assert!(pool.set_back(&[id(1)], Trouble::Unmined, "not mined").is_empty());
    }
    assert!(pool.entries[&id(1)].phase == Phase::Stale && pool.waits_for(id(1)) == Some("not mined"));
    // Nobody is to wait for it again, nor for another of its sender's, until one is mined.
    pool.insert(operation(1, 1, 100, 3), &block(1)).unwrap();
    pool.went(&[id(1)], Some(BID));
    assert_eq!([1, 2, 3].map(|it| pool.is_shy(id(it))), [true, false, true]);
    pool.remove_included(id(1));
    assert!(!pool.is_shy(id(3)));
}

#[test]
fn whose_operations_revert_on_chain_one_after_another_is_tried_more_and_more_seldom_until_one_is_executed() {
    // Ten minutes of an attacker who always has another operation: of a new account, or of the same one.
    for fresh in [true, false] {
        let (mut pool, mut last, mut reverts) = (pool(0), 0, 0);
        for second in 0..600_u64 {
            pool.time = second * 1_000;
            if pool.is_empty() || (fresh && second.is_multiple_of(10)) {
                last += 1;
                let next = if fresh { sponsored(last, 0, last) } else { operation(1, 0, 100, last) };
                pool.insert(next, &block(1)).unwrap();
            }
            // One is risked at a time.
            if let Some(bundle) = bundles(&mut pool).first() {
                reverts += 1;
                pool.mark_bundled(bundle);
                pool.set_back(bundle, Trouble::Reverted { block: second + 1 }, "reverted");
            }
        }
        // Where others have to wait too, every 15 seconds.
        let most = if fresh { 50 } else { 14 };
        assert!((5..=most).contains(&reverts), "{reverts} in ten minutes");
        // An honest operation of the paymaster's that is executed shows that it is none of its doing.
        if fresh {
            pool.insert(sponsored(200, 0, 200), &block(1)).unwrap();
            assert!(pool.waits_for(id(200)).is_some());
            pool.remove_included(id(200));
            pool.insert(sponsored(201, 0, 201), &block(1)).unwrap();
            assert_eq!(pool.waits_for(id(201)), None);
        }
    }
}

#[test]
fn transactions_that_revert_in_one_block_count_once() {
    let reverts = |blocks: [u64; 7]| {
        let mut pool = pool(0);
        for (nonce, block_number) in blocks.into_iter().enumerate() {
            let hash = 1 + nonce as u8;
            pool.insert(operation(1, nonce as u64, 100, hash), &block(1)).unwrap();
            pool.mark_bundled(&[id(hash)]);
            pool.set_back(&[id(hash)], Trouble::Reverted { block: block_number }, "reverted");
            pool.take_out(id(hash), "another is next".into(), None);
        }
        let rests = pool.culprits.reverting[&operation(1, 0, 100, 1).op.sender];
        rests.until.saturating_sub(pool.time)
    };
    // As after a reorganisation, in another order than before.
    assert_eq!(reverts([80; 7]), 0);
    assert_eq!(reverts([80, 79, 80, 78, 80, 80, 80]), 0, "one that is heard of late");
    assert!(reverts([80, 81, 82, 83, 84, 85, 86]) >= 16 * super::PAUSE);
}

#[test]
fn what_reverts_for_what_its_paymaster_may_have_had_done_to_it_waits_longer_and_longer_and_is_not_dropped() {
    let mut pool = pool(0);
    pool.insert(sponsored(1, 0, 1), &block(1)).unwrap();
    let mut reverts = Vec::new();
    for second in 0..1_000_u64 {
        pool.time = second * 1_000;
        for bundle in bundles(&mut pool) {
            reverts.push(second);
            pool.mark_bundled(&bundle);
            assert!(pool.set_back(&bundle, Trouble::Reverted { block: second + 1 }, "reverted").is_empty());
        }
    }
    assert!(pool.contains(id(1)) && pool.waits_for(id(1)).is_some());
    // At once, then after 32 s, 64 s and so on.
    assert!(reverts.len() <= 7 && reverts[2] >= 32 && reverts[3] >= 96, "{reverts:?}");
}

#[test]
fn what_takes_too_much_of_a_proof_goes_last_and_by_itself_until_it_is_mined() {
    let mut pool = pool(3);
    pool.mark_bundled(&[1, 2, 3].map(id));
    pool.put_last(&[id(2)], "reads too much");
    assert!(pool.is_shy(id(2)) && !pool.is_shy(id(1)));
    assert!(matches!(pool.class(id(2)), Class::Group(_)) && pool.waits_for(id(2)) == Some("reads too much"));
    pool.went(&[id(2)], Some(BID));
    assert!(!pool.is_shy(id(2)));
}

#[test]
fn of_whose_transactions_have_reverted_one_is_risked_at_a_time() {
    let mut pool = pool(0);
    for sender in 1..=4 {
        pool.insert(sponsored(sender, 0, sender), &block(1)).unwrap();
    }
    pool.mark_bundled(&[id(1)]);
    assert_eq!(bundles(&mut pool), [[2, 3, 4].map(id).to_vec()], "nothing is known against it");
    pool.set_back(&[id(1)], Trouble::Reverted { block: 1 }, "reverted");
    pool.mark_bundled(&[id(2)]);
    assert!(bundles(&mut pool).is_empty());
    pool.remove_included(id(2));
    assert!(bundles(&mut pool).iter().flatten().any(|hash| *hash == id(3)));
}
