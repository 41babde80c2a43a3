//! Checks of signatures that are made to pass, so that an estimate sees how far a good signature leads.
//!
//! A dummy signature shows only the way up to the first check that it fails: a multisig stops at its first owner, an
//! account that pays once it knows who asks does not pay. Here each check is answered as for a good signature:
//!
//! | check | answer |
//! |---|---|
//! | `ecrecover` | a made-up signer, each higher than the last as some accounts want it |
//! | is that signer this address? (`EQ`, `SUB`, `XOR`) | yes, of any that looks like an address |
//! | what is written about that signer? (`SLOAD` of a mapping's entry) | this number, if it is nothing |
//! | `isValidSignature` (ERC-1271) | valid |
//! | P256, as a precompile and as a contract; pairings | valid |
//!
//! It costs what it costs: only answers are changed.

use std::collections::HashSet;

use alloy::primitives::{Address, Bytes, U256, address, b256};
use revm::{
    bytecode::opcode,
    interpreter::{CallOutcome, InstructionResult, Interpreter},
};

use super::Recorder;
use crate::evm::trace::Frame;

/// What a run does about signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// They are checked.
    Checked,
    /// "Signature failed" counts as "valid, for ever": the window that goes with it is a dummy's too.
    Trusted,
    /// The same, and each check on the way to it passes.
    Forced {
        /// What accounts find written about a signer: a flag, a weight.
        known: u64,
    },
}

/// The first of the made-up signers.
const SIGNER: U256 = U256::from_be_bytes(b256!("0x000000000000000000000000f519e25519e25519e25519e25519e25500000000").0);
const ECRECOVER: Address = Address::with_last_byte(1);
const P256: Address = address!("0x0000000000000000000000000000000000000100");
/// Of alt_bn128, and of BLS12-381.
const PAIRINGS: [Address; 2] = [Address::with_last_byte(8), Address::with_last_byte(0xf)];
/// `isValidSignature(bytes32,bytes)`, and `isValidSignature(bytes,bytes)` as it was before; each answers with itself.
const IS_VALID: [[u8; 4]; 2] = [[0x16, 0x26, 0xba, 0x7e], [0x20, 0xc1, 0x3b, 0x0b]];
/// Bytes of hash, signature and public key, which is all that a P256 verifier is called with.
const P256_INPUT: usize = 160;
/// Slots after a mapping's entry that still belong to it.
const FIELDS: u64 = 8;

/// What has been made up.
#[derive(Debug, Default)]
pub(super) struct Forced {
    /// How many signers.
    signers: u64,
    /// Entries of mappings by one of them.
    entries: HashSet<U256>,
    /// What the instruction under way is to leave on the stack.
    answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Always(U256),
    IfNothing(U256),
}

impl Forced {
    fn is_signer(&self, word: U256) -> bool {
        word >= SIGNER && word - SIGNER < U256::from(self.signers)
    }

    /// What is hashed for a mapping's entry: key and slot.
    pub(super) fn hashed(&mut self, hash: U256, [key, slot]: [U256; 2]) {
        if self.is_signer(key) || self.entries.contains(&slot) {
            self.entries.insert(hash);
        }
    }

    /// Decides what an instruction is to answer, before it runs.
    pub(super) fn before(&mut self, opcode: u8, interp: &Interpreter, known: u64) {
        let word = |position: usize| interp.stack.peek(position).ok();
        self.answer = match opcode {
            opcode::EQ | opcode::SUB | opcode::XOR => {
                let (Some(first), Some(second)) = (word(0), word(1)) else { return };
                let other = match (self.is_signer(first), self.is_signer(second)) {
                    (true, false) => second,
                    (false, true) => first,
                    _ => return,
                };
                // Zero, one and masks are no addresses; signers come before them.
                let is_address = other.bit_len() > 64 && other.bit_len() <= 160;
                is_address.then_some(Answer::Always(U256::from(u8::from(opcode == opcode::EQ))))
            }
            opcode::SLOAD => word(0).and_then(|slot| {
                let is_field = |entry: &U256| slot.wrapping_sub(*entry) < U256::from(FIELDS);
                self.entries.iter().any(is_field).then_some(Answer::IfNothing(U256::from(known)))
            }),
            _ => None,
        };
    }

