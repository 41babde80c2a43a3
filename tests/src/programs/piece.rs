//! What programs are made of: pieces that leave the stack as they found it, so that any sequence of them runs.

use std::collections::BTreeMap;

use alloy::primitives::{Address, Bytes, U256, keccak256};
use erc4337::EntryPointVersion;

use super::{
    asm::{Asm, op},
    helpers,
};

/// An address, by what it is to the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the entities")]
pub enum Who {
    Sender,
    Factory,
    Paymaster,
    EntryPoint,
    /// The executing address, by `ADDRESS`.
    This,
    /// A contract that is no entity; see [`helpers::STORE`].
    Store,
    /// The same code elsewhere, to go through.
    Relay,
    /// A contract that stops at once.
    Stop,
    /// An account that has never been touched.
    Nobody,
    /// An account that runs the store's code by EIP-7702.
    Delegated,
    /// An account that would run the code of one without any.
    DelegatedToNobody,
    /// A precompile, or where one could be.
    Precompile(u16),
    /// Any other.
    Literal(Address),
}

/// A word that a program computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// This number.
    Literal(U256),
    /// An address, left-padded.
    Address(Who),
    /// An address under dirty high bytes.
    Dirty(Who),
    /// The hash of these words, computed when it is wanted, plus a number.
    Keccak(Vec<Word>, u64),
    /// The same number, known without hashing.
    Foreknown(Vec<Word>, u64),
}

/// The four ways to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the opcodes")]
pub enum CallKind {
    Call,
    CallCode,
    DelegateCall,
    StaticCall,
}

/// Gas for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gas {
    /// `GAS` and the call at once after it.
    All,
    /// `GAS`, a `JUMPDEST`, then the call.
    Late,
    /// This much.
    Exactly(u32),
}

/// The four opcodes of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the opcodes")]
pub enum Access {
    Sload,
    Sstore,
    Tload,
    Tstore,
}

/// A piece of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the arguments of calls")]
pub enum Piece {
    /// An opcode on these arguments (the first is on top), then perhaps another that takes one and leaves one; what
    /// is left is dropped.
    Op(u8, Vec<Word>, Option<u8>),
    /// Hashes, for nothing but having hashed.
    Hash(Word),
    /// Storage of the executing contract.
    Own(Access, Word),
    /// Storage of `at`, whose code takes the store's orders, through relays: the last hop reaches `at`.
    Store { access: Access, slot: Word, at: Who, route: Vec<CallKind> },
    /// A call with bytes and words for calldata; its failure is caught.
    Call { kind: CallKind, to: Who, value: u64, gas: Gas, head: Vec<u8>, words: Vec<Word> },
    /// A call to a contract made of these pieces; its failure is caught.
    Inner { kind: CallKind, gas: Gas, body: Vec<Piece> },
    /// A call to an entity, which then runs a contract made of these pieces as its own code.
    By { who: Who, body: Vec<Piece> },
    /// Bytes as they are. They may end the frame, so only inside of [`Piece::Inner`] or if they are neutral.
    Raw(Vec<u8>),
    /// `CREATE2` of the sender; only the factory's can succeed.
    CreateSender,
}

/// Where a program runs: all addresses it may name, and the helper contracts it turns out to need.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the entities")]
pub struct Place {
    pub version: EntryPointVersion,
    pub entry_point: Address,
    pub sender: Address,
    pub factory: Address,
    pub paymaster: Address,
    /// What creates the sender.
    pub init_code: Bytes,
    /// Code by address. A helper's address is its code's hash, so equal ones are one.
    pub contracts: BTreeMap<Address, Bytes>,
}

impl CallKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Call, Self::CallCode, Self::DelegateCall, Self::StaticCall];

    /// The opcode.
    pub const fn opcode(self) -> u8 {
        match self {
            Self::Call => op::CALL,
            Self::CallCode => op::CALLCODE,
            Self::DelegateCall => op::DELEGATECALL,
            Self::StaticCall => op::STATICCALL,
        }
    }

    /// Whether it takes a value.
    pub const fn has_value(self) -> bool {
        matches!(self, Self::Call | Self::CallCode)
    }
}

