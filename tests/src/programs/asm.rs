//! A tiny EVM assembler: enough to write validation programs down, and to break rules no compiler would.

use alloy::primitives::{Address, Bytes, U256};

/// The opcodes that programs are made of, by name where the name says more than the number.
#[allow(missing_docs, reason = "the opcodes")]
pub mod op {
    pub const STOP: u8 = 0x00;
    pub const SUB: u8 = 0x03;
    pub const ADD: u8 = 0x01;
    pub const ADDMOD: u8 = 0x08;
    pub const EQ: u8 = 0x14;
    pub const ISZERO: u8 = 0x15;
    pub const SHR: u8 = 0x1c;
    pub const CLZ: u8 = 0x1e;
    pub const KECCAK256: u8 = 0x20;
    pub const ADDRESS: u8 = 0x30;
    pub const BALANCE: u8 = 0x31;
    pub const ORIGIN: u8 = 0x32;
    pub const CALLER: u8 = 0x33;
    pub const CALLVALUE: u8 = 0x34;
    pub const CALLDATALOAD: u8 = 0x35;
    pub const CALLDATASIZE: u8 = 0x36;
    pub const CALLDATACOPY: u8 = 0x37;
    pub const CODESIZE: u8 = 0x38;
    pub const GASPRICE: u8 = 0x3a;
    pub const EXTCODESIZE: u8 = 0x3b;
    pub const EXTCODECOPY: u8 = 0x3c;
    pub const RETURNDATASIZE: u8 = 0x3d;
    pub const EXTCODEHASH: u8 = 0x3f;
    pub const BLOCKHASH: u8 = 0x40;
    pub const COINBASE: u8 = 0x41;
    pub const TIMESTAMP: u8 = 0x42;
    pub const NUMBER: u8 = 0x43;
    pub const PREVRANDAO: u8 = 0x44;
    pub const GASLIMIT: u8 = 0x45;
    pub const CHAINID: u8 = 0x46;
    pub const SELFBALANCE: u8 = 0x47;
    pub const BASEFEE: u8 = 0x48;
    pub const BLOBHASH: u8 = 0x49;
    pub const BLOBBASEFEE: u8 = 0x4a;
    pub const POP: u8 = 0x50;
    pub const MLOAD: u8 = 0x51;
    pub const MSTORE: u8 = 0x52;
    pub const SLOAD: u8 = 0x54;
    pub const SSTORE: u8 = 0x55;
    pub const JUMP: u8 = 0x56;
    pub const JUMPI: u8 = 0x57;
    pub const PC: u8 = 0x58;
    pub const MSIZE: u8 = 0x59;
    pub const GAS: u8 = 0x5a;
    pub const JUMPDEST: u8 = 0x5b;
    pub const TLOAD: u8 = 0x5c;
    pub const TSTORE: u8 = 0x5d;
    pub const PUSH0: u8 = 0x5f;
    pub const DUP1: u8 = 0x80;
    pub const CREATE: u8 = 0xf0;
    pub const CALL: u8 = 0xf1;
    pub const CALLCODE: u8 = 0xf2;
    pub const RETURN: u8 = 0xf3;
    pub const DELEGATECALL: u8 = 0xf4;
    pub const CREATE2: u8 = 0xf5;
    pub const STATICCALL: u8 = 0xfa;
    pub const REVERT: u8 = 0xfd;
    pub const INVALID: u8 = 0xfe;
    pub const SELFDESTRUCT: u8 = 0xff;
}

/// A place to jump to, in the code it was made for.
#[derive(Clone, Copy, Debug)]
pub struct Label(usize);

/// Code being written.
#[derive(Clone, Debug, Default)]
pub struct Asm {
    code: Vec<u8>,
    labels: Vec<u16>,
    /// Where a label's two bytes go.
    holes: Vec<(usize, Label)>,
}

impl Asm {
    /// One opcode.
    pub fn op(&mut self, opcode: u8) -> &mut Self {
        self.code.push(opcode);
        self
    }

    /// Opcodes and whatever else, as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.code.extend_from_slice(bytes);
        self
    }

    /// `PUSH` of least width.
    pub fn push(&mut self, value: U256) -> &mut Self {
        let bytes = value.to_be_bytes_trimmed_vec();
        self.op(op::PUSH0 + bytes.len() as u8).raw(&bytes)
    }

    /// The same for a small number.
    pub fn number(&mut self, value: usize) -> &mut Self {
        self.push(U256::from(value))
    }

    /// `PUSH20`, so that code does not change its length with the address.
    pub fn address(&mut self, address: Address) -> &mut Self {
        self.op(op::PUSH0 + 20).raw(address.as_slice())
    }

    /// A label to be placed later.
    pub fn label(&mut self) -> Label {
        self.labels.push(0);
        Label(self.labels.len() - 1)
    }

    /// `JUMPDEST`, and the label stands for it.
    pub fn place(&mut self, label: Label) -> &mut Self {
        self.labels[label.0] = self.code.len() as u16;
        self.op(op::JUMPDEST)
    }

    /// Jumps if the word on the stack is not zero.
    pub fn jump_if(&mut self, label: Label) -> &mut Self {
        self.op(op::PUSH0 + 2);
        self.holes.push((self.code.len(), label));
        self.raw(&[0, 0]).op(op::JUMPI)
    }

    /// Writes bytes to memory, and zeros after them to the end of the last word.
    pub fn memory(&mut self, offset: usize, bytes: &[u8]) -> &mut Self {
        for (index, chunk) in bytes.chunks(32).enumerate() {
            let mut word = [0; 32];
            word[..chunk.len()].copy_from_slice(chunk);
            self.push(U256::from_be_bytes(word)).number(offset + 32 * index).op(op::MSTORE);
        }
        self
    }

    /// The code, its jumps filled in.
    pub fn finish(mut self) -> Bytes {
        for (hole, label) in &self.holes {
            self.code[*hole..*hole + 2].copy_from_slice(&self.labels[label.0].to_be_bytes());
        }
        self.code.into()
    }
}
