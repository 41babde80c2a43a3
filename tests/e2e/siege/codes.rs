//! What attackers' contracts do, written opcode by opcode.

use alloy::primitives::{Bytes, U256};
use erc4337::EntryPointVersion;
use tests::programs::asm::{Asm, op};

/// Jumps that compare, which [`op`] does not name.
const LT: u8 = 0x10;
const GT: u8 = 0x11;

/// What code does at one place.
pub(super) type Does = fn(&mut Asm);

/// Ends well, with nothing.
pub(super) const NOTHING: Does = |asm| {
    asm.op(op::STOP);
};
/// Burns nearly all of its gas, and reverts with as much as an EntryPoint copies.
pub(super) const BURST: Does = |asm| {
    let again = asm.label();
    asm.place(again).op(op::GAS).number(6_000).op(LT).jump_if(again);
    asm.number(2_048).op(op::PUSH0).op(op::REVERT);
};
/// Takes all gas there is.
pub(super) const BURN: Does = |asm| {
    asm.op(op::INVALID);
};
/// Reverts, and says nothing.
pub(super) const EMPTY_REVERT: Does = |asm| {
    asm.op(op::PUSH0).op(op::PUSH0).op(op::REVERT);
};
/// Answers with a zero word: valid, for ever.
pub(super) const AGREE: Does = |asm| {
    asm.number(32).op(op::PUSH0).op(op::RETURN);
};
/// Answers with its own first slot: valid as long as that is zero, and then a wrong signature.
pub(super) const AS_FLAGGED: Does = |asm| {
    asm.op(op::PUSH0).op(op::SLOAD).op(op::PUSH0).op(op::MSTORE).number(32).op(op::PUSH0).op(op::RETURN);
};

/// A condition: a word on the stack, zero or not.
pub(super) const FLAGGED: Does = |asm| {
    asm.op(op::PUSH0).op(op::SLOAD);
};
/// The bundle pays more than the block's base fee and five gwei, or the base fee has risen above two gwei.
pub(super) const DEAR: Does = |asm| {
    asm.number(2_000_000_000).op(op::BASEFEE).op(GT);
};
/// Always.
pub(super) const ALWAYS: Does = |asm| {
    asm.number(1);
};
/// The block is made by somebody.
pub(super) const COINBASE: Does = |asm| {
    asm.op(op::COINBASE);
};
/// The block's number is even.
pub(super) const ODD_BLOCK: Does = |asm| {
    asm.number(1).op(op::NUMBER).op(0x16);
};
/// The block's second is odd.
pub(super) const ODD_SECOND: Does = |asm| {
    asm.number(1).op(op::TIMESTAMP).op(0x16);
};

/// Code that does this if that holds, and stops else.
fn only_if(asm: &mut Asm, when: Does, does: Does) {
    let yes = asm.label();
    when(asm);
    asm.jump_if(yes).op(op::STOP).place(yes);
    does(asm);
}

/// Jumps if this function is called.
fn if_called(asm: &mut Asm, selector: [u8; 4], label: tests::programs::asm::Label) {
    asm.op(op::PUSH0).op(op::CALLDATALOAD).number(224).op(op::SHR);
    asm.push(U256::from_be_slice(&selector)).op(op::EQ).jump_if(label);
}

/// An account that validates so, and does this when it is called, if that holds.
pub(super) fn account(version: EntryPointVersion, validates: Does, when: Does, does: Does) -> Bytes {
    let mut asm = Asm::default();
    let asked = asm.label();
    if_called(&mut asm, version.selectors().validate_user_op, asked);
    only_if(&mut asm, when, does);
    asm.place(asked);
    validates(&mut asm);
    asm.finish()
}

/// An account that does this first when it validates, and agrees to everything.
pub(super) fn validating(version: EntryPointVersion, first: Does) -> Bytes {
    let mut asm = Asm::default();
    let asked = asm.label();
    if_called(&mut asm, version.selectors().validate_user_op, asked);
    asm.op(op::STOP).place(asked);
    first(&mut asm);
    AGREE(&mut asm);
    asm.finish()
}

/// A paymaster that pays for everybody with a context of so many bytes, and in `postOp` does this if that holds.
pub(super) fn paymaster(version: EntryPointVersion, context: usize, when: Does, does: Does) -> Bytes {
    paying(version, NOTHING_FIRST, context, when, does)
}

/// Does nothing beside what follows.
pub(super) const NOTHING_FIRST: Does = |_| {};

/// The same for one that does this first when it is asked to pay.
pub(super) fn paying(version: EntryPointVersion, first: Does, context: usize, when: Does, does: Does) -> Bytes {
    let mut asm = Asm::default();
    let asked = asm.label();
    if_called(&mut asm, version.selectors().validate_paymaster_user_op, asked);
    only_if(&mut asm, when, does);
    asm.place(asked);
    first(&mut asm);
    asm.number(64).op(op::PUSH0).op(op::MSTORE).number(context).number(64).op(op::MSTORE);
    asm.number(96 + context.next_multiple_of(32)).op(op::PUSH0).op(op::RETURN);
    asm.finish()
}

/// An account, or a paymaster, that is valid as long as its first slot is zero, which anybody may set.
pub(super) fn switched(version: EntryPointVersion, paymaster: bool) -> Bytes {
    let selectors = version.selectors();
    let mut asm = Asm::default();
    let asked = asm.label();
    let selector = if paymaster { selectors.validate_paymaster_user_op } else { selectors.validate_user_op };
    if_called(&mut asm, selector, asked);
    asm.op(op::PUSH0).op(op::CALLDATALOAD).op(op::PUSH0).op(op::SSTORE).op(op::STOP).place(asked);
    if paymaster {
        asm.number(64).op(op::PUSH0).op(op::MSTORE).op(op::PUSH0).op(op::SLOAD).number(32).op(op::MSTORE);
        asm.number(96).op(op::PUSH0).op(op::RETURN);
    } else {
        AS_FLAGGED(&mut asm);
    }
    asm.finish()
}

/// Sets sixty slots, and clears them: a fifth of a transaction's gas comes back.
pub(super) fn refunded(asm: &mut Asm) {
    for slot in 256..316 {
        asm.number(1).number(slot).op(op::SSTORE).op(op::PUSH0).number(slot).op(op::SSTORE);
    }
}

/// Code of an account that agrees, and when it is called burns all of its gas if it is flagged, and else does this.
pub(super) fn burns_if_flagged(version: EntryPointVersion, flagged: bool, does: Does) -> Bytes {
    let mut asm = Asm::default();
    let (asked, burn) = (asm.label(), asm.label());
    if_called(&mut asm, version.selectors().validate_user_op, asked);
    FLAGGED(&mut asm);
    if !flagged {
        asm.op(op::ISZERO);
    }
    asm.jump_if(burn);
    does(&mut asm);
    asm.op(op::STOP).place(burn);
    BURN(&mut asm);
    asm.place(asked);
    AGREE(&mut asm);
    asm.finish()
}