impl Access {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sload, Self::Sstore, Self::Tload, Self::Tstore];

    /// The opcode.
    pub const fn opcode(self) -> u8 {
        match self {
            Self::Sload => op::SLOAD,
            Self::Sstore => op::SSTORE,
            Self::Tload => op::TLOAD,
            Self::Tstore => op::TSTORE,
        }
    }

    /// Whether it changes anything.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Sstore | Self::Tstore)
    }
}

/// Writes a program.
pub fn emit(pieces: &[Piece], asm: &mut Asm, place: &mut Place) {
    for piece in pieces {
        piece.emit(asm, place);
    }
}

impl Piece {
    /// An opcode without arguments.
    pub fn opcode(opcode: u8) -> Self {
        Self::Op(opcode, vec![], None)
    }

    /// A call that says nothing.
    pub fn call(kind: CallKind, to: Who) -> Self {
        Self::Call { kind, to, value: 0, gas: Gas::All, head: vec![], words: vec![] }
    }

    /// The pieces inside of this one.
    pub fn body(&self) -> &[Self] {
        if let Self::Inner { body, .. } | Self::By { body, .. } = self { body } else { &[] }
    }

    fn emit(&self, asm: &mut Asm, place: &mut Place) {
        match self {
            Self::Op(opcode, arguments, then) => {
                for word in arguments.iter().rev() {
                    word.emit(asm, place);
                }
                asm.op(*opcode);
                asm.raw(then.as_slice());
                if leaves_a_word(*opcode) {
                    asm.op(op::POP);
                }
            }
            Self::Hash(word) => {
                word.emit(asm, place);
                asm.op(op::POP);
            }
            Self::Own(access, slot) => {
                if access.writes() {
                    asm.number(1);
                }
                slot.emit(asm, place);
                asm.op(access.opcode());
                if !access.writes() {
                    asm.op(op::POP);
                }
            }
            Self::Store { access, slot, at, route } => {
                let (first, hops) = route.split_first().map_or((CallKind::Call, route.as_slice()), |(f, h)| (*f, h));
                let mut head = Vec::new();
                // Each hop is an order to the relay before it.
                for (index, kind) in hops.iter().enumerate() {
                    let next = if index + 1 == hops.len() { place.resolve(*at) } else { helpers::RELAY };
                    head.extend(helpers::hop(*kind, next));
                }
                head.push(helpers::order(*access));
                let to = if hops.is_empty() { *at } else { Who::Relay };
                emit_call(asm, place, (first, to, 0, Gas::All), &head, std::slice::from_ref(slot));
            }
            Self::Call { kind, to, value, gas, head, words } => {
                emit_call(asm, place, (*kind, *to, *value, *gas), head, words);
            }
            Self::Inner { kind, gas, body } => {
                let mut inner = Asm::default();
                emit(body, &mut inner, place);
                let helper = place.helper(inner.finish());
                emit_call(asm, place, (*kind, Who::Literal(helper), 0, *gas), &[], &[]);
            }
            Self::By { who, body } => {
                let mut inner = Asm::default();
                emit(body, &mut inner, place);
                let order = helpers::hop(CallKind::DelegateCall, place.helper(inner.finish()));
                emit_call(asm, place, (CallKind::Call, *who, 0, Gas::All), &order, &[]);
            }
            Self::Raw(bytes) => {
                asm.raw(bytes);
            }
            Self::CreateSender => {
                let init_code = place.init_code.clone();
                asm.memory(0, &init_code);
                // Salt, size, offset, value.
                asm.op(op::PUSH0).number(init_code.len()).op(op::PUSH0).op(op::PUSH0).op(op::CREATE2).op(op::POP);
            }
        }
    }
}

