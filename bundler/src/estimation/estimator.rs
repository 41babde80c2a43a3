//! Runs an operation until its limits are known and proven.

use std::cell::Cell;

use alloy::{
    primitives::{Address, U256},
    rpc::types::state::StateOverride,
    sol_types::SolEvent,
};
use erc4337::{
    ChainPreset, EntryPointVersion, UserOperation,
    abi::entry_point_v08::{UserOperationEvent, UserOperationPrefundTooLow},
    revert::EntryPointRevert,
};

use super::{
    Open,
    funding::{self, Funding, Wallet},
    measure::{self, Frames, Limits, Part},
    native::NativeCall,
    report::refuse_failure,
};
use crate::{
    Head, Rejection,
    admission::later,
    evm::{Budget, Ending, HandleOps, NextBlock, Run, Signatures, SimulationError, StopAt, overlay},
    gas, rules,
};

/// Gas of an ample run's call: more than a transaction may have.
const AMPLE_CALL_GAS: u128 = 20_000_000;
/// Gas of an ample run's postOp.
const AMPLE_POST_OP_GAS: u128 = 3_000_000;
/// Times that limits are doubled for a contract that looks at its gas; then it is given all there is.
const RAISES: usize = 12;
/// Parts that may come to be given all there is, one after the other, and the run that shows that it is enough.
const PARTS: usize = 5;
/// Gas that is simulated to find closer limits, in transactions of the largest size, what is measured and proven first
/// counted in. Beyond it limits are as wide as they are known to work.
const TRANSACTIONS: u64 = 4;

pub(super) struct Estimator {
    pub(super) entry_point: Address,
    pub(super) version: EntryPointVersion,
    pub(super) chain: ChainPreset,
    pub(super) max_verification_gas: u128,
    pub(super) bundler: Address,
    /// What operations that go before it leave behind.
    pub(super) before: StateOverride,
    /// What the caller wants to be pretended.
    pub(super) overrides: StateOverride,
    pub(super) head: Head,
    /// The block that it may be in first.
    pub(super) next: NextBlock,
    pub(super) open: Open,
    /// Gas that was simulated so far.
    pub(super) spent: Cell<u64>,
    /// What is done about signatures: whatever leads farthest.
    pub(super) signatures: Cell<Signatures>,
    /// Whether the dummy was refused, and a run seen in which all checks of signatures passed.
    pub(super) seen_through: Cell<bool>,
    /// Who pays what the operation costs at most.
    pub(super) funding: Cell<Funding>,
}

/// Ways to make checks of signatures pass: by what is known of a signer, a flag or a weight.
const FORCED: [Signatures; 2] = [Signatures::Forced { known: 1 }, Signatures::Forced { known: 100 }];
/// Gas that it takes an account to pay its prefund, should no run show it: a call with value, to a deposit that is new.
const PAYING: u128 = 45_000;

/// What a run with ample limits shows.
struct Measured {
    limits: Limits,
    /// The account's call, if only the node can tell what that needs.
    native: Option<NativeCall>,
    /// Bytes of the paymaster's context.
    context: usize,
}

/// An operation with its open limits filled in.
pub(super) struct Estimated {
    pub(super) op: UserOperation,
    /// Bytes of the paymaster's context.
    pub(super) context: usize,
}

impl Estimator {
    /// The operation with its open limits filled in.
    pub(super) fn run(&self, mut op: UserOperation) -> Result<Estimated, Rejection> {
        let mut ample = Limits {
            verification: self.max_verification_gas,
            call: AMPLE_CALL_GAS,
            paymaster_verification: self.max_verification_gas,
            post_op: AMPLE_POST_OP_GAS,
        };
        let Measured { limits: mut measured, native, mut context } = self.measure(&mut op, ample)?;
        if let Some(call) = native {
            let found = self.prove(&mut op, measured, ample)?;
            let found = self.with_the_nodes_limit(&mut op, found, &call)?;
            return self.within_a_transaction(op, found, context);
        }
        let excess = self.excess(&op, measured);
        if excess > 0 && self.open.call {
            // More than a transaction may have. A contract that takes whatever it is given does with less.
            ample.call = measured.call.saturating_sub(excess);
            let needed = measured.call;
            Measured { limits: measured, context, .. } =
                self.measure(&mut op, ample).map_err(|rejection| match rejection {
                    Rejection::ExecutionReverted { .. } => {
                        Rejection::TooHigh { field: "callGasLimit", given: needed, limit: ample.call }
                    }
                    other => other,
                })?;
        }
        let found = self.prove(&mut op, measured, ample)?;
        self.within_a_transaction(op, found, context)
    }

