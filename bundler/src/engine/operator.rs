//! What the operator has done by hand.

use alloy::primitives::{Address, B256};

use super::Engine;
use crate::{Rejection, flow::Place, rejection::Entity};

/// What the operator wants done.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Make no new bundle, or make bundles again. What is on its way is looked after all the same.
    PauseBundling(bool),
    /// Drop this operation.
    Drop { hash: B256, reason: String },
    /// Drop what names this address, in this part or in any.
    Clear { address: Address, part: Option<Entity>, reason: String },
    /// Have this nonce of this key used by nothing.
    CancelNonce { key: Address, nonce: u64 },
}

impl Engine {
    /// Does it; the operations that it was done to.
    pub(super) fn obey(&mut self, order: Order) -> Result<Vec<B256>, Rejection> {
        let refuse = |why: String| Err(Rejection::Order(why));
        match order {
            Order::PauseBundling(paused) => {
                self.bundling_paused = paused;
                self.try_bundle(false);
                Ok(Vec::new())
            }
            Order::Drop { hash, .. } if !self.mempool.contains(hash) => refuse(format!("{hash} is not pending here")),
            Order::Drop { hash, .. } if self.flow.holds(hash) => match self.flow.place_of(hash) {
                Some(Place { key, nonce }) => {
                    let key = self.submitter.key(key);
                    refuse(format!("{hash} is in a transaction of {key} with nonce {nonce}: cancel that nonce"))
                }
                None => refuse(format!("{hash} is in a transaction")),
            },
            Order::Drop { hash, reason } => {
                let dropped = self.mempool.take_out(hash, reason, None);
                Ok(self.dropped_by_hand(dropped))
            }
            Order::Clear { address, part, reason } => {
                let dropped = self.mempool.take_out_of(address, part, &reason);
                Ok(self.dropped_by_hand(dropped))
            }
            Order::CancelNonce { key, nonce } => {
                let known = self.submitter.addresses().into_iter().position(|address| address == key);
                let place = known.map(|key| Place { key, nonce });
                match place.filter(|place| self.flow.cancel(*place)) {
                    Some(place) => Ok(self.flow.hashes_at(place)),
                    None => refuse(format!("nothing of {key} is on its way with nonce {nonce}")),
                }
            }
        }
    }

    fn dropped_by_hand(&mut self, dropped: Vec<crate::mempool::Dropped>) -> Vec<B256> {
        let mut all = dropped;
        all.extend(self.mempool.take_out_orphans());
        let hashes = all.iter().map(|dropped| dropped.hash).collect();
        self.record_drops(all);
        hashes
    }
}
