use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use alloy::{
    eips::eip7702::{Authorization, SignedAuthorization},
    primitives::{Address, B256, Bytes, U256},
};
use erc4337::{EntryPointVersion, Initializer, Paymaster, UserOperation, ValidationData};
use futures::{FutureExt, future::BoxFuture};
use tokio::sync::oneshot;

use super::*;
use crate::{
    Rejection,
    admission::{Admitted, Evidence, Validated},
    flow::Place,
    rules::{Parties, Party, Standing},
    submitter::{Attempt, Fees},
};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

fn hash(number: u64) -> B256 {
    B256::from(U256::from(number))
}

fn key(number: u64) -> Address {
    Address::with_last_byte(number as u8)
}

fn admitted(number: u64, op: UserOperation, version: EntryPointVersion) -> Admitted {
    Admitted {
        op: Arc::new(op),
        hash: hash(number),
        entry_point: version.canonical_address(),
        version,
        validated: Validated { account: ValidationData::VALID, paymaster: None, gas_used: 0 },
        evidence: Arc::default(),
    }
}

fn plain(number: u64) -> Entry {
    let op = UserOperation { nonce: U256::from(number), ..UserOperation::default() };
    Entry::Admitted { admitted: Box::new(admitted(number, op, EntryPointVersion::V0_8)), block: number }
}

fn attempt(number: u64) -> Attempt {
    let fees = Fees { max_fee: u128::from(number) << 64, priority_fee: number.into() };
    Attempt { transaction: hash(number), raw: Bytes::from(vec![2, number as u8]), fees }
}

/// Rows in memory, that fails when told to.
#[derive(Debug, Default)]
struct Memory {
    rows: Mutex<Found>,
    full: Mutex<bool>,
}

impl Memory {
    fn fill(&self, full: bool) {
        *self.full.lock().unwrap() = full;
    }
}

fn put(rows: &Rows, into: &mut Found) {
    for (key, value) in rows.clone() {
        match value {
            Some(value) => into.insert(key, value),
            None => into.remove(&key),
        };
    }
}

impl JournalStore for Memory {
    fn load(&self) -> BoxFuture<'_, Result<Found, JournalError>> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone();
        async move { Ok(rows) }.boxed()
    }

    fn commit<'a>(&'a self, rows: &'a Rows) -> BoxFuture<'a, Result<(), JournalError>> {
        async move {
            if *self.full.lock().unwrap() {
                return Err(JournalError::Storage("no space".into()));
            }
            put(rows, &mut self.rows.lock().unwrap());
            Ok(())
        }
        .boxed()
    }
}

struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let file = std::env::temp_dir().join(format!("fabstir-journal-{}-{name}.redb", std::process::id()));
        let _ = std::fs::remove_file(&file);
        Self(file)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn an_operation_of_any_version_comes_back_as_it_was() {
    for version in EntryPointVersion::ALL {
        let packed = version.is_packed();
        let gas = if packed { 77_777 } else { 0 };
        let factory = Initializer::Factory { address: key(3), data: Bytes::from_static(&[1, 2, 3]) };
        let delegated = Initializer::Eip7702 { data: Bytes::from_static(&[9]) };
        for initializer in [None, Some(factory), version.supports_eip7702().then_some(delegated)] {
            let authorization = Authorization { chain_id: U256::from(8453), address: key(7), nonce: 4 };
            let auth = SignedAuthorization::new_unchecked(authorization, 1, U256::from(5), U256::from(6));
            let signature = if version.supports_paymaster_signature() { vec![4; 65] } else { vec![] };
            let op = UserOperation {
                sender: key(1),
                nonce: U256::from(7) << 64 | U256::from(u64::MAX),
                eip7702_auth: matches!(initializer, Some(Initializer::Eip7702 { .. })).then_some(auth),
                initializer,
                call_data: Bytes::from_static(&[0, 1, 2]),
                call_gas_limit: 1,
                verification_gas_limit: u128::from(u64::MAX) * 3,
                pre_verification_gas: 3,
                max_fee_per_gas: u128::MAX >> 8,
                max_priority_fee_per_gas: 0,
                paymaster: Some(Paymaster {
                    address: key(2),
                    verification_gas_limit: gas,
                    post_op_gas_limit: gas,
                    data: Bytes::from_static(&[5, 0]),
                    signature: signature.into(),
                }),
                signature: Bytes::from_static(&[8; 65]),
            };
            let mut before = admitted(1, op, version);
            let staked = Party::new(key(1), Standing::Staked);
            let paymaster = Some(Party::new(key(2), Standing::Unstaked));
            let parties = Parties { account: staked, paymaster, ..Parties::default() };
            let code_hashes = vec![(key(1), hash(9))];
            before.evidence = Arc::new(Evidence { parties, code_hashes, ..Evidence::default() });
            let (mut rows, mut found) = (Rows::new(), Found::new());
            Book::default().apply(Entry::Admitted { admitted: Box::new(before.clone()), block: 12 }, &mut rows);
            put(&rows, &mut found);
            let (_, replay) = Book::open(&found).unwrap();
            let after = &replay.operations[0];
            assert_eq!((&after.op, after.version, after.entry_point), (&before.op, version, before.entry_point));
            assert_eq!(after.evidence.code_hashes, before.evidence.code_hashes);
            assert_eq!((after.evidence.parties.account, after.evidence.parties.paymaster), (staked, paymaster));
            assert_eq!(replay.since, Some(12));
        }
    }
}

