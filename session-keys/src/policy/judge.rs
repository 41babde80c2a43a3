//! The account's verdict on an operation, made here: the same checks in the same order, the same counters, and for a
//! refusal the same revert data.

use alloy::{
    primitives::{Address, B256, Bytes, FixedBytes, U256},
    sol_types::{SolError, SolInterface},
};
use erc4337::{EntryPointVersion, UserOperation, abi::smart_account::SmartAccount as account};
use serde::{Deserialize, Serialize};

use super::{
    Policy, SpendLimit,
    calldata::{Calls, Unreadable},
    quantity,
    rules::word_at,
};
use crate::public::PublicKey;

/// Seconds for which bundlers want an operation to be valid yet: ten, after the latest second of the next block.
const MINED_WITHIN: u64 = 12;

/// Where a session stands on chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Never enabled.
    #[default]
    None,
    /// Enabled.
    Enabled,
    /// Revoked for ever.
    Revoked,
}

/// What a session spent under one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spend {
    /// The last period in which it spent.
    pub period: u64,
    /// Base units in that period.
    #[serde(with = "quantity")]
    pub in_period: u128,
    /// Base units in its life.
    #[serde(with = "quantity")]
    pub total: u128,
}

/// A session's counters, as the account keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Where it stands.
    pub status: Status,
    /// The account's epoch.
    pub epoch: u64,
    /// Operations made, if the policy limits them.
    pub uses: u32,
    /// Wei of gas that operations could have cost, if the policy limits it.
    #[serde(with = "quantity")]
    pub gas_spent: u128,
    /// By limit; missing ones are zero.
    pub spent: Vec<Spend>,
}

/// Who judges: the account, and the EntryPoint it obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The account.
    pub account: Address,
    /// Its EntryPoint.
    pub entry_point: Address,
    /// Which rules that follows.
    pub version: EntryPointVersion,
}

/// An allowed operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Counters after it.
    pub next: Counters,
    /// The period it claims.
    pub period: u64,
    /// What it spends under each limit.
    pub amounts: Vec<u128>,
    /// Wei of gas it may cost at its worst; 0 if the policy does not count it.
    pub gas: u128,
    /// First second in which the EntryPoint takes it.
    pub valid_after: u64,
    /// Last second in which it does.
    pub valid_until: u64,
}

/// Why the account refuses an operation: its errors, by their names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "documented in ISessionKeys.sol")]
pub enum Violation {
    #[error("session {0} is not enabled and the operation brings no signature of an owner")]
    SessionNotEnabled(B256),
    #[error("session {0} was revoked, or is of another epoch")]
    SessionIsRevoked(B256),
    #[error("the session key {0} is neither an address nor a P-256 public key")]
    InvalidSessionKey(PublicKey),
    #[error("the session's times are out of order or out of range")]
    InvalidSessionTimes,
    #[error("calls[{0}]: no session may list such a call")]
    ForbiddenCallRule(usize),
    #[error("calls[{0}]: names a spend limit that does not exist or is for another token")]
    InvalidSpendLimit(usize),
    #[error("the nonce {0} is of another session")]
    NonceOfAnotherSession(U256),
    #[error("period {0} does not lie within the session")]
    InvalidPeriod(u64),
    #[error("the operation calls {0}, neither execute nor executeBatch")]
    FunctionNotAllowed(FixedBytes<4>),
    #[error("the call data is not in its one canonical encoding")]
    MalformedCallData,
    #[error("the batch is empty")]
    EmptyBatch,
    #[error("call {0}: no rule allows it")]
    CallNotAllowed(usize),
    #[error("limit {limit}: {amount} would be more than is left")]
    SpendLimitExceeded { limit: usize, amount: U256 },
    #[error("used {0} times, which is its limit")]
    UsesExceeded(u32),
    #[error("may cost {0} wei of gas, more than is left")]
    GasBudgetExceeded(U256),
    #[error("the paymaster {0} is not the session's")]
    PaymasterNotAllowed(Address),
    #[error("the amounts overflow")]
    Overflow,
}

