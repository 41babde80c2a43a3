//! Which frame runs for which entity, and which are the EntryPoint's own affair.

use std::collections::HashMap;

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};
use erc4337::{EntryPointVersion, abi::entry_point_v08};

use super::trace::Call;

/// Whom a phase is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Account,
    Factory,
    Paymaster,
}

impl Role {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Factory => "factory",
            Self::Paymaster => "paymaster",
        }
    }
}

/// The addresses that one operation is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parties {
    pub(super) version: EntryPointVersion,
    pub(super) entry_point: Address,
    pub(super) sender: Address,
    pub(super) factory: Option<Address>,
    pub(super) paymaster: Option<Address>,
}

impl Parties {
    /// The first contract that the EntryPoint made, in its constructor.
    fn sender_creator(&self) -> Address {
        self.entry_point.create(1)
    }

    pub(super) fn of(&self, role: Role) -> Option<Address> {
        match role {
            Role::Account => Some(self.sender),
            Role::Factory => self.factory,
            Role::Paymaster => self.paymaster,
        }
    }

    /// Whether a `CALL` from this contract to the EntryPoint is one of those allowed (OP-052, OP-053).
    pub(super) fn may_call_entry_point(&self, from: Address, input: &[u8], length: U256) -> bool {
        if length.is_zero() {
            return from == self.sender;
        }
        let deposit = [&entry_point_v08::depositToCall::SELECTOR[..], self.sender.into_word().as_slice()].concat();
        (from == self.sender || Some(from) == self.factory) && input.starts_with(&deposit)
    }
}

/// A frame, in the order of entry.
#[derive(Debug)]
pub(super) struct Frame {
    /// The contract whose storage it uses.
    pub(super) contract: Address,
    /// Where its code comes from; for a creation, the new contract.
    pub(super) to: Address,
    /// Whose phase it is part of.
    pub(super) role: Option<Role>,
    /// No rule holds in it.
    pub(super) exempt: bool,
    /// Whether it ended for want of gas.
    pub(super) out_of_gas: bool,
}

/// All frames of the call tracer's tree, with what they are to the rules. `made`: addresses of creations, by frame.
pub(super) fn frames(root: &Call, parties: &Parties, made: &HashMap<usize, Address>) -> Vec<Frame> {
    let mut frames = Vec::new();
    walk(root, Place::Root, parties, made, &mut frames);
    frames
}

/// Where in the EntryPoint's work a frame is.
#[derive(Clone, Copy)]
enum Place {
    Root,
    EntryPoint,
    SenderCreator,
    Inside(Role),
    Elsewhere,
}

fn walk(call: &Call, place: Place, parties: &Parties, made: &HashMap<usize, Address>, frames: &mut Vec<Frame>) {
    if call.kind == "SELFDESTRUCT" {
        return;
    }
    let to = made.get(&frames.len()).copied().unwrap_or(call.to);
    let contract = if matches!(&*call.kind, "DELEGATECALL" | "CALLCODE") { call.from } else { to };
    let role = match place {
        Place::Inside(role) => Some(role),
        _ => begins(call, place, parties),
    };
    frames.push(Frame {
        contract,
        to,
        role,
        exempt: contract == parties.entry_point || contract == parties.sender_creator(),
        out_of_gas: call.error.as_deref().is_some_and(|error| error.starts_with("out of gas")),
    });
    let inner = match (place, role) {
        (_, Some(role)) => Place::Inside(role),
        (Place::Root, _) => Place::EntryPoint,
        (Place::EntryPoint, _) if call.to == parties.sender_creator() => Place::SenderCreator,
        _ => Place::Elsewhere,
    };
    for child in &call.calls {
        walk(child, inner, parties, made, frames);
    }
}

/// The phase that begins with this call, if one does.
fn begins(call: &Call, place: Place, parties: &Parties) -> Option<Role> {
    let selectors = parties.version.selectors();
    match place {
        Place::EntryPoint if call.to == parties.sender && call.input.starts_with(&selectors.validate_user_op) => {
            Some(Role::Account)
        }
        Place::EntryPoint
            if Some(call.to) == parties.paymaster && call.input.starts_with(&selectors.validate_paymaster_user_op) =>
        {
            Some(Role::Paymaster)
        }
        Place::SenderCreator if Some(call.to) == parties.factory => Some(Role::Factory),
        // EIP-7702: the account initialises itself.
        Place::SenderCreator if call.to == parties.sender => Some(Role::Account),
        _ => None,
    }
}
