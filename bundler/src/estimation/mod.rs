//! Gas limits from measured frames.
//!
//! ```text
//!  request ──► ample run ──► limits from frames ──► run with exactly these ──► estimate
//!                                  ▲                         │ fails: the contract looks at its gas
//!                                  └────── raise ◄───────────┘
//! ```
//!
//! No search over RPC: one run measures, a second proves. A field that the caller set is never changed.
//! Guarantee: what is estimated is admitted and executes, at any gas price up to the operation's own bound.

mod funding;
mod measure;

use alloy::{
    primitives::{Address, U256},
    rpc::types::state::StateOverride,
    sol_types::SolEvent,
};
use erc4337::{
    ChainPreset, EntryPointVersion, UserOperation, UserOperationRequest,
    abi::entry_point_v08::{UserOperationEvent, UserOperationPrefundTooLow},
    revert::Reason,
};

use crate::{
    Config, Head, Rejection,
    admission::{blocking, entry_point_version, first_reads, reject_revert},
    evm::{Budget, Ending, HandleOps, Run, StopAt},
    gas,
    head::unix_now,
};
use measure::Limits;

/// Gas of an ample run's call: more than a transaction may have.
const AMPLE_CALL_GAS: u128 = 20_000_000;
/// Gas of an ample run's postOp.
const AMPLE_POST_OP_GAS: u128 = 3_000_000;
/// Attempts to find limits for a contract that looks at its gas; each raises them by a quarter.
const ATTEMPTS: usize = 16;

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

/// Estimates every limit that the request leaves open.
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
) -> Result<Estimate, Rejection> {
    let version = entry_point_version(config, entry_point)?;
    within_bounds(&request, config)?;
    let open = Open::of(&request);
    let mut op = request.with_open_fields_zero();
    head.view.prefetch(&first_reads(&op, entry_point, bundler)).await?;

    // Any price will do, but none at all would hide what paying costs.
    if op.max_fee_per_gas == 0 {
        op.max_fee_per_gas = head.fees.base_fee * 2 + head.fees.priority_fee;
    }
    if open.pre_verification_gas {
        op.pre_verification_gas = gas::estimated_pre_verification_gas(&op, version, head);
    }
    // The price is then the operation's own bound: what can be paid for at the bound can be at any price.
    op.max_priority_fee_per_gas = op.max_fee_per_gas;
    let estimator = Estimator {
        entry_point,
        version,
        chain: config.chain.clone(),
        max_verification_gas: config.max_verification_gas,
        bundler,
        overrides,
        head: head.clone(),
        open,
    };
    let op = blocking(move || estimator.run(op)).await??;
    let own = op.paymaster.as_ref().filter(|_| version.is_packed());
    Ok(Estimate {
        pre_verification_gas: op.pre_verification_gas,
        verification_gas_limit: op.verification_gas_limit,
        call_gas_limit: op.call_gas_limit,
        paymaster_verification_gas_limit: own.map(|paymaster| paymaster.verification_gas_limit),
        paymaster_post_op_gas_limit: own.map(|paymaster| paymaster.post_op_gas_limit),
    })
}

