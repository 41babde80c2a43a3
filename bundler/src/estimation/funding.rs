//! Estimation as if whoever pays could pay: an account may be funded after it has been told what it will cost.

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::state::StateOverride,
};
use erc4337::{EntryPointVersion, UserOperation, storage};

use crate::evm::{StateView, overlay};

/// The state to run `op` on: what was done `before` it, what the `caller` pretends, and whoever pays able to pay in
/// full. What the payer has is known: it is read first of all.
pub(super) fn as_if_funded(
    op: &UserOperation,
    entry_point: Address,
    version: EntryPointVersion,
    view: &StateView,
    before: StateOverride,
    caller: &StateOverride,
) -> StateOverride {
    let prefund = op.required_prefund(version);
    let mut state = before;
    if let Some(paymaster) = op.paymaster_address() {
        // The deposit is the low 112 bits of the first slot, alone there from v0.7 on.
        let deposit: U256 = (U256::ONE << 112) - U256::ONE;
        let [slot, _] = storage::deposit_slots(paymaster);
        // What the caller pretends about it is laid over this below, and stands.
        let diff = state.entry(entry_point).or_default().state_diff.get_or_insert_default();
        let current = match diff.get(&B256::from(slot)) {
            Some(word) => U256::from_be_bytes(word.0),
            None => view.slot(entry_point, slot).unwrap_or_default(),
        };
        let raised = (current & !deposit) | (current & deposit).max(prefund.min(deposit));
        diff.insert(slot.into(), raised.into());
        overlay(&mut state, caller.clone());
    } else {
        overlay(&mut state, caller.clone());
        let pretend = state.entry(op.sender).or_default();
        let balance = match pretend.balance {
            Some(balance) => balance,
            None => view.account(op.sender).map_or(U256::ZERO, |account| account.balance),
        };
        pretend.balance = Some(balance.saturating_add(prefund));
    }
    state
}
