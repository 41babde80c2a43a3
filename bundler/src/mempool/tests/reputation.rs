//! Who is throttled and banned for what, and who is not: the rules of ERC-7562, and what an operator orders.

use super::*;

#[test]
fn grep_010_the_banned_are_kept_out_and_what_they_have_pending_goes() {
    let mut pool = Mempool::default();
    insert(&mut pool, sponsored(1, 1, 1_000, true)).unwrap();
    insert(&mut pool, sponsored(2, 2, 1_000, true)).unwrap();
    insert(&mut pool, operation(3, 0, 100, 3)).unwrap();
    let dropped = pool.take_out(B256::repeat_byte(1), "failed".into(), Some(Blame::Bundle(Entity::Paymaster)));
    assert_eq!(ids(&dropped), [1, 2]);
    assert!(dropped[1].reason.contains("GREP-010"));
    assert_eq!(waiting(&pool), [3]);
    let refused = insert(&mut pool, sponsored(4, 4, 1_000, true)).unwrap_err();
    assert!(matches!(refused, Rejection::Banned { entity: Entity::Paymaster, address: PAYMASTER }));
    assert_eq!(refused.code(), -32504);
}

#[tokio::test]
async fn grep_010_what_names_the_banned_goes_with_the_next_block_at_the_latest() {
    let mut pool = Mempool::default();
    insert(&mut pool, sponsored(1, 1, 1_000, true)).unwrap();
    pool.reputation_mut().failed_bundle(PAYMASTER, &MempoolConfig::default());
    let dropped = pool.advance(&head(2), &head(1).view, &[], next(NOW));
    assert!(dropped.len() == 1 && dropped[0].reason.contains("GREP-010"), "{dropped:?}");
}

#[test]
fn grep_040_who_fails_a_bundle_is_banned_and_who_fails_a_validation_is_not() {
    for (blame, status) in [
        (Blame::Bundle(Entity::Paymaster), ReputationStatus::Banned),
        (Blame::Revalidation(Entity::Paymaster), ReputationStatus::Ok),
    ] {
        let mut pool = Mempool::default();
        insert(&mut pool, sponsored(1, 1, 1_000, true)).unwrap();
        pool.take_out(B256::repeat_byte(1), "failed".into(), Some(blame));
        assert_eq!(pool.reputation().status(PAYMASTER, &MempoolConfig::default()), status, "{blame:?}");
    }
}

#[test]
fn grep_040_the_operators_own_are_never_banned() {
    let config = MempoolConfig { allowed: HashSet::from([PAYMASTER]), ..MempoolConfig::default() };
    let mut pool = Mempool::new(config, Reputation::default());
    insert(&mut pool, sponsored(1, 1, 1_000, true)).unwrap();
    pool.take_out(B256::repeat_byte(1), "failed".into(), Some(Blame::Bundle(Entity::Paymaster)));
    insert(&mut pool, sponsored(1, 1, 1_000, true)).unwrap();
}

#[tokio::test]
async fn grep_020_the_throttled_have_a_few_pending_for_a_few_blocks() {
    let mut pool = Mempool::default();
    pool.reputation_mut().set(PAYMASTER, Counts { ops_seen: 200, ops_included: 5 });
    assert!(pool.is_throttled(PAYMASTER));
    for id in 0..4 {
        insert(&mut pool, sponsored(id, id, 1_000, true)).unwrap();
    }
    let refused = insert(&mut pool, sponsored(4, 4, 1_000, true)).unwrap_err();
    assert!(matches!(refused, Rejection::Throttled { count: 4, .. }), "{refused}");
    assert_eq!(pool.advance(&head(10), &head(9).view, &[], next(NOW)), []);
    let dropped = pool.advance(&head(11), &head(10).view, &[], next(NOW));
    assert_eq!(dropped.len(), 4);
    assert!(dropped[0].reason.contains("GREP-020"));
}

