//! All that rules are judged by.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256, keccak256};
use erc4337::{EntryPointVersion, UserOperation};

use super::{
    Constants,
    node::{Known, Run, delegation},
    opcodes::op,
    phases::{Entity, Phases},
    trace::{Event, Frame, Trace},
};

/// Gas for each byte of a contract's code.
const CODE_DEPOSIT: u64 = 200;

/// A validation that the EntryPoint lets pass.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) constants: &'a Constants,
    pub(super) version: EntryPointVersion,
    pub(super) entry_point: Address,
    pub(super) op: &'a UserOperation,
    pub(super) factory: Option<Address>,
    pub(super) paymaster: Option<Address>,
    pub(super) trace: Trace,
    pub(super) phases: Phases,
    /// By the order of creations: which of them lacked gas. Empty if that need not be asked.
    pub(super) starved_creations: Vec<bool>,
    known: BTreeMap<Address, Known>,
    /// By address: all slots that are `keccak(address||x)` of some `x`.
    mappings: BTreeMap<Address, Vec<U256>>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(
        constants: &'a Constants,
        version: EntryPointVersion,
        entry_point: Address,
        op: &'a UserOperation,
        run: Run,
    ) -> Self {
        let phases = Phases::of(version, op.sender, &run.trace);
        let mut mappings: BTreeMap<Address, Vec<U256>> = BTreeMap::new();
        for preimage in &run.trace.preimages {
            if let Some((&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], rest)) = preimage.split_first_chunk::<12>() {
                mappings.entry(Address::from_slice(&rest[..20])).or_default().push(keccak256(preimage).into());
            }
        }
        Self {
            constants,
            version,
            entry_point,
            op,
            factory: op.factory(),
            paymaster: op.paymaster_address(),
            trace: run.trace,
            phases,
            starved_creations: Vec::new(),
            known: run.known,
            mappings,
        }
    }

    /// The instructions that rules are about, with those to whom they are attributed. What the EntryPoint does in its own
    /// name is not among them, though what it calls is.
    pub(super) fn events(&self) -> impl Iterator<Item = (Entity, &Event)> {
        let foreign = self.trace.events.iter().filter(|event| event.at != self.entry_point);
        foreign.filter_map(|event| Some((self.phases.owner(event.frame)?, event)))
    }

    /// The address of an entity; the account's if there is no other.
    pub(super) fn address(&self, entity: Entity) -> Address {
        let other = match entity {
            Entity::Factory => self.factory,
            Entity::Paymaster => self.paymaster,
            Entity::Account => None,
        };
        other.unwrap_or(self.op.sender)
    }

    /// Definition 5: a locked stake of at least `MIN_STAKE_VALUE` and `MIN_UNSTAKE_DELAY`.
    pub(super) fn is_staked(&self, entity: Entity) -> bool {
        let stake = self.known.get(&self.address(entity)).and_then(|known| known.stake);
        stake.is_some_and(|(wei, seconds)| {
            wei >= self.constants.min_stake && seconds >= self.constants.min_unstake_delay
        })
    }

    /// Whether there is a factory that is.
    pub(super) fn has_staked_factory(&self) -> bool {
        self.factory.is_some() && self.is_staked(Entity::Factory)
    }

    /// Whether the account has code before the bundle runs, by an authorization that comes with the operation if not
    /// otherwise.
    pub(super) fn account_exists(&self) -> bool {
        match &self.op.eip7702_auth {
            Some(tuple) => !delegation(*tuple.address()).is_empty(),
            None => self.known.get(&self.op.sender).is_some_and(|known| !known.code.is_empty()),
        }
    }

    /// Whether an entity's code is a delegation by EIP-7702.
    pub(super) fn is_delegated(&self, address: Address) -> bool {
        let by_this_operation = address == self.op.sender && self.op.eip7702_auth.is_some();
        let code = self.known.get(&address).map(|known| known.code.clone()).unwrap_or_default();
        by_this_operation && self.account_exists() || code.len() == 23 && code.starts_with(&[0xef, 1, 0])
    }

    /// Definition 6: the slot is `A`, or `keccak(A||x)+n` of an `x` that somebody hashed.
    pub(super) fn is_associated(&self, slot: U256, address: Address) -> bool {
        let own: U256 = address.into_word().into();
        let mappings = self.mappings.get(&address);
        slot == own || mappings.into_iter().flatten().any(|first| slot.wrapping_sub(*first) < U256::from(128))
    }

    /// Whether a creation ended in a way that the tracer does not tell: it hears nothing of why a constructor fails, nor
    /// whether there was gas for the code.
    pub(super) fn has_puzzling_creations(&self) -> bool {
        let orderly = [op::STOP, op::RETURN, op::REVERT, op::SELFDESTRUCT];
        let is_puzzling = |frame: &Frame| {
            frame.creates() && (!orderly.contains(&frame.last) || frame.size * CODE_DEPOSIT > frame.gas - frame.used)
        };
        self.trace.frames.iter().any(is_puzzling)
    }
}
