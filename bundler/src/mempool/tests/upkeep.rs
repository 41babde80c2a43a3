//! What each new head does to what waits.

use super::*;

#[tokio::test]
async fn consecutive_nonces_queue_and_go_one_after_the_other() {
    let mut pool = Mempool::default();
    insert(&mut pool, operation(1, 5, 100, 1)).unwrap();
    let mut second = operation(1, 6, 100, 2);
    change(&mut second, |evidence| evidence.ahead = 1);
    insert(&mut pool, second).unwrap();
    let lane = pool.lane(operation(1, 5, 1, 9).entry_point, Address::repeat_byte(1), U256::from(9));
    assert_eq!(lane.iter().map(|op| op.nonce_sequence()).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(waiting(&pool), [1]);
    assert!(pool.take_out_orphans().is_empty());
    pool.remove_included(B256::repeat_byte(1)).unwrap();
    assert!(pool.advance(&head_at(2, 1, 6), &head_at(1, 1, 5).view, &[], next(NOW)).is_empty());
    assert_eq!(waiting(&pool), [2]);
}

#[tokio::test]
async fn what_queues_behind_a_dropped_operation_waits_ten_seconds_for_another_to_come() {
    let mut pool = Mempool::default();
    insert(&mut pool, operation(1, 5, 100, 1)).unwrap();
    let mut second = operation(1, 6, 100, 2);
    change(&mut second, |evidence| evidence.ahead = 1);
    insert(&mut pool, second).unwrap();
    let gap = |pool: &mut Mempool, number: u64| {
        let dropped = pool.advance(&head_at(number, 1, 5), &head_at(number - 1, 1, 5).view, &[], next(NOW));
        assert!(pool.waits_for(B256::repeat_byte(2)).is_none_or(|why| why.contains("missing")));
        ids(&dropped)
    };
    pool.take_out(B256::repeat_byte(1), "why not".into(), None);
    // Heads of two seconds.
    assert_eq!((gap(&mut pool, 2), gap(&mut pool, 6)), (vec![], vec![]));
    insert(&mut pool, operation(1, 5, 100, 3)).unwrap();
    assert_eq!((gap(&mut pool, 7), gap(&mut pool, 30)), (vec![], vec![]), "the gap is closed");
    pool.take_out(B256::repeat_byte(3), "why not".into(), None);
    assert_eq!((gap(&mut pool, 31), gap(&mut pool, 35)), (vec![], vec![]));
    assert_eq!(gap(&mut pool, 36), [2]);
}

#[tokio::test]
async fn a_nonce_that_was_used_elsewhere_takes_its_operation_out() {
    let mut pool = Mempool::default();
    insert(&mut pool, operation(1, 5, 100, 1)).unwrap();
    let dropped = pool.advance(&head_at(2, 1, 6), &head_at(1, 1, 5).view, &[], next(NOW));
    assert_eq!(ids(&dropped), [1]);
}

#[tokio::test]
async fn only_what_read_changed_state_is_validated_again() {
    let mut pool = Mempool::default();
    let (slot, other) = (U256::from(7), U256::from(8));
    for (id, read) in [(1, slot), (2, other)] {
        let mut admitted = operation(id, 0, 100, id);
        change(&mut admitted, |evidence| {
            evidence.reads.slots.insert((STRANGER, read));
        });
        insert(&mut pool, admitted).unwrap();
    }
    let state = |number, value| {
        let head = head_at(number, 1, 0);
        let nonce = erc4337::storage::nonce_slot(Address::repeat_byte(2), U256::ZERO);
        head.view.know_slot(EntryPointVersion::V0_8.canonical_address(), nonce, U256::ZERO);
        head.view.know_slot(STRANGER, slot, U256::from(value));
        head.view.know_slot(STRANGER, other, U256::from(3));
        head
    };
    assert!(pool.advance(&state(2, 1), &state(1, 1).view, &[], next(NOW)).is_empty());
    assert_eq!(waiting(&pool), [1, 2]);
    assert!(pool.advance(&state(3, 2), &state(2, 1).view, &[], next(NOW)).is_empty());
    assert_eq!(waiting(&pool), [2]);
    assert_eq!(pool.stale(10)[0].hash, B256::repeat_byte(1));
    // The next block changes nothing, but the first is still to be looked at.
    assert!(pool.advance(&state(4, 2), &state(3, 2).view, &[], next(NOW)).is_empty());
    assert_eq!(waiting(&pool), [2]);
}

#[tokio::test]
async fn what_was_validated_on_another_block_is_validated_again() {
    let mut pool = Mempool::default();
    pool.insert(operation(1, 0, 100, 1), &block(2)).unwrap();
    assert!(waiting(&pool).is_empty());
    assert_eq!(pool.stale(10).len(), 1);
}

#[tokio::test]
async fn erep_010_what_a_deposit_that_shrinks_does_not_cover_waits_until_it_does() {
    let mut pool = Mempool::default();
    for id in [1, 2, 3] {
        insert(&mut pool, sponsored(id, id, 300, true)).unwrap();
    }
    let with_deposit = |number, deposit: u64| {
        let head = head(number);
        let entry_point = EntryPointVersion::V0_8.canonical_address();
        let [first, second] = erc4337::storage::deposit_slots(PAYMASTER);
        head.view.know_slot(entry_point, first, U256::from(deposit));
        head.view.know_slot(entry_point, second, U256::ZERO);
        head
    };
    assert!(pool.advance(&with_deposit(2, 300), &head(1).view, &[], next(NOW)).is_empty());
    assert!(pool.advance(&with_deposit(3, 199), &head(2).view, &[], next(NOW)).is_empty());
    let waits = |pool: &Mempool, id| pool.waits_for(B256::repeat_byte(id)).map(str::to_owned);
    assert_eq!(waits(&pool, 1), None);
    assert!([2, 3].iter().all(|id| waits(&pool, *id).unwrap().contains("EREP-010")));
    assert!(pool.advance(&with_deposit(4, 300), &head(3).view, &[], next(NOW)).is_empty());
    assert_eq!([1, 2, 3].map(|id| waits(&pool, id)), [None, None, None]);
}

#[test]
fn what_is_in_flight_is_owed_whoever_else_comes() {
    let config = MempoolConfig { max_operations: 1, ..MempoolConfig::default() };
    let mut pool = Mempool::new(config, Reputation::default());
    // The deposit covers one.
    insert(&mut pool, sponsored(1, 1, 150, true)).unwrap();
    pool.mark_bundled(&[B256::repeat_byte(1)]);
    let refused = insert(&mut pool, operation(3, 0, 1_000, 3)).unwrap_err();
    assert!(matches!(refused, Rejection::Full { .. }), "{refused}: it is not evicted");
    let refused = insert(&mut pool, sponsored(2, 2, 150, true)).unwrap_err();
    assert!(matches!(refused, Rejection::Overdrawn { .. }), "{refused}");
    // Nobody took its transaction: it is in the mempool again, and owed as before.
    assert!(pool.set_back(&[B256::repeat_byte(1)], Trouble::Unsigned, "why").is_empty());
    let refused = insert(&mut pool, sponsored(2, 2, 150, true)).unwrap_err();
    assert!(matches!(refused, Rejection::Overdrawn { .. }), "{refused}");
    // Once it is evicted, it is not.
    insert(&mut pool, operation(3, 0, 1_000, 3)).unwrap();
    pool.remove(B256::repeat_byte(3));
    insert(&mut pool, sponsored(2, 2, 150, true)).unwrap();
}

#[test]
fn cod_010_what_became_of_the_sender_itself_is_validated_afresh() {
    use alloy::eips::eip7702::{Authorization, SignedAuthorization};
    use alloy::primitives::keccak256;
    use erc4337::Initializer;
    let delegate = Address::repeat_byte(0x77);
    let designation = keccak256([&[0xef, 0x01, 0x00], delegate.as_slice()].concat());
    let sender = Address::repeat_byte(1);
    let stays = |version: EntryPointVersion, op: UserOperation, account: Address, before: B256, now: B256| {
        let mut pool = Mempool::default();
        let mut first = operation(1, 0, 100, 1);
        first.op = Arc::new(UserOperation { sender, ..op });
        first.version = version;
        change(&mut first, |evidence| evidence.code_hashes = vec![(account, before)]);
        insert(&mut pool, first.clone()).unwrap();
        pool.give_back(&[first.hash]);
        let mut second = first.clone();
        change(&mut second, |evidence| evidence.code_hashes = vec![(account, now)]);
        pool.refresh(first.hash, Ok(second)).is_empty()
    };
    let (empty, made) = (alloy::primitives::KECCAK256_EMPTY, B256::repeat_byte(2));
    let factory = Initializer::Factory { address: STRANGER, data: Default::default() };
    let deploys = UserOperation { initializer: Some(factory), ..UserOperation::default() };
    // Another nonce key's first operation has made the account. Before v0.9 that is AA10, of which this is not asked.
    assert!(stays(EntryPointVersion::V0_9, deploys.clone(), sender, empty, made));
    assert!(!stays(EntryPointVersion::V0_9, deploys, STRANGER, empty, made), "another account");
    // It has delegated anew, or its code is gone: whatever it is now, that has just been validated.
    assert!(stays(EntryPointVersion::V0_8, UserOperation::default(), sender, designation, made));
    assert!(stays(EntryPointVersion::V0_8, UserOperation::default(), sender, designation, empty));
    assert!(!stays(EntryPointVersion::V0_8, UserOperation::default(), STRANGER, designation, made));
    let inner = Authorization { chain_id: U256::ZERO, address: delegate, nonce: 0 };
    let auth = SignedAuthorization::new_unchecked(inner, 0, U256::ONE, U256::ONE);
    let delegates = UserOperation { eip7702_auth: Some(auth), ..UserOperation::default() };
    assert!(stays(EntryPointVersion::V0_8, delegates, sender, empty, designation));
}

#[tokio::test]
async fn what_is_not_valid_yet_waits_until_it_is_whichever_second_the_next_block_has_and_holds_nobody_up() {
    let mut pool = Mempool::default();
    let mut early = operation(1, 0, 100, 1);
    early.validated.account.valid_after = NOW;
    insert(&mut pool, early).unwrap();
    insert(&mut pool, operation(2, 0, 100, 2)).unwrap();
    let waiting = |pool: &Mempool| pool.waiting().map(|it| it.hash[0]).collect::<Vec<_>>();
    // The head's second or the next, which it may be: v0.8 takes it in the next only.
    pool.look_to(NextBlock { latest: NOW + 1, ..next(NOW) });
    assert_eq!((waiting(&pool), pool.waits_for_time()), (vec![2], true));
    let both = |number| {
        let head = head_at(number, 1, 0);
        let slot = erc4337::storage::nonce_slot(Address::repeat_byte(2), U256::ZERO);
        head.view.know_slot(EntryPointVersion::V0_8.canonical_address(), slot, U256::ZERO);
        head
    };
    assert!(pool.advance(&both(2), &both(1).view, &[], next(NOW)).is_empty(), "and is not dropped");
    assert_eq!(waiting(&pool), [2]);
    pool.look_to(next(NOW + 1));
    assert_eq!((waiting(&pool), pool.waits_for_time()), (vec![1, 2], false));
}

#[tokio::test]
async fn what_may_be_over_before_it_is_mined_is_in_no_bundle_any_more() {
    let mut pool = Mempool::default();
    let mut ending = operation(1, 0, 100, 1);
    ending.validated.account.valid_until = NOW + 2;
    insert(&mut pool, ending).unwrap();
    pool.look_to(next(NOW));
    assert_eq!(pool.waiting().count(), 1);
    pool.look_to(NextBlock { latest: NOW + 1, ..next(NOW) });
    assert_eq!(pool.waiting().count(), 0);
}

#[tokio::test]
async fn expired_operations_go() {
    let mut pool = Mempool::default();
    let mut admitted = operation(1, 0, 100, 1);
    admitted.validated.account.valid_until = NOW + 60;
    insert(&mut pool, admitted).unwrap();
    assert!(pool.advance(&head_at(2, 1, 0), &head_at(1, 1, 0).view, &[], next(NOW + 60)).is_empty());
    assert_eq!(ids(&pool.advance(&head_at(3, 1, 0), &head_at(2, 1, 0).view, &[], next(NOW + 61))), [1]);
}

#[test]
fn cod_010_code_that_changed_since_the_first_validation_ends_the_operation() {
    let mut pool = Mempool::default();
    let mut first = operation(1, 0, 100, 1);
    change(&mut first, |evidence| evidence.code_hashes = vec![(STRANGER, B256::repeat_byte(1))]);
    insert(&mut pool, first.clone()).unwrap();
    pool.give_back(&[first.hash]);
    let mut second = first.clone();
    change(&mut second, |evidence| evidence.code_hashes = vec![(STRANGER, B256::repeat_byte(2))]);
    let dropped = pool.refresh(first.hash, Ok(second));
    assert!(dropped[0].reason.contains("COD-010"), "{}", dropped[0].reason);
}

#[test]
fn state_that_cannot_be_read_is_no_verdict() {
    let mut pool = Mempool::default();
    insert(&mut pool, operation(1, 0, 100, 1)).unwrap();
    let hash = B256::repeat_byte(1);
    pool.give_back(&[hash]);
    assert!(pool.refresh(hash, Err(Rejection::Internal("the node is gone"))).is_empty());
    assert_eq!(pool.stale(10).len(), 1);
    assert_eq!(ids(&pool.refresh(hash, Err(Rejection::EntryPoint { message: "AA25".into() }))), [1]);
}

#[tokio::test]
async fn what_offers_less_than_the_base_fee_is_not_validated_again_before_that_has_fallen() {
    let mut pool = Mempool::default();
    insert(&mut pool, operation(1, 0, 100, 1)).unwrap();
    insert(&mut pool, operation(2, 0, 300, 2)).unwrap();
    let at = |number: u64, base_fee: u128| {
        let mut head = head(number);
        head.block.next_base_fee = base_fee;
        head
    };
    let mut previous = head(1);
    let mut stale_at = |pool: &mut Mempool, number: u64, base_fee: u128| {
        let head = at(number, base_fee);
        assert!(pool.advance(&head, &previous.view, &[], next(NOW)).is_empty());
        previous = head;
        let mut stale: Vec<u8> = pool.stale(10).iter().map(|admitted| admitted.hash[0]).collect();
        stale.sort_unstable();
        stale
    };
    assert_eq!(stale_at(&mut pool, 2, 200), [2]);
    assert_eq!(stale_at(&mut pool, 3, 101), [2]);
    assert_eq!(stale_at(&mut pool, 4, 100), [1, 2]);
}
