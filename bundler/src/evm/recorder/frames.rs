//! Frames and their gas: when they are entered, when they end, and whose they are.

use alloy::primitives::{Address, Bytes, U256};
use revm::{
    bytecode::opcode,
    interpreter::{InstructionResult, InterpreterResult},
};

use super::{Open, Recorder};
use crate::{
    evm::trace::{Act, Deed, Frame, FrameKind},
    rejection::Entity,
};

/// Return and revert data kept per frame.
const OUTPUT_KEPT: usize = 4_096;
/// Frames below this depth keep no output: nobody asks what they returned.
const OUTPUT_DEPTH: usize = 3;
/// Bytes of outputs kept in all, beside those of what the EntryPoint itself called: the newest, which is where a failure is.
const OUTPUTS_KEPT: usize = 64 * 1_024;
/// Frames of a validation; one that has more is none.
const FRAMES_KEPT: usize = 4_096;

/// How a frame is entered.
pub(super) struct Entry {
    pub(super) kind: FrameKind,
    pub(super) caller: Address,
    pub(super) target: Address,
    pub(super) code: Address,
    pub(super) has_code: bool,
    pub(super) delegated: bool,
    pub(super) native: bool,
    pub(super) value: U256,
    /// First bytes of the input.
    pub(super) input: Vec<u8>,
    /// All of them, if they are kept.
    pub(super) whole_input: Bytes,
    pub(super) input_length: usize,
    pub(super) gas_limit: u64,
}

impl Recorder {
    pub(super) fn open(&mut self, entry: Entry) {
        let index = self.trace.frames.len();
        let parent = self.stack.last().map(|open| open.index);
        self.crowded |= self.trace.validation_frames.is_none() && index >= FRAMES_KEPT;
        let selector = entry.input.first_chunk().copied();
        let phase = self.phase(parent, selector);
        if let Some(&Open { index: frame, pc, opcode, judged: Some(entity), .. }) = self.stack.last()
            && !matches!(entry.kind, FrameKind::Create | FrameKind::Create2)
        {
            self.note(entity, Act { frame, pc, opcode, deed: Deed::Call(index) });
        }
        self.trace.frames.push(Frame {
            parent,
            depth: self.stack.len(),
            kind: entry.kind,
            caller: entry.caller,
            target: entry.target,
            code: entry.code,
            has_code: entry.has_code,
            delegated: entry.delegated,
            native: entry.native,
            value: entry.value,
            input_length: entry.input_length,
            input: entry.whole_input,
            selector,
            argument: entry.input.get(4..36).map(U256::from_be_slice),
            phase,
            gas_limit: entry.gas_limit,
            gas_used: 0,
            demand: 0,
            success: false,
            out_of_gas: false,
            output: Bytes::new(),
        });
        self.stack.push(Open {
            index,
            judged: phase.filter(|_| ![self.watch.entry_point, self.watch.sender_creator].contains(&entry.target)),
            remaining: entry.gas_limit,
            demand: 0,
            pc: 0,
            opcode: opcode::STOP,
            gas_at: None,
            code_act: None,
            hashing: None,
            metered: false,
        });
    }

    /// Whose phase a new frame belongs to: its caller's, or the one that the EntryPoint begins with it.
    pub(super) fn phase(&self, parent: Option<usize>, selector: Option<[u8; 4]>) -> Option<Entity> {
        let parent = &self.trace.frames[parent?];
        if parent.phase.is_some() || self.trace.validation_frames.is_some() {
            return parent.phase.filter(|_| self.trace.validation_frames.is_none());
        }
        let asked = &self.watch.selectors;
        match parent.depth {
            0 if selector == Some(asked.validate_user_op) => Some(Entity::Account),
            0 if selector == Some(asked.validate_paymaster_user_op) => Some(Entity::Paymaster),
            1 if parent.selector == Some(asked.create_sender) => Some(Entity::Factory),
            1 if parent.selector == Some(asked.init_eip7702_sender) => Some(Entity::Account),
            _ => None,
        }
    }

