//! Which rows there are, and what each entry changes in them. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alloy::primitives::{Address, B256};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Entry, Found, Rows,
    row::{self, AttemptRow, DroppedRow, OperationRow},
};
use crate::{admission::Admitted, mempool::Reputation, submitter::Attempt};

/// Dropped operations whose reason is remembered; the oldest are forgotten first.
const REASONS: usize = 100_000;

/// What is known of a row of an accepted operation.
#[derive(Clone, Copy, Debug)]
struct Standing {
    entry_point: Address,
    included: Option<u64>,
}

/// The rows in outline: enough to tell which of them an entry changes.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// The next number of a row.
    next: u64,
    operations: HashMap<B256, Standing>,
    included: BTreeSet<(u64, B256)>,
    attempts: HashMap<(Address, u64), Vec<u64>>,
    settled: BTreeSet<(u64, Address, u64)>,
    settled_at: HashMap<(Address, u64), u64>,
    dropped: BTreeMap<u64, B256>,
    dropped_at: HashMap<B256, u64>,
}

/// A nonce that transactions were signed for.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) key: Address,
    pub(crate) nonce: u64,
    /// The block it was used in, if it is known to be.
    pub(crate) settled: Option<u64>,
    /// All of them, the first first, with what each carries.
    pub(crate) attempts: Vec<(Attempt, Vec<B256>)>,
    /// When the last was signed, among all.
    pub(crate) last: u64,
}

/// What was found at the start.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Operations that are not known to be final, in the order in which they were accepted.
    pub(crate) operations: Vec<Admitted>,
    /// The height that the first of them came at.
    pub(crate) since: Option<u64>,
    pub(crate) places: Vec<Kept>,
    /// Where, which, why; the oldest first.
    pub(crate) dropped: Vec<(Address, B256, String)>,
    pub(crate) reputation: Option<Reputation>,
}

impl Book {
    /// The book of these rows, and what they say.
    ///
    /// # Errors
    /// What is wrong with a row that is not as we write them.
    pub(crate) fn open(rows: &Found) -> Result<(Self, Replay), String> {
        let mut book = Self::default();
        let mut replay = Replay::default();
        let mut operations: BTreeMap<u64, (Admitted, u64)> = BTreeMap::new();
        let mut places: BTreeMap<(Address, u64), Kept> = BTreeMap::new();
        let mut dropped: BTreeMap<u64, (Address, B256, String)> = BTreeMap::new();
        for (key, value) in rows {
            let bad = || format!("row {}", alloy::primitives::hex::encode(key));
            match key.first() {
                Some(&row::OPERATION) => {
                    let hash = row::operation(key).ok_or_else(bad)?;
                    let row: OperationRow = parse(key, value)?;
                    let (arrival, block) = (row.arrival, row.block);
                    let admitted = row.admitted(hash).map_err(|why| format!("{}: {why}", bad()))?;
                    let standing = Standing { entry_point: admitted.entry_point, included: None };
                    book.operations.insert(hash, standing);
                    book.next = book.next.max(arrival + 1);
                    operations.insert(arrival, (admitted, block));
                }
                // After `o`, or before: that the operation is there is seen to below.
                Some(&row::INCLUDED) => {
                    let hash = row::operation(key).ok_or_else(bad)?;
                    book.included.insert((row::number(value).ok_or_else(bad)?, hash));
                }
                Some(&row::DROPPED) => {
                    let hash = row::operation(key).ok_or_else(bad)?;
                    let DroppedRow { number, entry_point, reason } = parse(key, value)?;
                    book.dropped.insert(number, hash);
                    book.dropped_at.insert(hash, number);
                    book.next = book.next.max(number + 1);
                    dropped.insert(number, (entry_point, hash, reason));
                }
                Some(&row::ATTEMPT) => {
                    let (address, nonce, rest) = row::nonce(key).ok_or_else(bad)?;
                    let number = row::number(rest).ok_or_else(bad)?;
                    let row: AttemptRow = parse(key, value)?;
                    book.attempts.entry((address, nonce)).or_default().push(number);
                    book.next = book.next.max(number + 1);
                    let kept = places.entry((address, nonce)).or_insert_with(|| Kept {
                        key: address,
                        nonce,
                        settled: None,
                        attempts: Vec::new(),
                        last: number,
                    });
                    kept.last = kept.last.max(number);
                    kept.attempts.push((row.attempt(), row.operations));
                }
                Some(&row::SETTLED) => {
                    let (address, nonce, _) = row::nonce(key).ok_or_else(bad)?;
                    book.settle(address, nonce, row::number(value).ok_or_else(bad)?);
                }
                Some(&row::REPUTATION) => replay.reputation = Some(parse(key, value)?),
                _ => return Err(bad()),
            }
        }
        for (block, hash) in &book.included {
            if let Some(standing) = book.operations.get_mut(hash) {
                standing.included = Some(*block);
            }
        }
        for (place, kept) in &mut places {
            kept.settled = book.settled_at.get(place).copied();
        }
        replay.since = operations.values().map(|(_, block)| *block).min();
        replay.operations = operations.into_values().map(|(admitted, _)| admitted).collect();
        replay.places = places.into_values().collect();
        replay.dropped = dropped.into_values().collect();
        Ok((book, replay))
    }

