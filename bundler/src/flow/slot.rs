//! One nonce in flight, and what is next for it.

use std::sync::Arc;

use alloy::primitives::B256;

use super::Policy;
use crate::{
    builder::Bundle,
    fees::FeeSuggestion,
    submitter::{Attempt, Fees},
};

/// Times that a node may refuse a bundle that it may have all the same before its nonce is filled otherwise.
const MAX_REFUSALS: u32 = 3;

/// Times that a bundle of several is made dearer, at the market's bid, before its halves are tried.
const RAISES: usize = 2;

/// What had the nonce before: its operations are free, and its transactions may be mined yet.
#[derive(Clone, Debug)]
pub(super) struct Past {
    pub(super) bundle: Arc<Bundle>,
    pub(super) attempts: Vec<Attempt>,
    /// Nodes may have them.
    live: bool,
}

/// A nonce that we have given out.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Whose operations are bound to it; none if it only fills a gap.
    pub(super) bundle: Option<Arc<Bundle>>,
    /// What of it is signed from now on, if some of it does not work any more.
    pub(super) reduced: Option<Arc<Bundle>>,
    /// Every transaction ever signed for that, or to fill the gap.
    pub(super) attempts: Vec<Attempt>,
    pub(super) past: Vec<Past>,
    /// The next bundle of the key takes it.
    pub(super) vacant: bool,
    /// What a node may hold under it, which whatever comes next has to outbid.
    pub(super) standing: Option<Fees>,
    /// It waits for fees to fall, or for a dearer bundle to take its place.
    pub(super) stuck: bool,
    /// Times that a transaction of it was handed out and nothing was heard of that yet, and whether any may have been taken.
    pub(super) unheard: u32,
    pub(super) maybe_taken: bool,
    /// Those of them that carry no bundle.
    pub(super) cancelled_by: Vec<B256>,
    /// From now on only a cancellation is signed.
    pub(super) cancelling: bool,
    pub(super) signing: bool,
    /// Refusals of the last attempt.
    pub(super) refused: u32,
    /// A head has come since its bundle had it.
    pub(super) aged: bool,
    /// Chain time at the first attempt, and at the last, in milliseconds.
    pub(super) since: u64,
    pub(super) sent_at: u64,
    /// Whether it was once found used by no transaction of ours.
    pub(super) unaccounted: bool,
    /// Whether it is made anew however lately it was sent; or is cancelled, so that it does not come too late.
    pub(super) overdue: bool,
    /// Whether operations wait for it to be used that were under it before.
    pub(super) awaited: bool,
    /// Whether it will be made anew without some of its operations before long, and may not bid all that they pay until then.
    pub(super) spares: bool,
}

