//! What an operator can have done by hand, while the bundler runs.

use std::sync::atomic::Ordering;

use alloy::primitives::{Address, B256};

use super::Bundler;
use crate::{
    Rejection,
    engine::{Command, Order},
    mempool::{Counts, ReputationStatus},
    rejection::Entity,
};

impl Bundler {
    /// Whether no new operation is taken ([`Rejection::IntakePaused`]).
    pub fn is_intake_paused(&self) -> bool {
        self.intake_paused.load(Ordering::Relaxed)
    }

    /// Takes no new operation, or takes them again. What is pending goes on.
    pub fn pause_intake(&self, paused: bool) {
        self.intake_paused.store(paused, Ordering::Relaxed);
    }

    /// Makes no new bundle, or makes them again. Transactions on their way are looked after all the same.
    ///
    /// # Errors
    /// If this process makes none, or has stopped.
    pub async fn pause_bundling(&self, paused: bool) -> Result<(), Rejection> {
        self.order(Order::PauseBundling(paused)).await.map(drop)
    }

    /// Drops an operation, and those that had to go behind it; their hashes.
    ///
    /// # Errors
    /// If it is not pending here, or is in a transaction already.
    pub async fn drop_operation(&self, hash: B256, reason: String) -> Result<Vec<B256>, Rejection> {
        self.order(Order::Drop { hash, reason }).await
    }

    /// Drops what names this address, in this part of an operation or in any, but for what is in a transaction already;
    /// their hashes.
    ///
    /// # Errors
    /// If this process has no mempool, or has stopped.
    pub async fn clear_entity(
        &self,
        address: Address,
        part: Option<Entity>,
        reason: String,
    ) -> Result<Vec<B256>, Rejection> {
        self.order(Order::Clear { address, part, reason }).await
    }

    /// Has a nonce of a bundler key used by a transfer of nothing, whatever it was to carry; the operations that are bound
    /// to it, which are free once that is mined.
    ///
    /// # Errors
    /// If nothing of that key is on its way with that nonce.
    pub async fn cancel_nonce(&self, key: Address, nonce: u64) -> Result<Vec<B256>, Rejection> {
        self.order(Order::CancelNonce { key, nonce }).await
    }

    /// Sets counters of entities; what is pending of whom that bans is dropped (GREP-010).
    ///
    /// # Errors
    /// If the bundler has stopped.
    pub async fn set_reputation(&self, entries: Vec<(Address, Counts)>) -> Result<(), Rejection> {
        self.ask(|done| Command::SetReputation(entries, done)).await
    }

    /// How every entity stands that is counted for.
    ///
    /// # Errors
    /// If the bundler has stopped.
    pub async fn reputations(&self) -> Result<Vec<(Address, Counts, ReputationStatus)>, Rejection> {
        self.ask(Command::DumpReputation).await
    }

    async fn order(&self, order: Order) -> Result<Vec<B256>, Rejection> {
        self.ask(|answer| Command::Order(order, answer)).await?
    }
}