    /// The operation with these limits and what is asked for beside them, if a transaction may have so much.
    fn within_a_transaction(
        &self,
        mut op: UserOperation,
        found: Limits,
        context: usize,
    ) -> Result<Estimated, Rejection> {
        let found = found.with_slack(&op, self.version, context);
        self.open.apply(found, &mut op);
        match self.excess(&op, found) {
            0 => Ok(Estimated { op, context }),
            excess => {
                let (given, limit) = (op.call_gas_limit, op.call_gas_limit.saturating_sub(excess));
                Err(Rejection::TooHigh { field: "callGasLimit", given, limit })
            }
        }
    }

    /// Runs the operation as it is.
    pub(super) fn rehearse(&self, op: UserOperation) -> Result<(), Rejection> {
        let run = self.simulate(&op)?;
        match self.native_call(&run, &op)? {
            Some(call) => self.run_on_the_node(&op, &call),
            None => refuse_failure(&run, &op, &self.frames(&run, &op)),
        }
    }

    /// What a run with `ample` limits shows.
    fn measure(&self, op: &mut UserOperation, ample: Limits) -> Result<Measured, Rejection> {
        self.open.apply(ample, op);
        let run = self.simulate_the_longest_way(op)?;
        let native = self.native_call(&run, op)?;
        if native.is_none() {
            refuse_failure(&run, op, &self.frames(&run, op))?;
        }
        let limits = self.limits(&run, op);
        let mut limits = if self.seen_through.get() {
            limits.with_room_for_another_way()
        } else {
            limits.with_room_for_signatures()
        };
        if self.funding.get() == Funding::Deposited {
            limits.verification += PAYING;
        }
        if self.version == EntryPointVersion::V0_6 {
            // v0.6 charges no penalty, so this run's charge is already exact: the limits must add up to it (AA51).
            let charged = event(&run).map_or(0, |event| event.actualGasUsed.to());
            self.open.apply(limits, op);
            limits.verification += u128::saturating_sub(charged, op.max_gas(self.version));
        }
        Ok(Measured { limits, native, context: rules::context_size(&run.trace).unwrap_or(0) })
    }

    /// Runs the operation with its dummy signatures, and if they were refused, with checks of signatures that pass in one
    /// way and in another: with a good signature validation goes on where it stopped, and takes more. What leads farthest
    /// is how all that follows is run.
    fn simulate_the_longest_way(&self, op: &UserOperation) -> Result<Run, Rejection> {
        let plain = self.simulate(op)?;
        let passed = |run: &Run| run.trace.validation_frames.is_some();
        if self.signatures.get() != Signatures::Trusted || passed(&plain) && !plain.trace.trusted {
            return Ok(plain);
        }
        let taken = |run: &Run| {
            let limits = self.limits(run, op);
            passed(run).then_some(limits.verification + limits.paymaster_verification)
        };
        let mut longest = (Signatures::Trusted, plain);
        for signatures in FORCED {
            self.signatures.set(signatures);
            // What cannot be run in this way shows nothing.
            let Ok(run) = self.simulate(op) else { continue };
            self.seen_through.set(self.seen_through.get() || passed(&run) && !run.trace.trusted);
            if taken(&run) > taken(&longest.1) {
                longest = (signatures, run);
            }
        }
        let (signatures, run) = longest;
        self.signatures.set(signatures);
        if run.trace.trusted && is_unpaid(&run) {
            // It pays once it knows the signature, and no way was found to show it one.
            self.funding.set(Funding::Deposited);
            return self.simulate(op);
        }
        Ok(run)
    }

    fn limits(&self, run: &Run, op: &UserOperation) -> Limits {
        measure::limits(&run.trace, op, self.entry_point, self.version)
    }