    /// Replaces what the instruction has left.
    pub(super) fn after(&mut self, interp: &mut Interpreter) {
        let Some(answer) = self.answer.take() else { return };
        let Ok(found) = interp.stack.peek(0) else { return };
        let word = match answer {
            Answer::Always(word) => word,
            Answer::IfNothing(word) if found.is_zero() => word,
            Answer::IfNothing(_) => return,
        };
        let _ = interp.stack.pop();
        let _ = interp.stack.push(word);
    }

    /// Replaces what a callee has answered.
    fn answered(&mut self, frame: &Frame, outcome: &mut CallOutcome) {
        let result = &mut outcome.result;
        let word = |word: U256| Bytes::from(word.to_be_bytes::<32>());
        let magic = frame.selector.filter(|selector| IS_VALID.contains(selector) && frame.has_code);
        if frame.code == ECRECOVER && result.is_ok() {
            result.output = word(SIGNER + U256::from(self.signers));
            self.signers += 1;
        } else if let Some(magic) = magic
            && (result.is_ok() || result.is_revert())
        {
            let mut output = [0; 32];
            output[..4].copy_from_slice(&magic);
            (result.result, result.output) = (InstructionResult::Return, output.into());
        } else if result.is_ok() {
            let says_no = result.output.iter().all(|byte| *byte == 0);
            let is_check = frame.code == P256
                || (PAIRINGS.contains(&frame.code) || frame.input_length == P256_INPUT) && result.output.len() == 32;
            if says_no && is_check {
                result.output = word(U256::ONE);
            }
        }
    }
}

impl Recorder {
    /// Whether the innermost frame is an entity's own in validation, whose checks are to pass, and what is known of
    /// signers.
    pub(super) fn forces(&self) -> Option<u64> {
        let Signatures::Forced { known } = self.watch.signatures else { return None };
        self.stack.last().and_then(|open| open.judged).map(|_| known)
    }

    pub(super) fn force_answer(&mut self, outcome: &mut CallOutcome) {
        if self.forces().is_some()
            && let Some(open) = self.stack.last()
        {
            self.forced.answered(&self.trace.frames[open.index], outcome);
        }
    }

    /// Replaces "signature failed" by "valid", where the EntryPoint asked for a verdict. What it says of time is the
    /// dummy's as well; if checks were made to pass, so it is when it says "valid".
    pub(super) fn trust_verdict(&mut self, outcome: &mut CallOutcome) {
        let Some(frame) = self.stack.last().map(|open| &self.trace.frames[open.index]) else { return };
        if frame.depth != 1 || frame.caller != self.watch.entry_point || !outcome.result.result.is_ok() {
            return;
        }
        let Some((selector, word)) = self.watch.trusted.iter().find(|(selector, _)| Some(*selector) == frame.selector)
        else {
            return;
        };
        let is_account = *selector == self.watch.selectors.validate_user_op;
        let forced = is_account && matches!(self.watch.signatures, Signatures::Forced { .. });
        let range = word * 32..word * 32 + 32;
        let output = &outcome.result.output;
        let Some(signer) = output.get(range.start + 12..range.end).map(U256::from_be_slice) else { return };
        let failed = signer == U256::ONE;
        if failed || forced && signer.is_zero() {
            self.trace.trusted |= failed;
            let mut trusted = output.to_vec();
            trusted[range].fill(0);
            outcome.result.output = trusted.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signers_come_one_higher_than_the_other_and_their_entries_are_known() {
        let mut forced = Forced { signers: 2, ..Forced::default() };
        assert!(forced.is_signer(SIGNER) && forced.is_signer(SIGNER + U256::ONE));
        assert!(!forced.is_signer(SIGNER + U256::from(2)) && !forced.is_signer(U256::ONE));
        let (of_signer, of_nobody) = (U256::from(100), U256::from(200));
        forced.hashed(of_signer, [SIGNER, U256::from(3)]);
        forced.hashed(of_nobody, [U256::from(9), U256::from(3)]);
        forced.hashed(U256::from(300), [U256::from(9), of_signer]);
        assert!(forced.entries.contains(&of_signer) && forced.entries.contains(&U256::from(300)));
        assert!(!forced.entries.contains(&of_nobody));
    }
}
