//! From waiting operations to a bundle that is known to work.
//!
//! `choose` is a pure choice; [`prove`] executes the whole bundle in process and puts out what fails, one operation
//! at a time, because the EntryPoint names the culprit.

use std::collections::HashSet;

use alloy::{
    primitives::{Address, B256, Bytes},
    rpc::types::state::StateOverride,
};
use erc4337::{EntryPointVersion, revert::EntryPointRevert};

use crate::{
    admission::{Admitted, reject_revert},
    evm::{Ending, HandleOps, SimulationError, StopAt},
    gas,
    head::{Head, unix_now},
};

/// Operations that go into one transaction.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    pub(crate) entry_point: Address,
    pub(crate) version: EntryPointVersion,
    pub(crate) operations: Vec<Admitted>,
}

impl Bundle {
    pub(crate) fn hashes(&self) -> Vec<B256> {
        self.operations.iter().map(|admitted| admitted.hash).collect()
    }

    /// Gas limit of its transaction.
    pub(crate) fn gas_limit(&self) -> u64 {
        let limit = gas::bundle_gas_limit(self.operations.iter().map(|admitted| &*admitted.op), self.version);
        u64::try_from(limit).unwrap_or(u64::MAX)
    }
}

/// Chooses from `waiting`, oldest first: one EntryPoint, one operation per sender, within the gas of a transaction,
/// and none that would not pay the base fee (wei per gas).
pub(crate) fn choose<'a>(waiting: impl Iterator<Item = &'a Admitted>, max_gas: u64, base_fee: u128) -> Option<Bundle> {
    let mut bundle: Option<Bundle> = None;
    let mut senders = HashSet::new();
    for admitted in waiting.filter(|admitted| admitted.op.max_fee_per_gas >= base_fee) {
        let (entry_point, version) = (admitted.entry_point, admitted.version);
        let bundle = bundle.get_or_insert_with(|| Bundle { entry_point, version, operations: Vec::new() });
        if bundle.entry_point != admitted.entry_point || senders.contains(&admitted.op.sender) {
            continue;
        }
        bundle.operations.push(admitted.clone());
        if bundle.gas_limit() > max_gas {
            bundle.operations.pop();
        } else {
            senders.insert(admitted.op.sender);
        }
    }
    bundle.filter(|bundle| !bundle.operations.is_empty())
}

/// A bundle after its execution in process.
#[derive(Debug)]
pub(crate) struct Proven {
    /// What is left of it, and works.
    pub(crate) bundle: Bundle,
    /// What fails by itself, and why.
    pub(crate) dropped: Vec<(B256, String)>,
    /// What fails after the others, or may be innocent: for another bundle.
    pub(crate) returned: Vec<B256>,
    /// Gas that the transaction will use.
    pub(crate) gas_used: u64,
}

/// Executes the bundle on this head until it goes through. Blocks: call on a blocking thread.
///
/// # Errors
/// If state cannot be read: nothing is known then, and nothing is dropped.
pub(crate) fn prove(
    mut bundle: Bundle,
    head: &Head,
    chain_id: u64,
    bundler: Address,
) -> Result<Proven, SimulationError> {
    let (mut dropped, mut returned) = (Vec::new(), Vec::new());
    let mut gas_used = 0;
    while !bundle.operations.is_empty() {
        let operations: Vec<_> = bundle.operations.iter().map(|admitted| &*admitted.op).collect();
        let run = HandleOps {
            version: bundle.version,
            entry_point: bundle.entry_point,
            chain_id,
            operations: &operations,
            bundler,
            gas_limit: bundle.gas_limit(),
            stop_at: StopAt::End,
            trust_signatures: false,
            overrides: &StateOverride::default(),
            now: unix_now(),
        }
        .run(&head.view, &head.block)?;
        let (culprit, why) = match run.ending {
            Ending::Completed(_) => {
                gas_used = run.gas_used;
                break;
            }
            Ending::Reverted(data) => culprit(&data, &bundle),
            Ending::Halted(reason) => (None, format!("the bundle halted: {reason:?}")),
        };
        match culprit {
            // The first is validated before any other could have done anything to it.
            Some(0) => dropped.push((bundle.operations.remove(0).hash, why)),
            Some(index) => returned.push(bundle.operations.remove(index).hash),
            None if bundle.operations.len() == 1 => dropped.push((bundle.operations.remove(0).hash, why)),
            // It could be any of them: alone, the first shows whether it is the one.
            None => returned.extend(bundle.operations.drain(1..).map(|admitted| admitted.hash)),
        }
    }
    Ok(Proven { bundle, dropped, returned, gas_used })
}

/// Which operation made the bundle revert, if the EntryPoint says, and why.
fn culprit(data: &Bytes, bundle: &Bundle) -> (Option<usize>, String) {
    let revert = EntryPointRevert::decode(data);
    match &revert {
        EntryPointRevert::FailedOp { index, .. } if *index < bundle.operations.len() => {
            let rejection = reject_revert(data, &bundle.operations[*index].op, None, None);
            (Some(*index), rejection.to_string())
        }
        _ => (None, revert.to_string()),
    }
}
