mod reputation;

use std::{collections::HashSet, sync::Arc};

use alloy::primitives::{Address, B256, U256};
use erc4337::{EntryPointVersion, Paymaster, UserOperation, ValidationData};

use super::*;
use crate::{
    Head, Rejection,
    admission::{Admitted, Evidence, Misconduct, Validated},
    evm::{BlockPin, NextBlock, Shared, StateView},
    fees::FeeSuggestion,
    node::NodeClient,
    rules::{Parties, Party, Standing},
};

const NOW: u64 = 1_000_000;
const STRANGER: Address = Address::repeat_byte(0x99);
const PAYMASTER: Address = Address::repeat_byte(0xaa);

pub(crate) fn block(number: u64) -> BlockPin {
    BlockPin {
        hash: B256::left_padding_from(&number.to_be_bytes()),
        parent: B256::left_padding_from(&number.saturating_sub(1).to_be_bytes()),
        number,
        timestamp: NOW,
        millis: None,
        seen: std::time::Duration::from_secs(NOW),
        gas_limit: 30_000_000,
        beneficiary: Address::ZERO,
        next_base_fee: 1,
        prevrandao: B256::ZERO,
    }
}

/// The block to come at this second, if it is number 2.
fn next(timestamp: u64) -> NextBlock {
    NextBlock { number: 2, earliest: timestamp, latest: timestamp, block_time: std::time::Duration::from_secs(1) }
}

/// A head that knows only what it is told.
fn head(number: u64) -> Head {
    let node = NodeClient::new("http://127.0.0.1:1").unwrap();
    let block = block(number);
    let time = number * 2_000;
    let view = Arc::new(StateView::new(node, block.hash, time, Arc::<Shared>::default()));
    Head { block, time, view, fees: FeeSuggestion::flat(1, 1), l1: None }
}

fn party(address: Address, staked: bool) -> Party {
    Party::new(address, if staked { Standing::Staked } else { Standing::Unstaked })
}

/// An operation without a paymaster, validated on block 1.
pub(crate) fn operation(sender: u8, nonce: u64, fee: u128, id: u8) -> Admitted {
    let op = UserOperation {
        sender: Address::repeat_byte(sender),
        nonce: U256::from(nonce),
        max_fee_per_gas: fee,
        max_priority_fee_per_gas: fee,
        pre_verification_gas: 1,
        ..UserOperation::default()
    };
    let entry_point = EntryPointVersion::V0_8.canonical_address();
    let parties = Parties { entry_point, account: party(op.sender, false), account_exists: true, ..Parties::default() };
    let evidence = Evidence { block: block(1).hash, parties, ..Evidence::default() };
    Admitted {
        op: Arc::new(op),
        hash: B256::repeat_byte(id),
        entry_point,
        version: EntryPointVersion::V0_8,
        validated: Validated { account: ValidationData::VALID, paymaster: None, gas_used: 0 },
        evidence: Arc::new(evidence),
    }
}

fn change(admitted: &mut Admitted, change: impl FnOnce(&mut Evidence)) {
    change(Arc::make_mut(&mut admitted.evidence));
}

fn sponsored(sender: u8, id: u8, deposit: u64, staked: bool) -> Admitted {
    let mut admitted = operation(sender, 0, 100, id);
    Arc::make_mut(&mut admitted.op).paymaster = Some(Paymaster { address: PAYMASTER, ..Paymaster::default() });
    change(&mut admitted, |evidence| {
        evidence.parties.paymaster = Some(party(PAYMASTER, staked));
        evidence.paymaster_deposit = U256::from(deposit);
    });
    admitted
}

fn insert(pool: &mut Mempool, admitted: Admitted) -> Result<Inserted, Rejection> {
    pool.insert(admitted, &block(1))
}

fn waiting(pool: &Mempool) -> Vec<u8> {
    pool.waiting().map(|admitted| admitted.hash[0]).collect()
}

fn ids(dropped: &[Dropped]) -> Vec<u8> {
    dropped.iter().map(|dropped| dropped.hash[0]).collect()
}

#[test]
fn operations_wait_in_the_order_of_their_arrival() {
    let mut pool = Mempool::default();
    for id in [3, 1, 2] {
        assert_eq!(insert(&mut pool, operation(id, 0, 100, id)).unwrap(), Inserted::New(Vec::new()));
    }
    assert_eq!(waiting(&pool), [3, 1, 2]);
}

#[test]
fn the_same_operation_twice_is_one() {
    let mut pool = Mempool::default();
    insert(&mut pool, operation(1, 0, 100, 1)).unwrap();
    assert_eq!(insert(&mut pool, operation(1, 0, 100, 1)).unwrap(), Inserted::Known);
    assert_eq!(pool.len(), 1);
}

