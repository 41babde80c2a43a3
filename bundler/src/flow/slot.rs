//! One nonce in flight, and what is next for it.

use std::sync::Arc;

use alloy::primitives::B256;

use super::Policy;
use crate::{
    builder::Bundle,
    fees::FeeSuggestion,
    submitter::{Attempt, Fees},
};

/// Times that a node may refuse a bundle before its nonce is filled otherwise.
const MAX_REFUSALS: u32 = 3;

/// A nonce that we have given out.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Whose operations are bound to it; none if it only fills a gap.
    pub(super) bundle: Option<Arc<Bundle>>,
    /// What of it is signed from now on, if some of it does not work any more.
    pub(super) reduced: Option<Arc<Bundle>>,
    /// Every transaction ever signed for it.
    pub(super) attempts: Vec<Attempt>,
    /// Those of them that carry no bundle.
    pub(super) cancelled_by: Vec<B256>,
    /// From now on only a cancellation is signed.
    pub(super) cancelling: bool,
    pub(super) signing: bool,
    /// Refusals of the last attempt.
    pub(super) refused: u32,
    /// Chain time at the first attempt, and at the last, in milliseconds.
    pub(super) since: u64,
    pub(super) sent_at: u64,
    /// Whether it was once found used by no transaction of ours.
    pub(super) unaccounted: bool,
    /// Whether it is made anew however lately it was sent.
    pub(super) overdue: bool,
}

/// A used nonce.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub(super) slot: Slot,
    /// In which block, or at which head that was found out.
    pub(super) block: u64,
}

/// What to do for a nonce that is still free on chain.
#[derive(Clone, Debug)]
pub(super) enum Next {
    Wait,
    /// Send this once more.
    Again(Attempt),
    /// Sign the bundle, or without one a cancellation.
    Sign(Option<Arc<Bundle>>, Fees),
}

impl Slot {
    /// Whether this bundle is its own, or there is none in question.
    pub(super) fn is_to_carry(&self, bundle: Option<&Arc<Bundle>>) -> bool {
        bundle.is_none_or(|bundle| self.carried().is_some_and(|own| Arc::ptr_eq(own, bundle)))
    }

    /// What is signed for it: all that is bound to it, or what of that works yet.
    pub(super) fn carried(&self) -> Option<&Arc<Bundle>> {
        self.reduced.as_ref().or(self.bundle.as_ref())
    }

    /// Wei that it may cost, as last bid.
    pub(super) fn worst_cost(&self) -> u128 {
        let Some((bundle, last)) = self.bundle.as_ref().zip(self.attempts.last()) else { return 0 };
        let gas = u128::from(bundle.gas_limit());
        gas.saturating_mul(last.fees.max_fee).saturating_add(bundle.expected.charges_at(gas))
    }

    /// About to be signed.
    pub(super) fn new(bundle: Option<Arc<Bundle>>, now: u64) -> Self {
        Self {
            bundle,
            reduced: None,
            attempts: Vec::new(),
            cancelled_by: Vec::new(),
            cancelling: false,
            signing: true,
            refused: 0,
            since: now,
            sent_at: now,
            unaccounted: false,
            overdue: false,
        }
    }

    /// From before a restart; overdue at once, so that it is sent again.
    pub(super) fn restored(bundle: Option<Arc<Bundle>>, attempts: Vec<Attempt>, cancelled_by: Vec<B256>) -> Self {
        let cancelling = bundle.is_none() || !cancelled_by.is_empty();
        Self { attempts, cancelled_by, cancelling, signing: false, ..Self::new(bundle, 0) }
    }

    /// For a nonce without a bundle.
    pub(super) fn new_filler(now: u64) -> Self {
        Self { cancelling: true, signing: false, ..Self::new(None, now) }
    }

    /// In flight again; overdue at once, so that it is sent again.
    pub(super) fn reopen(&mut self, now: u64) {
        (self.since, self.sent_at, self.unaccounted, self.refused) = (now, 0, false, 0);
        self.signing = false;
    }

    /// What to do at this time; `first` if nothing before it is in the way.
    pub(super) fn next(&mut self, policy: &Policy, first: bool, now: u64, fees: FeeSuggestion) -> Next {
        self.unaccounted = false;
        if self.signing {
            return Next::Wait;
        }
        let Some(last) = self.attempts.last().cloned() else { return self.sign_anew(policy, now, fees) };
        if now < self.sent_at.saturating_add(policy.patience) && self.refused == 0 && !self.overdue {
            return Next::Wait;
        }
        let reopened = std::mem::replace(&mut self.sent_at, now) == 0;
        let cancels = self.cancelled_by.contains(&last.transaction);
        if self.cancelling && !cancels {
            return self.sign_cancellation(policy, Some(last.fees), fees).unwrap_or(Next::Again(last));
        }
        if !first || reopened {
            return Next::Again(last);
        }
        if cancels {
            return self.sign_cancellation(policy, Some(last.fees), fees).unwrap_or(Next::Again(last));
        }
        let dearer = self.carried().and_then(|bundle| last.fees.escalated(bundle, fees));
        if let (Some(bid), true) = (dearer, self.refused < MAX_REFUSALS) {
            return Next::Sign(self.carried().cloned(), bid);
        }
        let given_up = self.refused >= MAX_REFUSALS || self.overdue;
        let stuck = now >= self.since.saturating_add(policy.cancel_after) || given_up;
        if stuck && let Some(cancellation) = self.sign_cancellation(policy, Some(last.fees), fees) {
            self.cancelling = true;
            return cancellation;
        }
        Next::Again(last)
    }

    fn sign_anew(&mut self, policy: &Policy, now: u64, fees: FeeSuggestion) -> Next {
        self.sent_at = now;
        match self.carried() {
            Some(bundle) if !self.cancelling => Next::Sign(Some(Arc::clone(bundle)), Fees::first(bundle, fees)),
            _ => self.sign_cancellation(policy, None, fees).unwrap_or(Next::Wait),
        }
    }

    fn sign_cancellation(&self, policy: &Policy, last: Option<Fees>, fees: FeeSuggestion) -> Option<Next> {
        Some(Next::Sign(None, Fees::cancelling(last, fees, policy.cancel_max_fee)?))
    }
}
