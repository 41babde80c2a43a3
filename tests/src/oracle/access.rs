//! Using addresses: OP-041, OP-042, OP-051 to OP-055, OP-061, OP-062, AUTH-030.

use alloy::primitives::{Address, U256, keccak256};

use super::{
    Broken,
    facts::Facts,
    opcodes::{is_call, op},
    trace::Event,
};

/// OP-062: the core precompiles.
const CORE: std::ops::RangeInclusive<u64> = 0x1..=0x11;
/// OP-062: `P256VERIFY` (EIP-7951).
const P256VERIFY: u64 = 0x100;

pub(super) fn check(facts: &Facts<'_>, broken: &mut Broken) {
    for (entity, event) in facts.events() {
        let calls = is_call(event.op);
        if !calls && !matches!(event.op, op::EXTCODESIZE | op::EXTCODECOPY | op::EXTCODEHASH) {
            continue;
        }
        // One that fails before it gets there accesses nothing: a call opens no frame, nothing comes after the others.
        if !event.opened && event.next.is_none() {
            continue;
        }
        let target = event.target();
        if target == facts.entry_point {
            if !may_access_entry_point(facts, event) {
                broken.add("OP-054", entity);
            }
            continue;
        }
        let is_sender = target == facts.op.sender;
        if event.code == 0 && !is_sender && !(calls && is_precompile(target)) {
            broken.add("OP-041", entity);
        }
        if event.delegated && !is_sender {
            broken.add("AUTH-030", entity);
        }
        if !event.value.is_zero() {
            broken.add("OP-061", entity);
        }
    }
}

fn is_precompile(address: Address) -> bool {
    let number: U256 = address.into_word().into();
    u64::try_from(number).is_ok_and(|number| CORE.contains(&number) || number == P256VERIFY)
}

fn may_access_entry_point(facts: &Facts<'_>, event: &Event) -> bool {
    match event.op {
        // OP-051
        op::EXTCODESIZE => event.next == Some(op::ISZERO),
        op::CALL => {
            let input: &[u8] = event.input.as_ref().map_or(&[], |input| input);
            let asks = |signature: &str| input.starts_with(&keccak256(signature)[..4]);
            let by_sender = event.at == facts.op.sender;
            let by_factory = Some(event.at) == facts.factory;
            // OP-052; the argument is all of its word.
            let about_sender = input.get(4..36) == Some(facts.op.sender.into_word().as_slice());
            let deposits = asks("depositTo(address)") && about_sender && (by_sender || by_factory);
            // OP-053
            let sends = event.length.is_zero() && by_sender;
            // OP-055, which does not say "with any value".
            let counts = asks("incrementNonce(uint192)") && by_sender && event.value.is_zero();
            deposits || sends || counts
        }
        _ => false,
    }
}