/// Of those opcodes that [`Piece::Op`] is used for.
fn leaves_a_word(opcode: u8) -> bool {
    !matches!(opcode, op::EXTCODECOPY | op::CALLDATACOPY | op::MSTORE | op::SSTORE | op::TSTORE | op::POP)
}

fn emit_call(
    asm: &mut Asm,
    place: &Place,
    (kind, to, value, gas): (CallKind, Who, u64, Gas),
    head: &[u8],
    words: &[Word],
) {
    for word in words {
        word.emit(asm, place);
    }
    asm.memory(0, head);
    for index in (0..words.len()).rev() {
        asm.number(head.len() + 32 * index).op(op::MSTORE);
    }
    asm.op(op::PUSH0).op(op::PUSH0).number(head.len() + 32 * words.len()).op(op::PUSH0);
    if kind.has_value() {
        asm.push(U256::from(value));
    }
    Word::Address(to).emit(asm, place);
    match gas {
        Gas::All => asm.op(op::GAS),
        Gas::Late => asm.op(op::GAS).op(op::JUMPDEST),
        Gas::Exactly(gas) => asm.number(gas as usize),
    };
    asm.op(kind.opcode()).op(op::POP);
}

impl Word {
    /// What an array or mapping of `who` at `x` keeps `n` words behind its first.
    pub fn associated(who: Who, x: u64, n: u64) -> Self {
        Self::Keccak(vec![Self::Address(who), Self::Literal(U256::from(x))], n)
    }

    fn emit(&self, asm: &mut Asm, place: &Place) {
        match self {
            Self::Literal(value) => {
                asm.push(*value);
            }
            Self::Address(Who::This) => {
                asm.op(op::ADDRESS);
            }
            Self::Address(who) => {
                asm.address(place.resolve(*who));
            }
            Self::Keccak(words, n) => {
                for word in words {
                    word.emit(asm, place);
                }
                for index in (0..words.len()).rev() {
                    asm.number(32 * index).op(op::MSTORE);
                }
                asm.number(32 * words.len()).op(op::PUSH0).op(op::KECCAK256);
                if *n > 0 {
                    asm.number(*n as usize).op(op::ADD);
                }
            }
            Self::Dirty(_) | Self::Foreknown(..) => {
                asm.push(self.value(place));
            }
        }
    }

    /// Its value, computed here.
    pub fn value(&self, place: &Place) -> U256 {
        match self {
            Self::Literal(value) => *value,
            Self::Address(who) => U256::from_be_bytes(place.resolve(*who).into_word().0),
            Self::Dirty(who) => U256::from_be_bytes(place.resolve(*who).into_word().0) | U256::from(0xd1) << 248,
            Self::Keccak(words, n) | Self::Foreknown(words, n) => {
                let preimage: Vec<u8> = words.iter().flat_map(|word| word.value(place).to_be_bytes::<32>()).collect();
                U256::from_be_bytes(keccak256(preimage).0).wrapping_add(U256::from(*n))
            }
        }
    }
}

impl Place {
    /// The address; [`Who::This`] is known only to the EVM and stands for the sender here.
    pub fn resolve(&self, who: Who) -> Address {
        match who {
            Who::Sender | Who::This => self.sender,
            Who::Factory => self.factory,
            Who::Paymaster => self.paymaster,
            Who::EntryPoint => self.entry_point,
            Who::Store => helpers::STORE,
            Who::Relay => helpers::RELAY,
            Who::Stop => helpers::STOP,
            Who::Nobody => helpers::NOBODY,
            Who::Delegated => helpers::DELEGATED,
            Who::DelegatedToNobody => helpers::DELEGATED_TO_NOBODY,
            Who::Precompile(number) => Address::from_word(U256::from(number).into()),
            Who::Literal(address) => address,
        }
    }

    /// The address of a contract with this code.
    fn helper(&mut self, code: Bytes) -> Address {
        // Without code it would not be a contract.
        let code = if code.is_empty() { Bytes::from_static(&[op::STOP]) } else { code };
        let address = Address::from_word(keccak256(&code));
        self.contracts.insert(address, code);
        address
    }
}
