//! Contracts that operations call: such as only do something, and such as look at their gas.

use alloy::primitives::{Bytes, U256};

use crate::programs::asm::op::{
    ADD, ADDRESS, CALL, CALLDATALOAD, CALLER, DUP1, GAS, ISZERO, JUMP, JUMPDEST, JUMPI, MSTORE, PUSH0, REVERT, SSTORE,
    STOP, SUB,
};

const LT: u8 = 0x10;
const PUSH1: u8 = PUSH0 + 1;
const SWAP1: u8 = 0x90;

/// Writes as many slots of its caller's as the first word says.
#[rustfmt::skip]
pub(super) const WRITER: [u8; 22] = [
    PUSH0, CALLDATALOAD, JUMPDEST, DUP1, ISZERO, PUSH1, 20, JUMPI, DUP1, DUP1, CALLER, ADD, SSTORE,
    PUSH1, 1, SWAP1, SUB, PUSH1, 2, JUMP, JUMPDEST, STOP,
];

/// Calls itself as deep as the first word says, then writes the slot that the second names.
#[rustfmt::skip]
pub(super) const NESTED: [u8; 44] = [
    PUSH0, CALLDATALOAD, DUP1, ISZERO, PUSH1, 36, JUMPI, PUSH1, 1, SWAP1, SUB, PUSH0, MSTORE,
    PUSH1, 32, CALLDATALOAD, PUSH1, 32, MSTORE, PUSH0, PUSH0, PUSH1, 64, PUSH0, PUSH0, ADDRESS, GAS, CALL,
    PUSH1, 34, JUMPI, PUSH0, PUSH0, REVERT, JUMPDEST, STOP,
    JUMPDEST, PUSH1, 1, PUSH1, 32, CALLDATALOAD, SSTORE, STOP,
];

/// Reverts if it has less gas than the first word says, else writes the slot that the second names.
#[rustfmt::skip]
pub(super) const BRANCHING: [u8; 18] = [
    PUSH0, CALLDATALOAD, GAS, LT, PUSH1, 14, JUMPI, PUSH1, 1, PUSH1, 32, CALLDATALOAD, SSTORE, STOP,
    JUMPDEST, PUSH0, PUSH0, REVERT,
];

/// Two words of calldata.
pub(super) fn words(first: u64, second: U256) -> Bytes {
    [U256::from(first).to_be_bytes::<32>(), second.to_be_bytes::<32>()].concat().into()
}