    /// Which rows change by this.
    pub(crate) fn apply(&mut self, entry: Entry, rows: &mut Rows) {
        match entry {
            Entry::Admitted { admitted, block } => {
                let hash = admitted.hash;
                self.forget_reason(hash, rows);
                self.exclude(hash, rows);
                let standing = Standing { entry_point: admitted.entry_point, included: None };
                self.operations.insert(hash, standing);
                let row = OperationRow::new(&admitted, self.number(), block);
                rows.insert(row::of_operation(row::OPERATION, hash), value(&row));
            }
            Entry::Signed { key, nonce, operations, attempt } => {
                self.unsettle(key, nonce, rows);
                let number = self.number();
                self.attempts.entry((key, nonce)).or_default().push(number);
                rows.insert(row::of_attempt(key, nonce, number), value(&AttemptRow::new(&attempt, operations)));
            }
            Entry::Refused { key, nonce } => {
                let Some(numbers) = self.attempts.get_mut(&(key, nonce)) else { return };
                if let Some(last) = numbers.pop() {
                    rows.insert(row::of_attempt(key, nonce, last), None);
                }
                if numbers.is_empty() {
                    self.attempts.remove(&(key, nonce));
                }
            }
            Entry::Settled { key, nonce, block } => {
                // Nothing was ever signed for it: nothing is to be remembered of it.
                if self.attempts.contains_key(&(key, nonce)) {
                    self.unsettle(key, nonce, rows);
                    self.settle(key, nonce, block);
                    rows.insert(row::of_nonce(row::SETTLED, key, nonce), Some(block.to_be_bytes().into()));
                }
            }
            Entry::Unmined { key, nonce } => self.unsettle(key, nonce, rows),
            Entry::Included { hash, block } => {
                self.forget_reason(hash, rows);
                self.exclude(hash, rows);
                if let Some(standing) = self.operations.get_mut(&hash) {
                    standing.included = Some(block);
                    self.included.insert((block, hash));
                    rows.insert(row::of_operation(row::INCLUDED, hash), Some(block.to_be_bytes().into()));
                }
            }
            Entry::Reopened { hash } => self.exclude(hash, rows),
            Entry::Dropped { hash, reason } => {
                self.exclude(hash, rows);
                // Known by its reason already, or never accepted.
                let Some(Standing { entry_point, .. }) = self.operations.remove(&hash) else { return };
                rows.insert(row::of_operation(row::OPERATION, hash), None);
                let number = self.number();
                self.dropped.insert(number, hash);
                self.dropped_at.insert(hash, number);
                let row = DroppedRow { number, entry_point, reason };
                rows.insert(row::of_operation(row::DROPPED, hash), value(&row));
                if self.dropped.len() > REASONS
                    && let Some((_, oldest)) = self.dropped.first_key_value()
                {
                    self.forget_reason(*oldest, rows);
                }
            }
            Entry::Reputation(reputation) => {
                rows.insert(vec![row::REPUTATION], value(&reputation));
            }
            Entry::Final { block } => self.finalise(block, rows),
        }
    }

    /// Forgets what happened in this block and before it.
    fn finalise(&mut self, block: u64, rows: &mut Rows) {
        while let Some((at, key, nonce)) = self.settled.first().copied().filter(|(at, ..)| *at <= block) {
            self.settled.remove(&(at, key, nonce));
            self.settled_at.remove(&(key, nonce));
            rows.insert(row::of_nonce(row::SETTLED, key, nonce), None);
            for number in self.attempts.remove(&(key, nonce)).unwrap_or_default() {
                rows.insert(row::of_attempt(key, nonce, number), None);
            }
        }
        while let Some((at, hash)) = self.included.first().copied().filter(|(at, _)| *at <= block) {
            self.included.remove(&(at, hash));
            self.operations.remove(&hash);
            rows.insert(row::of_operation(row::INCLUDED, hash), None);
            rows.insert(row::of_operation(row::OPERATION, hash), None);
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn settle(&mut self, key: Address, nonce: u64, block: u64) {
        self.settled.insert((block, key, nonce));
        self.settled_at.insert((key, nonce), block);
    }

    fn unsettle(&mut self, key: Address, nonce: u64, rows: &mut Rows) {
        if let Some(block) = self.settled_at.remove(&(key, nonce)) {
            self.settled.remove(&(block, key, nonce));
            rows.insert(row::of_nonce(row::SETTLED, key, nonce), None);
        }
    }

    fn exclude(&mut self, hash: B256, rows: &mut Rows) {
        if let Some(block) = self.operations.get_mut(&hash).and_then(|standing| standing.included.take()) {
            self.included.remove(&(block, hash));
            rows.insert(row::of_operation(row::INCLUDED, hash), None);
        }
    }

    fn forget_reason(&mut self, hash: B256, rows: &mut Rows) {
        if let Some(number) = self.dropped_at.remove(&hash) {
            self.dropped.remove(&number);
            rows.insert(row::of_operation(row::DROPPED, hash), None);
        }
    }
}

fn parse<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| format!("row {}: {error}", alloy::primitives::hex::encode(key)))
}

/// Our rows have nothing in them that JSON cannot hold.
fn value(row: &impl Serialize) -> Option<Vec<u8>> {
    Some(serde_json::to_vec(row).unwrap_or_default())
}
