//! From waiting operations to a bundle that is known to work.
//!
//! `choose` is a pure choice; [`prove`] executes the whole bundle in process and puts out what fails, one operation
//! at a time, because the EntryPoint names the culprit.

use std::collections::{HashMap, HashSet};

use alloy::{
    primitives::{Address, B256, Bytes},
    rpc::types::state::StateOverride,
};
use erc4337::{ChainPreset, EntryPointVersion, revert::EntryPointRevert};

use crate::{
    admission::{Admitted, reject_revert},
    evm::{Budget, Ending, HandleOps, SimulationError, StopAt},
    gas,
    head::{Head, unix_now},
    mempool::Mempool,
    rejection::Entity,
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

/// Chooses from what waits, oldest first: one EntryPoint, one operation per sender, a few per throttled entity, within
/// the gas of a transaction, none that would not pay the base fee (wei per gas), and nothing beside what is set apart.
pub(crate) fn choose(mempool: &Mempool, max_gas: u64, base_fee: u128) -> Option<Bundle> {
    let mut bundle: Option<Bundle> = None;
    let mut senders = HashSet::new();
    let mut throttled: HashMap<Address, usize> = HashMap::new();
    for admitted in mempool.waiting().filter(|admitted| admitted.op.max_fee_per_gas >= base_fee) {
        let (entry_point, version) = (admitted.entry_point, admitted.version);
        let bundle = bundle.get_or_insert_with(|| Bundle { entry_point, version, operations: Vec::new() });
        let alone = mempool.is_set_apart(admitted.hash);
        let bars = alone && !bundle.operations.is_empty();
        if bundle.entry_point != admitted.entry_point || senders.contains(&admitted.op.sender) || bars {
            continue;
        }
        let parties = &admitted.evidence.parties;
        let named: Vec<_> = [Some(parties.account), parties.factory, parties.paymaster]
            .into_iter()
            .flatten()
            .map(|party| party.address)
            .filter(|address| mempool.is_throttled(*address))
            .collect();
        let most = mempool.config().throttled_in_bundle;
        if named.iter().any(|address| throttled.get(address).is_some_and(|count| *count >= most)) {
            continue;
        }
        bundle.operations.push(admitted.clone());
        if bundle.gas_limit() > max_gas {
            bundle.operations.pop();
        } else if alone {
            break;
        } else {
            senders.insert(admitted.op.sender);
            named.into_iter().for_each(|address| *throttled.entry(address).or_default() += 1);
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
    pub(crate) dropped: Vec<Failed>,
    /// What fails only after the others: for another bundle, a few times.
    pub(crate) disturbed: Vec<Failed>,
    /// What may be innocent: for another bundle.
    pub(crate) returned: Vec<B256>,
    /// Whether it was executed on the block that its operations were last found valid on: then, and only then, a
    /// failure is somebody's fault.
    pub(crate) same_state: bool,
    /// Gas that the transaction will use.
    pub(crate) gas_used: u64,
}

/// An operation that fails in a bundle.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) hash: B256,
    pub(crate) reason: String,
    /// Whose validation it was.
    pub(crate) culprit: Option<Entity>,
}

/// Executes the bundle on this head until it goes through. Blocks: call on a blocking thread.
///
/// # Errors
/// If state cannot be read: nothing is known then, and nothing is dropped.
pub(crate) fn prove(
    mut bundle: Bundle,
    head: &Head,
    same_state: bool,
    chain: &ChainPreset,
    bundler: Address,
) -> Result<Proven, SimulationError> {
    let (mut dropped, mut disturbed, mut returned) = (Vec::new(), Vec::new(), Vec::new());
    let mut gas_used = 0;
    while !bundle.operations.is_empty() {
        let operations_left = bundle.operations.len();
        let operations: Vec<_> = bundle.operations.iter().map(|admitted| &*admitted.op).collect();
        let run = HandleOps {
            version: bundle.version,
            entry_point: bundle.entry_point,
            chain,
            operations: &operations,
            bundler,
            gas_limit: bundle.gas_limit(),
            stop_at: StopAt::End,
            trust_signatures: false,
            overrides: &StateOverride::default(),
            now: unix_now(),
            budget: Budget::EXECUTION,
        }
        .run(&head.view, &head.block)?;
        let (index, reason, culprit) = match run.ending {
            Ending::Completed(_) => {
                gas_used = run.gas_used;
                break;
            }
            Ending::Reverted(data) => culprit(&data, &bundle),
            Ending::Halted(reason) => (None, format!("the bundle halted: {reason:?}"), None),
        };
        let mut take =
            |index: usize| Failed { hash: bundle.operations.remove(index).hash, reason: reason.clone(), culprit };
        match index {
            // The first is validated before any other could have done anything to it.
            Some(0) => dropped.push(take(0)),
            Some(index) => disturbed.push(take(index)),
            None if operations_left == 1 => dropped.push(take(0)),
            // It could be any of them: alone, the first shows whether it is the one.
            None => returned.extend(bundle.operations.drain(1..).map(|admitted| admitted.hash)),
        }
    }
    Ok(Proven { bundle, dropped, disturbed, returned, same_state, gas_used })
}

/// Which operation made the bundle revert, if the EntryPoint says, why, and in whose validation.
fn culprit(data: &Bytes, bundle: &Bundle) -> (Option<usize>, String, Option<Entity>) {
    let revert = EntryPointRevert::decode(data);
    match &revert {
        EntryPointRevert::FailedOp { index, .. } if *index < bundle.operations.len() => {
            let rejection = reject_revert(data, &bundle.operations[*index].op, None, None);
            (Some(*index), rejection.to_string(), rejection.culprit())
        }
        _ => (None, revert.to_string(), None),
    }
}
