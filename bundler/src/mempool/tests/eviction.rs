//! What a full mempool gives up, and for whom.

use super::*;

#[test]
fn a_full_mempool_gives_up_its_worst_for_a_better_one_and_says_so() {
    let config = MempoolConfig { max_operations: 3, ..MempoolConfig::default() };
    let mut pool = Mempool::new(config, Reputation::default());
    for (id, fee) in [(1, 50), (2, 10), (3, 10)] {
        insert(&mut pool, operation(id, 0, fee, id)).unwrap();
    }
    let refused = insert(&mut pool, operation(4, 0, 10, 4)).unwrap_err();
    assert!(matches!(refused, Rejection::Full { required: 9 }), "what is left beside a base fee of one: {refused}");
    // What says that it tips, and pays for no more than the base fee, is worth nothing.
    let mut boaster = operation(5, 0, 1_000, 5);
    boaster.op = Arc::new(UserOperation { max_fee_per_gas: 1, ..(*boaster.op).clone() });
    assert!(matches!(insert(&mut pool, boaster), Err(Rejection::Full { required: 9 })));
    // Of two that pay alike, the one that came later goes.
    let Inserted::New(dropped) = insert(&mut pool, operation(4, 0, 11, 4)).unwrap() else { panic!("not new") };
    assert_eq!(ids(&dropped), [3]);
    pool.mark_bundled(&[B256::repeat_byte(2)]);
    let Inserted::New(dropped) = insert(&mut pool, operation(5, 0, 90, 5)).unwrap() else { panic!("not new") };
    assert_eq!(ids(&dropped), [4], "what is in a transaction stays");
}

#[test]
fn memory_is_bounded_by_bytes_too() {
    let config = MempoolConfig { max_bytes: 10_000, ..MempoolConfig::default() };
    let mut pool = Mempool::new(config, Reputation::default());
    for id in 0..20 {
        let mut admitted = operation(id, 0, 100 + u128::from(id), id);
        Arc::make_mut(&mut admitted.op).call_data = vec![0; 2_000].into();
        insert(&mut pool, admitted).unwrap();
        assert!(pool.bytes() <= 10_000);
    }
    assert_eq!(waiting(&pool), [18, 19]);
    pool.clear();
    assert_eq!(pool.bytes(), 0);
}
