//! Storage, persistent and transient (OP-070): STO-010 to STO-033.
//!
//! What none of the rules allows is reported by the one that comes nearest: STO-031 for the entity's own storage, STO-022
//! for the account's associated slots, STO-032 for the entity's, else STO-033.

use super::{Broken, facts::Facts, opcodes::op, phases::Entity, trace::Event};

pub(super) fn check(facts: &Facts<'_>, broken: &mut Broken) {
    for (entity, event) in facts.events() {
        if let op::SLOAD | op::SSTORE | op::TLOAD | op::TSTORE = event.op
            && let Some(rule) = objection(facts, entity, event)
        {
            broken.add(rule, entity);
        }
    }
}

fn objection(facts: &Facts<'_>, entity: Entity, event: &Event) -> Option<&'static str> {
    let (contract, slot) = (event.at, event.word);
    let reads = matches!(event.op, op::SLOAD | op::TLOAD);
    // STO-010
    if contract == facts.op.sender {
        return None;
    }
    // STO-031 to STO-033 are the paymaster's and the factory's alone.
    let staked = entity != Entity::Account && facts.is_staked(entity);
    if contract == facts.address(entity) {
        return (!staked).then_some("STO-031");
    }
    if Some(contract) == facts.factory || Some(contract) == facts.paymaster {
        return Some("STO-033");
    }
    let accounts = facts.is_associated(slot, facts.op.sender);
    let entitys = facts.is_associated(slot, facts.address(entity));
    let account_is_open = facts.account_exists() || facts.has_staked_factory();
    match () {
        () if accounts && account_is_open => None,
        () if staked && (entitys || reads) => None,
        () if accounts => Some("STO-022"),
        () if entitys && !staked => Some("STO-032"),
        () => Some("STO-033"),
    }
}
