//! ERC-7562's rules as a pure function: from the [`Trace`] of a validation to what it broke.
//!
//! ```text
//!  Trace ──acts, in order──► opcodes, calls, storage ──► [Violation, …]
//!  Parties (who is who, who is staked) ──────┘
//! ```
//!
//! How each rule is read, where the ERC leaves a choice: `docs/erc-7562.md`.

mod calls;
mod constants;
mod context;
mod creation;
mod delegation;
mod exception;
mod limits;
mod opcodes;
mod profile;
mod rule;
mod storage;
mod table;
mod violation;

#[cfg(test)]
mod tests;

use alloy::primitives::{Address, U256};
use erc4337::{ChainPreset, storage::DepositInfo};
use serde::{Deserialize, Serialize};

pub use constants::{Constant, ConstantError, RuleConfig, constants, make_canonical};
pub(crate) use context::{MAX_CONTEXT_SIZE, context_size};
pub use exception::Exception;
pub(crate) use limits::least_pre_verification_gas;
pub use profile::{Base, Profile, ProfileError};
pub use rule::Rule;
pub use table::{Held, Row, TABLE};
pub use violation::Violation;

use crate::{
    evm::{Act, Deed, Trace},
    rejection::Entity,
};

/// What an entity has to have at stake to count as staked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minimum {
    /// Wei (`MIN_STAKE_VALUE`).
    pub stake: u128,
    /// Seconds that it stays locked after its owner wants it back (`MIN_UNSTAKE_DELAY`).
    pub unstake_delay: u32,
}

impl Minimum {
    /// The chain's.
    pub fn of(chain: &ChainPreset) -> Self {
        Self { stake: chain.min_stake, unstake_delay: chain.min_unstake_delay }
    }
}

/// How well an entity is staked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// No stake, or one that is being withdrawn.
    #[default]
    Unstaked,
    /// A stake, but too little or locked for too short a time.
    TooLow,
    /// Staked.
    Staked,
}

impl Standing {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unstaked => "none",
            Self::TooLow => "too low",
            Self::Staked => "staked",
        }
    }

    /// Judges a stake by the minimum (SREP-010).
    pub fn of(info: &DepositInfo, minimum: Minimum) -> Self {
        if !info.staked || info.stake.is_zero() {
            Self::Unstaked
        } else if info.stake < U256::from(minimum.stake) || info.unstake_delay < minimum.unstake_delay {
            Self::TooLow
        } else {
            Self::Staked
        }
    }
}

/// A contract that an operation names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Where it is.
    pub address: Address,
    /// How well it is staked.
    pub standing: Standing,
    /// Whether it runs another's code by EIP-7702.
    #[serde(default)]
    pub delegated: bool,
}

impl Party {
    /// One with code of its own.
    pub fn new(address: Address, standing: Standing) -> Self {
        Self { address, standing, delegated: false }
    }

    /// Whether it is staked.
    pub fn is_staked(self) -> bool {
        self.standing == Standing::Staked
    }
}

/// Who is who in an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parties {
    /// The EntryPoint.
    pub entry_point: Address,
    /// The sender.
    pub account: Party,
    /// Whether the sender has code before the operation, or needs none made.
    pub account_exists: bool,
    /// Who makes the sender.
    pub factory: Option<Party>,
    /// Who pays.
    pub paymaster: Option<Party>,
    /// Whether the secp256r1 precompile may be called.
    pub p256: bool,
    /// What counts as staked.
    #[serde(default)]
    pub minimum: Minimum,
}

impl Parties {
    /// The contract that is judged in this entity's phase.
    pub fn party(&self, entity: Entity) -> Party {
        // A phase without its party cannot be: the EntryPoint would not have begun it.
        self.of(entity).unwrap_or(self.account)
    }

    /// Who has this part, if anybody has.
    pub(crate) fn of(&self, entity: Entity) -> Option<Party> {
        match entity {
            Entity::Account => Some(self.account),
            Entity::Factory => self.factory,
            Entity::Paymaster => self.paymaster,
        }
    }

    /// Whether this is the factory, the paymaster or the sender.
    fn is_named(&self, address: Address) -> bool {
        address == self.account.address
            || self.factory.is_some_and(|factory| factory.address == address)
            || self.paymaster.is_some_and(|paymaster| paymaster.address == address)
    }
}

/// One act, with all that judging it takes.
#[derive(Clone, Copy)]
struct Case<'a> {
    trace: &'a Trace,
    parties: &'a Parties,
    act: &'a Act,
    entity: Entity,
    /// Whose phase it is.
    party: Party,
}

impl Case<'_> {
    fn broken(&self, rule: Rule) -> Violation {
        let frame = &self.trace.frames[self.act.frame];
        Violation {
            rule,
            entity: self.entity,
            address: self.party.address,
            opcode: self.act.opcode,
            pc: self.act.pc,
            contract: frame.code,
            slot: None,
            accessed: None,
            depth: frame.depth,
            call_path: self.trace.call_path(self.act.frame),
            cure: None,
            minimum: self.parties.minimum,
        }
    }

    /// Broken only for want of a stake.
    fn unstaked(&self, rule: Rule) -> Violation {
        Violation { cure: Some(self.party.standing), ..self.broken(rule) }
    }
}

/// What a validation broke, in the order it did.
pub fn judge(trace: &Trace, parties: &Parties) -> Vec<Violation> {
    let mut created = 0;
    let judged = trace
        .acts
        .iter()
        .filter_map(|act| Some((act, trace.frames.get(act.frame)?.phase?)))
        .flat_map(|(act, entity)| {
            let case = Case { trace, parties, act, entity, party: parties.party(entity) };
            let broken = match act.deed {
                Deed::Call(callee) => return calls::judge_call(&case, &trace.frames[callee]),
                Deed::Storage { contract, slot, write } => storage::judge(&case, contract, slot, write),
                Deed::Code { .. } => calls::judge_code(&case),
                Deed::Create(by) => creation::judge_create(&case, by),
                Deed::Create2(address) => creation::judge_create2(&case, address, &mut created),
                _ => opcodes::judge(&case),
            };
            broken.into_iter().collect()
        })
        .chain(context::judge(trace, parties));
    delegation::judge(parties).chain(judged).collect()
}

/// What of a validation called contracts that only the chain's client can run. Of these alone it matters nothing what
/// the EntryPoint says of the operation here.
pub fn native_calls(trace: &Trace, parties: &Parties) -> Vec<Violation> {
    judge(trace, parties).into_iter().filter(Violation::is_of_native_code).collect()
}

/// Contracts, other than the sender, in which validation used storage associated with the sender or with a staked
/// entity (STO-041).
pub fn associated_contracts(trace: &Trace, parties: &Parties) -> Vec<Address> {
    let mut contracts: Vec<Address> = trace
        .acts
        .iter()
        .filter_map(|act| {
            let Deed::Storage { contract, slot, .. } = act.deed else { return None };
            let party = parties.party(trace.frames.get(act.frame)?.phase?);
            let associated = storage::is_associated(trace, slot, parties.account.address)
                || (party.is_staked() && storage::is_associated(trace, slot, party.address));
            (contract != parties.account.address && associated).then_some(contract)
        })
        .collect();
    contracts.sort_unstable();
    contracts.dedup();
    contracts
}
