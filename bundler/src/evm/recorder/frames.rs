//! Frames and their gas: when they are entered, when they end, and whose they are.

use alloy::primitives::{Address, Bytes, U256};
use revm::{
    bytecode::opcode,
    interpreter::{CallOutcome, InstructionResult, InterpreterResult},
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

/// How a frame is entered.
pub(super) struct Entry {
    pub(super) kind: FrameKind,
    pub(super) caller: Address,
    pub(super) target: Address,
    pub(super) code: Address,
    pub(super) has_code: bool,
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
        let selector = entry.input.first_chunk().copied();
        let phase = self.phase(parent, selector);
        if let Some(&Open { index: frame, pc, opcode, judged: Some(entity), .. }) = self.stack.last()
            && entry.kind != FrameKind::Create
        {
            let created = entry.kind == FrameKind::Create2;
            let deed = if created { Deed::Create2(entry.target) } else { Deed::Call(index) };
            self.note(entity, Act { frame, pc, opcode, deed });
        }
        self.trace.frames.push(Frame {
            parent,
            depth: self.stack.len(),
            kind: entry.kind,
            caller: entry.caller,
            target: entry.target,
            code: entry.code,
            has_code: entry.has_code,
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
        }
        let needed = frame.demand.saturating_sub(stipend);
        if let Some(parent) = self.stack.last_mut() {
            // The caller keeps one 64th, rounded down: this is the least that must be left for the callee to get `needed`.
            let at_call = needed + needed.saturating_sub(1) / 63;
            let limit = self.trace.frames[parent.index].gas_limit;
            parent.demand = parent.demand.max(limit.saturating_sub(parent.remaining) + at_call);
        }
    }

    /// The caller's gas as it was before it passed `gas_limit` on.
    pub(super) fn pass_on(&mut self, gas_limit: u64, stipend: u64) {
        if let Some(open) = self.stack.last_mut() {
            open.remaining += gas_limit.saturating_sub(stipend);
        }
    }

    /// Replaces "signature failed" by "valid", the window kept, where the EntryPoint asked for a verdict.
    pub(super) fn trust_verdict(&self, outcome: &mut CallOutcome) {
        let Some(frame) = self.stack.last().map(|open| &self.trace.frames[open.index]) else { return };
        if frame.depth != 1 || frame.caller != self.watch.entry_point || !outcome.result.result.is_ok() {
            return;
        }
        let Some((_, word)) = self.watch.trusted.iter().find(|(selector, _)| Some(*selector) == frame.selector) else {
            return;
        };
        let at = word * 32 + 12;
        let output = &outcome.result.output;
        if output.len() >= at + 20 && U256::from_be_slice(&output[at..at + 20]) == U256::ONE {
            let mut trusted = output.to_vec();
            trusted[at..at + 20].fill(0);
            outcome.result.output = trusted.into();
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
