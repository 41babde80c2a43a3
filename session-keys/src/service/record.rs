//! What is known of one session, apart from its key: all of it outlives the process.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use super::{State, VoucherTerms};
use crate::{
    Policy,
    policy::{
        judge::{Allowed, Counters, Status},
        quantity,
    },
};

/// A session, as the service knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Whom it acts for.
    pub account: Address,
    /// What it may do.
    pub policy: Policy,
    /// The right to sign vouchers, if it has one.
    pub vouchers: Option<VoucherTerms>,
    /// The session that it takes the place of.
    pub replaces: Option<B256>,
    /// An owner's signature of the policy, if one signed it.
    pub owner_signature: Bytes,
    /// Where it stands.
    pub state: State,
    /// What the chain said last.
    pub chain: Counters,
    /// What signed operations may spend that the chain does not count yet, by nonce.
    pub(crate) held: BTreeMap<U256, Held>,
    /// Vouched for, by conversation.
    pub(crate) vouched: BTreeMap<B256, U256>,
    /// Start of the window of vouchers, and what was vouched for in it.
    pub(crate) window: (u64, U256),
}

/// What a signed operation may spend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Held {
    pub(crate) period: u64,
    #[serde(with = "quantity::list")]
    pub(crate) amounts: Vec<u128>,
    #[serde(with = "quantity")]
    pub(crate) gas: u128,
    pub(crate) uses: u32,
    pub(crate) valid_until: u64,
    /// It was refused before it left: its nonce may be signed for again.
    pub(crate) released: bool,
}

impl Record {
    /// The owner's signature as an operation brings it: not once the session is enabled.
    pub fn owner_part(&self) -> &[u8] {
        if self.chain.status == Status::Enabled { &[] } else { &self.owner_signature }
    }

    /// The chain's counters and all that is set aside, but for this nonce.
    pub(super) fn counters_without(&self, nonce: U256) -> Counters {
        let mut counters = self.chain.clone();
        counters.spent.resize(self.policy.limits.len(), Default::default());
        for held in self.held.iter().filter(|(other, _)| **other != nonce).map(|(_, held)| held) {
            counters.uses = counters.uses.saturating_add(held.uses);
            counters.gas_spent = counters.gas_spent.saturating_add(held.gas);
            for (spent, amount) in counters.spent.iter_mut().zip(&held.amounts) {
                if *amount == 0 {
                    continue;
                }
                // What is set aside for an earlier period fills only the total.
                if held.period > spent.period {
                    (spent.period, spent.in_period) = (held.period, 0);
                }
                if held.period == spent.period {
                    spent.in_period = spent.in_period.saturating_add(*amount);
                }
                spent.total = spent.total.saturating_add(*amount);
            }
        }
        counters
    }

    /// Sets aside what an operation may spend: of several for one nonce, the most.
    pub(super) fn hold(&mut self, nonce: U256, allowed: Allowed) {
        let uses = u32::from(self.policy.max_uses.is_some());
        let Allowed { period, amounts, gas, valid_until, .. } = allowed;
        let held = Held { period, amounts, gas, uses, valid_until, released: false };
        match self.held.get_mut(&nonce) {
            Some(before) => {
                before.gas = before.gas.max(held.gas);
                before.released = false;
                for (most, amount) in before.amounts.iter_mut().zip(&held.amounts) {
                    *most = (*most).max(*amount);
                }
            }
            None => {
                self.held.insert(nonce, held);
            }
        }
    }
}
