//! What happened in a run: every frame with its gas, and where validation ended.

use alloy::primitives::{Address, Bytes, Log, U256};
use revm::{
    Inspector,
    bytecode::opcode,
    context_interface::ContextTr,
    interpreter::{
        CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, InstructionResult, Interpreter,
        InterpreterResult, interpreter::EthInterpreter, interpreter_types::Jumps,
    },
};

/// EIP-2200: SSTORE needs more than this much gas left.
const SSTORE_SENTRY: u64 = 2_300;
/// Gas that a call with value gives its callee for free.
const CALL_STIPEND: u64 = 2_300;
/// Return and revert data kept per frame.
const OUTPUT_KEPT: usize = 4_096;

/// How a frame came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the opcodes")]
pub enum FrameKind {
    Call,
    StaticCall,
    DelegateCall,
    CallCode,
    Create,
}

/// One call or creation. The transaction itself is frame 0, at depth 0.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Index of the calling frame; `None` for the transaction.
    pub parent: Option<usize>,
    /// Frames above this one.
    pub depth: usize,
    /// How it was entered.
    pub kind: FrameKind,
    /// Who called.
    pub caller: Address,
    /// Whose storage it acts on.
    pub target: Address,
    /// First four bytes of the input, if it has as many.
    pub selector: Option<[u8; 4]>,
    /// Gas it was given, a stipend included.
    pub gas_limit: u64,
    /// Gas it spent, refunds not counted.
    pub gas_used: u64,
    /// The least gas limit with which it would have gone the same way, if it does not look at its gas.
    pub demand: u64,
    /// Whether it ended well.
    pub success: bool,
    /// Whether it ended for want of gas.
    pub out_of_gas: bool,
    /// What it returned or reverted with, cut to 4,096 bytes.
    pub output: Bytes,
}

/// A look at the gas counter by the EntryPoint itself (its GAS opcodes at depth 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GasReading {
    /// What it saw.
    pub remaining: u64,
    /// How many frames had been entered by then.
    pub frames: usize,
}

/// The record of one run.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// All frames in the order they were entered.
    pub frames: Vec<Frame>,
    /// The EntryPoint's own gas readings, in order.
    pub gas_readings: Vec<GasReading>,
    /// How many frames had been entered when validation ended; `None` if it did not.
    pub validation_frames: Option<usize>,
}

impl Trace {
    /// Frames entered directly by `parent`.
    pub fn children(&self, parent: usize) -> impl Iterator<Item = (usize, &Frame)> {
        self.frames.iter().enumerate().filter(move |(_, frame)| frame.parent == Some(parent))
    }
}

/// Records a run of `handleOps`.
#[derive(Debug)]
pub(super) struct Recorder {
    trace: Trace,
    stack: Vec<Open>,
    entry_point: Address,
    /// Topic of the event that parts validation from execution.
    before_execution: U256,
    stop_after_validation: bool,
    /// Selectors whose returned verdict is replaced by "valid", with the position of the word.
    trusted: Vec<([u8; 4], usize)>,
}

/// A frame that has not ended.
#[derive(Debug)]
struct Open {
    index: usize,
    /// Gas left when the current instruction began.
    remaining: u64,
    demand: u64,
}

impl Recorder {
    pub(super) fn new(entry_point: Address, before_execution: U256, stop_after_validation: bool) -> Self {
        Self {
            trace: Trace::default(),
            stack: Vec::with_capacity(16),
            entry_point,
            before_execution,
            stop_after_validation,
            trusted: Vec::new(),
        }
    }

    /// Lets signatures pass: for estimation, where they are dummies.
    pub(super) fn trust(mut self, selectors: Vec<([u8; 4], usize)>) -> Self {
        self.trusted = selectors;
        self
    }

    pub(super) fn into_trace(self) -> Trace {
        self.trace
    }

    fn open(&mut self, kind: FrameKind, caller: Address, target: Address, selector: Option<[u8; 4]>, gas_limit: u64) {
        let index = self.trace.frames.len();
        self.trace.frames.push(Frame {
            parent: self.stack.last().map(|open| open.index),
            depth: self.stack.len(),
            kind,
            caller,
            target,
            selector,
            gas_limit,
            gas_used: 0,
            demand: 0,
            success: false,
            out_of_gas: false,
            output: Bytes::new(),
        });
        self.stack.push(Open { index, remaining: gas_limit, demand: 0 });
    }