#[test]
fn erep_015_a_paymaster_does_not_answer_for_the_account() {
    let mut pool = Mempool::default();
    insert(&mut pool, sponsored(1, 1, 1_000, true)).unwrap();
    assert_eq!(pool.reputation().counts(PAYMASTER).ops_seen, 1);
    pool.take_out(B256::repeat_byte(1), "signature".into(), Some(Blame::Revalidation(Entity::Account)));
    assert_eq!(pool.reputation().counts(PAYMASTER).ops_seen, 0);
    insert(&mut pool, sponsored(1, 2, 1_000, true)).unwrap();
    pool.take_out(B256::repeat_byte(2), "refused".into(), Some(Blame::Revalidation(Entity::Paymaster)));
    assert_eq!(pool.reputation().counts(PAYMASTER).ops_seen, 1);
}

#[test]
fn erep_030_a_staked_account_answers_for_all() {
    let mut pool = Mempool::default();
    let mut first = sponsored(1, 1, 1_000, true);
    change(&mut first, |evidence| evidence.parties.account.standing = Standing::Staked);
    insert(&mut pool, first).unwrap();
    pool.take_out(B256::repeat_byte(1), "failed".into(), Some(Blame::Bundle(Entity::Paymaster)));
    let config = MempoolConfig::default();
    assert_eq!(pool.reputation().status(Address::repeat_byte(1), &config), ReputationStatus::Banned);
    assert_eq!(pool.reputation().status(PAYMASTER, &config), ReputationStatus::Ok);
}

#[test]
fn erep_030_an_unstaked_account_answers_for_nobody() {
    let mut pool = Mempool::default();
    insert(&mut pool, sponsored(1, 1, 1_000, true)).unwrap();
    pool.take_out(B256::repeat_byte(1), "failed".into(), Some(Blame::Bundle(Entity::Paymaster)));
    let status = |address| pool.reputation().status(address, &MempoolConfig::default());
    assert_eq!([Address::repeat_byte(1), PAYMASTER].map(status), [ReputationStatus::Ok, ReputationStatus::Banned]);
}

/// Of an operation whose factory makes an account that then fails its bundle.
fn status_of_factory(staked: bool) -> ReputationStatus {
    let mut pool = Mempool::default();
    let mut first = operation(1, 0, 100, 1);
    Arc::make_mut(&mut first.op).initializer =
        Some(erc4337::Initializer::Factory { address: STRANGER, data: Default::default() });
    change(&mut first, |evidence| evidence.parties.factory = Some(party(STRANGER, staked)));
    insert(&mut pool, first).unwrap();
    pool.take_out(B256::repeat_byte(1), "failed".into(), Some(Blame::Bundle(Entity::Account)));
    pool.reputation().status(STRANGER, &MempoolConfig::default())
}

#[test]
fn erep_020_a_staked_factory_answers_for_the_account_it_makes() {
    assert_eq!(status_of_factory(true), ReputationStatus::Banned);
}

#[test]
fn erep_020_an_unstaked_factory_has_no_reputation_to_lose() {
    assert_eq!(status_of_factory(false), ReputationStatus::Ok);
}

#[test]
fn reputation_decays_by_a_24th_an_hour_and_bans_pass() {
    let config = MempoolConfig::default();
    let mut reputation = Reputation::default();
    reputation.failed_bundle(PAYMASTER, &config);
    assert_eq!(reputation.status(PAYMASTER, &config), ReputationStatus::Banned);
    assert!(!reputation.decay(NOW));
    assert!(!reputation.decay(NOW + 3_599));
    assert!(reputation.decay(NOW + 3_600));
    assert_eq!(reputation.counts(PAYMASTER).ops_seen, 10_000 * 23 / 24);
    assert!(reputation.decay(NOW + 3_600 * 96));
    // "Effectively, the value is reduced to 1 % after 4 days."
    assert!((100..=170).contains(&reputation.counts(PAYMASTER).ops_seen), "{:?}", reputation.counts(PAYMASTER));
    assert_eq!(reputation.status(PAYMASTER, &config), ReputationStatus::Throttled);
    assert!(reputation.decay(NOW + 3_600 * 120));
    assert_eq!(reputation.status(PAYMASTER, &config), ReputationStatus::Ok);
}

#[test]
fn reputation_borders_are_those_of_the_erc() {
    let config = MempoolConfig::default();
    let mut reputation = Reputation::default();
    let mut status = |ops_seen, ops_included| {
        reputation.set(PAYMASTER, Counts { ops_seen, ops_included });
        reputation.status(PAYMASTER, &config)
    };
    assert_eq!(status(109, 0), ReputationStatus::Ok);
    assert_eq!(status(110, 0), ReputationStatus::Throttled);
    assert_eq!(status(509, 0), ReputationStatus::Throttled);
    assert_eq!(status(510, 0), ReputationStatus::Banned);
    assert_eq!(status(510, 40), ReputationStatus::Throttled);
}

