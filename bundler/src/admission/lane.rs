//! Operations of one sender and nonce key wait in line: what the ones before will have done when the next one runs.

use std::sync::Arc;

use alloy::{
    primitives::{Address, U256},
    rpc::types::state::{AccountOverride, StateOverride},
};
use erc4337::{ChainPreset, EntryPointVersion, UserOperation, storage};

use crate::{
    Head,
    admission::later,
    evm::{Budget, Ending, HandleOps, NextBlock, Signatures, SimulationError, StopAt, overlay},
    gas,
};

/// Those of `lane` that go before `op`, whose sequence number the chain has come to `next` of; none unless the line
/// has no gap.
pub(crate) fn in_line(op: &UserOperation, next: u64, lane: &[Arc<UserOperation>]) -> Vec<Arc<UserOperation>> {
    let before = next..op.nonce_sequence();
    let ahead: Vec<_> = lane.iter().filter(|pending| before.contains(&pending.nonce_sequence())).cloned().collect();
    // At most one of each sequence number is pending.
    if ahead.len() as u64 == before.end.saturating_sub(before.start) { ahead } else { Vec::new() }
}

/// What is certain after those ahead: they will have counted the nonce up.
pub(crate) fn counted(op: &UserOperation, entry_point: Address) -> StateOverride {
    let slot = storage::nonce_slot(op.sender, op.nonce_key());
    let counted = [(slot.into(), U256::from(op.nonce_sequence()).into())].into_iter().collect();
    let pretend = AccountOverride { state_diff: Some(counted), ..AccountOverride::default() };
    StateOverride::from_iter([(entry_point, pretend)])
}

/// The state that `ahead`, each in a bundle of its own, leave behind: the account one of them makes, the key another
/// installs; and the first block that what comes after them may be in, which is not `next` if one of them is not valid
/// yet. None if one of them would fail its bundle, or only the node can tell what it does. Blocks: call on a blocking
/// thread.
///
/// # Errors
/// If state cannot be read, or the budget is spent.
#[allow(clippy::too_many_arguments, reason = "what a run takes, which its callers have apart")]
pub(crate) fn state_after(
    ahead: &[Arc<UserOperation>],
    entry_point: Address,
    version: EntryPointVersion,
    chain: &ChainPreset,
    bundler: Address,
    head: &Head,
    mut next: NextBlock,
    budget: Budget,
) -> Result<Option<(StateOverride, NextBlock)>, SimulationError> {
    let mut state = StateOverride::default();
    for op in ahead {
        let run_in = |next: &NextBlock, state: &StateOverride| {
            HandleOps {
                version,
                entry_point,
                chain,
                operations: &[op],
                bundler,
                gas_limit: u64::try_from(gas::bundle_gas_limit([&**op], version)).unwrap_or(u64::MAX),
                priority_fee: 0,
                stop_at: StopAt::End,
                signatures: Signatures::Checked,
                overrides: state,
                at: next.first(),
                budget,
            }
            .run_and_keep(&head.view, &head.block)
        };
        let (mut run, mut changes) = run_in(&next, &state)?;
        // What is not valid for too long fails.
        if let Ok(Some(opens)) = later(&run, op, (entry_point, version), &next) {
            next = next.not_before(opens);
            (run, changes) = run_in(&next, &state)?;
        }
        let known = run.trace.native_operations(entry_point).is_empty();
        if !known || !matches!(run.ending, Ending::Completed(_)) {
            return Ok(None);
        }
        overlay(&mut state, changes);
    }
    Ok(Some((state, next)))
}
