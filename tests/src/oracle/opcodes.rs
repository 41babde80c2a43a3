//! Opcodes that look at the environment or end badly: OP-011, OP-012, OP-013, OP-020, OP-080.

use super::{Broken, facts::Facts, node::is_out_of_gas, phases::Entity};

/// Opcodes by name.
pub(super) mod op {
    pub(crate) const STOP: u8 = 0x00;
    pub(crate) const ISZERO: u8 = 0x15;
    pub(crate) const KECCAK256: u8 = 0x20;
    pub(crate) const BALANCE: u8 = 0x31;
    pub(crate) const EXTCODESIZE: u8 = 0x3b;
    pub(crate) const EXTCODECOPY: u8 = 0x3c;
    pub(crate) const EXTCODEHASH: u8 = 0x3f;
    pub(crate) const SELFBALANCE: u8 = 0x47;
    pub(crate) const SLOAD: u8 = 0x54;
    pub(crate) const SSTORE: u8 = 0x55;
    pub(crate) const GAS: u8 = 0x5a;
    pub(crate) const TLOAD: u8 = 0x5c;
    pub(crate) const TSTORE: u8 = 0x5d;
    pub(crate) const LOG1: u8 = 0xa1;
    pub(crate) const CREATE: u8 = 0xf0;
    pub(crate) const CALL: u8 = 0xf1;
    pub(crate) const CALLCODE: u8 = 0xf2;
    pub(crate) const RETURN: u8 = 0xf3;
    pub(crate) const DELEGATECALL: u8 = 0xf4;
    pub(crate) const CREATE2: u8 = 0xf5;
    pub(crate) const STATICCALL: u8 = 0xfa;
    pub(crate) const REVERT: u8 = 0xfd;
    pub(crate) const INVALID: u8 = 0xfe;
    pub(crate) const SELFDESTRUCT: u8 = 0xff;
}

/// OP-011, but for `CREATE`, which has exceptions.
const BLOCKED: [u8; 13] =
    [0x32, 0x3a, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x48, 0x49, 0x4a, op::INVALID, op::SELFDESTRUCT];

const CALLS: [u8; 4] = [op::CALL, op::CALLCODE, op::DELEGATECALL, op::STATICCALL];

/// Whether the opcode means something on the chain: Osaka's.
fn is_assigned(opcode: u8) -> bool {
    matches!(opcode,
        0x00..=0x0b | 0x10..=0x1e | 0x20 | 0x30..=0x4a | 0x50..=0xa4 | 0xf0..=0xf5 | 0xfa | 0xfd..=0xff)
}

/// Whether it calls.
pub(super) fn is_call(opcode: u8) -> bool {
    CALLS.contains(&opcode)
}

/// What the tracer is to write down.
pub(super) fn noted() -> Vec<u8> {
    let others = [
        op::KECCAK256,
        op::BALANCE,
        op::EXTCODESIZE,
        op::EXTCODECOPY,
        op::EXTCODEHASH,
        op::SELFBALANCE,
        op::SLOAD,
        op::SSTORE,
        op::GAS,
        op::TLOAD,
        op::TSTORE,
        op::LOG1,
        op::CREATE,
        op::CREATE2,
    ];
    let unassigned = (0..=u8::MAX).filter(|opcode| !is_assigned(*opcode));
    unassigned.chain(BLOCKED).chain(CALLS).chain(others).collect()
}

pub(super) fn check(facts: &Facts<'_>, broken: &mut Broken) {
    for (entity, event) in facts.events() {
        match event.op {
            opcode if BLOCKED.contains(&opcode) => broken.add("OP-011", entity),
            opcode if !is_assigned(opcode) => broken.add("OP-013", entity),
            op::GAS if !event.next.is_some_and(is_call) => broken.add("OP-012", entity),
            op::BALANCE | op::SELFBALANCE if !facts.is_staked(entity) => broken.add("OP-080", entity),
            _ => {}
        }
    }
    for entity in starved(facts) {
        broken.add("OP-020", entity);
    }
}

/// Whose frames failed for want of gas.
fn starved(facts: &Facts<'_>) -> Vec<Entity> {
    let mut starved = Vec::new();
    let mut creations = facts.starved_creations.iter();
    for (index, frame) in facts.trace.frames.iter().enumerate() {
        let in_creation = frame.creates() && creations.next() == Some(&true);
        let in_call = frame.error.as_deref().is_some_and(is_out_of_gas);
        if let (true, Some(entity)) = (in_creation || in_call, facts.phases.owner(index)) {
            starved.push(entity);
        }
    }
    starved
}
