//! What executing an operation may take beside its limits, and the room that they must leave for it.
//!
//! An account may do one thing when it is proven and another when it is mined. What it does in its own frame is under a
//! limit; what the EntryPoint does about it is not:
//!
//! | | in the frame of `innerHandleOp` | outside of it |
//! |---|---|---|
//! | every version | 2,048 bytes of the call's revert data are copied and logged | the call to itself is encoded |
//! | a context | it is copied, and encoded for `postOp` | |
//! | v0.6, `postOp` reverts | | the context is encoded once more, `postOp` is called again |
//! | v0.7 and later, `postOp` reverts | its reason is copied twice | the reason is logged |
//!
//! In v0.6 an operation that comes to cost more than it has paid for reverts the bundle (AA51): its limits must leave
//! [`beside`] free, whatever the price. Later EntryPoints take all that was paid for and go on: there the bundle is short of
//! it, and what was paid must cover it at the price of the day. The numbers are those of the real bytecode at its worst;
//! the tests below hold each against it from both sides.

use alloy::primitives::U256;
use erc4337::{EntryPointVersion, UserOperation};

use crate::{Rejection, evm::Trace};

#[cfg(test)]
mod tests;

/// Gas by which validation must stay below each of its limits (`VALIDATION_GAS_SLACK` of ERC-7562).
pub(crate) const VALIDATION_GAS_SLACK: u128 = 4_000;

/// Words that an operation has beside its bytes, at the most.
const FIELDS: usize = 20;

/// Gas that executing may take beyond call and `postOp`, and beyond what `preVerificationGas` pays for, if the paymaster
/// returned a context of so many bytes.
pub(crate) fn beside(op: &UserOperation, version: EntryPointVersion, context: usize) -> u128 {
    use EntryPointVersion::{V0_6, V0_7, V0_8, V0_9};
    let paymaster = op.paymaster.as_ref().map_or(0, |_| op.paymaster_and_data(version).len());
    let bytes = op.call_data.len() + op.init_code().len() + paymaster + op.signature.len();
    // What is copied lies behind these in memory, which costs the more the longer it is.
    let words = (bytes.div_ceil(32) + FIELDS) as u128;
    let bytes = context as u128;
    match (version, context) {
        (V0_6, 0) => 24_700 + words * 5 / 9,
        (V0_7, 0) => 24_700 + words * 9 / 4,
        (V0_8 | V0_9, 0) => 20_650 + words * 9 / 4,
        (V0_6, _) => 30_000 + 7 * bytes + 17 * words,
        (V0_7, _) => 54_500 + 9 * bytes / 2 + 6 * words,
        (V0_8 | V0_9, _) => 42_500 + bytes / 2 + 6 * words,
    }
}

/// Gas outside of what is metered for a context of so many bytes: it is encoded for the EntryPoint's call to itself.
pub(crate) fn unmetered_context(version: EntryPointVersion, context: usize) -> u128 {
    let bytes = context as u128;
    match version {
        EntryPointVersion::V0_6 | EntryPointVersion::V0_7 => bytes * 13 / 5,
        EntryPointVersion::V0_8 | EntryPointVersion::V0_9 => bytes.div_ceil(3),
    }
}

/// Gas that validating one operation used, by the EntryPoint's own readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metered {
    /// What is held against `verificationGasLimit` (AA26, AA40).
    pub(crate) account: u128,
    /// What is held against `paymasterVerificationGasLimit` (AA36).
    pub(crate) paymaster: u128,
    /// What the operation is charged for.
    pub(crate) charged: u128,
}

