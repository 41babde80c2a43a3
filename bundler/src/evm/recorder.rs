//! Writes down what happens in a run: frames with their gas, and in validation what each entity does.

use std::{collections::HashSet, time::Instant};

use alloy::primitives::{Address, Bytes, Log, U256};
use erc4337::entities::EntitySelectors;
use revm::{
    Inspector,
    bytecode::opcode,
    context_interface::{ContextTr, CreateScheme, JournalTr},
    interpreter::{
        CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, InstructionResult, Interpreter,
        InterpreterResult,
        interpreter::EthInterpreter,
        interpreter_types::{InputsTr, Jumps, LoopControl},
    },
    state::EvmState,
};

use super::trace::{Act, Deed, Frame, FrameKind, GasReading, Trace};
use crate::rejection::Entity;

/// EIP-2200: SSTORE needs more than this much gas left.
const SSTORE_SENTRY: u64 = 2_300;
/// Gas that a call with value gives its callee for free.
const CALL_STIPEND: u64 = 2_300;
/// Return and revert data kept per frame.
const OUTPUT_KEPT: usize = 4_096;
/// Frames below this depth keep no output: nobody asks what they returned.
const OUTPUT_DEPTH: usize = 3;
/// Preimages kept; more hashing than that is no validation.
const PREIMAGES_KEPT: usize = 4_096;
/// Steps between looks at the clock.
const CLOCK_EVERY: u64 = 4_096;

/// What the recorder is to look out for.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) entry_point: Address,
    /// The first contract that the EntryPoint made, in its constructor.
    pub(super) sender_creator: Address,
    pub(super) selectors: EntitySelectors,
    /// Topic of the event that parts validation from execution.
    pub(super) before_execution: U256,
    pub(super) stop_after_validation: bool,
    /// Selectors whose returned verdict is replaced by "valid", with the position of the word.
    pub(super) trusted: Vec<([u8; 4], usize)>,
    /// When to give up.
    pub(super) deadline: Option<Instant>,
}

/// Records a run of `handleOps`.
#[derive(Debug)]
pub(super) struct Recorder {
    watch: Watch,
    trace: Trace,
    stack: Vec<Open>,
    /// Deeds written down already: one of each kind will do.
    seen: HashSet<(Entity, u8, Deed)>,
    steps: u64,
    overdue: bool,
}

/// A frame that has not ended.
#[derive(Debug)]
struct Open {
    index: usize,
    /// Whose acts are written down here: none of the EntryPoint's or its SenderCreator's own.
    judged: Option<Entity>,
    /// Gas left when the current instruction began.
    remaining: u64,
    demand: u64,
    pc: usize,
    opcode: u8,
    /// Where `GAS` was, if it was the last instruction.
    gas_at: Option<usize>,
    /// The last instruction's look at code, as an index of the acts.
    code_act: Option<usize>,
    /// Where 64 bytes are that the current instruction hashes.
    hashing: Option<usize>,
}

/// How a frame is entered.
struct Entry {
    kind: FrameKind,
    caller: Address,
    target: Address,
    code: Address,
    has_code: bool,
    value: U256,
    input: Vec<u8>,
    input_length: usize,
    gas_limit: u64,
}

