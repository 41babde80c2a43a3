//! What becomes of a nonce in flight whose bundle is not to go on as it is: less of it, nothing of it, or all of it sooner.

use std::{collections::HashSet, sync::Arc};

use alloy::primitives::B256;

use super::{Flow, Place, slot::Slot};
use crate::{admission::Admitted, builder::Bundle};

impl Flow {
    /// The operator wants this nonce used by nothing: with the next head a transfer to ourselves is signed for it. Whichever
    /// of its transactions is mined settles it. Whether there is such a nonce.
    pub(crate) fn cancel(&mut self, place: Place) -> bool {
        self.slot(place).map(Slot::cancel).is_some()
    }

    /// Of a bundle that was to be signed again only this much works yet, and is signed. The rest stays bound to its nonce, as
    /// earlier transactions of it may be mined. None if the bundle is not waited for any more.
    pub(crate) fn reduce(&mut self, place: Place, bundle: &Arc<Bundle>, rest: Bundle) -> Option<Arc<Bundle>> {
        let slot = self.slot(place).filter(|slot| slot.signing && slot.is_to_carry(Some(bundle)))?;
        Some(Arc::clone(slot.reduced.insert(Arc::new(rest))))
    }

    /// Nothing of a bundle that was to be signed again works: its nonce is filled otherwise.
    pub(crate) fn withdraw(&mut self, place: Place, bundle: &Arc<Bundle>) {
        if let Some(slot) = self.slot(place).filter(|slot| slot.is_to_carry(Some(bundle))) {
            slot.signing = false;
            // Nobody is served by its being mined.
            slot.overdue = true;
            slot.cancel();
        }
    }

    /// Has the first bundle of each key, whose next nonces are these, made anew at once without the operations that will
    /// soon not be valid any more: mined late, they would have it revert. One that `ends_soon` leaves room for that. Which
    /// operations wait is told too: one that is bound to such a nonce waits for it to be used.
    pub(crate) fn hurry(
        &mut self,
        next: &[Option<u64>],
        waits: impl Fn(B256) -> bool,
        is_over: impl Fn(&Admitted) -> bool,
        ends_soon: impl Fn(&Admitted) -> bool,
    ) {
        let bound = self.bound.iter().filter(|(hash, bound)| !bound.void && waits(**hash));
        let awaited: HashSet<Place> = bound.map(|(_, bound)| bound.place).collect();
        let lanes = self.lanes.iter_mut().zip(next).enumerate();
        let first = lanes.filter_map(|(key, (lane, next))| {
            let (nonce, slot) = lane.slots.range_mut((*next)?..).next()?;
            slot.awaited = awaited.contains(&Place { key, nonce: *nonce });
            Some(slot)
        });
        for slot in first.filter(|slot| !slot.cancelling && !slot.signing && !slot.attempts.is_empty()) {
            let Some(bundle) = slot.carried() else { continue };
            let (over, rest): (Vec<_>, Vec<_>) = bundle.operations.iter().cloned().partition(&is_over);
            let soon = rest.iter().filter(|admitted| ends_soon(admitted)).count();
            let reduced = (!over.is_empty() && !rest.is_empty())
                .then(|| Arc::new(Bundle { operations: rest.clone(), bid: None, ..**bundle }));
            slot.overdue = !over.is_empty();
            slot.spares = soon > 0 && soon < rest.len();
            slot.reduced = reduced.or(slot.reduced.take());
        }
    }
}