/// What the rows must say, kept in the simplest way.
#[derive(Clone, Debug, Default)]
struct Model {
    live: std::collections::BTreeMap<u64, Option<u64>>,
    dropped: std::collections::BTreeMap<u64, String>,
    places: std::collections::BTreeMap<(u64, u64), (Vec<u64>, Option<u64>)>,
    /// All ever accepted, but those that are final.
    accepted: std::collections::BTreeSet<u64>,
}

impl Model {
    fn step(&mut self, random: &mut Random, number: u64, height: u64) -> Entry {
        let live: Vec<u64> = self.live.keys().copied().collect();
        let some = |random: &mut Random| live.get(random.below(live.len().max(1) as u64) as usize).copied();
        let place = (random.below(2), random.below(6));
        match (random.below(10), some(random)) {
            (3, Some(one)) => {
                self.live.remove(&one);
                self.dropped.insert(one, format!("why {number}"));
                Entry::Dropped { hash: hash(one), reason: format!("why {number}") }
            }
            (4, Some(one)) => {
                self.live.insert(one, Some(height));
                Entry::Included { hash: hash(one), block: height }
            }
            (5, Some(one)) => {
                self.live.insert(one, None);
                Entry::Reopened { hash: hash(one) }
            }
            (6, _) => {
                if let Some((_, settled)) = self.places.get_mut(&place) {
                    *settled = Some(height);
                }
                Entry::Settled { key: key(place.0), nonce: place.1, block: height }
            }
            (7, _) => {
                if let Some((_, settled)) = self.places.get_mut(&place) {
                    *settled = None;
                }
                Entry::Unmined { key: key(place.0), nonce: place.1 }
            }
            (8, _) if random.below(4) == 0 => {
                let block = height.saturating_sub(5);
                let is_final = |at: &Option<u64>| at.is_some_and(|at| at <= block);
                let finals: Vec<u64> = self.live.iter().filter(|(_, at)| is_final(at)).map(|(one, _)| *one).collect();
                for one in finals {
                    self.live.remove(&one);
                    self.accepted.remove(&one);
                }
                self.places.retain(|_, (_, at)| !is_final(at));
                Entry::Final { block }
            }
            (9, one) => {
                let (attempts, settled) = self.places.entry(place).or_default();
                attempts.push(number);
                *settled = None;
                let operations = one.map(hash).into_iter().collect();
                Entry::Signed { key: key(place.0), nonce: place.1, operations, attempt: attempt(number) }
            }
            // Now and then one that was dropped comes again.
            _ => {
                let again = self.dropped.keys().copied().next().filter(|_| random.below(4) == 0).unwrap_or(number);
                self.dropped.remove(&again);
                self.live.insert(again, None);
                self.accepted.insert(again);
                plain(again)
            }
        }
    }

    fn check(&self, replay: &Replay) {
        let found: std::collections::BTreeSet<B256> = replay.operations.iter().map(|it| it.hash).collect();
        assert_eq!(found, self.live.keys().map(|one| hash(*one)).collect());
        let found: std::collections::BTreeMap<B256, &str> =
            replay.dropped.iter().map(|(_, hash, why)| (*hash, why.as_str())).collect();
        assert_eq!(found, self.dropped.iter().map(|(one, why)| (hash(*one), why.as_str())).collect());
        let found: Vec<_> = replay
            .places
            .iter()
            .map(|it| {
                let attempts: Vec<_> = it.attempts.iter().map(|(attempt, _)| attempt.transaction).collect();
                ((it.key, it.nonce), attempts, it.settled)
            })
            .collect();
        let expected: Vec<_> = self
            .places
            .iter()
            .map(|(place, (attempts, settled))| {
                ((key(place.0), place.1), attempts.iter().map(|it| hash(*it)).collect::<Vec<_>>(), *settled)
            })
            .collect();
        assert_eq!(found, expected);
        // The promise itself: whatever was accepted is there, or why it ended is.
        for one in &self.accepted {
            assert!(self.live.contains_key(one) || self.dropped.contains_key(one), "{one} is lost");
        }
    }
}