    /// Runs the finished operation with what its account has, if that is enough to pay for it: what is left for the call
    /// may be too little.
    ///
    /// # Errors
    /// If the call fails.
    pub(super) fn afford(&self, op: &UserOperation) -> Result<(), Rejection> {
        if op.paymaster.is_some() {
            return Ok(());
        }
        let mut state = self.before.clone();
        overlay(&mut state, self.overrides.clone());
        let Wallet { balance, deposit } = Wallet::of(op, self.entry_point, self.version, &self.head.view, &state);
        let prefund = op.required_prefund(self.version);
        if balance.saturating_add(deposit) < prefund {
            return Ok(());
        }
        self.funding.set(Funding::Own);
        let run = self.simulate(op)?;
        if self.is_native(&run) {
            return Ok(());
        }
        match refuse_failure(&run, op, &self.frames(&run, op)) {
            Err(Rejection::ExecutionReverted { reason, data, frame }) => {
                let taken = prefund.saturating_sub(deposit);
                let left = balance.saturating_sub(taken);
                let reason = format!(
                    "{reason}; of the account's {balance} wei up to {taken} pay for the operation first; {left} are left for the call"
                );
                Err(Rejection::ExecutionReverted { reason, data, frame })
            }
            // What pays only once it knows the signature may not have paid for a dummy's.
            _ => Ok(()),
        }
    }

    /// Gas by which a bundle of this operation, with these limits, would pass what a transaction may have.
    fn excess(&self, op: &UserOperation, limits: Limits) -> u128 {
        let mut op = op.clone();
        self.open.apply(limits, &mut op);
        let most = self.chain.max_transaction_gas.min(self.head.block.gas_limit);
        gas::bundle_gas_limit([&op], self.version).saturating_sub(u128::from(most))
    }

    /// Runs with exactly the limits that were measured. If that fails, raises what is too low until it does not, and
    /// then comes down again as far as it goes.
    fn prove(&self, op: &mut UserOperation, measured: Limits, ample: Limits) -> Result<Limits, Rejection> {
        let mut limits = measured;
        // For each part, the most that was seen to be too little.
        let mut too_little: Vec<(Part, Limits)> = Vec::new();
        for attempt in 0..RAISES + PARTS {
            self.open.apply(limits, op);
            let run = self.simulate(op)?;
            if let Some(charged) = prefund_too_low(&run) {
                // What the EntryPoint spends itself is under no limit of its own; no penalty falls on this one.
                limits.verification += charged.saturating_sub(op.max_gas(self.version)).max(1);
            } else if succeeded(&run) || self.is_native(&run) {
                for (part, low) in too_little.into_iter().rev() {
                    limits = self.bisect(op, part, low, limits)?;
                }
                return Ok(limits);
            } else {
                let part = self.which_to_raise(&run, op);
                let all = attempt >= RAISES || self.is_spent();
                let raised = if all { limits.given_all(part, ample) } else { limits.raised(part, ample) };
                if raised == limits {
                    // It failed with all that there is to give: say why.
                    refuse_failure(&run, op, &self.frames(&run, op))?;
                    break;
                }
                too_little.retain(|(other, _)| *other != part);
                too_little.push((part, limits));
                limits = raised;
            }
        }
        Err(Rejection::Unsteady)
    }

    /// Whether so much has been simulated that no closer limits are looked for.
    fn is_spent(&self) -> bool {
        self.spent.get() >= self.chain.max_transaction_gas.saturating_mul(TRANSACTIONS)
    }

    /// The least limits of one part that suffice, between `low` that do not and `high` that do.
    fn bisect(&self, op: &mut UserOperation, part: Part, low: Limits, high: Limits) -> Result<Limits, Rejection> {
        let (mut low, mut high) = (Limits { ..low }, high);
        while let Some(middle) = low.between(high, part).filter(|_| !self.is_spent()) {
            self.open.apply(middle, op);
            let run = self.simulate(op)?;
            if (succeeded(&run) || self.is_native(&run)) && prefund_too_low(&run).is_none() {
                high = middle;
            } else {
                low = middle;
            }
        }
        Ok(high)
    }