    fn close(&mut self, result: &InterpreterResult, stipend: u64) {
        let Some(open) = self.stack.pop() else { return };
        let frame = &mut self.trace.frames[open.index];
        frame.gas_used = frame.gas_limit.saturating_sub(result.gas.remaining());
        frame.demand = open.demand.max(frame.gas_used);
        frame.success = result.result.is_ok();
        frame.out_of_gas = is_out_of_gas(result.result);
        frame.output = if result.output.len() > OUTPUT_KEPT {
            Bytes::copy_from_slice(&result.output[..OUTPUT_KEPT])
        } else {
            result.output.clone()
        };
        let needed = frame.demand.saturating_sub(stipend);
        if let Some(parent) = self.stack.last_mut() {
            // The caller keeps one 64th: for the callee to get `needed`, this much must be left at the call.
            let at_call = needed + needed.div_ceil(63);
            let limit = self.trace.frames[parent.index].gas_limit;
            parent.demand = parent.demand.max(limit.saturating_sub(parent.remaining) + at_call);
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

impl<CTX: ContextTr> Inspector<CTX, EthInterpreter> for Recorder {
    fn step(&mut self, interp: &mut Interpreter, _: &mut CTX) {
        let remaining = interp.gas.remaining();
        let Some(open) = self.stack.last_mut() else { return };
        open.remaining = remaining;
        match interp.bytecode.opcode() {
            opcode::SSTORE => {
                let spent = self.trace.frames[open.index].gas_limit.saturating_sub(remaining);
                open.demand = open.demand.max(spent + SSTORE_SENTRY + 1);
            }
            opcode::GAS if self.stack.len() == 1 => {
                self.trace.gas_readings.push(GasReading { remaining, frames: self.trace.frames.len() });
            }
            _ => {}
        }
    }

    fn step_end(&mut self, interp: &mut Interpreter, _: &mut CTX) {
        // After a call instruction: its own price is paid, and the callee's gas is still to be added back below.
        if let Some(open) = self.stack.last_mut() {
            open.remaining = interp.gas.remaining();
        }
    }

    fn log_full(&mut self, interp: &mut Interpreter, _: &mut CTX, log: Log) {
        if self.stack.len() == 1
            && log.address == self.entry_point
            && log.topics().first().is_some_and(|topic| U256::from_be_bytes(topic.0) == self.before_execution)
        {
            self.trace.validation_frames = Some(self.trace.frames.len());
            if self.stop_after_validation {
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
        let selector = inputs.input.as_bytes(context).first_chunk().copied();
        self.pass_on(inputs.gas_limit, stipend_of(inputs));
        self.open(kind, inputs.caller, inputs.target_address, selector, inputs.gas_limit);
        None
    }

    fn call_end(&mut self, _: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.trust_verdict(outcome);
        self.close(&outcome.result, stipend_of(inputs));
    }

    fn create(&mut self, _: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.pass_on(inputs.gas_limit(), 0);
        // The address is not known before the caller's nonce is; the frames within name it.
        self.open(FrameKind::Create, inputs.caller(), Address::ZERO, None, inputs.gas_limit());
        None
    }

    fn create_end(&mut self, _: &mut CTX, _: &CreateInputs, outcome: &mut CreateOutcome) {
        if let (Some(open), Some(address)) = (self.stack.last(), outcome.address) {
            self.trace.frames[open.index].target = address;
        }
        self.close(&outcome.result, 0);
    }
}

impl Recorder {
    /// The caller's gas as it was before it passed `gas_limit` on.
    fn pass_on(&mut self, gas_limit: u64, stipend: u64) {
        if let Some(open) = self.stack.last_mut() {
            open.remaining += gas_limit.saturating_sub(stipend);
        }
    }

    /// Replaces "signature failed" by "valid", the window kept, where the EntryPoint asked for a verdict.
    fn trust_verdict(&self, outcome: &mut CallOutcome) {
        let Some(frame) = self.stack.last().map(|open| &self.trace.frames[open.index]) else { return };
        if frame.depth != 1 || frame.caller != self.entry_point || !outcome.result.result.is_ok() {
            return;
        }
        let Some((_, word)) = self.trusted.iter().find(|(selector, _)| Some(*selector) == frame.selector) else {
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

fn stipend_of(inputs: &CallInputs) -> u64 {
    if inputs.transfers_value() { CALL_STIPEND } else { 0 }
}
