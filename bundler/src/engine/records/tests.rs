use super::*;

const HASH: B256 = B256::repeat_byte(1);

fn event(hash: B256, block: u64) -> Event {
    Event {
        hash,
        entry_point: Address::repeat_byte(9),
        transaction: B256::repeat_byte(2),
        block,
        block_hash: B256::repeat_byte(3),
        log_index: 0,
        success: true,
    }
}

fn pending() -> Record {
    let (entry_point, status) = (Address::repeat_byte(9), Status::Pending);
    Record { op: None, entry_point, version: None, status, waits_for: None }
}

fn records() -> (Records, watch::Receiver<Interest>) {
    let (interest, told) = watch::channel(Interest::default());
    (Records::new(interest, Arc::default()), told)
}

fn submitted(transaction: u8) -> Status {
    Status::Submitted { transaction: B256::repeat_byte(transaction) }
}

fn name(records: &Records) -> &'static str {
    records.get(HASH).unwrap().status.name()
}

/// What was noted, without what it is about.
fn noted(records: &mut Records) -> Vec<&'static str> {
    let word = |noted: Noted| match noted {
        Noted::Included { block: 5, hash } if hash == HASH => "included in 5",
        Noted::Dropped { hash, .. } if hash == HASH => "dropped",
        Noted::Reopened { hash } if hash == HASH => "reopened",
        _ => "something else",
    };
    records.take_noted().into_iter().map(word).collect()
}

#[test]
fn what_is_included_is_noted_once_and_stays_so_whatever_is_said_later() {
    let (mut records, _told) = records();
    records.insert(HASH, pending());
    records.set(HASH, submitted(1));
    assert!(noted(&mut records).is_empty(), "what is in flight is the flow's to note");
    records.include(event(HASH, 5));
    assert_eq!((name(&records), noted(&mut records)), ("included", vec!["included in 5"]));
    for late in [submitted(2), Status::Pending, Status::Dropped { reason: "late".into() }] {
        records.set(HASH, late);
        records.unsubmit(HASH);
        assert_eq!((name(&records), noted(&mut records)), ("included", vec![]));
    }
    records.include(event(HASH, 6));
    assert_eq!(records.take_noted().len(), 1, "but in another block, after a reorganisation");
}

#[test]
fn what_is_dropped_is_noted_with_its_reason() {
    let (mut records, _told) = records();
    records.insert(HASH, pending());
    records.set(HASH, Status::Dropped { reason: "expired".into() });
    assert_eq!(noted(&mut records), ["dropped"]);
    let Status::Dropped { reason } = records.get(HASH).unwrap().status else { panic!("not dropped") };
    assert_eq!(reason, "expired");
    records.unsubmit(HASH);
    assert_eq!(name(&records), "dropped", "it does not come back by itself");
}

#[test]
fn whoever_watches_hears_that_it_was_dropped_when_that_is_durable() {
    let (mut records, _told) = records();
    let dropped = || Status::Dropped { reason: "expired".into() };
    let watched = |records: &mut Records| {
        let (sender, heard) = mpsc::channel(8);
        assert!(records.watch(HASH, None, sender));
        heard
    };
    records.insert(HASH, pending());
    let mut early = watched(&mut records);
    assert_eq!(early.try_recv().unwrap(), Stage::Accepted);
    records.set(HASH, dropped());
    let mut late = watched(&mut records);
    assert!(early.try_recv().is_err() && late.try_recv().is_err(), "a restart may take it up again");
    records.tell_dropped(HASH);
    for heard in [&mut early, &mut late, &mut watched(&mut records)] {
        assert_eq!(heard.try_recv().unwrap(), Stage::Dropped { reason: "expired".into() });
    }
    // It is sent again, or is found on the chain, before that is durable.
    for again in [None, Some(event(HASH, 5))] {
        records.set(HASH, dropped());
        match again {
            None => records.insert(HASH, pending()),
            Some(event) => records.include(event),
        }
        let mut heard = watched(&mut records);
        heard.try_recv().unwrap();
        records.tell_dropped(HASH);
        assert!(heard.try_recv().is_err());
    }
}

#[test]
fn what_was_dropped_before_a_restart_is_known_and_not_noted_again() {
    let (mut records, _told) = records();
    records.restore_dropped(HASH, Address::repeat_byte(9), "before".into());
    assert_eq!((name(&records), noted(&mut records)), ("dropped", vec![]));
    assert_eq!(records.get(HASH).unwrap().entry_point, Address::repeat_byte(9));
    assert_eq!(records.ended, [HASH]);
}

#[test]
fn what_a_reorganisation_takes_back_is_noted_and_is_on_its_way_again() {
    let (mut records, told) = records();
    records.insert(HASH, pending());
    records.include(event(HASH, 5));
    noted(&mut records);
    records.reopen(HASH, submitted(4));
    assert_eq!((name(&records), noted(&mut records)), ("submitted", vec!["reopened"]));
    assert!(records.ended.is_empty() && told.borrow().pending);
    // In the block that is being built, by the transaction that it was in.
    records.preconfirm(6, &BTreeSet::from([B256::repeat_byte(4)]));
    assert_eq!(name(&records), "preconfirmed");
    records.include(event(HASH, 5));
    assert_eq!((name(&records), noted(&mut records)), ("included", vec!["included in 5"]));
    assert_eq!(records.ended, [HASH]);
}

