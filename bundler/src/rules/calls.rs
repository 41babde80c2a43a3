//! OP-041 … OP-062: whom one may call, and whose code one may look at.

use alloy::{
    primitives::{Address, U256, address},
    sol_types::SolCall,
};
use erc4337::abi::entry_point_v08::{depositToCall, incrementNonceCall};

use super::{Case, Rule, Violation};
use crate::{
    evm::{Deed, Frame, FrameKind},
    rejection::Entity,
};

/// secp256r1 verification (RIP-7212, EIP-7951).
const P256: Address = address!("0x0000000000000000000000000000000000000100");
/// The last of the core precompiles: Prague's, which every chain here has at least.
const LAST_CORE_PRECOMPILE: u64 = 0x11;

pub(super) fn judge_call(case: &Case<'_>, callee: &Frame) -> Vec<Violation> {
    let broken = |rule| Violation { accessed: Some(callee.code), ..case.broken(rule) };
    // Our EVM cannot tell what it answers: an account that fails if this works would pass here, and not on chain.
    if callee.native {
        // One byte of code at which every other EVM halts; or none at all, as a precompile has, which reads state.
        return vec![broken(if callee.has_code { Rule::Op013 } else { Rule::Op062 })];
    }
    if callee.code == case.parties.entry_point {
        return if is_allowed(case, callee) { Vec::new() } else { vec![broken(Rule::Op054)] };
    }
    let moves_ether = !callee.value.is_zero() && matches!(callee.kind, FrameKind::Call | FrameKind::CallCode);
    let whom = match number(callee.code) {
        Some(1..=LAST_CORE_PRECOMPILE) => None,
        _ if callee.code == P256 && case.parties.p256 => None,
        _ if callee.delegated && callee.code != case.parties.account.address => Some(broken(Rule::Auth030)),
        _ if callee.has_code => None,
        _ => no_code(case, callee.code),
    };
    moves_ether.then(|| broken(Rule::Op061)).into_iter().chain(whom).collect()
}

pub(super) fn judge_code(case: &Case<'_>) -> Option<Violation> {
    let Deed::Code { address, has_code: Some(has_code), delegated, only_whether } = case.act.deed else { return None };
    let broken = |rule| Some(Violation { accessed: Some(address), ..case.broken(rule) });
    if address == case.parties.entry_point {
        return if only_whether { None } else { broken(Rule::Op054) };
    }
    if delegated && address != case.parties.account.address {
        return broken(Rule::Auth030);
    }
    if has_code { None } else { no_code(case, address) }
}

/// OP-041, but for OP-042: a factory may look at the account it makes.
fn no_code(case: &Case<'_>, address: Address) -> Option<Violation> {
    let own = case.entity == Entity::Factory && address == case.parties.account.address;
    (!own).then(|| Violation { accessed: Some(address), ..case.broken(Rule::Op041) })
}

/// OP-052, OP-053 and OP-055: `depositTo(sender)` from the sender or its factory; from the sender plain ether, or
/// `incrementNonce`.
fn is_allowed(case: &Case<'_>, callee: &Frame) -> bool {
    let sender = case.parties.account.address;
    let from_factory = case.parties.factory.is_some_and(|factory| callee.caller == factory.address);
    let of_sender = callee.argument == Some(U256::from_be_bytes(sender.into_word().0));
    callee.kind == FrameKind::Call
        && match callee.selector {
            Some(depositToCall::SELECTOR) => of_sender && (callee.caller == sender || from_factory),
            // It takes no ether.
            Some(incrementNonceCall::SELECTOR) => callee.caller == sender && callee.value.is_zero(),
            _ => callee.input_length == 0 && callee.caller == sender,
        }
}

/// The address as a small number, if it is one.
fn number(address: Address) -> Option<u64> {
    U256::from_be_bytes(address.into_word().0)
        .try_into()
        .ok()
        .filter(|number| (1..=LAST_CORE_PRECOMPILE).contains(number))
}
