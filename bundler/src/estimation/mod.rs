//! Gas limits from measured frames.
//!
//! ```text
//!  request ──► ample run ──► limits from frames ──► run with exactly these ──► estimate
//!                                  ▲                         │ fails: the contract looks at its gas
//!                                  └── raise, then bisect ◄──┘
//! ```
//!
//! An operation that waits behind others of its sender is estimated on the state that they leave.
//!
//! What calls contracts that the chain's client executes itself is measured up to there, and its call by the node
//! ([`native`]).
//!
//! No search over RPC: one run measures, a second proves. Where a dummy signature is refused, two more show how far a good
//! one leads ([`Signatures`]). What the caller gives is kept where it would be taken, and raised where it would not; the
//! limits of call and `postOp` bound the run. What one estimate may simulate is bounded in gas, and done behind everything
//! else ([`world::behind`]).
//! Guarantee: what is estimated is admitted and executes, at any gas price up to the operation's own bound, as long as who
//! pays has what it has.

mod assets;
mod estimator;
mod finish;
mod funding;
mod measure;
mod native;
mod report;

use std::{cell::Cell, sync::Arc};

use alloy::{primitives::Address, rpc::types::state::StateOverride};
use erc4337::{UserOperation, UserOperationRequest};

use crate::{
    Config, Head, Rejection,
    admission::{counted, entry_point_version, first_reads, in_line, sequence_on_chain, state_after},
    evm::{Budget, Signatures, overlay},
    gas, work, world,
};
pub use assets::{Asset, AssetChange};
use estimator::Estimator;
use finish::{Finish, Given};
use funding::Funding;
use measure::Limits;

/// What `eth_estimateUserOperationGas` answers, in gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Paid for what the EntryPoint does not meter.
    pub pre_verification_gas: u128,
    /// Account creation and validation.
    pub verification_gas_limit: u128,
    /// The account's call.
    pub call_gas_limit: u128,
    /// Paymaster validation, v0.7 and later, with a paymaster only.
    pub paymaster_verification_gas_limit: Option<u128>,
    /// Paymaster postOp, v0.7 and later, with a paymaster only.
    pub paymaster_post_op_gas_limit: Option<u128>,
}

/// Estimates every limit that the request leaves open. `pending` tells what of the operation's nonce key is pending;
/// it is asked only if the nonce is ahead of the chain's.
///
/// # Errors
/// If validation fails for another reason than the signature, or the call reverts.
pub(crate) async fn estimate(
    request: UserOperationRequest,
    entry_point: Address,
    overrides: StateOverride,
    config: &Config,
    head: &Head,
    bundler: Address,
    pending: impl AsyncFnOnce(&UserOperation) -> Result<Vec<Arc<UserOperation>>, Rejection>,
) -> Result<Estimate, Rejection> {
    let version = entry_point_version(config, entry_point)?;
    let (op, open, bid) = opened(&request, entry_point, config, head, bundler).await?;
    let given = Given::of(&request);
    let finish = Finish { given, bid, priority_fee: op.max_priority_fee_per_gas, rules: config.rules.clone() };
    let run = move |estimator: &Estimator, op| finish.run(estimator, op);
    let op = on_pending(op, open, entry_point, overrides, config, head, bundler, pending, run).await?;
    let own = op.paymaster.as_ref().filter(|_| version.is_packed());
    Ok(Estimate {
        pre_verification_gas: op.pre_verification_gas,
        verification_gas_limit: op.verification_gas_limit,
        call_gas_limit: op.call_gas_limit,
        paymaster_verification_gas_limit: own.map(|paymaster| paymaster.verification_gas_limit),
        paymaster_post_op_gas_limit: own.map(|paymaster| paymaster.post_op_gas_limit),
    })
}

/// What the operation does to what its sender has, run with the limits that it is found to need.
///
/// # Errors
/// As [`estimate`]; and where only the chain's client can run its call.
pub(crate) async fn asset_changes(
    request: UserOperationRequest,
    entry_point: Address,
    config: &Config,
    head: &Head,
    bundler: Address,
    pending: impl AsyncFnOnce(&UserOperation) -> Result<Vec<Arc<UserOperation>>, Rejection>,
) -> Result<Vec<AssetChange>, Rejection> {
    let (op, open, _) = opened(&request, entry_point, config, head, bundler).await?;
    let overrides = StateOverride::default();
    let run = |estimator: &Estimator, op| estimator.asset_changes(op);
    on_pending(op, open, entry_point, overrides, config, head, bundler, pending, run).await
}

/// The operation as it is run for an estimate, what of it is open, and whether the caller said what it bids.
async fn opened(
    request: &UserOperationRequest,
    entry_point: Address,
    config: &Config,
    head: &Head,
    bundler: Address,
) -> Result<(UserOperation, Open, bool), Rejection> {
    let version = entry_point_version(config, entry_point)?;
    within_bounds(request, config)?;
    let mut op = request.clone().with_open_fields_zero();
    head.view.prefetch(&first_reads(&op, entry_point, bundler)).await?;

    // Any price will do, but none at all would hide what paying costs.
    let bid = op.max_fee_per_gas != 0;
    if !bid {
        op.max_fee_per_gas = head.fees.base_fee * 2 + head.fees.priority_fee;
    }
    // Whatever was given may be too little: it is held against what is needed at the end.
    op.pre_verification_gas = 0;
    op.pre_verification_gas = gas::estimated_pre_verification_gas(&op, version, head);
    Ok((op, Open::of(request), bid))
}

