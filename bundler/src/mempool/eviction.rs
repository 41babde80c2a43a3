//! Which operations go when the mempool is full: those that leave us the least.

use std::cmp::Reverse;

use alloy::primitives::B256;
use erc4337::UserOperation;

use super::{Blame, Dropped, Entry, Mempool};
use crate::{Rejection, admission::Admitted, evm::BlockPin, rejection::Entity};

/// Bytes that an operation takes beside its own fields, roughly.
const OVERHEAD: usize = 2_048;

impl Entry {
    /// What it is worth to keep: dearer ones first, then those that came earlier.
    pub(super) fn worth(&self) -> (u128, Reverse<u64>) {
        (self.tip, Reverse(self.arrival))
    }
}

/// Wei per gas that an operation leaves us at the base fee of the next block: what it says that it would leave counts for
/// nothing where its `maxFeePerGas` does not reach.
pub(super) fn tip(op: &UserOperation, head: &BlockPin) -> u128 {
    op.effective_gas_price(head.next_base_fee).saturating_sub(head.next_base_fee)
}

/// Bytes that holding an operation takes, roughly.
pub(super) fn size(admitted: &Admitted) -> usize {
    let op = &admitted.op;
    let paymaster = op.paymaster.as_ref().map_or(0, |paymaster| paymaster.data.len() + paymaster.signature.len());
    let initializer = match &op.initializer {
        Some(erc4337::Initializer::Factory { data, .. } | erc4337::Initializer::Eip7702 { data }) => data.len(),
        None => 0,
    };
    let evidence = &admitted.evidence;
    OVERHEAD
        + op.call_data.len()
        + op.signature.len()
        + paymaster
        + initializer
        + evidence.reads.len() * 96
        + evidence.code_hashes.len() * 52
}

impl Mempool {
    /// The worst go until there is room, if the newcomer is worth more than they. What it replaces makes room itself.
    pub(super) fn make_room(
        &mut self,
        newcomer: &Admitted,
        head: &BlockPin,
        replaced: Option<(B256, usize)>,
    ) -> Result<Vec<Dropped>, Rejection> {
        let (bytes, offers) = (size(newcomer), tip(&newcomer.op, head));
        let (mut free_places, mut free_bytes) = (
            self.config.max_operations.saturating_sub(self.entries.len()) + usize::from(replaced.is_some()),
            (self.config.max_bytes + replaced.map_or(0, |(_, bytes)| bytes)).saturating_sub(self.bytes),
        );
        let mut victims = Vec::new();
        for (fee, arrival) in &self.evictable {
            if free_places > 0 && free_bytes >= bytes {
                break;
            }
            if *fee >= offers {
                return Err(Rejection::Full { required: *fee });
            }
            let victim = self.arrivals.get(&arrival.0).and_then(|hash| self.entries.get(hash));
            if let Some(victim) = victim.filter(|victim| replaced.is_none_or(|(hash, _)| hash != victim.admitted.hash))
            {
                free_places += 1;
                free_bytes += victim.bytes;
                victims.push(victim.admitted.hash);
            }
        }
        if free_places == 0 || free_bytes < bytes {
            return Err(Rejection::Full { required: u128::MAX });
        }
        // Its paymaster does not answer for that: whoever pays more would have it banned (EREP-015).
        let blame = Some(Blame::Revalidation(Entity::Account));
        let why = "evicted: the mempool was full of dearer operations";
        let evict = |hash: B256| self.take_out(hash, why.into(), blame);
        Ok(victims.into_iter().flat_map(evict).collect())
    }
}