impl Violation {
    /// The data that the account reverts with.
    pub fn revert_data(&self) -> Bytes {
        use account::SmartAccountErrors as E;
        let index = |index: usize| U256::from(index);
        let error = match self.clone() {
            Self::SessionNotEnabled(id) => E::SessionNotEnabled(account::SessionNotEnabled { id }),
            Self::SessionIsRevoked(id) => E::SessionIsRevoked(account::SessionIsRevoked { id }),
            Self::InvalidSessionKey(key) => {
                E::InvalidSessionKey(account::InvalidSessionKey { key: key.to_contract_bytes() })
            }
            Self::InvalidSessionTimes => E::InvalidSessionTimes(account::InvalidSessionTimes {}),
            Self::ForbiddenCallRule(i) => E::ForbiddenCallRule(account::ForbiddenCallRule { index: index(i) }),
            Self::InvalidSpendLimit(i) => E::InvalidSpendLimit(account::InvalidSpendLimit { index: index(i) }),
            Self::NonceOfAnotherSession(nonce) => E::NonceOfAnotherSession(account::NonceOfAnotherSession { nonce }),
            Self::InvalidPeriod(period) => E::InvalidPeriod(account::InvalidPeriod { period: u48(period) }),
            Self::FunctionNotAllowed(selector) => E::FunctionNotAllowed(account::FunctionNotAllowed { selector }),
            Self::MalformedCallData => E::MalformedCallData(account::MalformedCallData {}),
            Self::EmptyBatch => E::EmptyBatch(account::EmptyBatch {}),
            Self::CallNotAllowed(i) => E::CallNotAllowed(account::CallNotAllowed { index: index(i) }),
            Self::SpendLimitExceeded { limit, amount } => {
                E::SpendLimitExceeded(account::SpendLimitExceeded { limit: index(limit), amount })
            }
            Self::UsesExceeded(most) => E::UsesExceeded(account::UsesExceeded { maxUses: U256::from(most) }),
            Self::GasBudgetExceeded(cost) => E::GasBudgetExceeded(account::GasBudgetExceeded { maxCost: cost }),
            Self::PaymasterNotAllowed(paymaster) => E::PaymasterNotAllowed(account::PaymasterNotAllowed { paymaster }),
            // Solidity's own, for arithmetic.
            Self::Overflow => return alloy::sol_types::Panic { code: U256::from(0x11) }.abi_encode().into(),
        };
        error.abi_encode().into()
    }
}

fn u48(value: u64) -> alloy::primitives::aliases::U48 {
    alloy::primitives::aliases::U48::from(value & ((1 << 48) - 1))
}

impl From<Unreadable> for Violation {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Function(selector) => Self::FunctionNotAllowed(selector),
            Unreadable::Malformed => Self::MalformedCallData,
            Unreadable::EmptyBatch => Self::EmptyBatch,
        }
    }
}

/// The period that a nonce claims.
pub fn period_of(nonce: U256) -> u64 {
    let shifted: U256 = nonce >> 80;
    shifted.wrapping_to::<u64>() & ((1 << 48) - 1)
}

/// The 192-bit nonce key of a session's period and lane.
pub fn nonce_key(id: B256, period: u64, lane: u16) -> U256 {
    (U256::from_be_bytes(id.0) >> 128 << 64) | (U256::from(period) << 16) | U256::from(lane)
}

impl Policy {
    /// What the account says of this operation, its signatures apart.
    ///
    /// `enabling`: the operation brings an owner's signature of the session.
    ///
    /// # Errors
    /// The account's own error.
    pub fn judge(
        &self,
        id: B256,
        counters: &Counters,
        op: &UserOperation,
        enabling: bool,
        place: &Place,
    ) -> Result<Allowed, Violation> {
        let mut next = counters.clone();
        if counters.status == Status::Revoked || self.epoch != counters.epoch {
            return Err(Violation::SessionIsRevoked(id));
        }
        if counters.status == Status::None {
            if !enabling {
                return Err(Violation::SessionNotEnabled(id));
            }
            self.check(place.account, place.entry_point)?;
            next.status = Status::Enabled;
        }
        if op.nonce >> 128 != U256::from_be_bytes(id.0) >> 128 {
            return Err(Violation::NonceOfAnotherSession(op.nonce));
        }
        let period = period_of(op.nonce);
        let gas = self.count_use(&mut next, op, place)?;
        let amounts = self.check_calls(op, place)?;
        self.spend(&mut next, period, &amounts)?;
        let (valid_after, valid_until) = self.window(period).ok_or(Violation::InvalidPeriod(period))?;
        let amounts = amounts.into_iter().map(|amount| amount.wrapping_to()).collect();
        Ok(Allowed { next, period, amounts, gas, valid_after, valid_until })
    }

    fn count_use(&self, next: &mut Counters, op: &UserOperation, place: &Place) -> Result<u128, Violation> {
        if let Some(most) = self.max_uses {
            if next.uses >= most {
                return Err(Violation::UsesExceeded(most));
            }
            next.uses += 1;
        }
        if op.paymaster_address() != self.paymaster {
            return Err(Violation::PaymasterNotAllowed(op.paymaster_address().unwrap_or_default()));
        }
        if self.paymaster.is_some() && self.gas_budget == 0 {
            return Ok(0);
        }
        let cost = op.required_prefund(place.version);
        let spent = U256::from(next.gas_spent) + cost;
        if spent > U256::from(self.gas_budget) {
            return Err(Violation::GasBudgetExceeded(cost));
        }
        next.gas_spent = spent.wrapping_to();
        Ok(cost.wrapping_to())
    }