/// Runs a whole operation with exactly its own limits, as if whoever pays could and all signatures were good.
///
/// # Errors
/// If validation, the call or postOp fails.
pub(crate) async fn rehearse(
    op: UserOperation,
    entry_point: Address,
    config: &Config,
    head: &Head,
    bundler: Address,
    pending: impl AsyncFnOnce(&UserOperation) -> Result<Vec<Arc<UserOperation>>, Rejection>,
) -> Result<(), Rejection> {
    entry_point_version(config, entry_point)?;
    head.view.prefetch(&first_reads(&op, entry_point, bundler)).await?;
    let overrides = StateOverride::default();
    let run = |estimator: &Estimator, op| estimator.rehearse(op);
    on_pending(op, Open::NOTHING, entry_point, overrides, config, head, bundler, pending, run).await
}

/// Hands the operation to `run`, on the state that what is pending before it leaves.
#[allow(clippy::too_many_arguments, reason = "two callers, one after the other in this file")]
async fn on_pending<T: Send + 'static>(
    mut op: UserOperation,
    open: Open,
    entry_point: Address,
    overrides: StateOverride,
    config: &Config,
    head: &Head,
    bundler: Address,
    pending: impl AsyncFnOnce(&UserOperation) -> Result<Vec<Arc<UserOperation>>, Rejection>,
    run: impl FnOnce(&Estimator, UserOperation) -> Result<T, Rejection> + Send + 'static,
) -> Result<T, Rejection> {
    let version = entry_point_version(config, entry_point)?;
    // The price is then the operation's own bound: what can be paid for at the bound can be at any price.
    op.max_priority_fee_per_gas = op.max_fee_per_gas;
    let next = sequence_on_chain(&op, entry_point, &head.view).unwrap_or(op.nonce_sequence());
    let ahead = if next < op.nonce_sequence() { in_line(&op, next, &pending(&op).await?) } else { Vec::new() };
    let mut estimator = Estimator {
        entry_point,
        version,
        chain: config.chain.clone(),
        max_verification_gas: config.most_verification_gas(),
        bundler,
        before: StateOverride::default(),
        overrides,
        head: head.clone(),
        next: head.block.next(&config.chain, world::unix()),
        open,
        spent: Cell::new(0),
        signatures: Cell::new(Signatures::Trusted),
        seen_through: Cell::new(false),
        funding: Cell::new(Funding::Given),
    };
    let done = world::behind(move || {
        let done = estimator.place_behind(&ahead, &op).and_then(|()| run(&estimator, op));
        (done, estimator.spent.get())
    });
    let (done, simulated) = done.await.map_err(|_| Rejection::Internal("an estimate was cut short"))?;
    work::add(simulated);
    done
}

impl Estimator {
    /// Begins on the state that these leave, which go before `op`.
    fn place_behind(&mut self, ahead: &[Arc<UserOperation>], op: &UserOperation) -> Result<(), Rejection> {
        if ahead.is_empty() {
            return Ok(());
        }
        let Self { chain, head, before, next, entry_point, version, bundler, .. } = self;
        let after = state_after(ahead, *entry_point, *version, chain, *bundler, head, *next, Budget::EXECUTION)?;
        // Should one of them fail, this one has but its nonce to count on.
        let (state, first) = after.unwrap_or_else(|| (counted(op, *entry_point), *next));
        overlay(before, state);
        *next = first;
        Ok(())
    }
}

/// Limits that the caller sets must be ones that an operation can be sent with.
fn within_bounds(request: &UserOperationRequest, config: &Config) -> Result<(), Rejection> {
    let paymaster = request.paymaster.as_ref();
    let transaction = u128::from(config.chain.max_transaction_gas);
    for (field, given, limit) in [
        ("verificationGasLimit", request.verification_gas_limit, config.most_verification_gas()),
        ("callGasLimit", request.call_gas_limit, transaction),
        (
            "paymasterVerificationGasLimit",
            paymaster.and_then(|paymaster| paymaster.verification_gas_limit),
            config.most_verification_gas(),
        ),
        ("paymasterPostOpGasLimit", paymaster.and_then(|paymaster| paymaster.post_op_gas_limit), transaction),
        ("preVerificationGas", request.pre_verification_gas, transaction),
    ] {
        if let Some(given) = given.filter(|given| *given > limit) {
            return Err(Rejection::TooHigh { field, given, limit });
        }
    }
    Ok(())
}

/// Which limits are for us to find. Those of validation always are: one that a caller gives, and that would be refused,
/// is raised to what is taken.
#[derive(Clone, Copy, Debug)]
struct Open {
    verification: bool,
    call: bool,
    paymaster_verification: bool,
    post_op: bool,
}

impl Open {
    /// All limits are the caller's.
    const NOTHING: Self = Self { verification: false, call: false, paymaster_verification: false, post_op: false };

    fn of(request: &UserOperationRequest) -> Self {
        let open = |limit: Option<u128>| limit.is_none_or(|limit| limit == 0);
        let paymaster = request.paymaster.as_ref();
        Self {
            verification: true,
            call: open(request.call_gas_limit),
            paymaster_verification: true,
            post_op: open(paymaster.and_then(|paymaster| paymaster.post_op_gas_limit)),
        }
    }

    /// Sets the open limits of `op`.
    fn apply(self, limits: Limits, op: &mut UserOperation) {
        let set = |open: bool, limit: &mut u128, value: u128| {
            if open {
                *limit = value;
            }
        };
        set(self.verification, &mut op.verification_gas_limit, limits.verification);
        set(self.call, &mut op.call_gas_limit, limits.call);
        if let Some(paymaster) = &mut op.paymaster {
            set(self.paymaster_verification, &mut paymaster.verification_gas_limit, limits.paymaster_verification);
            set(self.post_op, &mut paymaster.post_op_gas_limit, limits.post_op);
        }
    }
}