    fn simulate(&self, op: &UserOperation) -> Result<Run, Rejection> {
        let overrides = self.pretended(op);
        self.run_at_its_time(op, |next| {
            let operations = [op];
            let run = self.handle_ops(&operations, &overrides, StopAt::End, next);
            let run = run.run_or_tell(&self.head.view, &self.head.block);
            let simulated = run.as_ref().map_or_else(|unfinished| unfinished.simulated, |run| run.simulated);
            self.spent.set(self.spent.get().saturating_add(simulated));
            Ok((run.map_err(SimulationError::from)?, ()))
        })
        .map(|(run, ())| run)
    }

    /// Runs it in the next block, or if it is not valid there yet, in the first in which it is.
    fn run_at_its_time<T>(
        &self,
        op: &UserOperation,
        run_in: impl Fn(&NextBlock) -> Result<(Run, T), Rejection>,
    ) -> Result<(Run, T), Rejection> {
        let (run, rest) = run_in(&self.next)?;
        match later(&run, op, (self.entry_point, self.version), &self.next)? {
            Some(opens) => run_in(&self.next.not_before(opens)),
            None => Ok((run, rest)),
        }
    }

    /// The state on which the EntryPoint executes an operation that it has validated, with all that is pretended.
    pub(super) fn after_validation(&self, op: &UserOperation) -> Result<StateOverride, Rejection> {
        self.run_until(op, StopAt::Validation).map(|(_, state)| state)
    }

    /// A run up to there, and the state that it leaves.
    pub(super) fn run_until(&self, op: &UserOperation, stop_at: StopAt) -> Result<(Run, StateOverride), Rejection> {
        let mut state = self.pretended(op);
        let (run, changes) = self.run_at_its_time(op, |next| {
            let operations = [op];
            let run = self.handle_ops(&operations, &state, stop_at, next);
            Ok(run.run_and_keep(&self.head.view, &self.head.block).map_err(SimulationError::from)?)
        })?;
        overlay(&mut state, changes);
        Ok((run, state))
    }

    fn pretended(&self, op: &UserOperation) -> StateOverride {
        let before = self.before.clone();
        let (at, view) = ((self.entry_point, self.version), &self.head.view);
        funding::funded(self.funding.get(), op, at, view, before, &self.overrides)
    }

    fn handle_ops<'a>(
        &'a self,
        operations: &'a [&'a UserOperation],
        overrides: &'a StateOverride,
        stop_at: StopAt,
        next: &NextBlock,
    ) -> HandleOps<'a> {
        HandleOps {
            version: self.version,
            entry_point: self.entry_point,
            chain: &self.chain,
            operations,
            bundler: self.bundler,
            gas_limit: u64::try_from(gas::bundle_gas_limit(operations.iter().copied(), self.version))
                .unwrap_or(u64::MAX),
            priority_fee: 0,
            stop_at,
            signatures: self.signatures.get(),
            overrides,
            at: next.first(),
            budget: Budget::EXECUTION,
        }
    }

    pub(super) fn frames<'a>(&self, run: &'a Run, op: &UserOperation) -> Frames<'a> {
        Frames::find(&run.trace, op, self.entry_point, self.version)
    }

    fn which_to_raise(&self, run: &Run, op: &UserOperation) -> Part {
        let frames = self.frames(run, op);
        if run.trace.validation_frames.is_some() {
            let failed = frames.call.is_some_and(|call| !call.success);
            return if failed { Part::Call } else { Part::Execution };
        }
        match frames.paymaster_validation {
            Some((_, frame)) if !frame.success && !frame.out_of_gas && self.version.is_packed() => Part::PostOp,
            _ => Part::Validation,
        }
    }
}

fn event(run: &Run) -> Option<UserOperationEvent> {
    let Ending::Completed(logs) = &run.ending else { return None };
    logs.iter().find_map(|log| UserOperationEvent::decode_log(log).ok()).map(|log| log.data)
}

/// Whether the EntryPoint was not paid.
fn is_unpaid(run: &Run) -> bool {
    let Ending::Reverted(data) = &run.ending else { return false };
    matches!(EntryPointRevert::decode(data), EntryPointRevert::FailedOp { reason, .. } if reason.starts_with("AA21"))
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
