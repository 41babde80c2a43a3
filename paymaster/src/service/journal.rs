//! What was granted and refused since the process started: for people who look, not for limits.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use alloy::primitives::{Address, U256};
use serde::Serialize;
use tokio::sync::watch;

use super::unix_now;
use crate::{Refusal, Scope, policies::Unchosen, policy::JobKey};

/// Denials that are remembered, and as many sponsorships: neither crowds the other out.
const REMEMBERED: usize = 500;

/// One request, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    /// Counts what was decided since the process started, from 1.
    pub number: u64,
    /// Seconds since 1970.
    pub at: u64,
    /// Whether it was sponsored.
    pub sponsored: bool,
    /// The policy; none if none was chosen.
    pub policy_id: Option<String>,
    /// The account.
    pub sender: Address,
    /// Of a denial: the key of the policy file that said no.
    pub rule: Option<&'static str>,
    /// Of a denial: the call, by its positions in the batch.
    pub call: Option<String>,
    /// Of a denial: why.
    pub reason: Option<String>,
    /// Of a sponsorship by us: its worst case, in wei.
    pub max_cost: Option<U256>,
    /// Of a sponsorship: jobs and sessions that it is about.
    pub jobs: Vec<JobKey>,
}

/// What was signed.
#[derive(Clone, Debug, Default)]
pub(super) struct Signed {
    /// Wei, if we pay.
    pub(super) max_cost: Option<U256>,
    pub(super) jobs: Vec<JobKey>,
}

/// Counts of one policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Sponsorships given.
    pub sponsored: u64,
    /// Requests denied, at the stub or after it.
    pub denied: u64,
}

/// What was granted and refused lately.
#[derive(Debug, Default)]
pub struct Journal {
    inner: Mutex<Inner>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    denials: VecDeque<Decided>,
    sponsorships: VecDeque<Decided>,
    number: u64,
    counts: BTreeMap<String, Counts>,
}

impl Journal {
    /// What came of a request: nothing signed if it was a stub.
    pub(super) fn note(&self, scope: &Scope, sender: Address, result: Result<Option<&Signed>, &Refusal>) {
        let policy = &scope.policy.id;
        match result {
            Ok(None) => {}
            Ok(Some(signed)) => {
                let Signed { max_cost, jobs } = signed.clone();
                self.push(Decided { sponsored: true, max_cost, jobs, ..blank(Some(policy), sender) });
            }
            Err(Refusal::Denied { denial, .. }) => self.push(Decided {
                rule: Some(denial.rule()),
                call: denial.call().map(str::to_owned),
                reason: Some(denial.to_string()),
                ..blank(Some(policy), sender)
            }),
            Err(Refusal::Reverts { reason, .. }) => self.push(Decided {
                rule: Some("rehearsal"),
                reason: Some(reason.to_string()),
                ..blank(Some(policy), sender)
            }),
            // Told to ask again, or not understood: nothing was decided.
            Err(_) => count(Some(policy), "unanswered"),
        }
    }

    /// A request that no policy is for.
    pub(super) fn note_unchosen(&self, sender: Address, why: &Unchosen) {
        self.push(Decided { rule: Some("policy"), reason: Some(why.to_string()), ..blank(None, sender) });
    }

    fn push(&self, decided: Decided) {
        count(decided.policy_id.as_ref(), decided.rule.unwrap_or("sponsored"));
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.number += 1;
        let decided = Decided { number: inner.number, ..decided };
        if let Some(policy) = &decided.policy_id {
            let counts = inner.counts.entry(policy.clone()).or_default();
            *(if decided.sponsored { &mut counts.sponsored } else { &mut counts.denied }) += 1;
        }
        let ring = if decided.sponsored { &mut inner.sponsorships } else { &mut inner.denials };
        if ring.len() == REMEMBERED {
            ring.pop_front();
        }
        ring.push_back(decided);
        self.newest.send_replace(inner.number);
    }

    /// Denials after the one of this number, newest first, at most so many.
    pub fn denials(&self, after: u64, most: usize) -> Vec<Decided> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.denials.iter().rev().take_while(|decided| decided.number > after).take(most).cloned().collect()
    }

    /// Denials and sponsorships after the one of this number, newest first, at most so many.
    pub fn decisions(&self, after: u64, most: usize) -> Vec<Decided> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // Each ring is in order, and what neither has any more is too old for both.
        let mut both: Vec<_> =
            inner.denials.iter().chain(&inner.sponsorships).filter(|decided| decided.number > after).collect();
        both.sort_unstable_by_key(|decided| std::cmp::Reverse(decided.number));
        both.into_iter().take(most).cloned().collect()
    }

    /// The number of the newest decision, as it changes.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Counts by policy.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).counts.clone()
    }
}

/// `result` is `sponsored`, the rule that said no, or `unanswered`.
fn count(policy: Option<&String>, result: &'static str) {
    let policy = policy.cloned().unwrap_or_default();
    metrics::counter!("fabstir_sponsorship_decisions_total", "policy" => policy, "result" => result).increment(1);
}

fn blank(policy: Option<&String>, sender: Address) -> Decided {
    Decided {
        number: 0,
        at: unix_now(),
        sponsored: false,
        policy_id: policy.cloned(),
        sender,
        rule: None,
        call: None,
        reason: None,
        max_cost: None,
        jobs: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_do_not_crowd_sponsorships_out_and_both_come_newest_first() {
        let journal = Journal::default();
        let newest = journal.newest();
        let policy = "p".to_owned();
        journal.push(Decided { sponsored: true, ..blank(Some(&policy), Address::ZERO) });
        for _ in 0..=REMEMBERED {
            journal.note_unchosen(Address::ZERO, &Unchosen::Key);
        }
        assert_eq!(*newest.borrow(), REMEMBERED as u64 + 2);
        let all = journal.decisions(0, usize::MAX);
        assert_eq!(all.len(), REMEMBERED + 1);
        assert!(all.is_sorted_by(|a, b| a.number > b.number));
        assert!(all.last().unwrap().sponsored);
        assert_eq!(journal.decisions(REMEMBERED as u64, 10).len(), 2);
        assert_eq!(journal.denials(0, usize::MAX).len(), REMEMBERED);
        assert_eq!(journal.counts()["p"], Counts { sponsored: 1, denied: 0 });
    }
}