impl Recorder {
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            watch,
            trace: Trace::default(),
            stack: Vec::with_capacity(16),
            seen: HashSet::new(),
            steps: 0,
            overdue: false,
        }
    }

    /// The record; `None` if the time was up before the run was over.
    pub(super) fn into_trace(self) -> Option<Trace> {
        (!self.overdue).then_some(self.trace)
    }

    fn open(&mut self, entry: Entry) {
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
            value: entry.value,
            input_length: entry.input_length,
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
    fn phase(&self, parent: Option<usize>, selector: Option<[u8; 4]>) -> Option<Entity> {
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

    fn close(&mut self, result: &InterpreterResult, stipend: u64) {
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
            // The caller keeps one 64th: for the callee to get `needed`, this much must be left at the call.
            let at_call = needed + needed.div_ceil(63);
            let limit = self.trace.frames[parent.index].gas_limit;
            parent.demand = parent.demand.max(limit.saturating_sub(parent.remaining) + at_call);
        }
    }

    fn note(&mut self, entity: Entity, act: Act) {
        // Of calls each is written down: they are frames too. A look at code is only known once it is over.
        let every = matches!(act.deed, Deed::Call(_) | Deed::Create2(_) | Deed::Code { .. });
        if every || self.seen.insert((entity, act.opcode, act.deed)) {
            self.trace.acts.push(act);
        }
    }

    /// The caller's gas as it was before it passed `gas_limit` on.
    fn pass_on(&mut self, gas_limit: u64, stipend: u64) {
        if let Some(open) = self.stack.last_mut() {
            open.remaining += gas_limit.saturating_sub(stipend);
        }
    }

    /// Replaces "signature failed" by "valid", the window kept, where the EntryPoint asked for a verdict.
    fn trust_verdict(&self, outcome: &mut CallOutcome) {
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

    /// What an entity's instruction does, before it runs.
    fn look(&mut self, interp: &Interpreter) {
        let Some(open) = self.stack.last_mut() else { return };
        let Some(entity) = open.judged else { return };
        let (frame, pc, opcode) = (open.index, open.pc, open.opcode);
        let word = |position: usize| interp.stack.peek(position).ok();

        let passed_on = matches!(opcode, opcode::CALL | opcode::CALLCODE | opcode::DELEGATECALL | opcode::STATICCALL);
        let gas_looked_at = open.gas_at.take().filter(|_| !passed_on);
        let code_act = open.code_act.take();
        if let (opcode::ISZERO, Some(act)) = (opcode, code_act)
            && let Some(Act { opcode: opcode::EXTCODESIZE, deed: Deed::Code { only_whether, .. }, .. }) =
                self.trace.acts.get_mut(act)
        {
            *only_whether = true;
        }
        let Some(open) = self.stack.last_mut() else { return };
        let deed = match opcode {
            opcode::ORIGIN
            | opcode::GASPRICE
            | opcode::BLOCKHASH
            | opcode::COINBASE
            | opcode::TIMESTAMP
            | opcode::NUMBER
            | opcode::DIFFICULTY
            | opcode::GASLIMIT
            | opcode::BASEFEE
            | opcode::BLOBHASH
            | opcode::BLOBBASEFEE
            | opcode::CREATE
            | opcode::INVALID
            | opcode::SELFDESTRUCT => Some(Deed::Environment),
            opcode::BALANCE | opcode::SELFBALANCE => Some(Deed::Balance),
            opcode::GAS => {
                open.gas_at = Some(pc);
                None
            }
            opcode::SLOAD | opcode::TLOAD | opcode::SSTORE | opcode::TSTORE => word(0).map(|slot| Deed::Storage {
                contract: interp.input.target_address(),
                slot,
                write: matches!(opcode, opcode::SSTORE | opcode::TSTORE),
            }),
            opcode::EXTCODESIZE | opcode::EXTCODEHASH | opcode::EXTCODECOPY => word(0).map(|address| Deed::Code {
                address: Address::from_word(address.into()),
                has_code: None,
                only_whether: false,
            }),
            _ => None,
        };
        if let Some(pc) = gas_looked_at {
            self.note(entity, Act { frame, pc, opcode: opcode::GAS, deed: Deed::Gas });
        }
        if let Some(deed) = deed {
            self.note(entity, Act { frame, pc, opcode, deed });
            if matches!(deed, Deed::Code { .. })
                && let Some(open) = self.stack.last_mut()
            {
                open.code_act = Some(self.trace.acts.len() - 1);
            }
        }
    }

    /// Gives up when the time is up: frame by frame, as each would otherwise go on.
    fn watch_the_clock(&mut self, interp: &mut Interpreter) {
        self.steps += 1;
        if self.steps.is_multiple_of(CLOCK_EVERY) && self.watch.deadline.is_some_and(|at| Instant::now() >= at) {
            self.overdue = true;
        }
        if self.overdue {
            interp.halt(InstructionResult::OutOfGas);
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

impl<CTX> Inspector<CTX, EthInterpreter> for Recorder
where
    CTX: ContextTr<Journal: JournalTr<State = EvmState>>,
{
    fn step(&mut self, interp: &mut Interpreter, _: &mut CTX) {
        self.watch_the_clock(interp);
        let remaining = interp.gas.remaining();
        let outermost = self.stack.len() == 1;
        let Some(open) = self.stack.last_mut() else { return };
        open.remaining = remaining;
        open.opcode = interp.bytecode.opcode();
        open.pc = interp.bytecode.pc();
        match open.opcode {
            opcode::SSTORE => {
                let spent = self.trace.frames[open.index].gas_limit.saturating_sub(remaining);
                open.demand = open.demand.max(spent + SSTORE_SENTRY + 1);
            }
            opcode::GAS if outermost => {
                self.trace.gas_readings.push(GasReading { remaining, frames: self.trace.frames.len() });
            }
            // Whoever hashes it: what a slot is associated with is a matter of the slot.
            opcode::KECCAK256 if self.trace.validation_frames.is_none() => {
                let words = (interp.stack.peek(0), interp.stack.peek(1));
                if let (Ok(offset), Ok(length)) = words
                    && length == U256::from(64)
                    && self.trace.preimages.len() < PREIMAGES_KEPT
                {
                    open.hashing = usize::try_from(offset).ok();
                }
            }
            _ => {}
        }
        self.look(interp);
    }

    fn step_end(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        let Some(open) = self.stack.last_mut() else { return };
        // After a call instruction: its own price is paid, and the callee's gas is still to be added back below.
        open.remaining = interp.gas.remaining();
        if let Some(offset) = open.hashing.take()
            && let Ok(hash) = interp.stack.peek(0)
            && offset.checked_add(64).is_some_and(|end| end <= interp.memory.len())
        {
            let bytes = interp.memory.slice_len(offset, 64);
            let words = [U256::from_be_slice(&bytes[..32]), U256::from_be_slice(&bytes[32..])];
            self.trace.preimages.insert(hash, words);
        }
        if let Some(act) = open.code_act
            && interp.bytecode.is_not_end()
            && let Some(Act { deed: Deed::Code { address, has_code, .. }, .. }) = self.trace.acts.get_mut(act)
        {
            *has_code = Some(has_code_now(context, *address));
        }
    }

    fn log_full(&mut self, interp: &mut Interpreter, _: &mut CTX, log: Log) {
        if self.stack.len() == 1
            && log.address == self.watch.entry_point
            && log.topics().first().is_some_and(|topic| U256::from_be_bytes(topic.0) == self.watch.before_execution)
        {
            self.trace.validation_frames = Some(self.trace.frames.len());
            if self.watch.stop_after_validation {
                interp.halt(InstructionResult::Stop);
            }
        }
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let kind = match inputs.scheme {
            CallScheme::Call => FrameKind::Call,
            CallScheme::StaticCall => FrameKind::StaticCall,
            CallScheme::DelegateCall => FrameKind::DelegateCall,
            CallScheme::CallCode => FrameKind::CallCode,
        };
        let (input, input_length) = {
            let input = inputs.input.as_bytes(context);
            (input[..input.len().min(36)].to_vec(), input.len())
        };
        self.pass_on(inputs.gas_limit, stipend_of(inputs));
        self.open(Entry {
            kind,
            caller: inputs.caller,
            target: inputs.target_address,
            code: inputs.bytecode_address,
            has_code: has_code_now(context, inputs.bytecode_address),
            value: inputs.transfer_value().unwrap_or_default(),
            input,
            input_length,
            gas_limit: inputs.gas_limit,
        });
        None
    }

    fn call_end(&mut self, _: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.trust_verdict(outcome);
        self.close(&outcome.result, stipend_of(inputs));
    }

    fn create(&mut self, _: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.pass_on(inputs.gas_limit(), 0);
        // The address of a CREATE is not known before the caller's nonce is; the frames within name it.
        let (kind, target) = match inputs.scheme() {
            CreateScheme::Create2 { .. } => (FrameKind::Create2, inputs.created_address(0)),
            _ => (FrameKind::Create, Address::ZERO),
        };
        self.open(Entry {
            kind,
            caller: inputs.caller(),
            target,
            code: target,
            has_code: true,
            value: inputs.value(),
            input: Vec::new(),
            input_length: inputs.init_code().len(),
            gas_limit: inputs.gas_limit(),
        });
        None
    }

    fn create_end(&mut self, _: &mut CTX, _: &CreateInputs, outcome: &mut CreateOutcome) {
        if let (Some(open), Some(address)) = (self.stack.last(), outcome.address) {
            let frame = &mut self.trace.frames[open.index];
            (frame.target, frame.code) = (address, address);
        }
        self.close(&outcome.result, 0);
    }
}

/// Whether the account has code at this moment. It has been loaded by the instruction that names it: looking at what
/// is loaded warms nothing and so costs the operation nothing.
fn has_code_now<CTX>(context: &CTX, address: Address) -> bool
where
    CTX: ContextTr<Journal: JournalTr<State = EvmState>>,
{
    context.journal().evm_state().get(&address).is_some_and(|account| !account.info.is_empty_code_hash())
}

fn stipend_of(inputs: &CallInputs) -> u64 {
    if inputs.transfers_value() { CALL_STIPEND } else { 0 }
}