    pub(super) fn close(&mut self, result: &InterpreterResult, stipend: u64) {
        let Some(open) = self.stack.pop() else { return };
        let out_of_gas = is_out_of_gas(result.result);
        if let Some(entity) = open.judged {
            let (frame, pc, opcode) = (open.index, open.pc, open.opcode);
            if let Some(pc) = open.gas_at {
                self.note(entity, Act { frame, pc, opcode: opcode::GAS, deed: Deed::Gas });
            }
            if matches!(result.result, InstructionResult::OpcodeNotFound | InstructionResult::NotActivated) {
                self.note(entity, Act { frame, pc, opcode, deed: Deed::Undefined });
            }
            if out_of_gas {
                self.note(entity, Act { frame, pc, opcode, deed: Deed::OutOfGas });
            }
        }
        let validating = self.trace.validation_frames.is_none();
        let frame = &mut self.trace.frames[open.index];
        frame.gas_used = frame.gas_limit.saturating_sub(result.gas.remaining());
        frame.demand = open.demand.max(frame.gas_used);
        frame.success = result.result.is_ok();
        frame.out_of_gas = out_of_gas;
        if frame.depth <= OUTPUT_DEPTH {
            frame.output = if result.output.len() > OUTPUT_KEPT {
                Bytes::copy_from_slice(&result.output[..OUTPUT_KEPT])
            } else {
                result.output.clone()
            };
            if validating && frame.caller != self.watch.entry_point && !frame.output.is_empty() {
                self.outputs.0 += frame.output.len();
                self.outputs.1.push_back(open.index);
            }
        }
        self.forget_outputs();
        let frame = &self.trace.frames[open.index];
        let needed = frame.demand.saturating_sub(stipend);
        if let Some(parent) = self.stack.last_mut() {
            // The caller keeps one 64th, rounded down: this is the least that must be left for the callee to get `needed`.
            let at_call = needed + needed.saturating_sub(1) / 63;
            let limit = self.trace.frames[parent.index].gas_limit;
            parent.demand = parent.demand.max(limit.saturating_sub(parent.remaining) + at_call);
        }
        if !validating {
            self.trim(open.index);
        }
    }

    fn forget_outputs(&mut self) {
        while self.outputs.0 > OUTPUTS_KEPT
            && let Some(oldest) = self.outputs.1.pop_front()
        {
            let output = std::mem::take(&mut self.trace.frames[oldest].output);
            self.outputs.0 -= output.len();
        }
    }

    /// Execution may enter frames without end. Of what an account or a `postOp` calls only the last of each frame's calls
    /// matters, and of that what is in it only if it failed: that tells whence a failure came. Of native calls the first.
    fn trim(&mut self, index: usize) {
        let Some(parent) = self.trace.frames[index].parent.filter(|parent| self.trace.frames[*parent].depth >= 2)
        else {
            return;
        };
        let frames = &mut self.trace.frames;
        if frames.len() == parent + 2 {
            return;
        }
        let mut own = frames.split_off(index);
        let mut native = frames.split_off(parent + 1).into_iter().find(|frame| frame.native);
        if own[0].success {
            native = native.or_else(|| own.drain(1..).find(|frame| frame.native));
            own.truncate(1);
        }
        frames.extend(native.map(|native| Frame { parent: Some(parent), ..native }));
        let now = frames.len();
        for below in &mut own[1..] {
            below.parent = below.parent.map(|of| of - index + now);
        }
        frames.append(&mut own);
    }

    /// The caller's gas as it was before it passed `gas_limit` on.
    pub(super) fn pass_on(&mut self, gas_limit: u64, stipend: u64) {
        if let Some(open) = self.stack.last_mut() {
            open.remaining += gas_limit.saturating_sub(stipend);
        }
    }
}

fn is_out_of_gas(result: InstructionResult) -> bool {
    matches!(
        result,
        InstructionResult::OutOfGas
            | InstructionResult::MemoryOOG
            | InstructionResult::MemoryLimitOOG
            | InstructionResult::PrecompileOOG
            | InstructionResult::InvalidOperandOOG
            | InstructionResult::ReentrancySentryOOG
    )
}

#[cfg(test)]
mod tests {
    use erc4337::{EntryPointVersion, NativeContracts};
    use revm::interpreter::Gas;

    use super::*;
    use crate::evm::recorder::{Signatures, Watch};

    const ENTRY_POINT: Address = Address::repeat_byte(0xee);
    const OTHER: Address = Address::repeat_byte(0x11);

    fn recorder() -> Recorder {
        Recorder::new(Watch {
            entry_point: ENTRY_POINT,
            sender_creator: ENTRY_POINT.create(1),
            selectors: EntryPointVersion::V0_8.selectors(),
            before_execution: U256::ZERO,
            stop_after_validation: false,
            signatures: Signatures::Checked,
            trusted: Vec::new(),
            native: NativeContracts::default(),
        })
    }

    fn enter(recorder: &mut Recorder, caller: Address, target: Address, native: bool) {
        recorder.open(Entry {
            kind: FrameKind::Call,
            caller,
            target,
            code: target,
            has_code: true,
            delegated: false,
            native,
            value: U256::ZERO,
            input: Vec::new(),
            whole_input: Bytes::new(),
            input_length: 0,
            gas_limit: 1_000,
        });
    }

