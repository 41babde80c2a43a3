//! One run of `handleOps`, as anvil's two tracers tell it: the call tracer's frames, and the steps of our own script.

use std::collections::HashMap;

use alloy::primitives::{Address, Bytes, U256};
use serde::Deserialize;

/// A frame as the call tracer prints it.
#[derive(Debug, Deserialize)]
pub(super) struct Call {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) from: Address,
    #[serde(default)]
    pub(super) to: Address,
    #[serde(default)]
    pub(super) input: Bytes,
    #[serde(default)]
    pub(super) output: Bytes,
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) calls: Vec<Call>,
}

/// What `tracer.js` returns.
#[derive(Debug, Deserialize)]
pub(super) struct Steps {
    /// How many frames were entered below the EntryPoint's first.
    pub(super) entered: usize,
    pub(super) events: Vec<Event>,
    /// Whatever 64 bytes were hashed, by anybody.
    pub(super) preimages: Vec<Bytes>,
    /// The address of each frame's creation, if it is one.
    pub(super) made: HashMap<usize, Address>,
    /// Of the whole run.
    pub(super) output: Bytes,
}

/// An instruction that a rule may be about.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    /// By order of entry.
    pub(super) frame: usize,
    pub(super) op: u8,
    /// The next one in the same frame, if there is.
    pub(super) next: Option<u8>,
    /// The executing contract.
    pub(super) contract: Address,
    /// A storage slot, or the address that is called or whose code is read.
    #[serde(default)]
    pub(super) word: U256,
    /// Size of the code there, at that moment.
    #[serde(default)]
    pub(super) code: usize,
    #[serde(default)]
    pub(super) value: U256,
    /// The first bytes of a call's input, up to one argument.
    #[serde(default)]
    pub(super) input: Bytes,
    /// Its whole length.
    #[serde(default)]
    pub(super) length: U256,
    /// The frame that a CREATE2 opens.
    pub(super) opens: Option<usize>,
}

impl Event {
    /// The address in `word`.
    pub(super) fn target(&self) -> Address {
        Address::from_word(self.word.into())
    }
}
