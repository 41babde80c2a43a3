//! From limits that work to ones that are admitted: room for prices to move, and what the caller gave.

use erc4337::{UserOperation, UserOperationRequest};

use super::estimator::{Estimated, Estimator};
use crate::{
    Rejection, bounds, gas,
    rules::{self, RuleConfig},
};

/// Per cent of the base fee that an estimate holds at: it may rise until the operation is sent.
const RISEN: u128 = 125;

/// What the caller gave of what admission asks for a least value of; 0 where it left that to us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pre_verification_gas: u128,
    verification: u128,
    paymaster_verification: u128,
}

impl Given {
    pub(super) fn of(request: &UserOperationRequest) -> Self {
        let paymaster = request.paymaster.as_ref();
        Self {
            pre_verification_gas: request.pre_verification_gas.unwrap_or(0),
            verification: request.verification_gas_limit.unwrap_or(0),
            paymaster_verification: paymaster.and_then(|it| it.verification_gas_limit).unwrap_or(0),
        }
    }
}

/// How an estimate ends.
#[derive(Clone, Debug)]
pub(super) struct Finish {
    pub(super) given: Given,
    /// Whether the caller said what it bids.
    pub(super) bid: bool,
    /// What it said.
    pub(super) priority_fee: u128,
    pub(super) rules: RuleConfig,
}

impl Finish {
    /// Estimates: the operation as it will be admitted.
    ///
    /// # Errors
    /// As [`super::estimate`].
    pub(super) fn run(&self, estimator: &Estimator, op: UserOperation) -> Result<UserOperation, Rejection> {
        let Estimated { mut op, context } = estimator.run(op)?;
        let (version, head) = (estimator.version, &estimator.head);
        // At the price that will be paid; if that is not known, at the operation's bound.
        if self.bid {
            op.max_priority_fee_per_gas = self.priority_fee;
        }
        op.verification_gas_limit = op.verification_gas_limit.max(self.given.verification);
        if let Some(paymaster) = op.paymaster.as_mut().filter(|_| version.is_packed()) {
            paymaster.verification_gas_limit = paymaster.verification_gas_limit.max(self.given.paymaster_verification);
        }
        if version.is_packed() {
            let risen = head.fees.base_fee.saturating_mul(RISEN).div_ceil(100);
            op.verification_gas_limit += bounds::estimated_room(&op, version, context, op.effective_gas_price(risen));
        }
        // The operator of the chain charges for gas, of which the limits are known now.
        op.max_priority_fee_per_gas = self.priority_fee;
        op.pre_verification_gas = self.given.pre_verification_gas;
        let beside = bounds::unmetered_context(version, context);
        let least = (gas::pre_verification_gas(&op, version, head) + beside).max(rules::least_pre_verification_gas(
            &op,
            version,
            &self.rules,
        ));
        if op.pre_verification_gas < least {
            op.pre_verification_gas = 0;
            op.pre_verification_gas = (gas::estimated_pre_verification_gas(&op, version, head) + beside).max(least);
        }
        if self.bid {
            estimator.afford(&op)?;
        }
        Ok(op)
    }
}
