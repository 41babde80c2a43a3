//! Why an estimate is refused: which frame failed, in which contract, with which words.

use alloy::primitives::Address;
use erc4337::{UserOperation, revert::Reason};

use super::measure::Frames;
use crate::{
    Rejection,
    admission::{nobody_there, reject_revert},
    evm::{Ending, Frame, Run, Trace},
    rejection::FailedFrame,
};

/// Refuses an ample run in which something failed for another reason than its signatures.
pub(super) fn refuse_failure(run: &Run, op: &UserOperation, frames: &Frames<'_>) -> Result<(), Rejection> {
    match &run.ending {
        Ending::Reverted(data) => {
            let of_paymaster = frames.paymaster_validation.map(|(_, frame)| frame);
            if let Some(missing) = nobody_there(op, frames.validation, of_paymaster) {
                return Err(missing);
            }
            let rejection = reject_revert(data, op, None, None);
            let asked = [frames.creation, frames.validation, frames.paymaster_validation.map(|(_, frame)| frame)];
            let Some(frame) = asked.into_iter().flatten().find(|frame| !frame.success) else {
                return Err(rejection);
            };
            let culprit = failed_frame(&run.trace, frame);
            return Err(rejection.in_frame(&culprit));
        }
        Ending::Halted(reason) => {
            return Err(Rejection::EntryPoint { message: format!("simulation halted: {reason:?}") });
        }
        Ending::Completed(_) => {}
    }
    if let Some(call) = frames.call.filter(|call| !call.success) {
        let frame = failed_frame(&run.trace, call);
        // Of a frame that says something itself, that is the reason, whatever ran out of gas below it.
        let silent = frame.out_of_gas && call.output.is_empty();
        let reason = if silent { "out of gas".into() } else { Reason(&call.output).to_string() };
        return Err(Rejection::ExecutionReverted { reason, data: call.output.clone(), frame: Box::new(frame) });
    }
    let post_op = frames.post_op.map(|(_, frame)| frame).filter(|frame| !frame.success);
    if let (Some(post_op), Some(paymaster)) = (post_op, op.paymaster_address()) {
        let frame = failed_frame(&run.trace, post_op);
        let what = if frame.out_of_gas { "ran out of gas" } else { "reverted" };
        let message = format!("postOp {what}: {}{frame}", Reason(&post_op.output));
        return Err(Rejection::Paymaster { paymaster, message });
    }
    Ok(())
}

/// The innermost frame that the failure of `frame` came from: as long as the last call of a frame that failed has
/// failed with the same data, or for want of gas, the failure was the callee's.
fn failed_frame(trace: &Trace, frame: &Frame) -> FailedFrame {
    let same = |candidate: &&Frame| std::ptr::eq(*candidate, frame);
    let mut index = trace.frames.iter().position(|candidate| same(&candidate)).unwrap_or_default();
    while let Some((callee, _)) = trace.children(index).last().filter(|(_, callee)| {
        !callee.success && (callee.out_of_gas || trace.frames[index].output.ends_with(&callee.output))
    }) {
        index = callee;
    }
    let found = &trace.frames[index];
    // Below the EntryPoint's own frames, which are not the caller's business.
    let path: Vec<Address> = trace.call_path(index).into_iter().skip(1).collect();
    FailedFrame { contract: found.code, selector: found.selector, out_of_gas: found.out_of_gas, path }
}