impl Metered {
    /// Of each operation of a bundle; none if validation was not seen to its end.
    pub(crate) fn of<'a>(
        trace: &Trace,
        operations: impl IntoIterator<Item = &'a UserOperation>,
        version: EntryPointVersion,
    ) -> Option<Vec<Self>> {
        trace.validation_frames?;
        let mut readings = trace.gas_readings.iter().map(|reading| u128::from(reading.remaining));
        let mut next = || readings.next();
        operations
            .into_iter()
            .map(|op| {
                let begun = next()?;
                let (account, paymaster, ended) = if version == EntryPointVersion::V0_6 {
                    // Of the account's part there are two more, that only the paymaster's limit is told from.
                    let (_, _, checked, ended) = (next()?, next()?, next()?, next()?);
                    (begun.saturating_sub(checked), 0, ended)
                } else {
                    let account = begun.saturating_sub(next()?);
                    let paymaster = if op.paymaster.is_some() { next()?.saturating_sub(next()?) } else { 0 };
                    (account, paymaster, next()?)
                };
                Some(Self { account, paymaster, charged: begun.saturating_sub(ended) })
            })
            .collect()
    }

    /// Refuses limits that validation has come too close to (LIM-030), or that leave no room for what execution may take
    /// beside them: in v0.6 at any price, else at this one (wei per gas).
    ///
    /// # Errors
    /// The field that is too low, and what would do.
    pub(crate) fn check(
        self,
        op: &UserOperation,
        version: EntryPointVersion,
        context: usize,
        price: u128,
    ) -> Result<(), Rejection> {
        if let Some(paymaster) = op.paymaster.as_ref().filter(|_| version.is_packed()) {
            let required = self.paymaster.saturating_add(VALIDATION_GAS_SLACK);
            at_least("paymasterVerificationGasLimit", paymaster.verification_gas_limit, required)?;
        }
        let missing = if version == EntryPointVersion::V0_6 {
            // The slack is for the company in a bundle, and is not to be at execution's cost.
            let charged = self.charged.saturating_add(VALIDATION_GAS_SLACK);
            Self { charged, ..self }.missing_v06(op, context)
        } else {
            let worst = self.worst(op, version, context);
            short(op.max_gas(version), op.max_fee_per_gas, worst, price)
        };
        let limit = op.verification_gas_limit;
        let required = self.account.saturating_add(VALIDATION_GAS_SLACK).max(limit.saturating_add(missing));
        at_least("verificationGasLimit", limit, required)
    }

    /// Gas by which `verificationGasLimit` is too low in v0.6 for an operation not to come to cost more than it has paid
    /// for, whatever it does.
    pub(crate) fn missing_v06(self, op: &UserOperation, context: usize) -> u128 {
        let needed = self.charged.saturating_add(beside(op, EntryPointVersion::V0_6, context));
        let limit = op.verification_gas_limit;
        // Paid for is the limit three times if there is a paymaster; `postOp` may take it twice.
        let (left, times) = match (&op.paymaster, context) {
            (Some(_), 0) => (limit.saturating_mul(3), 3),
            _ => (limit, 1),
        };
        needed.saturating_sub(left).div_ceil(times)
    }

    /// Gas that the bundle spends on the operation at the most, its share of `preVerificationGas` with it.
    fn worst(self, op: &UserOperation, version: EntryPointVersion, context: usize) -> u128 {
        let post_op = op.paymaster.as_ref().filter(|_| context > 0).map_or(0, |it| it.post_op_gas_limit);
        [op.call_gas_limit, post_op, op.pre_verification_gas, beside(op, version, context)]
            .into_iter()
            .fold(self.charged, u128::saturating_add)
    }
}

/// Gas that `verificationGasLimit` lacks yet in an estimate for v0.7 and later that leaves [`VALIDATION_GAS_SLACK`] free of
/// each limit of validation, if this is the price (wei per gas).
pub(crate) fn estimated_room(op: &UserOperation, version: EntryPointVersion, context: usize, price: u128) -> u128 {
    let slack = if op.paymaster.is_some() { 2 * VALIDATION_GAS_SLACK } else { VALIDATION_GAS_SLACK };
    let paid = op.max_gas(version);
    let worst = paid.saturating_add(beside(op, version, context)).saturating_sub(slack);
    short(paid, op.max_fee_per_gas, worst, price)
}

/// Gas that must be paid for beside `paid`, at the operation's highest price, to cover `worst` at this price.
pub(crate) fn short(paid: u128, max_fee: u128, worst: u128, price: u128) -> u128 {
    let price = price.min(max_fee);
    let needed = (U256::from(worst) * U256::from(price)).div_ceil(U256::from(max_fee.max(1)));
    needed.saturating_to::<u128>().saturating_sub(paid)
}

pub(crate) fn at_least(field: &'static str, given: u128, required: u128) -> Result<(), Rejection> {
    if given < required { Err(Rejection::TooLow { field, given, required }) } else { Ok(()) }
}
