//! Contract creation: OP-031, OP-032, EREP-060, EREP-061; what none of them allows is OP-011 or OP-031.

use alloy::primitives::{Address, keccak256};

use super::{Broken, facts::Facts, opcodes::op, trace::Event};

pub(super) fn check(facts: &Facts<'_>, broken: &mut Broken) {
    let mut made = false;
    for (entity, event) in facts.events() {
        match event.op {
            op::CREATE if !may_create(facts, event) => broken.add("OP-011", entity),
            op::CREATE2 => {
                let deploys_sender = facts.phases.is_deployment(event.frame) && deploys(event, facts.op.sender);
                // OP-031: exactly once.
                let may = deploys_sender && !made || by_the_staked_factory_or_sender(facts, event);
                made |= deploys_sender;
                if !may {
                    broken.add("OP-031", entity);
                }
            }
            _ => {}
        }
    }
}

fn may_create(facts: &Facts<'_>, event: &Event) -> bool {
    // OP-032: the sender itself, of any factory.
    let by_a_new_sender = facts.factory.is_some() && event.at == facts.op.sender;
    // EREP-061: whatever a staked factory calls.
    let by_utility = facts.has_staked_factory() && facts.phases.is_deployment(event.frame);
    by_a_new_sender || by_utility || by_the_staked_factory_or_sender(facts, event)
}

/// EREP-060.
fn by_the_staked_factory_or_sender(facts: &Facts<'_>, event: &Event) -> bool {
    facts.has_staked_factory() && (Some(event.at) == facts.factory || event.at == facts.op.sender)
}

/// Whether this `CREATE2` makes, or would have made, that address.
fn deploys(event: &Event, address: Address) -> bool {
    event
        .input
        .as_ref()
        .is_some_and(|code| event.at.create2(event.word.to_be_bytes::<32>(), keccak256(code)) == address)
}