#[test]
fn reputations_outlive_the_process() {
    let file = std::env::temp_dir().join(format!("fabstir-reputation-{}.json", std::process::id()));
    assert_eq!(store::read(&file).unwrap(), Reputation::default());
    let mut reputation = Reputation::default();
    reputation.failed_bundle(PAYMASTER, &MempoolConfig::default());
    reputation.decay(NOW);
    store::write(&file, &reputation).unwrap();
    assert_eq!(store::read(&file).unwrap(), reputation);
    std::fs::write(&file, "{").unwrap();
    assert!(matches!(store::read(&file), Err(store::StoreError::Malformed { .. })));
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn the_throttled_have_their_time_from_when_they_came() {
    let mut pool = Mempool::default();
    pool.reputation_mut().set(PAYMASTER, Counts { ops_seen: 200, ops_included: 5 });
    pool.begin_at(head(5).time);
    insert(&mut pool, sponsored(1, 1, 1_000, true)).unwrap();
    assert_eq!(pool.advance(&head(15), &head(14).view, &[], next(NOW)), []);
    assert_eq!(pool.advance(&head(16), &head(15).view, &[], next(NOW)).len(), 1);
}

/// One that takes the place of the sender's last, for a fee that rises with each round. Its paymaster is staked.
fn replacement(sender: u8, round: u8, paymaster: Option<Address>) -> Admitted {
    let fee = (0..round).fold(200, |fee: u128, _| fee * 6 / 5);
    let mut admitted = operation(sender, 0, fee, 0);
    admitted.hash =
        B256::repeat_byte(sender) & B256::left_padding_from(&[0xff]) | B256::right_padding_from(&[1, round]);
    if let Some(address) = paymaster {
        Arc::make_mut(&mut admitted.op).paymaster = Some(Paymaster { address, ..Paymaster::default() });
        change(&mut admitted, |evidence| {
            evidence.parties.paymaster = Some(party(address, true));
            evidence.paymaster_deposit = U256::MAX;
        });
    }
    admitted
}

#[test]
fn grep_050_six_hundred_and_forty_replacements_that_are_never_mined_ban_nobody() {
    let mut pool = Mempool::default();
    for round in 0..32 {
        for sender in 1..=20 {
            insert(&mut pool, replacement(sender, round, Some(PAYMASTER))).unwrap();
        }
    }
    assert_eq!(pool.reputation().counts(PAYMASTER), Counts { ops_seen: 20, ops_included: 0 });
    // Nor do such that come and go between two paymasters: each time the count goes back to whom is swapped.
    for round in 32..64 {
        let paymaster = if round % 2 == 0 { PAYMASTER } else { STRANGER };
        for sender in 1..=20 {
            insert(&mut pool, replacement(sender, round, Some(paymaster))).unwrap();
        }
    }
    let seen = |pool: &Mempool| [PAYMASTER, STRANGER].map(|paymaster| pool.reputation().counts(paymaster).ops_seen);
    assert_eq!(seen(&pool), [0, 20]);
    insert(&mut pool, replacement(1, 64, None)).unwrap();
    assert_eq!(seen(&pool), [0, 19]);
    // What is mined counts for whom it was counted for.
    let last = replacement(1, 65, Some(PAYMASTER));
    let hash = last.hash;
    insert(&mut pool, last).unwrap();
    pool.remove_included(hash).unwrap();
    assert_eq!(pool.reputation().counts(PAYMASTER), Counts { ops_seen: 1, ops_included: 1 });
    // Its block leaves the chain: it has been seen, and is included no more.
    pool.take_back(replacement(1, 65, Some(PAYMASTER)), &block(1));
    assert_eq!(pool.reputation().counts(PAYMASTER), Counts { ops_seen: 1, ops_included: 0 });
}

#[test]
fn a_replacement_is_held_against_block_lists_bans_and_sto_040_like_any_newcomer() {
    let blocked = Address::repeat_byte(0xbb);
    let config = MempoolConfig { blocked: HashSet::from([blocked]), ..MempoolConfig::default() };
    let mut pool = Mempool::new(config, Reputation::default());
    insert(&mut pool, operation(1, 0, 100, 1)).unwrap();
    insert(&mut pool, operation(2, 0, 100, 2)).unwrap();
    pool.reputation_mut().failed_bundle(STRANGER, &MempoolConfig::default());
    let mut refused = |paymaster: Address| {
        let newcomer = replacement(1, 0, Some(paymaster));
        assert!(pool.screen(&newcomer.op, newcomer.entry_point).is_err(), "before it is validated, too");
        insert(&mut pool, newcomer).unwrap_err()
    };
    assert!(matches!(refused(blocked), Rejection::Blocked { entity: Entity::Paymaster, .. }));
    assert!(matches!(refused(STRANGER), Rejection::Banned { entity: Entity::Paymaster, .. }));
    assert!(matches!(refused(Address::repeat_byte(2)), Rejection::EntityIsSender { entity: Entity::Paymaster, .. }));
    assert_eq!(waiting(&pool), [1, 2]);
    // The other way round: its sender has become another one's paymaster meanwhile.
    let mut third = replacement(3, 0, Some(Address::repeat_byte(4)));
    third.hash = B256::repeat_byte(3);
    insert(&mut pool, third).unwrap();
    assert!(matches!(insert(&mut pool, operation(4, 0, 100, 4)), Err(Rejection::SenderIsEntity { .. })));
    // What it replaces no longer counts: neither against the throttled nor against itself.
    pool.reputation_mut().set(PAYMASTER, Counts { ops_seen: 200, ops_included: 5 });
    for sender in 5..9 {
        insert(&mut pool, replacement(sender, 0, Some(PAYMASTER))).unwrap();
    }
    assert!(matches!(
        insert(&mut pool, replacement(9, 0, Some(PAYMASTER))),
        Err(Rejection::Throttled { count: 4, .. })
    ));
    insert(&mut pool, replacement(5, 1, Some(PAYMASTER))).unwrap();
    assert!(matches!(
        insert(&mut pool, replacement(1, 1, Some(PAYMASTER))),
        Err(Rejection::Throttled { count: 4, .. })
    ));
}

#[test]
fn a_replacement_takes_no_more_bytes_than_there_are() {
    let config = MempoolConfig { max_bytes: 3 * 2_048, ..MempoolConfig::default() };
    let mut pool = Mempool::new(config, Reputation::default());
    insert(&mut pool, operation(1, 0, 100, 1)).unwrap();
    insert(&mut pool, operation(2, 0, 150, 2)).unwrap();
    let longer = |fee: u128, bytes: usize| {
        let mut longer = operation(1, 0, fee, 3);
        Arc::make_mut(&mut longer.op).call_data = vec![1; bytes].into();
        longer
    };
    assert!(matches!(insert(&mut pool, longer(120, 3_000)), Err(Rejection::Full { required: 149 })));
    insert(&mut pool, longer(120, 2_000)).unwrap();
    assert!(pool.bytes() <= 3 * 2_048);
}

#[test]
fn erep_070_whoever_saves_gas_in_a_bundle_is_throttled_and_erep_055_whose_context_changes_is_banned() {
    let config = MempoolConfig::default();
    let mut pool = Mempool::default();
    insert(&mut pool, sponsored(1, 1, 1_000, true)).unwrap();
    insert(&mut pool, sponsored(2, 2, 1_000, true)).unwrap();
    pool.mark_bundled(&[B256::repeat_byte(1)]);
    assert_eq!(pool.reprove(B256::repeat_byte(1), Misconduct::LessGas(Entity::Paymaster)), []);
    assert_eq!(pool.reputation().status(PAYMASTER, &config), ReputationStatus::Throttled);
    let dropped = pool.reprove(B256::repeat_byte(1), Misconduct::ContextResized);
    assert_eq!((ids(&dropped), pool.reputation().status(PAYMASTER, &config)), (vec![2], ReputationStatus::Banned));
    // Throttling does not take a ban away.
    pool.reprove(B256::repeat_byte(1), Misconduct::LessGas(Entity::Paymaster));
    assert_eq!(pool.reputation().status(PAYMASTER, &config), ReputationStatus::Banned);
}

#[tokio::test]
async fn grep_010_whom_the_operator_bans_or_blocks_has_nothing_pending_any_more() {
    let mut pool = Mempool::default();
    insert(&mut pool, sponsored(1, 1, 1_000, true)).unwrap();
    insert(&mut pool, operation(2, 0, 100, 2)).unwrap();
    let dropped = pool.set_reputation(vec![(PAYMASTER, Counts { ops_seen: 10_000, ops_included: 0 })]);
    assert_eq!((ids(&dropped), waiting(&pool)), (vec![1], vec![2]));
    // From before a restart with another block list.
    let blocked = MempoolConfig { blocked: HashSet::from([PAYMASTER]), ..MempoolConfig::default() };
    let mut pool = Mempool::new(blocked, Reputation::default());
    pool.restore(sponsored(1, 1, 1_000, true), &block(1));
    let dropped = pool.advance(&head(2), &head(1).view, &[], next(NOW));
    assert!(dropped.len() == 1 && dropped[0].reason.contains("block list"), "{dropped:?}");
}

#[test]
fn the_operator_clears_a_sender_or_an_entity_but_nothing_that_is_in_a_transaction() {
    let mut pool = Mempool::default();
    for sender in 1..4 {
        insert(&mut pool, sponsored(sender, sender, 1_000, true)).unwrap();
    }
    pool.mark_bundled(&[B256::repeat_byte(3)]);
    let sender = Address::repeat_byte(1);
    assert_eq!(pool.take_out_of(sender, Some(Entity::Paymaster), "cleared"), []);
    assert_eq!(ids(&pool.take_out_of(sender, Some(Entity::Account), "cleared")), [1]);
    assert_eq!(ids(&pool.take_out_of(PAYMASTER, None, "cleared")), [2]);
    assert!(pool.contains(B256::repeat_byte(3)));
}

#[tokio::test]
async fn erep_015_an_account_that_lets_its_own_validity_run_out_costs_its_paymaster_nothing() {
    for (of_account, seen) in [(true, 0), (false, 1)] {
        let mut pool = Mempool::default();
        let mut ending = sponsored(1, 1, 1_000, true);
        let window = ValidationData { valid_until: NOW + 15, ..ValidationData::VALID };
        if of_account {
            ending.validated.account = window;
        } else {
            ending.validated.paymaster = Some(window);
        }
        insert(&mut pool, ending).unwrap();
        let dropped = pool.advance(&head_at(2, 1, 0), &head_at(1, 1, 0).view, &[], next(NOW + 16));
        assert_eq!((ids(&dropped), pool.reputation().counts(PAYMASTER).ops_seen), (vec![1], seen));
    }
    // Nor does one whose nonce another operation has used.
    let mut pool = Mempool::default();
    insert(&mut pool, sponsored(1, 1, 1_000, true)).unwrap();
    let dropped = pool.advance(&head_at(2, 1, 1), &head_at(1, 1, 0).view, &[], next(NOW));
    assert_eq!((ids(&dropped), pool.reputation().counts(PAYMASTER)), (vec![1], Counts::default()));
}

#[test]
fn erep_015_a_paymaster_does_not_answer_for_what_is_never_executed() {
    let mut pool = Mempool::new(MempoolConfig { max_operations: 2, ..MempoolConfig::default() }, Reputation::default());
    let seen = |pool: &Mempool| pool.reputation().counts(PAYMASTER).ops_seen;
    let mut dearer = sponsored(3, 3, 1_000, true);
    Arc::make_mut(&mut dearer.op).max_priority_fee_per_gas = 200;
    Arc::make_mut(&mut dearer.op).max_fee_per_gas = 200;
    insert(&mut pool, sponsored(1, 1, 1_000, true)).unwrap();
    insert(&mut pool, sponsored(2, 2, 1_000, true)).unwrap();
    assert_eq!(seen(&pool), 2);
    insert(&mut pool, dearer).unwrap();
    assert_eq!((pool.len(), seen(&pool)), (2, 2), "one made room");
    let left = pool.all().next().map(|admitted| admitted.hash).unwrap();
    pool.set_back(&[left], crate::mempool::Trouble::Unprovable { for_good: true }, "it reads too much");
    assert_eq!((pool.len(), seen(&pool)), (1, 1));
}
