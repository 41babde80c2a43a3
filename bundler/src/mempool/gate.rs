//! Whom the mempool lets in: the rules that need no EVM, only the book of what is pending.

use alloy::primitives::{Address, B256, U256};
use erc4337::UserOperation;

use super::{Mempool, Parts, ReputationStatus, Slot, may_replace};
use crate::{Rejection, admission::Admitted, rejection::Entity, rules::Party};

/// Who an operation names, with their parts.
pub(super) fn entities(op: &UserOperation) -> impl Iterator<Item = (Entity, Address)> {
    let factory = op.factory().map(|factory| (Entity::Factory, factory));
    let paymaster = op.paymaster_address().map(|paymaster| (Entity::Paymaster, paymaster));
    [Some((Entity::Account, op.sender)), factory, paymaster].into_iter().flatten()
}

impl Mempool {
    /// The pending operation whose place one with this sender and nonce would take.
    pub(crate) fn standing(&self, entry_point: Address, op: &UserOperation) -> Option<B256> {
        self.slots.get(&Slot { entry_point, sender: op.sender, nonce: op.nonce }).copied()
    }

    /// Refuses what need not even be run: the banned, the blocked, those with more pending than they could have whatever
    /// their stake, and what may not take the place of the operation that has its nonce. One that may is held against all
    /// the rest like any newcomer, only that what it replaces no longer counts.
    pub(crate) fn screen(&self, op: &UserOperation, entry_point: Address) -> Result<(), Rejection> {
        let standing = self.standing(entry_point, op).and_then(|hash| self.entries.get(&hash));
        if let Some(entry) = standing {
            may_replace(entry, op)?;
        }
        let replaced = standing.map(|entry| &entry.admitted);
        for (entity, address) in entities(op) {
            if self.config.blocked.contains(&address) {
                return Err(Rejection::Blocked { entity, address });
            }
            let parts = self.parts_beside(address, replaced);
            let count = parts.total();
            match self.reputation.status(address, &self.config) {
                ReputationStatus::Banned => return Err(Rejection::Banned { entity, address }),
                ReputationStatus::Throttled if count >= self.config.throttled => {
                    return Err(Rejection::Throttled { entity, address, count });
                }
                _ => {}
            }
            if entity != Entity::Account && parts.account > 0 {
                return Err(Rejection::EntityIsSender { entity, address });
            }
        }
        self.check_delegate(op, replaced)?;
        // STO-040, the other way round.
        let (address, parts) = (op.sender, self.parts_beside(op.sender, replaced));
        let as_entity = |entity| Err(Rejection::SenderIsEntity { entity, address });
        match parts {
            parts if parts.factory > 0 => as_entity(Entity::Factory),
            parts if parts.paymaster > 0 => as_entity(Entity::Paymaster),
            _ => Ok(()),
        }
    }

    /// AUTH-040: what is pending of one sender with an authorization delegates to one address.
    fn check_delegate(&self, op: &UserOperation, replaced: Option<&Admitted>) -> Result<(), Rejection> {
        let Some(delegate) = op.eip7702_auth.as_ref().map(|auth| auth.address) else { return Ok(()) };
        if self.parts_beside(op.sender, replaced).account == 0 {
            return Ok(());
        }
        let beside = self.entries.values().map(|entry| &entry.admitted);
        let beside = beside.filter(|it| it.op.sender == op.sender && replaced.is_none_or(|old| old.hash != it.hash));
        let delegates = beside.filter_map(|it| it.op.eip7702_auth.as_ref()).map(|auth| auth.address);
        match delegates.into_iter().find(|pending| *pending != delegate) {
            Some(pending) => Err(Rejection::OtherDelegate { delegate, pending }),
            None => Ok(()),
        }
    }

    /// How often an address is named by what is pending beside this operation.
    fn parts_beside(&self, address: Address, replaced: Option<&Admitted>) -> Parts {
        let mut parts = self.parts(address);
        for (entity, _) in replaced.into_iter().flat_map(|old| entities(&old.op)).filter(|(_, named)| *named == address)
        {
            let part = parts.part(entity);
            *part = part.saturating_sub(1);
        }
        parts
    }

    /// The rules that need to know how well everyone is staked, or what was read. `replaced` is the operation whose
    /// place it takes: it no longer counts.
    pub(super) fn check_limits(&self, admitted: &Admitted, replaced: Option<&Admitted>) -> Result<(), Rejection> {
        let evidence = &admitted.evidence;
        let parties = &evidence.parties;
        let over = |party: Party, most: usize| {
            let count = self.parts_beside(party.address, replaced).total();
            let exempt = party.is_staked() || self.config.allowed.contains(&party.address);
            (!exempt && count >= most).then_some(count)
        };
        let account = parties.account;
        if let Some(count) = over(account, self.config.same_sender) {
            let (entity, address) = (Entity::Account, account.address);
            return Err(Rejection::TooManyPending {
                entity,
                address,
                count,
                rule: "UREP-010",
                minimum: parties.minimum,
            });
        }
        if let Some(paymaster) = parties.paymaster {
            let most = self.reputation.allowed_unstaked(paymaster.address, &self.config);
            if let Some(count) = over(paymaster, most) {
                let (entity, address) = (Entity::Paymaster, paymaster.address);
                let (rule, minimum) = ("UREP-020", parties.minimum);
                return Err(Rejection::TooManyPending { entity, address, count, rule, minimum });
            }
            let key = (admitted.entry_point, paymaster.address);
            let freed =
                replaced.filter(|old| old.op.paymaster_address() == Some(paymaster.address)).map_or(U256::ZERO, cost);
            let pending = self.owed.get(&key).copied().unwrap_or_default().saturating_sub(freed);
            let required = pending.saturating_add(cost(admitted));
            let deposit = evidence.paymaster_deposit;
            if required > deposit {
                return Err(Rejection::Overdrawn { paymaster: paymaster.address, deposit, required });
            }
        }
        let other_sender = |contract: &&Address| **contract != admitted.op.sender && self.parts(**contract).account > 0;
        if let Some(contract) = evidence.associated.iter().find(other_sender) {
            return Err(Rejection::StorageOfSender { contract: *contract });
        }
        Ok(())
    }
}

/// Wei that the paymaster may be charged at most (EREP-010).
pub(super) fn cost(admitted: &Admitted) -> U256 {
    admitted.op.required_prefund(admitted.version)
}
