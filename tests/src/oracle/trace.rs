//! What the tracer wrote down of one `handleOps`: frames in the order they were entered, and instructions.

use alloy::primitives::{Address, Bytes, U256};
use serde::Deserialize;

/// What `tracer.js` returns.
#[derive(Debug, Deserialize)]
pub(super) struct Trace {
    /// Whether the EntryPoint came as far as execution.
    pub(super) validated: bool,
    /// The first is the EntryPoint's own.
    pub(super) frames: Vec<Frame>,
    /// Instructions that a rule may be about; of the EntryPoint's own only `GAS`.
    pub(super) events: Vec<Event>,
    /// Whatever 64 bytes were hashed, by anybody.
    pub(super) preimages: Vec<Bytes>,
    /// Of the whole run.
    pub(super) output: Bytes,
}

/// A call or a creation.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    /// The opcode's name.
    pub(super) kind: String,
    /// Whose code runs, or the address that a creation is to have.
    #[serde(default)]
    pub(super) to: Address,
    pub(super) parent: usize,
    /// Gas that it was given.
    pub(super) gas: u64,
    #[serde(default)]
    pub(super) used: u64,
    /// How many events there were before it, and before it was over.
    pub(super) opened: usize,
    #[serde(default)]
    pub(super) closed: usize,
    /// Calldata, if the EntryPoint calls.
    #[serde(default)]
    pub(super) input: Bytes,
    /// What the EntryPoint is answered.
    #[serde(default)]
    pub(super) output: Bytes,
    /// Why it failed; not told of creations.
    pub(super) error: Option<String>,
    /// Its last opcode; 0 if that was a call's.
    #[serde(default)]
    pub(super) last: u8,
    /// Length of the code that a creation returns.
    #[serde(default)]
    pub(super) size: u64,
}

/// An instruction, whether it succeeds or not.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    /// By the order of entry.
    pub(super) frame: usize,
    pub(super) op: u8,
    /// The executing contract: whose storage it would be.
    pub(super) at: Address,
    /// The instruction after it in the same frame, of `GAS` and `EXTCODE*`.
    pub(super) next: Option<u8>,
    /// Slot, called or looked-at address (under whatever bytes), or salt.
    #[serde(default)]
    pub(super) word: U256,
    /// Length of the code at that address, at that moment.
    #[serde(default)]
    pub(super) code: usize,
    /// Whether that code is a delegation by EIP-7702.
    #[serde(default)]
    pub(super) delegated: bool,
    #[serde(default)]
    pub(super) value: U256,
    /// Whether a call came as far as opening its frame.
    #[serde(default)]
    pub(super) opened: bool,
    /// The first 36 bytes of a call's input, or all the code that creates.
    pub(super) input: Option<Bytes>,
    /// Length of a call's input.
    #[serde(default)]
    pub(super) length: U256,
    /// Gas left before it, of `GAS`.
    #[serde(default)]
    pub(super) gas: u64,
}

impl Event {
    /// The address in `word`, as the EVM reads it: whatever is above 20 bytes does not matter.
    pub(super) fn target(&self) -> Address {
        Address::from_word(self.word.into())
    }
}

impl Frame {
    /// Whether it is `CREATE`'s or `CREATE2`'s.
    pub(super) fn creates(&self) -> bool {
        self.kind.starts_with("CREATE")
    }
}
