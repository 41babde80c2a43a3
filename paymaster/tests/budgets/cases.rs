//! Single cases that random histories come to too seldom, and what the ledger says beside yes and no.

use std::sync::atomic::Ordering::SeqCst;

use alloy::primitives::{Address, B256, U256};
use paymaster::ledger::{
    Block, Blocks, Charge, Denied, Embedded, Inclusion, Ledger, Place, Reservation, Rules, Store, StoreError, Unit,
    Usage,
};

const PERIOD: u64 = 100;
const RULES: Rules = Rules { finality: 2, reverts: 2, forget: 1_000, cool_down: 60 };

fn place(nonce: u64) -> Place {
    Place { entry_point: Address::ZERO, sender: Address::repeat_byte(1), nonce: U256::from(nonce) }
}

fn bucket(unit: Unit, limit: u64, period: u64) -> Charge {
    Charge { bucket: format!("{unit:?}"), unit, limit: U256::from(limit), period }
}

/// A signature for so many wei, which holds for 20 seconds.
fn reservation(nonce: u64, cost: u64, now: u64, charge: Charge) -> Reservation {
    let (place, cost) = (place(nonce), U256::from(cost));
    Reservation { place, cost, valid_until: now + 20, charges: vec![charge], price: None, now }
}

fn block(number: u64, timestamp: u64) -> Block {
    Block { number, hash: B256::from(U256::from(number + 1_000 * timestamp)), timestamp }
}

fn used(nonce: u64, cost: u64) -> Inclusion {
    Inclusion { place: place(nonce), ours: true, cost: U256::from(cost), success: true }
}

/// Takes in one block more.
async fn mine(ledger: &Ledger, timestamp: u64, inclusions: &[Inclusion]) {
    let last = ledger.marks().await.unwrap().last().copied();
    let tip = block(last.map_or(0, |last| last.number + 1), timestamp);
    let after = last.map(|last| last.hash);
    ledger.follow(Blocks { after, tip, inclusions: inclusions.to_vec() }).await.unwrap();
}

fn ledger() -> Ledger {
    Ledger::start(Store::in_memory().unwrap(), RULES)
}

async fn usage(ledger: &Ledger, unit: Unit, period: u64, now: u64) -> (u64, u64) {
    let Usage { reserved, settled } = ledger.usage(&[(&format!("{unit:?}"), period, now)]).await.unwrap()[0];
    (reserved.to(), settled.to())
}

#[tokio::test]
async fn what_was_signed_for_in_two_periods_is_spent_in_the_last_one_alone() {
    for (first, second) in [(10, 30), (30, 10)] {
        let ledger = ledger();
        mine(&ledger, 90, &[]).await;
        ledger.reserve(reservation(0, first, 95, bucket(Unit::Wei, 30, PERIOD))).await.unwrap();
        ledger.reserve(reservation(0, second, 105, bucket(Unit::Wei, 30, PERIOD))).await.unwrap();
        mine(&ledger, 106, &[used(0, 25)]).await;
        assert_eq!(usage(&ledger, Unit::Wei, PERIOD, 95).await, (first, 0), "held until it is final");
        assert_eq!(usage(&ledger, Unit::Wei, PERIOD, 105).await, (5, 25));
        ledger.rewind(0).await.unwrap();
        assert_eq!(usage(&ledger, Unit::Wei, PERIOD, 95).await, (first, 0));
        assert_eq!(usage(&ledger, Unit::Wei, PERIOD, 105).await, (30, 0));
        for timestamp in [107, 200, 201, 202] {
            mine(&ledger, timestamp, &if timestamp == 107 { vec![used(0, 25)] } else { vec![] }).await;
        }
        assert_eq!(usage(&ledger, Unit::Wei, PERIOD, 95).await, (0, 0));
        assert_eq!(usage(&ledger, Unit::Wei, PERIOD, 105).await, (0, 25), "what was spent once is spent once");
    }
}

