//! Contracts that every program may use, at fixed addresses.

use alloy::primitives::{Address, Bytes, address};

use super::{
    asm::{Asm, op},
    piece::{Access, CallKind},
};

/// Takes orders: an access to its storage, or to hand the rest of the orders on.
pub const STORE: Address = address!("0x5704e00000000000000000000000000000005704");
/// The same code.
pub const RELAY: Address = address!("0x4e1a400000000000000000000000000000004e1a");
/// `STOP`.
pub const STOP: Address = address!("0x5709000000000000000000000000000000005709");
/// Nothing.
pub const NOBODY: Address = address!("0x0b0d000000000000000000000000000000000b0d");

/// Runs the store's code by EIP-7702.
pub const DELEGATED: Address = address!("0x7702570400000000000000000000000077025704");
/// Would run that of an account without code.
pub const DELEGATED_TO_NOBODY: Address = address!("0x77020b0d00000000000000000000000077020b0d");

/// First of the bytes that order an access; those of calls follow.
const ORDERS: u8 = 0xa0;

/// The byte before a slot that orders this access.
pub fn order(access: Access) -> u8 {
    ORDERS + Access::ALL.iter().position(|other| *other == access).unwrap_or_default() as u8
}

/// The bytes before further orders that hand them on.
pub fn hop(kind: CallKind, to: Address) -> Vec<u8> {
    let index = CallKind::ALL.iter().position(|other| *other == kind).unwrap_or_default();
    [&[ORDERS + 4 + index as u8], to.as_slice()].concat()
}

/// Those that are everywhere.
pub fn common() -> [(Address, Bytes); 5] {
    let mut store = Asm::default();
    obey(&mut store);
    let store = store.finish();
    [
        (STORE, store.clone()),
        (RELAY, store),
        (STOP, Bytes::from_static(&[op::STOP])),
        (DELEGATED, delegation(STORE)),
        (DELEGATED_TO_NOBODY, delegation(NOBODY)),
    ]
}

/// What EIP-7702 leaves at an account that runs this contract's code.
pub fn delegation(to: Address) -> Bytes {
    [&[0xef, 0x01, 0x00], to.as_slice()].concat().into()
}

/// Obeys the order in calldata and stops; stops if there is none.
fn obey(asm: &mut Asm) {
    asm.op(op::PUSH0).op(op::CALLDATALOAD).number(248).op(op::SHR);
    let orders = [(); 8].map(|()| asm.label());
    for (index, label) in orders.iter().enumerate() {
        asm.op(op::DUP1).number(ORDERS as usize + index).op(op::EQ).jump_if(*label);
    }
    asm.op(op::STOP);
    for (access, label) in Access::ALL.into_iter().zip(orders) {
        asm.place(label);
        if access.writes() {
            asm.number(1);
        }
        asm.number(1).op(op::CALLDATALOAD).op(access.opcode()).op(op::STOP);
    }
    for (kind, label) in CallKind::ALL.into_iter().zip(&orders[4..]) {
        asm.place(*label);
        // What follows the order's byte and the address goes to memory, and on from there.
        asm.number(21).op(op::CALLDATASIZE).op(op::SUB).number(21).op(op::PUSH0).op(op::CALLDATACOPY);
        asm.op(op::PUSH0).op(op::PUSH0).number(21).op(op::CALLDATASIZE).op(op::SUB).op(op::PUSH0);
        if kind.has_value() {
            asm.op(op::PUSH0);
        }
        asm.number(1).op(op::CALLDATALOAD).number(96).op(op::SHR);
        asm.op(op::GAS).op(kind.opcode()).op(op::STOP);
    }
}

/// Of an entity: whatever is not the EntryPoint's question is taken as orders, so that others reach its storage.
pub fn unless_asked(asm: &mut Asm, selector: [u8; 4]) {
    let asked = asm.label();
    asm.op(op::PUSH0).op(op::CALLDATALOAD).number(224).op(op::SHR);
    asm.number(u32::from_be_bytes(selector) as usize).op(op::EQ).jump_if(asked);
    obey(asm);
    asm.place(asked);
}
