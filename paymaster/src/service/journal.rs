//! What was granted and refused since the process started: for people who look, not for limits.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use alloy::primitives::Address;
use serde::Serialize;

use super::unix_now;
use crate::{Refusal, Scope};

/// Denials that are remembered.
const DENIALS: usize = 500;

/// A denial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeniedOnce {
    /// Counts denials since the process started, from 1.
    pub number: u64,
    /// Seconds since 1970.
    pub at: u64,
    /// The policy.
    pub policy_id: String,
    /// The account.
    pub sender: Address,
    /// The key of the policy file that said no.
    pub rule: &'static str,
    /// The call, by its positions in the batch.
    pub call: Option<String>,
    /// Why.
    pub reason: String,
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
pub struct Journal(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    denials: VecDeque<DeniedOnce>,
    number: u64,
    counts: BTreeMap<String, Counts>,
}

impl Journal {
    /// `signed`: whether something was signed, if it was not refused.
    pub(super) fn note(&self, scope: &Scope, sender: Address, signed: Result<bool, &Refusal>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = inner.counts.entry(scope.policy.id.clone()).or_default();
        match signed {
            Ok(true) => counts.sponsored += 1,
            Err(Refusal::Denied { denial, policy }) => {
                counts.denied += 1;
                inner.number += 1;
                let denied = DeniedOnce {
                    number: inner.number,
                    at: unix_now(),
                    policy_id: policy.clone(),
                    sender,
                    rule: denial.rule(),
                    call: denial.call().map(str::to_owned),
                    reason: denial.to_string(),
                };
                if inner.denials.len() == DENIALS {
                    inner.denials.pop_front();
                }
                inner.denials.push_back(denied);
            }
            _ => {}
        }
    }

    /// Denials after the one of this number, newest first, at most so many.
    pub fn denials(&self, after: u64, most: usize) -> Vec<DeniedOnce> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.denials.iter().rev().take_while(|denied| denied.number > after).take(most).cloned().collect()
    }

    /// Counts by policy.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).counts.clone()
    }
}