#[tokio::test]
async fn a_nonce_that_another_paymaster_paid_for_after_our_signature_had_expired_is_released_though_that_is_undone() {
    let ledger = ledger();
    mine(&ledger, 1_000, &[]).await;
    ledger.reserve(reservation(0, 10, 1_000, bucket(Unit::Wei, 10, 0))).await.unwrap();
    mine(&ledger, 1_100, &[]).await;
    mine(&ledger, 1_101, &[Inclusion { ours: false, ..used(0, 10) }]).await;
    mine(&ledger, 1_102, &[]).await;
    assert_eq!(usage(&ledger, Unit::Wei, 0, 0).await, (10, 0), "the block that used it may be undone");
    ledger.rewind(1).await.unwrap();
    for timestamp in 2_000..2_005 {
        mine(&ledger, timestamp, &[]).await;
    }
    assert_eq!(usage(&ledger, Unit::Wei, 0, 0).await, (0, 0));
}

#[tokio::test]
async fn every_unit_is_charged_settled_and_given_back_in_its_own_way() {
    let ledger = ledger();
    mine(&ledger, 1_000, &[]).await;
    let units = [Unit::Wei, Unit::MicroUsd, Unit::Count, Unit::InFlight];
    let charges: Vec<_> = units.map(|unit| bucket(unit, 1_000_000, 0)).to_vec();
    let ether = U256::from(1_000_000_000_000_000_000_u64);
    for nonce in [0, 1] {
        let asked = reservation(nonce, 1_000, 1_000, charges[0].clone());
        // A wei is a millionth of a dollar: a dear ether, but easily read.
        let asked = Reservation { charges: charges.clone(), price: Some(ether), ..asked };
        ledger.reserve(asked.clone()).await.unwrap();
        ledger.reserve(asked).await.unwrap();
    }
    let standing = async || {
        let mut all = Vec::new();
        for unit in units {
            all.push(usage(&ledger, unit, 0, 0).await);
        }
        all
    };
    assert_eq!(standing().await, [(2_000, 0), (2_000, 0), (2, 0), (2, 0)]);
    mine(&ledger, 1_010, &[used(0, 300)]).await;
    assert_eq!(standing().await, [(1_700, 300), (1_700, 300), (1, 1), (1, 0)]);
    for timestamp in [1_100, 1_101, 1_102] {
        mine(&ledger, timestamp, &[]).await;
    }
    assert_eq!(standing().await, [(0, 300), (0, 300), (0, 1), (0, 0)]);
    let no_price = Reservation { price: None, ..reservation(2, 1, 1_200, bucket(Unit::MicroUsd, 9, 0)) };
    assert!(matches!(ledger.reserve(no_price).await, Err(Denied::NoPrice { .. })));
}

#[tokio::test]
async fn a_denial_says_what_is_left_and_when_there_is_more_and_charges_nothing() {
    let ledger = ledger();
    ledger.reserve(reservation(0, 7, 250, bucket(Unit::Wei, 10, PERIOD))).await.unwrap();
    let Err(Denied::OverLimit(over)) = ledger.reserve(reservation(1, 4, 250, bucket(Unit::Wei, 10, PERIOD))).await
    else {
        panic!("4 of 3 were granted")
    };
    assert_eq!((over.remaining.to::<u64>(), over.asked.to::<u64>(), over.resets_at), (3, 4, Some(300)));
    ledger.check(reservation(1, 3, 250, bucket(Unit::Wei, 10, PERIOD))).await.unwrap();
    assert_eq!(usage(&ledger, Unit::Wei, PERIOD, 250).await, (7, 0), "a check charges nothing");
}