/// What to do for a nonce that is still free on chain.
#[derive(Clone, Debug)]
pub(super) enum Next {
    Wait,
    /// Send this once more.
    Again(Attempt),
    /// Give the bundle up: others try the nonce.
    GiveUp,
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
        let cost = |bundle: &Bundle, attempts: &[Attempt]| {
            let gas = u128::from(bundle.gas_limit());
            let bid = attempts.last().map_or(0, |last| last.fees.max_fee);
            gas.saturating_mul(bid).saturating_add(bundle.expected.charges_at(gas))
        };
        let now = self.bundle.as_ref().filter(|_| !self.attempts.is_empty()).map(|it| cost(it, &self.attempts));
        self.past.iter().map(|past| cost(&past.bundle, &past.attempts)).chain(now).max().unwrap_or_default()
    }

    /// Whether nobody can have a transaction of its bundle: all that was heard of them is that no node took them.
    pub(super) fn is_void(&self) -> bool {
        !self.maybe_taken && self.unheard == 0 && !self.signing && !self.cancelling
    }

    /// Whether it may turn out in a moment that no node takes its transaction.
    pub(super) fn is_unsure(&self) -> bool {
        self.bundle.is_some() && !self.vacant && !self.cancelling && !self.maybe_taken && !self.aged
    }

    /// Whether a dearer bundle may take its place.
    pub(super) fn is_in_the_way(&self) -> bool {
        self.stuck && !self.vacant && !self.signing && !self.cancelling && !self.attempts.is_empty()
    }

    /// Whether its last transaction may be mined at this base fee, in wei per gas; one that is not signed yet may.
    pub(super) fn pays(&self, base_fee: u128) -> bool {
        self.attempts.last().is_none_or(|last| last.fees.max_fee >= base_fee)
    }

    /// What its last transaction bids; anything, if it is not signed yet.
    pub(super) fn bid(&self) -> Fees {
        let any = Fees { max_fee: u128::MAX, priority_fee: u128::MAX };
        self.attempts.last().map_or(any, |last| last.fees)
    }

    /// Every transaction that may be mined under it.
    pub(super) fn transactions(&self) -> Vec<B256> {
        let past = self.past.iter().flat_map(|past| &past.attempts);
        self.attempts.iter().chain(past).map(|attempt| attempt.transaction).collect()
    }

    /// What the next transaction must bid so that nodes take it in the place of what they may hold.
    pub(super) fn to_outbid(&self) -> Option<Fees> {
        let standing = if self.vacant { self.standing } else { self.attempts.last().map(|last| last.fees) };
        standing.map(Fees::raised)
    }

    /// From now on only a cancellation is signed for it, and nothing is waited for before.
    pub(super) fn cancel(&mut self) {
        self.cancelling = true;
        self.refused += 1;
    }

    /// Gives its bundle up: whatever comes next under the nonce takes its place.
    pub(super) fn vacate(&mut self) -> Option<Arc<Bundle>> {
        let bundle = self.bundle.take()?;
        self.reduced = None;
        let attempts = std::mem::take(&mut self.attempts);
        if self.maybe_taken {
            self.standing = attempts.last().map(|last| last.fees);
        }
        self.past.push(Past { bundle: Arc::clone(&bundle), attempts, live: self.maybe_taken });
        (self.vacant, self.stuck, self.refused) = (true, false, 0);
        Some(bundle)
    }

    /// Takes this bundle in, which is about to be signed.
    pub(super) fn take_in(&mut self, bundle: Arc<Bundle>, now: u64) {
        (self.since, self.sent_at, self.signing, self.vacant) = (now, now, true, false);
        (self.unheard, self.maybe_taken, self.stuck) = (0, false, bundle.below_market);
        (self.aged, self.overdue, self.spares) = (false, false, false);
        (self.bundle, self.reduced) = (Some(bundle), None);
    }

    /// The bundle that this transaction carried, if that was given up, is what the nonce is for again.
    pub(super) fn recall(&mut self, transaction: B256) -> Option<Option<Arc<Bundle>>> {
        let carried = |past: &Past| past.attempts.iter().any(|attempt| attempt.transaction == transaction);
        let Past { bundle, attempts, .. } = self.past.remove(self.past.iter().position(carried)?);
        let other = self.bundle.replace(bundle);
        self.reduced = None;
        let since = std::mem::replace(&mut self.attempts, attempts);
        match &other {
            Some(other) => self.past.push(Past { bundle: Arc::clone(other), attempts: since, live: true }),
            // Cancellations.
            None => drop(self.attempts.splice(0..0, since)),
        }
        (self.vacant, self.cancelling, self.signing) = (false, false, false);
        Some(other)
    }

    /// About to be signed.
    pub(super) fn new(bundle: Option<Arc<Bundle>>, now: u64) -> Self {
        let stuck = bundle.as_ref().is_some_and(|bundle| bundle.below_market);
        Self {
            bundle,
            reduced: None,
            attempts: Vec::new(),
            past: Vec::new(),
            vacant: false,
            standing: None,
            stuck,
            unheard: 0,
            maybe_taken: false,
            aged: false,
            cancelled_by: Vec::new(),
            cancelling: false,
            signing: true,
            refused: 0,
            since: now,
            sent_at: now,
            unaccounted: false,
            overdue: false,
            spares: false,
            awaited: false,
        }
    }

    /// From before a restart; overdue at once, so that it is sent again.
    pub(super) fn restored(bundle: Option<Arc<Bundle>>, attempts: Vec<Attempt>, cancelled_by: Vec<B256>) -> Self {
        let cancelling = bundle.is_none() || !cancelled_by.is_empty();
        Self { attempts, cancelled_by, cancelling, signing: false, maybe_taken: true, ..Self::new(bundle, 0) }
    }

    /// For a nonce without a bundle.
    pub(super) fn new_filler(now: u64) -> Self {
        Self { cancelling: true, signing: false, ..Self::new(None, now) }
    }

    /// In flight again; overdue at once, so that it is sent again.
    pub(super) fn reopen(&mut self, now: u64) {
        (self.since, self.sent_at, self.unaccounted, self.refused) = (now, 0, false, 0);
        (self.signing, self.maybe_taken) = (false, true);
    }

    /// What to do at this time; `first` if nothing before it is in the way, and what those behind it bid at the most, if there
    /// are any.
    pub(super) fn next(
        &mut self,
        policy: &Policy,
        (first, behind): (bool, Option<Fees>),
        now: u64,
        fees: FeeSuggestion,
    ) -> Next {
        (self.unaccounted, self.aged) = (false, true);
        let waited_for = behind.is_some() || self.awaited;
        // Whoever waits for a cancellation is not mined for less than he bids himself. One that nobody waits for, and that only
        // keeps something from being mined too late, is as good unmined.
        let cancelling = match behind {
            Some(behind) => FeeSuggestion { priority_fee: fees.priority_fee.min(behind.priority_fee), ..fees },
            None if self.overdue && !self.awaited => FeeSuggestion::flat(0, 0),
            None => fees,
        };
        if self.signing {
            return Next::Wait;
        }
        if self.vacant {
            if now < self.sent_at.saturating_add(policy.patience) {
                return Next::Wait;
            }
            if !(first && waited_for) {
                // What was given up may be mined yet, which frees what is bound to the nonce.
                self.sent_at = now;
                let live = self.past.iter().rev().find(|past| past.live).and_then(|past| past.attempts.last());
                return live.map_or(Next::Wait, |attempt| Next::Again(attempt.clone()));
            }
            // No bundle has come for it, and others wait.
            (self.vacant, self.cancelling) = (false, true);
        }
        let Some(last) = self.attempts.last().cloned() else { return self.sign_anew(policy, now, fees, cancelling) };
        if now < self.sent_at.saturating_add(policy.patience) && self.refused == 0 && !self.overdue {
            return Next::Wait;
        }
        let reopened = std::mem::replace(&mut self.sent_at, now) == 0;
        let cancels = self.cancelled_by.contains(&last.transaction);
        if self.cancelling && !cancels {
            return self.sign_cancellation(policy, Some(last.fees), cancelling).unwrap_or(Next::Again(last));
        }
        // Nothing is mined for any price where twice that is not enough.
        if cancels && last.fees.is_twice(cancelling) {
            return Next::Again(last);
        }
        if !first || reopened {
            return Next::Again(last);
        }
        if cancels {
            return self.sign_cancellation(policy, Some(last.fees), cancelling).unwrap_or(Next::Again(last));
        }
        // It bids what others do, and more than at first: somebody may see to it that one of its operations is not mined.
        let at_market = last.fees.priority_fee >= fees.priority_fee && last.fees.max_fee > fees.base_fee;
        let tried = at_market && self.attempts.len() > RAISES && !self.overdue;
        if let Some(several) = self.carried().filter(|_| tried).map(|bundle| bundle.operations.len() > 1) {
            self.stuck = true;
            if several {
                return Next::GiveUp;
            }
            if waited_for && let Some(cancellation) = self.sign_cancellation(policy, Some(last.fees), cancelling) {
                self.cancelling = true;
                return cancellation;
            }
        }
        // What anything may take the place of is not made dearer.
        let dearer = self.carried().filter(|bundle| !bundle.below_market);
        // Or the rest of it could not take its place: nodes ask a tenth more for that.
        let spares = self.spares && !self.overdue && now < self.since.saturating_add(policy.cancel_after);
        let dearer = dearer.and_then(|bundle| last.fees.escalated(bundle, fees, spares));
        if let (Some(bid), true) = (dearer, self.refused < MAX_REFUSALS) {
            return Next::Sign(self.carried().cloned(), bid);
        }
        // Whatever pays more may have its nonce. Nobody pays for a cancellation: only if it keeps others, or would come
        // to be mined when it is not valid any more.
        self.stuck = true;
        let given_up = self.refused >= MAX_REFUSALS || self.overdue;
        let due = now >= self.since.saturating_add(policy.cancel_after) || given_up;
        let harmful = waited_for || self.overdue || self.carried().is_some_and(|bundle| bundle.may_expire());
        if due
            && harmful
            && let Some(cancellation) = self.sign_cancellation(policy, Some(last.fees), cancelling)
        {
            self.cancelling = true;
            return cancellation;
        }
        Next::Again(last)
    }

    fn sign_anew(&mut self, policy: &Policy, now: u64, fees: FeeSuggestion, cancelling: FeeSuggestion) -> Next {
        self.sent_at = now;
        match self.carried() {
            Some(bundle) if !self.cancelling => {
                let bid = Fees::first(bundle, fees);
                Next::Sign(Some(Arc::clone(bundle)), self.standing.map_or(bid, |it| bid.at_least(it.raised())))
            }
            _ => self.sign_cancellation(policy, self.standing, cancelling).unwrap_or(Next::Wait),
        }
    }

    fn sign_cancellation(&self, policy: &Policy, last: Option<Fees>, fees: FeeSuggestion) -> Option<Next> {
        Some(Next::Sign(None, Fees::cancelling(last, fees, policy.cancel_max_fee)?))
    }
}
