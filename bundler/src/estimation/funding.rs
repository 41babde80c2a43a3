//! Who pays for an operation that is estimated: an account may be funded after it has been told what it will cost.

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::state::StateOverride,
};
use erc4337::{
    EntryPointVersion, UserOperation,
    storage::{self, DepositInfo},
};

use crate::evm::{StateView, overlay};

/// The deposit is the low 112 bits of the first slot, alone there from v0.7 on.
const MOST: U256 = U256::from_limbs([u64::MAX, (1 << 48) - 1, 0, 0]);

/// Where the money comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Funding {
    /// Whoever pays is given what the operation costs at most, and pays it.
    Given,
    /// The account has it in the EntryPoint already, and pays nothing in validation.
    Deposited,
    /// Whoever pays has what there is.
    Own,
}

/// What an account that pays for itself has, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wallet {
    pub(super) balance: U256,
    /// In the EntryPoint.
    pub(super) deposit: U256,
}

impl Wallet {
    /// Of the sender, on this view with what is pretended. What it has is known: it is read first of all.
    pub(super) fn of(
        op: &UserOperation,
        entry_point: Address,
        version: EntryPointVersion,
        view: &StateView,
        pretended: &StateOverride,
    ) -> Self {
        let balance = pretended.get(&op.sender).and_then(|it| it.balance);
        let balance = balance.or_else(|| view.account(op.sender).map(|it| it.balance)).unwrap_or_default();
        let words = storage::deposit_slots(op.sender).map(|slot| word(entry_point, slot, view, pretended));
        Self { balance, deposit: DepositInfo::read(version, words).deposit }
    }
}

fn word(account: Address, slot: U256, view: &StateView, pretended: &StateOverride) -> U256 {
    let diff = pretended.get(&account).and_then(|it| it.state_diff.as_ref());
    match diff.and_then(|diff| diff.get(&B256::from(slot))) {
        Some(word) => U256::from_be_bytes(word.0),
        None => view.slot(account, slot).unwrap_or_default(),
    }
}

/// The state to run `op` on: what was done `before` it, what the `caller` pretends, and whoever pays funded so.
pub(super) fn funded(
    funding: Funding,
    op: &UserOperation,
    (entry_point, version): (Address, EntryPointVersion),
    view: &StateView,
    before: StateOverride,
    caller: &StateOverride,
) -> StateOverride {
    let prefund = op.required_prefund(version);
    let mut state = before;
    let depositor = match (op.paymaster_address(), funding) {
        (paymaster @ Some(_), Funding::Given | Funding::Deposited) => paymaster,
        (None, Funding::Deposited) => Some(op.sender),
        _ => None,
    };
    if let Some(depositor) = depositor {
        let [slot, _] = storage::deposit_slots(depositor);
        let current = word(entry_point, slot, view, &state);
        let raised = (current & !MOST) | (current & MOST).max(prefund.min(MOST));
        // What the caller pretends about it is laid over this below, and stands.
        let diff = state.entry(entry_point).or_default().state_diff.get_or_insert_default();
        diff.insert(slot.into(), raised.into());
    }
    overlay(&mut state, caller.clone());
    if depositor.is_none() && funding == Funding::Given {
        let pretend = state.entry(op.sender).or_default();
        let balance = pretend.balance.or_else(|| view.account(op.sender).map(|it| it.balance)).unwrap_or_default();
        pretend.balance = Some(balance.saturating_add(prefund));
    }
    state
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{evm::Shared, mempool::tests::block, node::NodeClient};

    #[tokio::test]
    async fn an_account_is_given_what_it_pays_has_it_deposited_or_has_what_it_has() {
        let node = NodeClient::new("http://127.0.0.1:1").unwrap();
        let view = StateView::new(node, block(1).hash, 0, Arc::<Shared>::default());
        let op = UserOperation {
            sender: Address::repeat_byte(1),
            call_gas_limit: 100,
            max_fee_per_gas: 3,
            ..UserOperation::default()
        };
        let (entry_point, version) = (Address::repeat_byte(9), EntryPointVersion::V0_8);
        let mut caller = StateOverride::default();
        caller.entry(op.sender).or_default().balance = Some(U256::from(7));
        let wallet = |funding| {
            let state = funded(funding, &op, (entry_point, version), &view, StateOverride::default(), &caller);
            let Wallet { balance, deposit } = Wallet::of(&op, entry_point, version, &view, &state);
            (balance.to::<u64>(), deposit.to::<u64>())
        };
        assert_eq!(wallet(Funding::Given), (307, 0));
        assert_eq!(wallet(Funding::Deposited), (7, 300));
        assert_eq!(wallet(Funding::Own), (7, 0));
    }
}
