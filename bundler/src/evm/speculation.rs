//! A database that never waits: what is not known yet counts as zero, and is noted.
//!
//! A run that met an unknown value is no run, but it tells what it would have read. All of that is fetched in one
//! batch and the run is made again: round trips then follow the depth of "this tells where that is", not the number
//! of values.

use std::cell::RefCell;

use alloy::primitives::{Address, B256, U256};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{StorageKey, StorageValue},
    state::AccountInfo,
};

use super::{StateView, Wanted};

/// Values that a run reads at most, for each of its operations, for them to be remembered from block to block.
const MEANT: usize = 256;

/// Reads of one run.
#[derive(Debug)]
pub(super) struct Speculation<'a> {
    view: &'a StateView,
    operations: usize,
    reads: RefCell<Wanted>,
    missing: RefCell<Wanted>,
}

impl<'a> Speculation<'a> {
    pub(super) fn new(view: &'a StateView, operations: usize) -> Self {
        Self { view, operations, reads: RefCell::default(), missing: RefCell::default() }
    }

    /// What was read, and of that what was not known. What a run reads is likely to be read of the next block too, unless
    /// it is more than anybody reads who means it.
    pub(super) fn into_reads(self) -> (Wanted, Wanted) {
        let reads = self.reads.into_inner();
        if reads.len() <= MEANT * self.operations {
            self.view.used(&reads);
        }
        (reads, self.missing.into_inner())
    }
}

impl DatabaseRef for Speculation<'_> {
    type Error = std::convert::Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        self.reads.borrow_mut().accounts.insert(address);
        let info = self.view.known_account(address).unwrap_or_else(|| {
            self.missing.borrow_mut().accounts.insert(address);
            AccountInfo { code: Some(Bytecode::default()), ..AccountInfo::default() }
        });
        Ok(Some(info))
    }

    fn code_by_hash_ref(&self, _: B256) -> Result<Bytecode, Self::Error> {
        // Accounts come with their code: only the hash of no code is ever asked for.
        Ok(Bytecode::default())
    }

    fn storage_ref(&self, address: Address, slot: StorageKey) -> Result<StorageValue, Self::Error> {
        self.reads.borrow_mut().slots.insert((address, slot));
        Ok(self.view.known_slot(address, slot).unwrap_or_else(|| {
            self.missing.borrow_mut().slots.insert((address, slot));
            U256::ZERO
        }))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Self::Error> {
        Ok(self.view.block_hash(number).unwrap_or_else(|| {
            self.missing.borrow_mut().block_hashes.insert(number);
            B256::ZERO
        }))
    }
}
