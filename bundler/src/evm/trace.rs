//! The record of one run: plain data, for others to judge.

use alloy::primitives::{
    Address, Bytes, U256,
    map::{HashMap, HashSet},
};

use super::Wanted;
use crate::rejection::Entity;

/// How a frame came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the opcodes")]
pub enum FrameKind {
    Call,
    StaticCall,
    DelegateCall,
    CallCode,
    Create,
    Create2,
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
    /// Whose code it runs.
    pub code: Address,
    /// Whether there was code to run; not known of creations.
    pub has_code: bool,
    /// Whether the code that it names is an EIP-7702 delegation.
    pub delegated: bool,
    /// Whether only the chain's client can run it. After validation it was not run, but answered `true`.
    pub native: bool,
    /// Wei it was called with.
    pub value: U256,
    /// Bytes of its input.
    pub input_length: usize,
    /// The input itself, of what the EntryPoint calls to execute an operation; not kept of others.
    pub input: Bytes,
    /// First four bytes of the input, if it has as many.
    pub selector: Option<[u8; 4]>,
    /// The word after them, if there is one.
    pub argument: Option<U256>,
    /// Whose validation this is part of, by what the EntryPoint asked whom.
    pub phase: Option<Entity>,
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
    /// What it returned or reverted with, cut to 4,096 bytes; not kept of frames deep down.
    pub output: Bytes,
}

/// Something that an entity did in validation, of the kinds that ERC-7562 has rules for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// The frame it was done in.
    pub frame: usize,
    /// Offset of the instruction in the frame's code.
    pub pc: usize,
    /// The instruction.
    pub opcode: u8,
    /// What it did.
    pub deed: Deed,
}

/// Kinds of [`Act`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Ran an instruction that looks at the block, ends the contract, or is defined as invalid.
    Environment,
    /// Looked at a balance.
    Balance,
    /// Looked at the gas left, and not to pass it on at once.
    Gas,
    /// Ran an instruction that the hardfork does not define.
    Undefined,
    /// Ran out of gas.
    OutOfGas,
    /// Read or wrote a storage slot, transient or not.
    Storage {
        /// Whose.
        contract: Address,
        /// Which.
        slot: U256,
        /// Whether it wrote.
        write: bool,
    },
    /// Looked at code without running it.
    Code {
        /// Whose.
        address: Address,
        /// Whether there is any; not known if the instruction halted its frame, and so read nothing.
        has_code: Option<bool>,
        /// Whether that is an EIP-7702 delegation.
        delegated: bool,
        /// Whether it was its size, and the next instruction was `ISZERO`.
        only_whether: bool,
    },
    /// Called, by the frame of this index.
    Call(usize),
    /// Ran `CREATE`, as this contract.
    Create(Address),
    /// Ran `CREATE2` for this address, whether it came to be or not; the zero address if it was told of none.
    Create2(Address),
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
    /// The gas that the EntryPoint saw first and last in each of its calls to itself, in which it executes an operation, in order:
    /// what lies between is what it meters of the execution.
    pub executions: Vec<(u64, u64)>,
    /// Work of the run: one for each instruction, six for each word that is hashed, and the gas of precompiles.
    pub steps: u64,
    /// How many frames had been entered when validation ended; `None` if it did not.
    pub validation_frames: Option<usize>,
    /// What the entities did in validation, in order, each kind of deed once.
    pub acts: Vec<Act>,
    /// What was hashed in validation, of 64 bytes: from the hash to the two words.
    pub preimages: HashMap<U256, [U256; 2]>,
    /// Whether "signature failed" was taken for "valid".
    pub trusted: bool,
}

impl Trace {
    /// Frames entered directly by `parent`.
    pub fn children(&self, parent: usize) -> impl Iterator<Item = (usize, &Frame)> {
        self.frames.iter().enumerate().filter(move |(_, frame)| frame.parent == Some(parent))
    }

    /// Gas that the EntryPoint metered of each operation's execution, of those executed. Of one whose `postOp` reverted: of
    /// what came before that.
    pub fn executed(&self) -> impl Iterator<Item = u64> {
        self.executions.iter().map(|(first, last)| first.saturating_sub(*last))
    }

    /// Places in the bundle of the operations that, executed, ran in these accounts or as they are, or on these slots' behalf.
    pub(super) fn readers(&self, entry_point: Address, of: &Wanted) -> Vec<usize> {
        let concerned: HashSet<Address> =
            of.accounts.iter().copied().chain(of.slots.iter().map(|(address, _)| *address)).collect();
        let Some(execution) = self.validation_frames else { return Vec::new() };
        let (mut places, mut begun) = (Vec::new(), 0_usize);
        for frame in self.frames.iter().skip(execution) {
            begun += usize::from(frame.parent == Some(0) && frame.target == entry_point);
            let place = begun.saturating_sub(1);
            let reads = concerned.contains(&frame.target) || concerned.contains(&frame.code);
            if reads && frame.target != entry_point && places.last() != Some(&place) {
                places.push(place);
            }
        }
        places
    }

    /// Places in the bundle of the operations whose execution called what only the chain's client can run, in order.
    /// From there on nothing that this run did need be what the chain does.
    pub fn native_operations(&self, entry_point: Address) -> Vec<usize> {
        let Some(execution) = self.validation_frames else { return Vec::new() };
        let mut places = Vec::new();
        // The EntryPoint executes each operation in a call of its own to itself, one after the other.
        let mut begun = 0_usize;
        for frame in self.frames.iter().skip(execution) {
            begun += usize::from(frame.parent == Some(0) && frame.target == entry_point);
            let place = begun.saturating_sub(1);
            if frame.native && places.last() != Some(&place) {
                places.push(place);
            }
        }
        places
    }

    /// The first call, within `frame`, of what only the chain's client can run.
    pub fn native_call_in(&self, frame: usize) -> Option<&Frame> {
        let within =
            |index: &usize| std::iter::successors(Some(*index), |at| self.frames[*at].parent).any(|at| at == frame);
        let native = self.frames.iter().enumerate().skip(frame).filter(|(_, callee)| callee.native);
        native.filter(|(index, _)| within(index)).map(|(_, callee)| callee).next()
    }

    /// Whose code runs, from the transaction down to this frame.
    pub fn call_path(&self, frame: usize) -> Vec<Address> {
        let mut path: Vec<_> = std::iter::successors(Some(frame), |index| self.frames.get(*index)?.parent)
            .filter_map(|index| Some(self.frames.get(index)?.code))
            .collect();
        path.reverse();
        path
    }
}
