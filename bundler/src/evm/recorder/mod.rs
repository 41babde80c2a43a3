//! Writes down what happens in a run: frames with their gas, and in validation what each entity does.

mod deeds;
mod frames;
mod stubs;

use std::collections::VecDeque;

use alloy::primitives::{Address, Bytes, Log, U256, map::HashSet};
use erc4337::{NativeContracts, entities::EntitySelectors, native};
use revm::{
    Inspector,
    context_interface::{ContextTr, CreateScheme, JournalTr},
    interpreter::{
        CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, Gas, InstructionResult, Interpreter,
        InterpreterResult,
        interpreter::EthInterpreter,
        interpreter_types::{Jumps, LoopControl},
    },
    state::EvmState,
};

pub use self::stubs::Signatures;
use self::{deeds::WATCHED, frames::Entry, stubs::Forced};
use super::trace::{Act, Deed, FrameKind, Trace};
use crate::rejection::Entity;

/// Gas that a call with value gives its callee for free.
const CALL_STIPEND: u64 = 2_300;
/// Steps between two times that a run lets others go first.
const GIVE_WAY_EVERY: u64 = 4_096;
/// Steps after which it does: few validations take as many.
const PATIENT_AFTER: u64 = 8 * GIVE_WAY_EVERY;

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
    pub(super) signatures: Signatures,
    /// Selectors whose returned verdict is replaced by "valid", with the position of the word.
    pub(super) trusted: Vec<([u8; 4], usize)>,
    /// Where the chain's client executes, beside the contracts whose code says so.
    pub(super) native: NativeContracts,
}

/// Records a run of `handleOps`.
#[derive(Debug)]
pub(super) struct Recorder {
    watch: Watch,
    trace: Trace,
    stack: Vec<Open>,
    /// Deeds written down already: one of each kind will do.
    seen: HashSet<(Entity, u8, Deed)>,
    /// Where checks of signatures are made to pass.
    forced: Forced,
    /// It has entered more frames than any validation does.
    crowded: bool,
    /// Bytes of outputs kept, and the frames that have them, the oldest first.
    outputs: (usize, VecDeque<usize>),
}

/// A frame that has not ended.
#[derive(Debug)]
struct Open {
    index: usize,
    /// Whose acts are written down here: none of the EntryPoint's or its SenderCreator's own.
    judged: Option<Entity>,
    /// Gas left after the last instruction that was watched.
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
    /// Whether it executes an operation, and the EntryPoint has looked at its gas.
    metered: bool,
}

impl Recorder {
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            watch,
            trace: Trace::default(),
            stack: Vec::with_capacity(16),
            seen: HashSet::default(),
            forced: Forced::default(),
            crowded: false,
            outputs: (0, VecDeque::new()),
        }
    }

    /// The record, unless it was given up for too many frames.
    pub(super) fn into_trace(self) -> Option<Trace> {
        (!self.crowded).then_some(self.trace)
    }

    /// Lets others go first, after a while and then now and again, and ends what has too many frames: frame by frame, as
    /// each would otherwise go on.
    fn give_way(&mut self, interp: &mut Interpreter) {
        self.trace.steps += 1;
        if self.trace.steps.is_multiple_of(GIVE_WAY_EVERY) && self.trace.steps > PATIENT_AFTER {
            std::thread::yield_now();
        }
        if self.crowded {
            interp.halt(InstructionResult::OutOfGas);
        }
    }
}

