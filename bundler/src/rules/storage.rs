//! STO-010 … STO-033: whose storage one may use, and for what.

use alloy::primitives::{Address, U256};

use super::{Case, Rule, Violation};
use crate::{evm::Trace, rejection::Entity};

/// Slots after a mapping's entry that still belong to it.
const FIELDS: u64 = 128;

pub(super) fn judge(case: &Case<'_>, contract: Address, slot: U256, write: bool) -> Option<Violation> {
    let (parties, party) = (case.parties, case.party);
    let forbidden = |rule| Violation { slot: Some(slot), accessed: Some(contract), ..case.broken(rule) };
    let unstaked = |rule| Violation { slot: Some(slot), accessed: Some(contract), ..case.unstaked(rule) };

    if contract == parties.account.address {
        return None;
    }
    // STO-031 to STO-033 are "if the paymaster or factory entity is staked": an account's stake opens nothing.
    let can_be_staked = case.entity != Entity::Account;
    let staked = can_be_staked && party.is_staked();
    if contract == party.address {
        return (!party.is_staked()).then(|| unstaked(Rule::Sto031));
    }
    if parties.is_named(contract) {
        return Some(forbidden(Rule::Sto033));
    }
    let of_sender = is_associated(case.trace, slot, parties.account.address);
    if of_sender && (parties.account_exists || parties.factory.is_some_and(|factory| factory.is_staked())) {
        return None;
    }
    let of_entity = is_associated(case.trace, slot, party.address);
    if staked && (of_entity || !write) {
        return None;
    }
    Some(match (of_sender, staked || !can_be_staked) {
        (true, _) => Violation { cure: parties.factory.map(|factory| factory.standing), ..forbidden(Rule::Sto022) },
        (false, false) if of_entity => unstaked(Rule::Sto032),
        (false, false) if !write => unstaked(Rule::Sto033),
        // No stake allows this.
        (false, _) => forbidden(Rule::Sto033),
    })
}

/// Whether a slot is `owner`, or an entry of a mapping by it or one of the fields after (ERC-7562, "associated").
pub(super) fn is_associated(trace: &Trace, slot: U256, owner: Address) -> bool {
    let owner = U256::from_be_bytes(owner.into_word().0);
    let is_entry = |entry: U256| slot.wrapping_sub(entry) < U256::from(FIELDS);
    slot == owner || trace.preimages.iter().any(|(entry, [key, _])| *key == owner && is_entry(*entry))
}
