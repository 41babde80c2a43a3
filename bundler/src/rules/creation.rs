//! OP-031, OP-032, EREP-060 and EREP-061: who may create contracts in validation.
//!
//! | by | in the phase of | `CREATE` | `CREATE2` |
//! |---|---|---|---|
//! | anybody | factory | if the factory is staked | once, of the sender |
//! | the sender itself | anybody | if there is a factory | if the factory is staked |
//! | the factory itself | anybody | if the factory is staked | if the factory is staked |
//!
//! "If there is a `factory`, even an unstaked one, the `sender` contract is allowed to use the `CREATE` opcode": the text does
//! not ask in whose phase, the paymaster's included.
//! Whose code it is does not matter: a proxy's implementation creates as the proxy.

use alloy::primitives::Address;

use super::{Case, Rule, Violation};
use crate::rejection::Entity;

/// `CREATE` is among the opcodes of OP-011, but for what is allowed here.
pub(super) fn judge_create(case: &Case<'_>, by: Address) -> Option<Violation> {
    let lawful = case.parties.factory.is_some_and(|factory| {
        let of_factory = case.entity == Entity::Factory || by == factory.address;
        by == case.parties.account.address || factory.is_staked() && of_factory
    });
    (!lawful).then(|| case.broken(Rule::Op011))
}

/// `created` counts the creations of the deployment phase for which no stake is needed, this one included.
pub(super) fn judge_create2(case: &Case<'_>, address: Address, created: &mut usize) -> Option<Violation> {
    let sender = case.parties.account.address;
    let by = case.trace.frames[case.act.frame].target;
    let staked = case.parties.factory.filter(|factory| factory.is_staked());
    let of_staked = staked.is_some_and(|it| by == sender || by == it.address);
    if of_staked {
        return None;
    }
    *created += usize::from(case.entity == Entity::Factory);
    let lawful = case.entity == Entity::Factory && *created == 1 && address == sender;
    (!lawful).then(|| Violation { accessed: Some(address), ..case.broken(Rule::Op031) })
}
