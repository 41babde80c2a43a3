//! OP-011 … OP-031 and OP-080: what may not be run at all.

use alloy::primitives::Address;

use super::{Case, Rule, Violation};
use crate::{evm::Deed, rejection::Entity};

pub(super) fn judge(case: &Case<'_>) -> Option<Violation> {
    match case.act.deed {
        Deed::Environment => Some(case.broken(Rule::Op011)),
        Deed::Gas => Some(case.broken(Rule::Op012)),
        Deed::Undefined => Some(case.broken(Rule::Op013)),
        Deed::OutOfGas => Some(case.broken(Rule::Op020)),
        Deed::Balance if !case.party.is_staked() => Some(case.unstaked(Rule::Op080)),
        _ => None,
    }
}

/// `created` counts the creations of the deployment phase, this one included.
pub(super) fn judge_create2(case: &Case<'_>, address: Address, created: usize) -> Option<Violation> {
    let lawful = case.entity == Entity::Factory && created == 1 && address == case.parties.account.address;
    (!lawful).then(|| Violation { accessed: Some(address), ..case.broken(Rule::Op031) })
}
