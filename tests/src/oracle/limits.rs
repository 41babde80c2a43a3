//! What is answered, asked for and used: EREP-050, AUTH-020, LIM-010, LIM-020, LIM-030, LIM-060, LIM-070.

use alloy::{primitives::U256, sol_types::SolValue};

use super::{Broken, facts::Facts, opcodes::op, phases::Entity, trace::Frame};

pub(super) fn check(facts: &Facts<'_>, broken: &mut Broken) {
    let (op, constants) = (facts.op, facts.constants);
    // AUTH-020
    for (entity, address) in [(Entity::Factory, facts.factory), (Entity::Paymaster, facts.paymaster)] {
        if address.is_some_and(|address| facts.is_delegated(address)) {
            broken.add("AUTH-020", entity);
        }
    }

    let context = context_size(facts);
    if !context.is_zero() && !facts.is_staked(Entity::Paymaster) {
        broken.add("EREP-050", Entity::Paymaster);
    }
    if context > constants.max_context_size {
        broken.add("LIM-020", Entity::Paymaster);
    }

    let encoded = if facts.version.is_packed() {
        op.to_packed(facts.version).abi_encode()
    } else {
        op.to_unpacked().abi_encode()
    };
    if encoded.len() > constants.max_user_op_size {
        broken.add("LIM-010", Entity::Account);
    }
    let calldata: u128 = encoded.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum();
    if constants.pre_verification_overhead.is_some_and(|overhead| op.pre_verification_gas < calldata + overhead) {
        broken.add("LIM-070", Entity::Account);
    }

    // In v0.6 a paymaster's validation is the account's limit's too.
    let paymasters = op.paymaster.as_ref().filter(|_| facts.version.is_packed());
    let limits = [
        (Entity::Account, Some(op.verification_gas_limit)),
        (Entity::Paymaster, paymasters.map(|paymaster| paymaster.verification_gas_limit)),
    ];
    for (entity, limit) in limits {
        let Some(limit) = limit else { continue };
        if limit >= constants.max_verification_gas {
            broken.add("LIM-060", entity);
        }
        if limit < u128::from(gas_used(facts, entity) + constants.validation_gas_slack) {
            broken.add("LIM-030", entity);
        }
    }
}

/// Length of what the paymaster returns for its `postOp`.
fn context_size(facts: &Facts<'_>) -> U256 {
    let Some(frame) = root(facts, Entity::Paymaster) else { return U256::ZERO };
    let word = |at: usize| frame.output.get(at..at.checked_add(32)?).and_then(U256::try_from_be_slice);
    let offset = word(0).and_then(|offset| usize::try_from(offset).ok());
    offset.and_then(word).unwrap_or_default()
}

fn root<'a>(facts: &'a Facts<'_>, entity: Entity) -> Option<&'a Frame> {
    let (frame, _) = facts.phases.roots.iter().rev().find(|(_, whose)| *whose == entity)?;
    facts.trace.frames.get(*frame)
}

/// What the EntryPoint has metered against a limit, by what it reads of its `GAS` before and after.
fn gas_used(facts: &Facts<'_>, entity: Entity) -> u64 {
    let events = facts.trace.events.iter().enumerate();
    let reads: Vec<_> = events
        .filter(|(_, event)| event.frame == 0 && event.op == op::GAS)
        .map(|(at, event)| (at, event.gas))
        .collect();
    let Some(frame) = root(facts, entity) else { return 0 };
    let before = |at: usize| reads.iter().rev().find(|(read, _)| *read < at);
    let after = reads.iter().find(|(read, _)| *read >= frame.closed);
    let (from, to) = match entity {
        Entity::Paymaster => (before(frame.opened), after),
        _ if facts.version.is_packed() => (reads.first(), after),
        // One limit for all of it; the last it reads is for what it charges, and the one before that for the limit.
        _ => (reads.first(), reads.iter().rev().nth(1)),
    };
    from.zip(to).map_or(0, |((_, from), (_, to))| from.saturating_sub(*to))
}
