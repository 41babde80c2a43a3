//! Several questions about one operation, answered on one head: what a client would ask for one after the other.

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::state::StateOverride,
};
use erc4337::{EntryPointVersion, UserOperation, UserOperationRequest, storage};

use super::Bundler;
use crate::{
    Head, Rejection,
    admission::{self, entry_point_version},
    engine::Command,
    estimation::{self, AssetChange, Estimate},
    evm::Wanted,
    fees::FeeSuggestion,
    lives::Arrival,
};

impl Bundler {
    /// The next nonce of this sender and nonce key (192 bits), by the chain alone: what is pending is not counted.
    ///
    /// # Errors
    /// If the EntryPoint is not served here, or state cannot be read.
    pub async fn next_nonce(
        &self,
        sender: Address,
        key: U256,
        entry_point: Address,
        head: &Head,
    ) -> Result<U256, Rejection> {
        entry_point_version(&self.config, entry_point)?;
        let slot = storage::nonce_slot(sender, key);
        let wanted = Wanted { slots: [(entry_point, slot)].into_iter().collect(), ..Wanted::default() };
        head.view.prefetch(&wanted).await?;
        Ok(key << 64 | head.view.slot(entry_point, slot).unwrap_or_default())
    }

    /// [`Self::estimate`] on this head and no other.
    ///
    /// # Errors
    /// If the operation would fail for another reason than its signature.
    pub async fn estimate_on(
        &self,
        request: UserOperationRequest,
        entry_point: Address,
        overrides: StateOverride,
        head: &Head,
    ) -> Result<Estimate, Rejection> {
        let _study = self.study().await?;
        let lane = async |op: &UserOperation| self.lane_of(op, entry_point).await;
        estimation::estimate(request, entry_point, overrides, &self.config, head, self.address, lane).await
    }

    /// Runs a whole operation, behind what is pending of its sender, with exactly its gas limits and as if whoever
    /// pays could and all signatures were good.
    ///
    /// # Errors
    /// If its validation, its execution or its postOp fails.
    pub async fn rehearse(&self, op: UserOperation, entry_point: Address) -> Result<(), Rejection> {
        let _study = self.study().await?;
        self.at_the_head(|head| {
            let op = op.clone();
            async move {
                let lane = async |op: &UserOperation| self.lane_of(op, entry_point).await;
                estimation::rehearse(op, entry_point, &self.config, &head, self.address, lane).await
            }
        })
        .await
    }

    /// What the operation does to what its sender has, behind what is pending of it.
    ///
    /// # Errors
    /// As [`Self::estimate`]; and where only the chain's client can run its call.
    pub async fn asset_changes(
        &self,
        request: UserOperationRequest,
        entry_point: Address,
    ) -> Result<Vec<AssetChange>, Rejection> {
        let _study = self.study().await?;
        self.at_the_head(|head| {
            let request = request.clone();
            async move {
                let lane = async |op: &UserOperation| self.lane_of(op, entry_point).await;
                estimation::asset_changes(request, entry_point, &self.config, &head, self.address, lane).await
            }
        })
        .await
    }

    /// What the account signs of this operation; its delegate, if it has one, as this head has it.
    ///
    /// # Errors
    /// If the EntryPoint is not served here, or state cannot be read.
    pub async fn hash_on(&self, op: &UserOperation, entry_point: Address, head: &Head) -> Result<B256, Rejection> {
        let version = entry_point_version(&self.config, entry_point)?;
        admission::hash_of(op, entry_point, version, self.grounds(head)).await
    }

    /// [`Self::send`] on this head; if what it says of the state has it refused, on a newer one.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn send_on(&self, op: UserOperation, entry_point: Address, head: Head) -> Result<B256, Rejection> {
        let arrival = Arrival::new(&self.lives);
        let result = self.take_in_on(Arc::new(op), entry_point, head, &arrival).await;
        arrival.end(result)
    }

    async fn take_in_on(
        &self,
        op: Arc<UserOperation>,
        entry_point: Address,
        head: Head,
        arrival: &Arrival<'_>,
    ) -> Result<B256, Rejection> {
        let known = head.block;
        let lane = self.lane().await?;
        match self.admit(Arc::clone(&op), entry_point, head, arrival).await {
            Err(rejection) if rejection.depends_on_state() && self.head().block.hash != known.hash => {
                drop(lane);
                self.take_in(op, entry_point, arrival).await
            }
            other => self.add(other?).await,
        }
    }

    /// A head that follows this one, if there is one.
    ///
    /// # Errors
    /// If that cannot be told.
    pub async fn newer_than(&self, head: &Head) -> Result<Option<Head>, Rejection> {
        self.head_after(&head.block).await
    }

    /// Fees (wei) that the next block takes even if its base fee is half as high again.
    pub fn suggested_fees(head: &Head) -> (u128, u128) {
        let FeeSuggestion { base_fee, priority_fee, .. } = head.fees;
        let priority = priority_fee.max(1);
        (base_fee + base_fee.div_ceil(2) + priority, priority)
    }

    /// The pending operation of this sender and nonce, of whichever EntryPoint has one.
    ///
    /// # Errors
    /// If the bundler has stopped.
    pub(crate) async fn pending_of(
        &self,
        sender: Address,
        nonce: U256,
    ) -> Result<Option<(Arc<UserOperation>, EntryPointVersion)>, Rejection> {
        // Those ahead of the next nonce: this one is the last of them.
        let next = UserOperation { sender, nonce: nonce.saturating_add(U256::ONE), ..UserOperation::default() };
        for (entry_point, version) in &self.config.entry_points {
            let ahead = self.lane_of(&next, *entry_point).await?;
            if let Some(op) = ahead.into_iter().find(|op| op.nonce == nonce) {
                return Ok(Some((op, *version)));
            }
        }
        Ok(None)
    }

    pub(super) async fn lane_of(
        &self,
        op: &UserOperation,
        entry_point: Address,
    ) -> Result<Vec<Arc<UserOperation>>, Rejection> {
        let (sender, nonce) = (op.sender, op.nonce);
        self.ask(|answer| Command::Lane { entry_point, sender, nonce, answer }).await?
    }
}