#[test]
fn a_replacement_needs_ten_per_cent_more_of_both_fees() {
    let mut pool = Mempool::default();
    insert(&mut pool, operation(1, 0, 101, 1)).unwrap();
    let refused = insert(&mut pool, operation(1, 0, 111, 2));
    assert!(matches!(refused, Err(Rejection::ReplacementUnderpriced { field: "maxFeePerGas", required: 112, .. })));
    assert_eq!(waiting(&pool), [1]);
    let Inserted::New(dropped) = insert(&mut pool, operation(1, 0, 112, 2)).unwrap() else { panic!("not new") };
    assert_eq!(ids(&dropped), [1]);
    assert_eq!(waiting(&pool), [2]);
}

#[test]
fn what_is_in_a_bundle_is_neither_chosen_again_nor_replaced_and_comes_back_to_be_validated_again() {
    let mut pool = Mempool::default();
    insert(&mut pool, operation(1, 0, 100, 1)).unwrap();
    pool.mark_bundled(&[B256::repeat_byte(1)]);
    assert!(waiting(&pool).is_empty());
    assert!(matches!(insert(&mut pool, operation(1, 0, 900, 2)), Err(Rejection::AlreadyBundled { .. })));
    pool.give_back(&[B256::repeat_byte(1)]);
    assert!(waiting(&pool).is_empty());
    assert_eq!(pool.stale(10).len(), 1);
    assert!(pool.refresh(B256::repeat_byte(1), Ok(operation(1, 0, 100, 1))).is_empty());
    assert_eq!(waiting(&pool), [1]);
}

#[test]
fn of_two_with_one_nonce_from_before_a_restart_the_one_that_replaced_the_other_stays() {
    let mut pool = Mempool::default();
    assert_eq!(pool.restore(operation(1, 0, 100, 1), &block(1)), []);
    assert_eq!(pool.restore(operation(1, 0, 100, 1), &block(1)), [], "the same again");
    let dropped = pool.restore(operation(1, 0, 120, 2), &block(1));
    assert_eq!(ids(&dropped), [1]);
    assert!(dropped[0].reason.contains("replaced by"), "{dropped:?}");
    assert!(!pool.contains(B256::repeat_byte(1)) && pool.contains(B256::repeat_byte(2)));
}

#[test]
fn removal_frees_the_nonce() {
    let mut pool = Mempool::default();
    insert(&mut pool, operation(1, 7, 100, 1)).unwrap();
    pool.remove(B256::repeat_byte(1));
    // At no higher fee, it could not have taken an occupied one.
    assert_eq!(insert(&mut pool, operation(1, 7, 100, 2)).unwrap(), Inserted::New(Vec::new()));
}

#[test]
fn urep_010_an_unstaked_sender_has_four_pending_and_by_srep_040_a_staked_one_as_many_as_it_likes() {
    let mut pool = Mempool::default();
    for id in 0..4 {
        insert(&mut pool, operation(1, id.into(), 100, id)).unwrap();
    }
    let refused = insert(&mut pool, operation(1, 4, 100, 4)).unwrap_err();
    assert!(matches!(refused, Rejection::TooManyPending { count: 4, rule: "UREP-010", .. }), "{refused}");
    assert_eq!(refused.code(), -32505);
    // One that takes another's place is not one more.
    insert(&mut pool, operation(1, 3, 200, 5)).unwrap();
    let mut staked = operation(1, 4, 100, 6);
    change(&mut staked, |evidence| evidence.parties.account.standing = Standing::Staked);
    insert(&mut pool, staked).unwrap();
}

#[test]
fn urep_020_an_unstaked_paymaster_earns_room_by_inclusions() {
    let mut pool = Mempool::default();
    for id in 0..10 {
        insert(&mut pool, sponsored(id, id, 1_000_000, false)).unwrap();
    }
    let refused = insert(&mut pool, sponsored(10, 10, 1_000_000, false)).unwrap_err();
    assert!(matches!(refused, Rejection::TooManyPending { count: 10, rule: "UREP-020", .. }), "{refused}");
    insert(&mut pool, sponsored(10, 10, 1_000_000, true)).unwrap();
    // 11 seen, 11 mined. With 14 more seen, 10 + 11/25 × 11 may be pending.
    for id in 0..11 {
        pool.remove_included(B256::repeat_byte(id)).unwrap();
    }
    for id in 0..14 {
        insert(&mut pool, sponsored(id, 100 + id, 1_000_000, false)).unwrap();
    }
    assert!(insert(&mut pool, sponsored(14, 114, 1_000_000, false)).is_err());
}

#[test]
fn erep_010_what_is_pending_is_covered_by_the_deposit() {
    let mut pool = Mempool::default();
    // Each may cost 100 wei: one gas at 100 wei.
    insert(&mut pool, sponsored(1, 1, 200, true)).unwrap();
    insert(&mut pool, sponsored(2, 2, 200, true)).unwrap();
    let refused = insert(&mut pool, sponsored(3, 3, 200, true)).unwrap_err();
    assert_eq!(
        (refused.code(), refused.data().unwrap()["rule"].as_str().unwrap().to_owned()),
        (-32508, "EREP-010".into())
    );
    pool.remove(B256::repeat_byte(1));
    insert(&mut pool, sponsored(3, 3, 200, true)).unwrap();
}

