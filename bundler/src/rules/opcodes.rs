//! OP-011 … OP-020 and OP-080: what may not be run at all.

use super::{Case, Rule, Violation};
use crate::evm::Deed;

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
