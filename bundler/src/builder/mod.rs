//! From waiting operations to a bundle that is known to work.
//!
//! `choose` is a pure choice; [`prove`] executes the whole bundle in process and puts out what fails, one operation
//! at a time, because the EntryPoint names the culprit.

use std::collections::HashMap;

use alloy::{
    primitives::{Address, B256, Bytes, U256},
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
    submitter::Fees,
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

/// Chooses from what waits, what pays most per gas first: one EntryPoint, a few operations per throttled entity, within
/// the gas of a transaction, none that would not pay the base fee (wei per gas), and nothing beside what is set apart.
/// Those of one nonce key go in their order; nothing of a sender that is in another bundle already.
pub(crate) fn choose(mempool: &Mempool, max_gas: u64, base_fee: u128) -> Option<Bundle> {
    let mut candidates: Vec<(usize, &Admitted, u64)> = mempool
        .candidates()
        .enumerate()
        .filter(|(_, (admitted, _))| admitted.op.max_fee_per_gas >= base_fee)
        .map(|(arrival, (admitted, ahead))| (arrival, admitted, ahead))
        .collect();
    candidates.sort_by_key(|(_, _, ahead)| *ahead);
    // What has to go behind another is worth no more than that one. Lines stay together: a sender has one bundle at a
    // time, and what is left of its line would wait until that is mined.
    let mut lines: HashMap<(Address, U256), (usize, u128)> = HashMap::new();
    let mut candidates: Vec<_> = candidates
        .into_iter()
        .map(|(arrival, admitted, ahead)| {
            let line = lines.entry(line(admitted)).or_insert((arrival, u128::MAX));
            line.1 = line.1.min(admitted.op.effective_gas_price(base_fee));
            (std::cmp::Reverse(line.1), line.0, ahead, admitted)
        })
        .collect();
    candidates.sort_by_key(|(price, arrival, ahead, _)| (*price, *arrival, *ahead));
    let mut choice = Choice { mempool, max_gas, bundle: None, lanes: HashMap::new(), throttled: HashMap::new() };
    // Each pass may make room for those that had to go behind another.
    loop {
        let before = candidates.len();
        candidates.retain(|(_, _, ahead, admitted)| !choice.take(admitted, *ahead));
        if candidates.len() == before || choice.is_full() {
            break;
        }
    }
    choice.bundle.filter(|bundle| !bundle.operations.is_empty())
}

/// Operations with the same go one after the other: sender and nonce key.
fn line(admitted: &Admitted) -> (Address, U256) {
    (admitted.op.sender, admitted.op.nonce >> 64)
}

/// A bundle that is being chosen.
struct Choice<'a> {
    mempool: &'a Mempool,
    max_gas: u64,
    bundle: Option<Bundle>,
    /// Operations chosen, by sender and nonce key.
    lanes: HashMap<(Address, U256), u64>,
    throttled: HashMap<Address, usize>,
}

impl Choice<'_> {
    /// Whether what is in it goes by itself.
    fn is_full(&self) -> bool {
        let first = self.bundle.as_ref().and_then(|bundle| bundle.operations.first());
        first.is_some_and(|admitted| self.mempool.is_set_apart(admitted.hash))
    }

    /// Takes an operation with so many of its nonce key before it, if it may go in now.
    fn take(&mut self, admitted: &Admitted, ahead: u64) -> bool {
        let lane = line(admitted);
        if self.is_full() || ahead != self.lanes.get(&lane).copied().unwrap_or_default() {
            return false;
        }
        let (entry_point, version) = (admitted.entry_point, admitted.version);
        let bundle = self.bundle.get_or_insert_with(|| Bundle { entry_point, version, operations: Vec::new() });
        let bars = self.mempool.is_set_apart(admitted.hash) && !bundle.operations.is_empty();
        if bundle.entry_point != admitted.entry_point || bars {
            return false;
        }
        let parties = &admitted.evidence.parties;
        let named: Vec<_> = [Some(parties.account), parties.factory, parties.paymaster]
            .into_iter()
            .flatten()
            .map(|party| party.address)
            .filter(|address| self.mempool.is_throttled(*address))
            .collect();
        let most = self.mempool.config().throttled_in_bundle;
        if named.iter().any(|address| self.throttled.get(address).is_some_and(|count| *count >= most)) {
            return false;
        }
        bundle.operations.push(admitted.clone());
        if bundle.gas_limit() > self.max_gas {
            bundle.operations.pop();
            return false;
        }
        *self.lanes.entry(lane).or_default() += 1;
        named.into_iter().for_each(|address| *self.throttled.entry(address).or_default() += 1);
        true
    }
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
    /// What the node said against it.
    pub(crate) disagreement: Option<String>,
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
            // What will be bid: a contract that compares GASPRICE with BASEFEE would tell a cheaper run from the real one.
            priority_fee: Fees::first(&bundle, head.fees).priority_fee,
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
    Ok(Proven { bundle, dropped, disturbed, returned, same_state, gas_used, disagreement: None })
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
