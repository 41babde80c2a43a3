//! Estimation as if whoever pays could pay: an account may be funded after it has been told what it will cost.

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::state::StateOverride,
};
use erc4337::{EntryPointVersion, UserOperation, storage};

use crate::evm::StateView;

/// Adds overrides so that the payer covers `op` in full. What it has is known: it is read first of all.
pub(super) fn as_if_funded(
    op: &UserOperation,
    entry_point: Address,
    version: EntryPointVersion,
    view: &StateView,
    overrides: &mut StateOverride,
) {
    let prefund = op.required_prefund(version);
    if let Some(paymaster) = op.paymaster_address() {
        // The deposit is the low 112 bits of the first slot, alone there from v0.7 on.
        let deposit: U256 = (U256::ONE << 112) - U256::ONE;
        let [slot, _] = storage::deposit_slots(paymaster);
        let pretend = overrides.entry(entry_point).or_default();
        // If the caller pretends about the EntryPoint's whole storage, that stands.
        if pretend.state.is_none() {
            let current = view.slot(entry_point, slot).unwrap_or_default();
            let raised = (current & !deposit) | (current & deposit).max(prefund.min(deposit));
            pretend.state_diff.get_or_insert_default().entry(B256::from(slot)).or_insert(raised.into());
        }
    } else {
        let pretend = overrides.entry(op.sender).or_default();
        let balance = match pretend.balance {
            Some(balance) => balance,
            None => view.account(op.sender).map_or(U256::ZERO, |account| account.balance),
        };
        pretend.balance = Some(balance.saturating_add(prefund));
    }
}