impl<CTX> Inspector<CTX, EthInterpreter> for Recorder
where
    CTX: ContextTr<Journal: JournalTr<State = EvmState>>,
{
    fn step(&mut self, interp: &mut Interpreter, _: &mut CTX) {
        self.give_way(interp);
        let Some(open) = self.stack.last_mut() else { return };
        open.opcode = interp.bytecode.opcode();
        open.pc = interp.bytecode.pc();
        let opcode = open.opcode;
        if WATCHED[usize::from(open.opcode)] || open.gas_at.is_some() || open.code_act.is_some() {
            self.watched_step(interp);
        }
        if let Some(known) = self.forces() {
            self.forced.before(opcode, interp, known);
        }
    }

    fn step_end(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        self.forced.after(interp);
        let Some(open) = self.stack.last_mut() else { return };
        if !WATCHED[usize::from(open.opcode)] {
            return;
        }
        // After a call instruction: its own price is paid, and the callee's gas is still to be added back below.
        open.remaining = interp.gas.remaining();
        if let Some(offset) = open.hashing.take()
            && let Ok(hash) = interp.stack.peek(0)
            && offset.checked_add(64).is_some_and(|end| end <= interp.memory.len())
        {
            let bytes = interp.memory.slice_len(offset, 64);
            let words = [U256::from_be_slice(&bytes[..32]), U256::from_be_slice(&bytes[32..])];
            self.trace.preimages.insert(hash, words);
            self.forced.hashed(hash, words);
        }
        if let Some(act) = open.code_act
            && interp.bytecode.is_not_end()
            && let Some(Act { deed: Deed::Code { address, has_code, delegated, .. }, .. }) =
                self.trace.acts.get_mut(act)
        {
            *has_code = Some(has_code_now(context, *address));
            *delegated = is_delegated_now(context, *address);
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
        // The EntryPoint calls account and paymaster from its call to itself.
        let is_asked_for = self.trace.validation_frames.is_some() && self.stack.len() == 2;
        let (input, input_length, whole_input) = {
            let input = inputs.input.as_bytes(context);
            let whole = if is_asked_for { Bytes::copy_from_slice(&input) } else { Bytes::new() };
            (input[..input.len().min(36)].to_vec(), input.len(), whole)
        };
        let native = native::is_stub(inputs.known_bytecode.1.original_byte_slice())
            || self.watch.native.contains(inputs.bytecode_address);
        self.pass_on(inputs.gas_limit, stipend_of(inputs));
        self.open(Entry {
            kind,
            caller: inputs.caller,
            target: inputs.target_address,
            code: inputs.bytecode_address,
            has_code: has_code_now(context, inputs.bytecode_address),
            delegated: is_delegated_now(context, inputs.bytecode_address),
            native,
            value: inputs.transfer_value().unwrap_or_default(),
            input,
            input_length,
            whole_input,
            gas_limit: inputs.gas_limit,
        });
        (native && self.trace.validation_frames.is_some()).then(|| as_if_done(inputs))
    }

    fn call_end(&mut self, _: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        if inputs.known_bytecode.1.is_empty() && outcome.result.is_ok() {
            // Of what has no code only a precompile costs anything.
            self.trace.steps = self.trace.steps.saturating_add(outcome.result.gas.total_gas_spent());
        }
        self.force_answer(outcome);
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
            delegated: false,
            native: false,
            value: inputs.value(),
            input: Vec::new(),
            input_length: inputs.init_code().len(),
            whole_input: Bytes::new(),
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

/// What a token's transfer answers when it succeeds, for nothing: a guess that lets a run go on where our EVM would halt
/// and burn all that it was given. No verdict rests on what comes after ([`Trace::native_operations`]).
fn as_if_done(inputs: &CallInputs) -> CallOutcome {
    let done = Bytes::from(U256::ONE.to_be_bytes::<32>());
    let result = InterpreterResult::new(InstructionResult::Return, done, Gas::new(inputs.gas_limit));
    CallOutcome::new(result, inputs.return_memory_offset.clone())
}

/// Whether the account has code at this moment. It has been loaded by the instruction that names it: looking at what
/// is loaded warms nothing and so costs the operation nothing.
fn has_code_now<CTX>(context: &CTX, address: Address) -> bool
where
    CTX: ContextTr<Journal: JournalTr<State = EvmState>>,
{
    context.journal().evm_state().get(&address).is_some_and(|account| !account.info.is_empty_code_hash())
}

/// Whether the account runs another's code by EIP-7702 at this moment. Accounts are loaded with their code.
fn is_delegated_now<CTX>(context: &CTX, address: Address) -> bool
where
    CTX: ContextTr<Journal: JournalTr<State = EvmState>>,
{
    let account = context.journal().evm_state().get(&address);
    account.and_then(|account| account.info.code.as_ref()).is_some_and(|code| code.is_eip7702())
}

fn stipend_of(inputs: &CallInputs) -> u64 {
    if inputs.transfers_value() { CALL_STIPEND } else { 0 }
}