#[test]
fn sto_040_an_entity_is_not_the_sender_of_another_operation() {
    let mut pool = Mempool::default();
    insert(&mut pool, operation(0xaa, 0, 100, 1)).unwrap();
    let refused = insert(&mut pool, sponsored(2, 2, 1_000, true)).unwrap_err();
    assert!(matches!(refused, Rejection::EntityIsSender { entity: Entity::Paymaster, .. }));
    pool.remove(B256::repeat_byte(1));
    insert(&mut pool, sponsored(2, 2, 1_000, true)).unwrap();
    let refused = insert(&mut pool, operation(0xaa, 0, 100, 1)).unwrap_err();
    assert!(matches!(refused, Rejection::SenderIsEntity { entity: Entity::Paymaster, .. }));
    assert_eq!(refused.code(), -32502);
    let mut made = operation(3, 0, 100, 3);
    Arc::make_mut(&mut made.op).initializer =
        Some(erc4337::Initializer::Factory { address: STRANGER, data: Default::default() });
    insert(&mut pool, made).unwrap();
    let mut of_factory = operation(4, 0, 100, 4);
    Arc::make_mut(&mut of_factory.op).sender = STRANGER;
    let refused = insert(&mut pool, of_factory).unwrap_err();
    assert!(matches!(refused, Rejection::SenderIsEntity { entity: Entity::Factory, .. }), "{refused}");
}

#[test]
fn sto_041_associated_storage_does_not_lie_in_another_sender() {
    let mut pool = Mempool::default();
    insert(&mut pool, operation(7, 0, 100, 1)).unwrap();
    let mut second = operation(2, 0, 100, 2);
    change(&mut second, |evidence| evidence.associated = vec![STRANGER, Address::repeat_byte(7)]);
    let refused = insert(&mut pool, second.clone()).unwrap_err();
    assert!(matches!(refused, Rejection::StorageOfSender { contract } if contract == Address::repeat_byte(7)));
    pool.remove(B256::repeat_byte(1));
    insert(&mut pool, second).unwrap();
}

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

#[test]
fn blocked_addresses_are_refused_whatever_their_part() {
    let config = MempoolConfig { blocked: HashSet::from([PAYMASTER]), ..MempoolConfig::default() };
    let mut pool = Mempool::new(config, Reputation::default());
    let refused = insert(&mut pool, sponsored(1, 1, 1_000, true)).unwrap_err();
    assert!(matches!(refused, Rejection::Blocked { entity: Entity::Paymaster, .. }));
    insert(&mut pool, operation(1, 0, 100, 1)).unwrap();
}

/// A head at which the sender's nonce is `sequence`.
fn head_at(number: u64, sender: u8, sequence: u64) -> Head {
    let head = head(number);
    let slot = erc4337::storage::nonce_slot(Address::repeat_byte(sender), U256::ZERO);
    head.view.know_slot(EntryPointVersion::V0_8.canonical_address(), slot, U256::from(sequence));
    head
}

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

#[test]
fn auth_040_what_is_pending_of_one_sender_delegates_to_one_address() {
    use alloy::eips::eip7702::{Authorization, SignedAuthorization};
    let delegating = |nonce: u64, fee: u128, id: u8, delegate: u8| {
        let inner = Authorization { chain_id: U256::ZERO, address: Address::repeat_byte(delegate), nonce: 0 };
        let mut admitted = operation(1, nonce, fee, id);
        Arc::make_mut(&mut admitted.op).eip7702_auth =
            Some(SignedAuthorization::new_unchecked(inner, 0, U256::ONE, U256::ONE));
        admitted
    };
    let mut pool = Mempool::default();
    insert(&mut pool, delegating(0, 100, 1, 7)).unwrap();
    insert(&mut pool, delegating(1, 100, 2, 7)).unwrap();
    insert(&mut pool, operation(1, 2, 100, 3)).unwrap();
    let refused = insert(&mut pool, delegating(3, 100, 4, 8)).unwrap_err();
    assert!(matches!(refused, Rejection::OtherDelegate { .. }), "{refused}");
    assert_eq!((refused.code(), refused.data().unwrap()["rule"].clone()), (-32502, "AUTH-040".into()));
    // What it replaces does not count, but the other does.
    assert!(insert(&mut pool, delegating(0, 200, 5, 8)).is_err());
    pool.remove(B256::repeat_byte(2));
    insert(&mut pool, delegating(0, 200, 6, 8)).unwrap();
}

#[test]
fn srep_040_whoever_is_staked_has_as_many_pending_as_it_likes() {
    let mut pool = Mempool::default();
    for id in 1..=40 {
        insert(&mut pool, sponsored(id, id, 1_000_000, true)).unwrap();
    }
    assert_eq!(pool.len(), 40);
}
