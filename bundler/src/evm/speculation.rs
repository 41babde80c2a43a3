//! A database that never waits: what is not known yet counts as zero, and is noted.
//!
//! A run that met an unknown value is no run, but it tells what it would have read. All of that is fetched in one
//! batch and the run is made again: round trips then follow the depth of "this tells where that is", not the number
//! of values.

use std::cell::{Cell, RefCell};

use alloy::primitives::{Address, B256};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{StorageKey, StorageValue},
    state::AccountInfo,
};

use super::{StateView, Wanted};
use crate::node::NodeError;

/// Values that a run reads at most, for each of its operations, for them to be remembered from block to block.
const MEANT: usize = 256;

/// Reads of one run.
#[derive(Debug)]
pub(super) struct Speculation<'a> {
    view: &'a StateView,
    operations: usize,
    reads: RefCell<Wanted>,
    missing: RefCell<Wanted>,
    /// Values that it waits for yet.
    one_by_one: Cell<usize>,
    /// One of them could not be had.
    failed: RefCell<Option<NodeError>>,
}

impl<'a> Speculation<'a> {
    pub(super) fn new(view: &'a StateView, operations: usize, one_by_one: usize) -> Self {
        let (reads, missing, failed) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { view, operations, reads, missing, one_by_one: Cell::new(one_by_one), failed }
    }

    /// What was read, and of that what was not known. What a run reads is likely to be read of the next block too, unless
    /// it is more than anybody reads who means it.
    ///
    /// # Errors
    /// If what it waited for could not be had.
    pub(super) fn into_reads(self) -> Result<(Wanted, Wanted), NodeError> {
        if let Some(error) = self.failed.into_inner() {
            return Err(error);
        }
        let reads = self.reads.into_inner();
        if reads.len() <= MEANT * self.operations {
            self.view.used(&reads);
        }
        Ok((reads, self.missing.into_inner()))
    }

    /// Notes what is not known; whether it is now, as it was waited for.
    fn misses(&self, wanted: impl Fn(&mut Wanted)) -> bool {
        let left = self.one_by_one.get();
        if left > 0 && self.missing.borrow().is_empty() {
            let mut one = Wanted::default();
            wanted(&mut one);
            match self.view.fetch_blocking(&one) {
                Ok(()) => {
                    self.one_by_one.set(left - 1);
                    return true;
                }
                Err(error) => *self.failed.borrow_mut() = Some(error),
            }
        }
        wanted(&mut self.missing.borrow_mut());
        false
    }
}

impl DatabaseRef for Speculation<'_> {
    type Error = std::convert::Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        self.reads.borrow_mut().accounts.insert(address);
        let known = || self.view.known_account(address);
        let known =
            known().or_else(|| self.misses(|missing| _ = missing.accounts.insert(address)).then(known).flatten());
        Ok(Some(known.unwrap_or_else(|| AccountInfo { code: Some(Bytecode::default()), ..AccountInfo::default() })))
    }

    fn code_by_hash_ref(&self, _: B256) -> Result<Bytecode, Self::Error> {
        // Accounts come with their code: only the hash of no code is ever asked for.
        Ok(Bytecode::default())
    }

    fn storage_ref(&self, address: Address, slot: StorageKey) -> Result<StorageValue, Self::Error> {
        self.reads.borrow_mut().slots.insert((address, slot));
        let known = || self.view.known_slot(address, slot);
        let known =
            known().or_else(|| self.misses(|missing| _ = missing.slots.insert((address, slot))).then(known).flatten());
        Ok(known.unwrap_or_default())
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Self::Error> {
        let known = || self.view.block_hash(number);
        let known =
            known().or_else(|| self.misses(|missing| _ = missing.block_hashes.insert(number)).then(known).flatten());
        Ok(known.unwrap_or_default())
    }
}
