//! EREP-050 and LIM-020: what a paymaster hands on to its `postOp`.

use alloy::primitives::U256;
use revm::bytecode::opcode;

use super::{Parties, Rule, Violation};
use crate::{
    evm::{Frame, Trace},
    rejection::Entity,
};

/// Bytes of a context at most (`MAX_CONTEXT_SIZE`).
pub(crate) const MAX_CONTEXT_SIZE: usize = 2_048;

/// Bytes of the context that the paymaster returned, if it came to that. One that begins beyond what is kept of an answer
/// counts as longer than any may be.
pub(crate) fn context_size(trace: &Trace) -> Option<usize> {
    let (_, frame) = answer(trace)?;
    let output = &frame.output;
    let word = |at: usize| output.get(at..at.checked_add(32)?).map(U256::from_be_slice);
    let length = word(0).and_then(|at| usize::try_from(at).ok()).and_then(word);
    Some(length.map_or(usize::MAX, |length| usize::try_from(length).unwrap_or(usize::MAX)))
}

/// The paymaster's answer to the EntryPoint.
fn answer(trace: &Trace) -> Option<(usize, &Frame)> {
    trace.children(0).find(|(_, frame)| frame.phase == Some(Entity::Paymaster)).filter(|(_, frame)| frame.success)
}

/// What is wrong with the context that a paymaster returned.
pub(super) fn judge(trace: &Trace, parties: &Parties) -> Option<Violation> {
    let (size, paymaster) = (context_size(trace)?, parties.paymaster?);
    let (index, frame) = answer(trace)?;
    let (rule, cure) = if size > MAX_CONTEXT_SIZE {
        (Rule::Lim020, None)
    } else if size > 0 && !paymaster.is_staked() {
        (Rule::Erep050, Some(paymaster.standing))
    } else {
        return None;
    };
    Some(Violation {
        rule,
        entity: Entity::Paymaster,
        address: paymaster.address,
        opcode: opcode::RETURN,
        pc: 0,
        contract: frame.code,
        slot: None,
        accessed: None,
        depth: frame.depth,
        call_path: trace.call_path(index),
        cure,
        minimum: parties.minimum,
    })
}