#[test]
fn preconfirmed_is_what_is_in_any_transaction_that_it_was_sent_in_and_not_what_came_back() {
    let (mut records, _told) = records();
    records.insert(HASH, pending());
    for transaction in [1, 2] {
        records.set(HASH, submitted(transaction));
    }
    records.preconfirm(6, &BTreeSet::from([B256::repeat_byte(7)]));
    assert_eq!(name(&records), "submitted");
    records.preconfirm(6, &BTreeSet::from([B256::repeat_byte(1)]));
    assert_eq!(records.get(HASH).unwrap().status.transaction(), Some(B256::repeat_byte(1)));
    records.unsubmit(HASH);
    assert_eq!(name(&records), "pending");
    records.preconfirm(6, &BTreeSet::from([B256::repeat_byte(1)]));
    assert_eq!(name(&records), "pending");
}

#[test]
fn the_chain_is_asked_for_no_more_than_somebody_waits_for() {
    let (mut records, mut told) = records();
    let mut asked = |records: &Records| {
        let changed = told.has_changed().unwrap();
        let now = *told.borrow_and_update();
        assert_eq!(now.pending, !records.sent.is_empty());
        (changed, now)
    };
    assert_eq!(asked(&records), (false, Interest::default()));
    records.insert(HASH, pending());
    records.set(HASH, submitted(1));
    assert_eq!(asked(&records), (true, Interest { pending: true, ..Interest::default() }));
    records.set(HASH, submitted(2));
    assert!(!asked(&records).0, "the same is not told twice");
    records.rest_on_the_head(true);
    assert_eq!(asked(&records), (true, Interest { pending: true, pool: true, safe: false }));
    records.rest_on_the_head(true);
    assert!(!asked(&records).0);
    records.include(event(HASH, 5));
    let (sender, mut heard) = mpsc::channel(8);
    assert!(records.watch(HASH, None, sender));
    assert_eq!(asked(&records), (true, Interest { pending: false, pool: true, safe: true }));
    assert_eq!(heard.try_recv().unwrap(), Stage::Included(event(HASH, 5)));
    records.safe(5);
    records.rest_on_the_head(false);
    assert_eq!(asked(&records), (true, Interest::default()));
    assert_eq!(heard.try_recv().unwrap(), Stage::Safe(event(HASH, 5)));
}

#[test]
fn another_bundler_s_operation_is_known_when_it_is_mined_and_watched_by_what_the_index_says() {
    let (mut records, _told) = records();
    let (early, mut early_heard) = mpsc::channel(8);
    assert!(records.watch(HASH, None, early));
    records.include(event(HASH, 5));
    assert_eq!((name(&records), noted(&mut records)), ("included", vec![]), "it is none of ours to note");
    assert_eq!(early_heard.try_recv().unwrap(), Stage::Included(event(HASH, 5)));
    let other = B256::repeat_byte(8);
    let (sender, mut heard) = mpsc::channel(8);
    records.watch(other, Some(event(other, 4)), sender);
    assert_eq!(heard.try_recv().unwrap(), Stage::Included(event(other, 4)));
    drop(heard);
    assert!(!records.unwatch(other));
}

#[test]
fn the_oldest_that_has_ended_is_forgotten_and_what_is_pending_never() {
    let (mut records, _told) = records();
    records.insert(HASH, pending());
    let hash = |number: usize| B256::left_padding_from(&(number + 1_000_000).to_be_bytes());
    for number in 0..=KEPT {
        records.include(event(hash(number), 5));
    }
    assert_eq!(records.by_hash.len(), KEPT + 1);
    assert!(records.get(hash(0)).is_none());
    assert!(records.get(hash(1)).is_some() && records.get(hash(KEPT)).is_some());
    assert_eq!(name(&records), "pending");
}

fn sent(records: &mut Records, operation: B256, transaction: B256) {
    let record =
        Record { op: None, entry_point: Address::ZERO, version: None, status: Status::Pending, waits_for: None };
    records.insert(operation, record);
    records.set(operation, Status::Submitted { transaction });
}

fn status(records: &Records, operation: B256) -> (&'static str, Option<B256>) {
    let status = records.get(operation).unwrap().status;
    (status.name(), status.transaction())
}

#[test]
fn what_a_block_was_to_have_and_has_not_is_only_sent_again() {
    let mut records = Records::new(watch::channel(Interest::default()).0, Arc::default());
    let [kept, lost, dropped] = [1, 2, 3].map(B256::repeat_byte);
    let [first, second, third] = [4, 5, 6].map(B256::repeat_byte);
    for (operation, transaction) in [(kept, first), (lost, second), (dropped, third)] {
        sent(&mut records, operation, transaction);
    }
    records.preconfirm(7, &BTreeSet::from([first, second, third]));
    assert_eq!(status(&records, lost), ("preconfirmed", Some(second)));
    // The same block is rebuilt without one of them; and the next has none of them, as this one should.
    records.preconfirm(7, &BTreeSet::from([first, second]));
    assert_eq!(status(&records, dropped), ("submitted", Some(third)));
    records.preconfirm(8, &BTreeSet::new());
    records.confirm(6);
    assert_eq!(status(&records, lost), ("preconfirmed", Some(second)));
    records.include(Event {
        hash: kept,
        entry_point: Address::ZERO,
        transaction: first,
        block: 7,
        block_hash: B256::ZERO,
        log_index: 0,
        success: true,
    });
    records.confirm(7);
    assert_eq!(status(&records, kept).0, "included");
    assert_eq!(status(&records, lost), ("submitted", Some(second)));
    assert!(records.preconfirmed.is_empty());
}