    fn check_calls(&self, op: &UserOperation, place: &Place) -> Result<Vec<U256>, Violation> {
        let mut amounts = vec![U256::ZERO; self.limits.len()];
        let mut add = |number: u8, amount: U256| {
            let sum = amounts.get_mut(usize::from(number).wrapping_sub(1)).ok_or(Violation::Overflow)?;
            *sum = sum.checked_add(amount).ok_or(Violation::Overflow)?;
            Ok::<_, Violation>(())
        };
        for (index, call) in Calls::open(&op.call_data)?.enumerate() {
            let call = call?;
            let refused = Violation::CallNotAllowed(index);
            if call.target == place.account || call.target == place.entry_point {
                return Err(refused);
            }
            let allows = |rule: &&super::CallRule| rule.allows(place.account, call.target, call.value, call.data);
            let rule = self.calls.iter().find(allows).ok_or(refused)?;
            if !call.value.is_zero() {
                add(rule.value_limit, call.value)?;
            }
            if rule.amount_limit != 0 {
                let word = word_at(call.data, rule.amount_word).unwrap_or_default();
                add(rule.amount_limit, U256::from_be_bytes(word.0))?;
            }
        }
        Ok(amounts)
    }

    fn spend(&self, next: &mut Counters, period: u64, amounts: &[U256]) -> Result<(), Violation> {
        next.spent.resize(self.limits.len().max(next.spent.len()), Spend::default());
        for (index, (amount, limit)) in amounts.iter().zip(&self.limits).enumerate() {
            if amount.is_zero() {
                continue;
            }
            let exceeded = Violation::SpendLimitExceeded { limit: index, amount: *amount };
            next.spent[index] = next.spent[index].add(period, *amount, limit).ok_or(exceeded)?;
        }
        Ok(())
    }

    /// First and last second in which an operation of `period` is valid; `None` if the session has no such period.
    pub fn window(&self, period: u64) -> Option<(u64, u64)> {
        if self.period == 0 {
            return (period == 0).then_some((self.valid_after, self.valid_until));
        }
        let start = u128::from(self.valid_after) + u128::from(period) * u128::from(self.period);
        let start = u64::try_from(start).ok().filter(|start| *start <= self.valid_until)?;
        Some((start, (start + self.period - 1).min(self.valid_until)))
    }

    /// The period that an operation of this second is to claim: the one that it lies in, or the next one if that begins
    /// before an operation of this one could be mined. Bundlers refuse what is over within [`MINED_WITHIN`], and hold what
    /// is not valid for so long yet.
    pub fn period_for(&self, time: u64) -> Option<u64> {
        let period = self.period_at(time)?;
        let ends = |(_, last): (u64, u64)| last < time.saturating_add(MINED_WITHIN);
        let next = self.window(period + 1).filter(|(_, last)| *last >= time.saturating_add(MINED_WITHIN));
        Some(if self.window(period).is_some_and(ends) && next.is_some() { period + 1 } else { period })
    }

    /// The period that this second lies in, if the session is valid then.
    pub fn period_at(&self, time: u64) -> Option<u64> {
        if time < self.valid_after || time > self.valid_until {
            return None;
        }
        Some((time - self.valid_after).checked_div(self.period).unwrap_or(0))
    }
}

impl Spend {
    /// With `amount` more in `period`, if both limits still hold and the period is not past.
    pub fn add(self, period: u64, amount: U256, limit: &SpendLimit) -> Option<Self> {
        if period < self.period {
            return None;
        }
        let before = if period == self.period { self.in_period } else { 0 };
        let amount = u128::try_from(amount).ok()?;
        let (in_period, total) = (before.checked_add(amount)?, self.total.checked_add(amount)?);
        (in_period <= limit.per_period && total <= limit.total).then_some(Self { period, in_period, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_at_the_end_of_a_period_claims_the_next_and_at_the_end_of_the_session_the_last() {
        let policy = Policy {
            key: PublicKey::Address(Address::repeat_byte(9)),
            valid_after: 1_000,
            valid_until: 1_000 + 150,
            period: 60,
            max_uses: None,
            epoch: 0,
            salt: U256::ZERO,
            paymaster: None,
            gas_budget: 0,
            limits: vec![],
            calls: vec![],
            vouchers: vec![],
        };
        let at = |second: u64| policy.period_for(1_000 + second);
        assert_eq!([0, 47].map(at), [Some(0); 2]);
        assert_eq!([48, 59, 60, 107].map(at), [Some(1); 4], "from 12 seconds before its first on");
        assert_eq!([108, 119, 138, 150].map(at), [Some(2); 4]);
        assert_eq!(at(151), None);
        let whole = Policy { period: 0, ..policy.clone() };
        assert_eq!([0, 150].map(|second| whole.period_for(1_000 + second)), [Some(0); 2]);
        // The last period is cut short by the session's end: what could not be mined in it is left to the one before.
        let cut = Policy { valid_until: 1_000 + 125, ..policy };
        assert_eq!([113, 114].map(|second| cut.period_for(1_000 + second)), [Some(2), Some(1)]);
    }
}
