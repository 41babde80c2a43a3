//! What somebody who pays nothing can do to others. Each fails as long as that is so.

use super::*;
use crate::mempool::Trouble;

/// An operation of this sender that is paid for by an honest paymaster, with a hash that nobody has had.
fn of_attacker(number: u64) -> Admitted {
    let mut admitted = sponsored(1, 0, u64::MAX, true);
    admitted.hash = B256::from(U256::from(1_000 + number));
    let op = Arc::make_mut(&mut admitted.op);
    op.sender = Address::left_padding_from(&(1_000 + number).to_be_bytes());
    change(&mut admitted, |evidence| evidence.parties.account.address = Address::left_padding_from(&(1_000 + number).to_be_bytes()));
    admitted
}

/// How many operations that end so it takes until the paymaster of all of them is throttled, and until it is banned.
fn until_banned(end: impl Fn(&mut Mempool, B256)) -> (Option<u64>, Option<u64>) {
    let mut pool = Mempool::default();
    let mut throttled = None;
    for number in 0..1_000 {
        let admitted = of_attacker(number);
        let hash = admitted.hash;
        if insert(&mut pool, admitted).is_err() {
            return (throttled, Some(number));
        }
        end(&mut pool, hash);
        assert!(pool.is_empty());
        if pool.is_throttled(PAYMASTER) {
            throttled = throttled.or(Some(number + 1));
        }
    }
    (throttled, None)
}

#[test]
fn a_paymaster_does_not_answer_for_accounts_whose_calls_cannot_be_proven() {
    let ends = until_banned(|pool, hash| drop(pool.set_back(&[hash], Trouble::Unprovable { for_good: true }, "too many reads")));
    assert_eq!(ends, (None, None), "EREP-015");
}

#[test]
fn a_paymaster_does_not_answer_for_accounts_that_have_their_bundles_reverted() {
    let ends = until_banned(|pool, hash| {
        pool.set_back(&[hash], Trouble::Reverted, "AA24");
        pool.set_back(&[hash], Trouble::Reverted, "AA24");
    });
    assert_eq!(ends, (None, None), "EREP-015");
}

#[test]
fn a_paymaster_does_not_answer_for_what_dearer_operations_push_out() {
    // The pool is full of others', one of which is worth more each time.
    let config = MempoolConfig { max_operations: 1, ..MempoolConfig::default() };
    let mut pool = Mempool::new(config, Reputation::default());
    for number in 0..600_u64 {
        let mut cheap = of_attacker(number);
        Arc::make_mut(&mut cheap.op).max_priority_fee_per_gas = 1;
        if insert(&mut pool, cheap).is_err() {
            panic!("banned after {number} that were pushed out");
        }
        let mut dear = operation(2, number, 100, 2);
        dear.hash = B256::from(U256::from(10_000 + number));
        insert(&mut pool, dear).unwrap();
        pool.clear();
    }
}

/// With a base fee of fifty: what offers a tip of two, and what offers none.
#[test]
fn what_leaves_no_tip_pushes_nothing_out_that_does() {
    let config = MempoolConfig { max_operations: 10, ..MempoolConfig::default() };
    let mut pool = Mempool::new(config, Reputation::default());
    pool.look_to(next(NOW));
    for id in 1..=10 {
        let mut honest = operation(id, 0, 100, id);
        Arc::make_mut(&mut honest.op).max_priority_fee_per_gas = 2;
        insert(&mut pool, honest).unwrap();
    }
    let mut dropped = Vec::new();
    for id in 101..=110 {
        if let Ok(Inserted::New(out)) = insert(&mut pool, operation(id, 0, 50, id)) {
            dropped.extend(out);
        }
    }
    assert_eq!(ids(&dropped), [0_u8; 0], "pushed out by what leaves nobody a tip");
}

/// What has to be validated again with each block, as what it reads changes with each, and is never bundled.
#[tokio::test]
async fn those_behind_are_validated_again_too_however_many_before_them_always_have_to_be() {
    /// As many as are validated between two blocks.
    const AT_ONCE: usize = 256;
    let mut pool = Mempool::default();
    for number in 0..300 {
        let mut admitted = of_attacker(number);
        Arc::make_mut(&mut admitted.op).paymaster = None;
        insert(&mut pool, admitted).unwrap();
    }
    let honest = operation(2, 0, 100, 2);
    insert(&mut pool, honest.clone()).unwrap();
    for number in 2..200 {
        pool.advance(&head(number), &head(number - 1).view, &[], next(NOW));
        for mut admitted in pool.stale(AT_ONCE) {
            let hash = admitted.hash;
            change(&mut admitted, |evidence| evidence.block = block(number).hash);
            pool.refresh(hash, Ok(admitted));
            if hash == honest.hash {
                return;
            }
        }
    }
    panic!("in 200 blocks it was not validated again once");
}
