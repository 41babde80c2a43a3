//! Contracts that do their worst: as little code as says it.

use alloy::primitives::{Bytes, U256};
use erc4337::EntryPointVersion;

const STOP: u8 = 0x00;
const LT: u8 = 0x10;
const GT: u8 = 0x11;
const EQ: u8 = 0x14;
const SHR: u8 = 0x1c;
const CALLDATALOAD: u8 = 0x35;
const POP: u8 = 0x50;
const MLOAD: u8 = 0x51;
const MSTORE: u8 = 0x52;
const SSTORE: u8 = 0x55;
const JUMPI: u8 = 0x57;
const GAS: u8 = 0x5a;
const JUMPDEST: u8 = 0x5b;
const PUSH0: u8 = 0x5f;
const RETURN: u8 = 0xf3;
const REVERT: u8 = 0xfd;
const INVALID: u8 = 0xfe;

/// Code being written.
#[derive(Default)]
struct Asm {
    code: Vec<u8>,
    labels: Vec<u16>,
    holes: Vec<(usize, usize)>,
}

impl Asm {
    fn op(&mut self, opcode: u8) -> &mut Self {
        self.code.push(opcode);
        self
    }

    fn push(&mut self, value: u64) -> &mut Self {
        let bytes = U256::from(value).to_be_bytes_trimmed_vec();
        self.op(PUSH0 + bytes.len() as u8);
        self.code.extend(bytes);
        self
    }

    fn label(&mut self) -> usize {
        self.labels.push(0);
        self.labels.len() - 1
    }

    fn place(&mut self, label: usize) -> &mut Self {
        self.labels[label] = self.code.len() as u16;
        self.op(JUMPDEST)
    }

    fn jump_if(&mut self, label: usize) -> &mut Self {
        self.op(PUSH0 + 2);
        self.holes.push((self.code.len(), label));
        self.code.extend([0, 0]);
        self.op(JUMPI)
    }

    fn store(&mut self, at: u64, word: u64) -> &mut Self {
        self.push(word).push(at).op(MSTORE)
    }

    fn ends(&mut self, opcode: u8, length: u64) -> &mut Self {
        self.push(length).op(PUSH0).op(opcode)
    }

    /// Jumps if this is what is asked.
    fn if_asked(&mut self, selector: [u8; 4], label: usize) -> &mut Self {
        self.op(PUSH0).op(CALLDATALOAD).push(224).op(SHR);
        self.push(u32::from_be_bytes(selector).into()).op(EQ).jump_if(label)
    }

    fn finish(mut self) -> Bytes {
        for (hole, label) in &self.holes {
            self.code[*hole..*hole + 2].copy_from_slice(&self.labels[*label].to_be_bytes());
        }
        self.code.into()
    }
}

/// What the environment says that must be for the worst to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// In `postOp`: not when it is called again because it reverted (v0.6).
    First,
    /// This opcode (`TIMESTAMP`, `NUMBER`, `COINBASE`, `GASPRICE`, `BASEFEE`, `PREVRANDAO`) says more than this.
    Above(u8, u64),
    /// It says less.
    Below(u8, u64),
}

/// How a frame ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Stop,
    Invalid,
    /// With so many bytes.
    Return(u64),
    Revert(u64),
}

/// What is done in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worst {
    pub(super) when: When,
    /// Bytes that memory is grown to first.
    pub(super) grow: u64,
    /// Slots written.
    pub(super) writes: u64,
    /// Whether they are cleared again, which brings most of the gas back.
    pub(super) clears: bool,
    /// Burns until no more than this much gas is left.
    pub(super) burn: Option<u64>,
    pub(super) end: End,
}

impl Worst {
    pub(super) const NOTHING: Self =
        Self { when: When::Always, grow: 0, writes: 0, clears: false, burn: None, end: End::Stop };

    fn emit(self, asm: &mut Asm) {
        let worst = asm.label();
        match self.when {
            When::Always => {}
            When::First => {
                asm.push(2).push(4).op(CALLDATALOAD).op(LT).jump_if(worst).op(STOP).place(worst);
            }
            When::Below(opcode, threshold) => {
                asm.push(threshold).op(opcode).op(LT).jump_if(worst).op(STOP).place(worst);
            }
            When::Above(opcode, threshold) => {
                asm.push(threshold).op(opcode).op(GT).jump_if(worst).op(STOP).place(worst);
            }
        }
        if self.grow > 0 {
            asm.push(self.grow).op(MLOAD).op(POP);
        }
        for slot in 0..self.writes {
            asm.push(1).push(slot + 7).op(SSTORE);
            if self.clears {
                asm.push(0).push(slot + 7).op(SSTORE);
            }
        }
        if let Some(left) = self.burn {
            let again = asm.label();
            asm.place(again).op(GAS).push(left).op(LT).jump_if(again);
        }
        match self.end {
            End::Stop => asm.op(STOP),
            End::Invalid => asm.op(INVALID),
            End::Return(length) => asm.ends(RETURN, length),
            End::Revert(length) => asm.ends(REVERT, length),
        };
    }
}

/// Says that every operation is valid, and does this when it is called.
pub(super) fn account(version: EntryPointVersion, worst: Worst) -> Bytes {
    let mut asm = Asm::default();
    let asked = asm.label();
    asm.if_asked(version.selectors().validate_user_op, asked);
    worst.emit(&mut asm);
    asm.place(asked).ends(RETURN, 32);
    asm.finish()
}

/// Pays for everybody with a context of so many bytes, and does this in `postOp`.
pub(super) fn paymaster(version: EntryPointVersion, context: u64, worst: Worst) -> Bytes {
    let mut asm = Asm::default();
    let asked = asm.label();
    asm.if_asked(version.selectors().validate_paymaster_user_op, asked);
    worst.emit(&mut asm);
    asm.place(asked).store(0, 64).store(64, context).ends(RETURN, 96 + context.next_multiple_of(32));
    asm.finish()
}