    fn leave(recorder: &mut Recorder, success: bool, output: usize) {
        let result = if success { InstructionResult::Return } else { InstructionResult::Revert };
        recorder.close(&InterpreterResult::new(result, vec![7; output].into(), Gas::new(0)), 0);
    }

    /// In execution, in the account's call: the EntryPoint, its call to itself, and the account's.
    fn executing() -> Recorder {
        let mut recorder = recorder();
        enter(&mut recorder, OTHER, ENTRY_POINT, false);
        recorder.trace.validation_frames = Some(1);
        enter(&mut recorder, ENTRY_POINT, ENTRY_POINT, false);
        enter(&mut recorder, ENTRY_POINT, OTHER, false);
        recorder
    }

    fn call(recorder: &mut Recorder, success: bool) {
        enter(recorder, OTHER, OTHER, false);
        leave(recorder, success, 4_096);
    }

    #[test]
    fn a_call_that_calls_without_end_leaves_the_last_of_them() {
        let mut recorder = executing();
        for round in 0..200_000 {
            call(&mut recorder, round % 3 == 0);
        }
        assert_eq!(recorder.trace.frames.len(), 4);
        leave(&mut recorder, true, 0);
        enter(&mut recorder, ENTRY_POINT, OTHER, false);
        leave(&mut recorder, true, 0);
        let calls: Vec<_> = recorder.trace.children(1).map(|(index, _)| index).collect();
        assert_eq!(calls, [2, 4], "what the EntryPoint calls is all there");
    }

    #[test]
    fn whence_a_failure_came_is_still_told() {
        let mut recorder = executing();
        call(&mut recorder, false);
        enter(&mut recorder, OTHER, OTHER, false);
        call(&mut recorder, true);
        call(&mut recorder, false);
        leave(&mut recorder, false, 4_096);
        let last = |of: usize| recorder.trace.children(of).last().map(|(index, frame)| (index, frame.success));
        assert_eq!((last(2), last(3), last(4)), (Some((3, false)), Some((4, false)), None));
        // One that worked after one that failed is the last: the failure before it was caught.
        call(&mut recorder, true);
        assert_eq!(recorder.trace.children(2).last().map(|(_, frame)| frame.success), Some(true));
        assert_eq!(recorder.trace.frames.len(), 4);
    }

    #[test]
    fn of_native_calls_the_first_is_kept_wherever_it_was() {
        let mut recorder = executing();
        call(&mut recorder, true);
        enter(&mut recorder, OTHER, OTHER, false);
        for _ in 0..1_000 {
            enter(&mut recorder, OTHER, OTHER, true);
            leave(&mut recorder, true, 0);
        }
        leave(&mut recorder, true, 0);
        for _ in 0..1_000 {
            call(&mut recorder, true);
        }
        leave(&mut recorder, true, 0);
        leave(&mut recorder, true, 0);
        leave(&mut recorder, true, 0);
        assert_eq!(recorder.trace.frames.len(), 5);
        assert_eq!(recorder.trace.native_operations(ENTRY_POINT), [0]);
        assert!(recorder.trace.native_call_in(2).is_some() && recorder.trace.native_call_in(1).is_some());
    }

    #[test]
    fn outputs_of_a_validation_are_bounded_in_all_but_for_what_the_entry_point_asked() {
        let mut recorder = recorder();
        enter(&mut recorder, OTHER, ENTRY_POINT, false);
        enter(&mut recorder, ENTRY_POINT, OTHER, false);
        for _ in 0..2_000 {
            call(&mut recorder, false);
        }
        leave(&mut recorder, true, 4_000);
        let kept: usize = recorder.trace.frames[2..].iter().map(|frame| frame.output.len()).sum();
        assert!(kept <= OUTPUTS_KEPT && kept > OUTPUTS_KEPT / 2, "{kept}");
        assert_eq!(recorder.trace.frames[1].output.len(), 4_000);
        assert_eq!(recorder.trace.frames.last().map(|last| last.output.len()), Some(4_096), "the newest stay");
        assert_eq!(recorder.into_trace().map(|trace| trace.frames.len()), Some(2_002));
    }

    #[test]
    fn a_validation_of_more_frames_than_any_has_is_given_up() {
        let mut recorder = recorder();
        enter(&mut recorder, OTHER, ENTRY_POINT, false);
        enter(&mut recorder, ENTRY_POINT, OTHER, false);
        for _ in 0..FRAMES_KEPT {
            call(&mut recorder, true);
        }
        assert!(recorder.into_trace().is_none());
    }
}