/// Batches as the engine makes them, a crash after any of them: what is found is exactly what was written until then.
#[test]
fn whatever_prefix_of_batches_was_written_nothing_accepted_in_it_is_lost() {
    let seeds = std::env::var("FABSTIR_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(300);
    for seed in 0..seeds {
        let mut random = Random(seed);
        let (mut book, mut model, mut disk) = (Book::default(), Model::default(), Found::new());
        let (mut rows, mut height) = (Rows::new(), 0);
        for number in 1..200 {
            height += random.below(2);
            book.apply(model.step(&mut random, number, height), &mut rows);
            if random.below(3) == 0 {
                put(&std::mem::take(&mut rows), &mut disk);
                let (again, replay) = Book::open(&disk).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
                model.check(&replay);
                // Sometimes the process does end here, and another one goes on.
                if random.below(4) == 0 {
                    book = again;
                }
            }
        }
    }
}

#[test]
fn what_is_final_leaves_no_row() {
    let mut book = Book::default();
    let (mut rows, mut disk) = (Rows::new(), Found::new());
    for number in 0..50 {
        book.apply(plain(number), &mut rows);
        let operations = vec![hash(number)];
        book.apply(Entry::Signed { key: key(1), nonce: number, operations, attempt: attempt(number) }, &mut rows);
        book.apply(Entry::Settled { key: key(1), nonce: number, block: number }, &mut rows);
        book.apply(Entry::Included { hash: hash(number), block: number }, &mut rows);
    }
    book.apply(Entry::Final { block: 40 }, &mut rows);
    put(&rows, &mut disk);
    assert_eq!(disk.len(), 9 * 4);
    book.apply(Entry::Final { block: 100 }, &mut rows);
    put(&rows, &mut disk);
    assert!(disk.is_empty());
}

async fn journal(store: &Arc<Memory>) -> Journal {
    Journal::open(Arc::clone(store) as Arc<dyn JournalStore>, "memory").await.unwrap().0
}

async fn write(journal: &mut Journal) -> Vec<Awaiting> {
    let (store, rows) = journal.batch().unwrap();
    match store.commit(&rows).await {
        Ok(()) => journal.written(),
        Err(error) => journal.failed(rows, &error),
    }
}

#[tokio::test]
async fn nobody_hears_that_an_operation_is_taken_and_no_transaction_is_sent_before_both_are_written() {
    let store = Arc::new(Memory::default());
    let mut journal = journal(&store).await;
    let place = Place { key: 0, nonce: 0 };
    journal.note(plain(1));
    assert!(journal.when_written(Awaiting::Acknowledge(hash(1), oneshot::channel().0)).is_none());
    let (_, first) = journal.batch().unwrap();
    // While that is being written, more comes: it waits for the next batch.
    journal.note(Entry::Signed { key: key(1), nonce: 0, operations: vec![hash(1)], attempt: attempt(2) });
    assert!(journal.when_kept(hash(2), Awaiting::Broadcast(place, attempt(2))).is_none());
    assert!(journal.batch().is_none(), "one at a time");
    store.commit(&first).await.unwrap();
    assert!(matches!(journal.written()[..], [Awaiting::Acknowledge(..)]));
    assert!(matches!(write(&mut journal).await[..], [Awaiting::Broadcast(..)]));
    assert!(journal.when_kept(hash(2), Awaiting::Broadcast(place, attempt(2))).is_some(), "again, at once");
    assert!(journal.is_written() && journal.batch().is_none());
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_taken_and_what_waits_is_written_when_there_is_room() {
    let store = Arc::new(Memory::default());
    let mut journal = journal(&store).await;
    let place = Place { key: 0, nonce: 0 };
    store.fill(true);
    journal.note(plain(1));
    journal.note(Entry::Signed { key: key(1), nonce: 0, operations: vec![hash(1)], attempt: attempt(2) });
    assert!(journal.when_written(Awaiting::Acknowledge(hash(1), oneshot::channel().0)).is_none());
    assert!(journal.when_kept(hash(2), Awaiting::Broadcast(place, attempt(2))).is_none());
    assert!(matches!(write(&mut journal).await[..], [Awaiting::Acknowledge(..)]), "its sender is told no");
    assert!(matches!(journal.refusal(), Some(Rejection::Unwritable)) && journal.failure().is_some());
    assert!(journal.batch().is_none(), "not at once again");
    journal.rested();
    // What comes later counts: the operation that was refused is dropped.
    journal.note(Entry::Dropped { hash: hash(1), reason: "it could not be stored".into() });
    store.fill(false);
    assert!(matches!(write(&mut journal).await[..], [Awaiting::Broadcast(..)]));
    assert!(journal.refusal().is_none());
    let (_, replay) = Journal::open(Arc::clone(&store) as Arc<dyn JournalStore>, "memory").await.unwrap();
    assert_eq!((replay.operations.len(), replay.dropped.len(), replay.places.len()), (0, 1, 1));
}

#[tokio::test]
async fn a_file_keeps_what_was_written_and_is_of_one_chain_and_one_process() {
    let path = Temporary::new("keeps");
    let file = on_disk(&path.0, 7).unwrap();
    let mut rows = Rows::new();
    let mut book = Book::default();
    (0..500).for_each(|number| book.apply(plain(number), &mut rows));
    file.commit(&rows).await.unwrap();
    assert!(matches!(on_disk(&path.0, 7), Err(JournalError::InUse(_))));
    drop(file);
    let before = std::fs::read(&path.0).unwrap();
    assert!(matches!(on_disk(&path.0, 8), Err(JournalError::Chain { found: 7, configured: 8, .. })));
    let file = on_disk(&path.0, 7).unwrap();
    let (_, replay) = Book::open(&file.load().await.unwrap()).unwrap();
    assert_eq!(replay.operations.len(), 500);
    assert!(!before.is_empty());
}

#[tokio::test]
async fn another_format_is_refused_with_what_to_do() {
    let path = Temporary::new("format");
    drop(on_disk(&path.0, 7).unwrap());
    file::tests_only_set_format(&path.0, file::FORMAT + 1);
    let Err(error) = on_disk(&path.0, 7) else { panic!("taken") };
    assert!(matches!(error, JournalError::Format { found, .. } if found == file::FORMAT + 1), "{error}");
    assert!(error.to_string().contains("let the release that wrote it finish"), "{error}");
}

/// A copy of a journal, cut off or altered anywhere: it is refused, or it holds a moment that there was.
#[tokio::test]
async fn a_torn_or_altered_file_is_refused_or_holds_a_moment_that_there_was_and_is_never_empty() {
    let path = Temporary::new("torn");
    let file = on_disk(&path.0, 7).unwrap();
    let mut book = Book::default();
    const BATCHES: u64 = 40;
    for batch in 0..BATCHES {
        let mut rows = Rows::new();
        (0..20).for_each(|number| book.apply(plain(batch * 20 + number), &mut rows));
        file.commit(&rows).await.unwrap();
    }
    drop(file);
    let whole = std::fs::read(&path.0).unwrap();
    let (mut refused, mut recovered) = (0, 0);
    let mut random = Random(1);
    for round in 0..60 {
        let mut torn = whole.clone();
        if round % 2 == 0 {
            torn.truncate(random.below(whole.len() as u64) as usize);
        } else {
            // A page's worth of what was on the disk before.
            let at = random.below(whole.len() as u64 - 64) as usize;
            torn[at..at + 64].iter_mut().for_each(|byte| *byte ^= 0x5a);
        }
        // An empty file is a new one: that is no torn journal.
        if torn.is_empty() {
            continue;
        }
        let copy = Temporary::new(&format!("torn-{round}"));
        std::fs::write(&copy.0, &torn).unwrap();
        match on_disk(&copy.0, 7) {
            Err(JournalError::Corrupt { .. }) => refused += 1,
            Err(other) => panic!("round {round}: {other}"),
            Ok(file) => {
                let Ok(found) = file.load().await else {
                    refused += 1;
                    continue;
                };
                let (_, replay) = Book::open(&found).unwrap_or_else(|why| panic!("round {round}: {why}"));
                assert!(replay.operations.len() as u64 == BATCHES * 20, "round {round}: {}", replay.operations.len());
                recovered += 1;
            }
        }
    }
    println!("{refused} refused, {recovered} recovered whole");
    assert!(refused > 0 && recovered > 0);
}

fn on_disk(path: &std::path::Path, chain: u64) -> Result<File, JournalError> {
    File::open(std::sync::Arc::new(crate::world::SystemDisk), path, chain)
}

#[test]
fn of_a_transaction_that_no_node_took_nothing_is_left_and_of_those_before_it_everything() {
    let (mut book, mut rows) = (Book::default(), Rows::new());
    let signed =
        |number| Entry::Signed { key: key(1), nonce: 7, operations: vec![hash(number)], attempt: attempt(number) };
    let refused = || Entry::Refused { key: key(1), nonce: 7 };
    book.apply(signed(1), &mut rows);
    book.apply(signed(2), &mut rows);
    book.apply(refused(), &mut rows);
    let attempts = |rows: &Rows| rows.iter().filter(|(key, value)| key[0] == b'a' && value.is_some()).count();
    assert_eq!((rows.len(), attempts(&rows)), (2, 1));
    book.apply(refused(), &mut rows);
    assert_eq!(attempts(&rows), 0);
    // The next one has the nonce to itself.
    book.apply(refused(), &mut rows);
    book.apply(signed(3), &mut rows);
    assert_eq!(attempts(&rows), 1);
}
