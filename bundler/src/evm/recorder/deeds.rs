//! What an entity does in validation, one instruction at a time.

use alloy::primitives::{Address, U256, keccak256};
use revm::{
    bytecode::opcode,
    interpreter::{Interpreter, interpreter_types::InputsTr},
};

use super::Recorder;
use crate::{
    evm::trace::{Act, Deed, GasReading},
    rejection::Entity,
};

/// EIP-2200: SSTORE needs more than this much gas left.
const SSTORE_SENTRY: u64 = 2_300;
/// EIP-3860: bytes of code that creates.
const MAX_INITCODE_SIZE: usize = 49_152;
/// Preimages kept; more hashing than that is no validation.
const PREIMAGES_KEPT: usize = 4_096;

/// Instructions that are more than arithmetic: all that some rule or gas figure may depend on. Most steps are others.
pub(super) const WATCHED: [bool; 256] = {
    let mut watched = [false; 256];
    let mut index = 0;
    let opcodes = [
        opcode::KECCAK256,
        opcode::BALANCE,
        opcode::ORIGIN,
        opcode::GASPRICE,
        opcode::EXTCODESIZE,
        opcode::EXTCODECOPY,
        opcode::EXTCODEHASH,
        opcode::BLOCKHASH,
        opcode::COINBASE,
        opcode::TIMESTAMP,
        opcode::NUMBER,
        opcode::DIFFICULTY,
        opcode::GASLIMIT,
        opcode::SELFBALANCE,
        opcode::BASEFEE,
        opcode::BLOBHASH,
        opcode::BLOBBASEFEE,
        opcode::SLOAD,
        opcode::SSTORE,
        opcode::GAS,
        opcode::TLOAD,
        opcode::TSTORE,
        opcode::CREATE,
        opcode::CALL,
        opcode::CALLCODE,
        opcode::DELEGATECALL,
        opcode::CREATE2,
        opcode::STATICCALL,
        opcode::INVALID,
        opcode::SELFDESTRUCT,
    ];
    while index < opcodes.len() {
        watched[opcodes[index] as usize] = true;
        index += 1;
    }
    watched
};

/// What `CREATE2` is about to make, and the words of code that it takes to tell. Memory that has not grown to yet is zeros;
/// for no operands, or more code than is taken, there is no address.
fn created(interp: &Interpreter) -> (Address, u64) {
    let operand = |position: usize| interp.stack.peek(position).ok();
    let length = operand(2).and_then(|length| usize::try_from(length).ok()).filter(|it| *it <= MAX_INITCODE_SIZE);
    let (Some(offset), Some(length), Some(salt)) = (operand(1), length, operand(3)) else { return (Address::ZERO, 0) };
    let size = interp.memory.len();
    let start = usize::try_from(offset).map_or(size, |offset| offset.min(size));
    let known = length.min(size - start);
    let mut code = interp.memory.slice_len(start, known).to_vec();
    code.resize(length, 0);
    let address = interp.input.target_address().create2(salt.to_be_bytes::<32>(), keccak256(code));
    (address, length.div_ceil(32) as u64)
}

impl Recorder {
    pub(super) fn note(&mut self, entity: Entity, act: Act) {
        // Of calls each is written down: they are frames too. A look at code is only known once it is over.
        let every = matches!(act.deed, Deed::Call(_) | Deed::Create2(_) | Deed::Code { .. });
        if every || self.seen.insert((entity, act.opcode, act.deed)) {
            self.trace.acts.push(act);
        }
    }

    /// An instruction that is watched, or follows one that is.
    pub(super) fn watched_step(&mut self, interp: &Interpreter) {
        let remaining = interp.gas.remaining();
        let outermost = self.stack.len() == 1;
        let executing = self.stack.len() == 2 && self.trace.validation_frames.is_some();
        let Some(open) = self.stack.last_mut() else { return };
        match open.opcode {
            opcode::SSTORE => {
                let spent = self.trace.frames[open.index].gas_limit.saturating_sub(remaining);
                open.demand = open.demand.max(spent + SSTORE_SENTRY + 1);
            }
            opcode::KECCAK256 => {
                let words = interp.stack.peek(1).map_or(0, |length| length.saturating_to::<u64>().div_ceil(32));
                self.trace.steps = self.trace.steps.saturating_add(words.saturating_mul(6).min(remaining));
            }
            _ => {}
        }
        match open.opcode {
            opcode::GAS if outermost => {
                self.trace.gas_readings.push(GasReading { remaining, frames: self.trace.frames.len() });
            }
            opcode::GAS if executing && self.trace.frames[open.index].code == self.watch.entry_point => {
                if std::mem::replace(&mut open.metered, true) {
                    if let Some((_, last)) = self.trace.executions.last_mut() {
                        *last = remaining;
                    }
                } else {
                    self.trace.executions.push((remaining, remaining));
                }
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

    /// What an entity's instruction does, before it runs.
    pub(super) fn look(&mut self, interp: &Interpreter) {
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
            | opcode::INVALID
            | opcode::SELFDESTRUCT => Some(Deed::Environment),
            opcode::CREATE => Some(Deed::Create(interp.input.target_address())),
            // OP-031 says how often it may be run: where it fails before there is a frame it has been.
            opcode::CREATE2 => {
                let (address, words) = created(interp);
                self.trace.steps = self.trace.steps.saturating_add(words.saturating_mul(6));
                Some(Deed::Create2(address))
            }
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
                delegated: false,
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
}
