//! AUTH-020: an account with an EIP-7702 delegation is nothing but a sender.

use revm::bytecode::opcode;

use super::{Parties, Rule, Violation};
use crate::rejection::Entity;

/// The factory and the paymaster that are such accounts.
pub(super) fn judge(parties: &Parties) -> impl Iterator<Item = Violation> {
    let broken = |entity: Entity| {
        let party = parties.of(entity).filter(|party| party.delegated)?;
        Some(Violation {
            rule: Rule::Auth020,
            entity,
            address: party.address,
            opcode: opcode::CALL,
            pc: 0,
            contract: parties.entry_point,
            slot: None,
            accessed: Some(party.address),
            depth: 0,
            call_path: vec![parties.entry_point],
            cure: None,
            minimum: parties.minimum,
        })
    };
    [Entity::Factory, Entity::Paymaster].into_iter().filter_map(broken)
}