#[tokio::test]
async fn who_lets_operations_revert_waits_until_the_reverts_are_undone_or_the_time_is_over() {
    let ledger = ledger();
    mine(&ledger, 1_000, &[]).await;
    let free = || bucket(Unit::Wei, 1_000, 0);
    for nonce in [0, 1] {
        ledger.reserve(reservation(nonce, 10, 1_000, free())).await.unwrap();
        mine(&ledger, 1_001 + nonce, &[Inclusion { success: false, ..used(nonce, 5) }]).await;
    }
    let next = |now| reservation(2, 10, now, free());
    let sender = place(0).sender;
    assert_eq!(ledger.check(next(1_003)).await, Err(Denied::CoolingDown { sender, until: 1_062 }));
    assert_eq!(ledger.check(next(1_062)).await, Ok(()));
    ledger.rewind(1).await.unwrap();
    assert_eq!(ledger.check(next(1_003)).await, Ok(()));
}

#[tokio::test]
async fn blocks_that_leave_a_gap_are_refused_and_what_no_reservation_stood_for_is_told() {
    let ledger = ledger();
    mine(&ledger, 1_000, &[]).await;
    let gap = Blocks { after: Some(B256::repeat_byte(7)), tip: block(9, 1_100), inclusions: vec![used(0, 5)] };
    assert_eq!(ledger.follow(gap).await, Err(Denied::Store(StoreError::Gap)));
    ledger.reserve(reservation(0, 10, 1_000, bucket(Unit::Wei, 10, 0))).await.unwrap();
    mine(&ledger, 1_001, &[used(0, 5), used(8, 6)]).await;
    let standing = ledger.standing().await.unwrap();
    assert_eq!((standing.spent, standing.unreserved), (U256::from(11), U256::from(6)));
    // Of a deposit of 100, what was spent is no drift; what else is missing is, and a top-up none.
    for (timestamp, spent, deposit, drift) in
        [(1_002, 0, 100, 0), (1_003, 5, 95, 0), (1_004, 0, 92, 3), (1_005, 0, 500, 0)]
    {
        mine(&ledger, timestamp, if spent > 0 { vec![used(timestamp, spent)] } else { vec![] }.as_slice()).await;
        let at = ledger.marks().await.unwrap().last().unwrap().hash;
        ledger.reconcile(Address::ZERO, at, U256::from(deposit)).await.unwrap();
        assert_eq!(ledger.standing().await.unwrap().drift, U256::from(drift), "at {timestamp}");
    }
}

#[tokio::test]
async fn a_reorganisation_below_what_is_final_is_counted_and_the_ledger_goes_on() {
    let ledger = ledger();
    for timestamp in 1_000..1_006 {
        mine(&ledger, timestamp, &[]).await;
    }
    ledger.rewind(0).await.unwrap();
    assert_eq!(ledger.standing().await.unwrap().deep_reorgs, 1);
    mine(&ledger, 2_000, &[]).await;
    assert_eq!(ledger.standing().await.unwrap().block.unwrap().2, 2_000);
}

#[tokio::test]
async fn when_the_store_fails_nothing_is_granted() {
    let (hold, fuse) = crate::disk::Disk::default().hold();
    let ledger = Ledger::start(Store::Embedded(Embedded::on(hold).unwrap()), RULES);
    ledger.reserve(reservation(0, 1, 0, bucket(Unit::Wei, 10, 0))).await.unwrap();
    fuse.store(0, SeqCst);
    let denied = ledger.reserve(reservation(1, 1, 0, bucket(Unit::Wei, 10, 0))).await.unwrap_err();
    assert!(denied.is_transient(), "{denied}");

    let server = crate::redis::Server::start().await;
    let ledger = Ledger::start(Store::redis(&server.url, "test").await.unwrap(), RULES);
    ledger.reserve(reservation(0, 1, 0, bucket(Unit::Wei, 10, 0))).await.unwrap();
    drop(server);
    let denied = ledger.reserve(reservation(1, 1, 0, bucket(Unit::Wei, 10, 0))).await.unwrap_err();
    assert!(denied.is_transient(), "{denied}");
}