/// Limits that the caller sets are kept, so they must be ones that an operation can be sent with: they bound the run.
fn within_bounds(request: &UserOperationRequest, config: &Config) -> Result<(), Rejection> {
    let paymaster = request.paymaster.as_ref();
    let transaction = u128::from(config.chain.max_transaction_gas);
    for (field, given, limit) in [
        ("verificationGasLimit", request.verification_gas_limit, config.max_verification_gas),
        ("callGasLimit", request.call_gas_limit, transaction),
        (
            "paymasterVerificationGasLimit",
            paymaster.and_then(|paymaster| paymaster.verification_gas_limit),
            config.max_verification_gas,
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

/// Which limits the caller left to us.
#[derive(Clone, Copy, Debug)]
struct Open {
    pre_verification_gas: bool,
    verification: bool,
    call: bool,
    paymaster_verification: bool,
    post_op: bool,
}

impl Open {
    fn of(request: &UserOperationRequest) -> Self {
        let open = |limit: Option<u128>| limit.is_none_or(|limit| limit == 0);
        let paymaster = request.paymaster.as_ref();
        Self {
            pre_verification_gas: open(request.pre_verification_gas),
            verification: open(request.verification_gas_limit),
            call: open(request.call_gas_limit),
            paymaster_verification: open(paymaster.and_then(|paymaster| paymaster.verification_gas_limit)),
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

struct Estimator {
    entry_point: Address,
    version: EntryPointVersion,
    chain: ChainPreset,
    max_verification_gas: u128,
    bundler: Address,
    overrides: StateOverride,
    head: Head,
    open: Open,
}

impl Estimator {
    /// The operation with its open limits filled in.
    fn run(&self, mut op: UserOperation) -> Result<UserOperation, Rejection> {
        let ample = Limits {
            verification: self.max_verification_gas,
            call: AMPLE_CALL_GAS,
            paymaster_verification: self.max_verification_gas,
            post_op: AMPLE_POST_OP_GAS,
        };
        self.open.apply(ample, &mut op);
        let run = self.simulate(&op)?;
        self.refuse_failure(&run, &op)?;

        let mut limits = measure::limits(&run.trace, &op, self.entry_point, self.version).with_room_for_signatures();
        if self.version == EntryPointVersion::V0_6 {
            // v0.6 charges no penalty, so this run's charge is already exact: the limits must add up to it (AA51).
            let charged = event(&run).map_or(0, |event| event.actualGasUsed.to());
            self.open.apply(limits, &mut op);
            limits.verification += u128::saturating_sub(charged, op.max_gas(self.version));
        }
        for _ in 0..ATTEMPTS {
            self.open.apply(limits, &mut op);
            let run = self.simulate(&op)?;
            if let Some(charged) = prefund_too_low(&run) {
                // What the EntryPoint spends itself is under no limit of its own; no penalty falls on this one.
                limits.verification += charged.saturating_sub(op.max_gas(self.version)).max(1);
            } else if succeeded(&run) {
                return Ok(op);
            } else {
                limits = limits.raised(self.which_to_raise(&run), ample);
            }
        }
        self.open.apply(ample, &mut op);
        Ok(op)
    }

    fn simulate(&self, op: &UserOperation) -> Result<Run, Rejection> {
        let mut overrides = self.overrides.clone();
        funding::as_if_funded(op, self.entry_point, self.version, &self.head.view, &mut overrides);
        Ok(HandleOps {
            version: self.version,
            entry_point: self.entry_point,
            chain: &self.chain,
            operations: &[op],
            bundler: self.bundler,
            gas_limit: u64::try_from(gas::bundle_gas_limit([op], self.version)).unwrap_or(u64::MAX),
            stop_at: StopAt::End,
            trust_signatures: true,
            overrides: &overrides,
            now: unix_now(),
            budget: Budget::EXECUTION,
        }
        .run(&self.head.view, &self.head.block)?)
    }

    fn refuse_failure(&self, run: &Run, op: &UserOperation) -> Result<(), Rejection> {
        match &run.ending {
            Ending::Reverted(data) => return Err(reject_revert(data, op, None, None)),
            Ending::Halted(reason) => {
                return Err(Rejection::EntryPoint { message: format!("simulation halted: {reason:?}") });
            }
            Ending::Completed(_) => {}
        }
        let frames = measure::Frames::find(&run.trace, op, self.entry_point, self.version);
        if let Some(call) = frames.call.filter(|call| !call.success) {
            let reason = if call.out_of_gas { "out of gas".into() } else { Reason(&call.output).to_string() };
            return Err(Rejection::ExecutionReverted { reason, data: call.output.clone() });
        }
        if let (Some(post_op), Some(paymaster)) =
            (frames.post_op.filter(|post_op| !post_op.success), op.paymaster_address())
        {
            let message = format!("postOp reverted: {}", Reason(&post_op.output));
            return Err(Rejection::Paymaster { paymaster, message });
        }
        Ok(())
    }

    fn which_to_raise(&self, run: &Run) -> measure::Part {
        match (&run.ending, run.trace.validation_frames) {
            (_, None) => measure::Part::Validation,
            _ => measure::Part::Execution,
        }
    }
}

fn event(run: &Run) -> Option<UserOperationEvent> {
    let Ending::Completed(logs) = &run.ending else { return None };
    logs.iter().find_map(|log| UserOperationEvent::decode_log(log).ok()).map(|log| log.data)
}

fn succeeded(run: &Run) -> bool {
    event(run).is_some_and(|event| event.success)
}

/// The gas charged, if it was more than the limits add up to (v0.7 and later).
fn prefund_too_low(run: &Run) -> Option<u128> {
    let Ending::Completed(logs) = &run.ending else { return None };
    logs.iter().any(|log| log.topics().first() == Some(&UserOperationPrefundTooLow::SIGNATURE_HASH)).then_some(())?;
    let used: U256 = event(run)?.actualGasUsed;
    u128::try_from(used).ok()
}
