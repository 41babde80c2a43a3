//! Which entity each frame of validation is attributed to.
//!
//! ```text
//!  EntryPoint ─► SenderCreator ─► factory (or the EIP-7702 account's initialiser)   deployment frame
//!             ─► sender.validateUserOp                                             sender validation
//!             ─► paymaster.validatePaymasterUserOp                                 paymaster validation
//! ```
//! Each of these and whatever it calls is one phase. The EntryPoint's own steps and the SenderCreator's are none.

use std::fmt;

use alloy::primitives::{Address, keccak256};
use erc4337::EntryPointVersion;

use super::trace::Trace;

/// To whom a phase is attributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entity {
    Factory,
    Account,
    Paymaster,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Factory => "factory",
            Self::Account => "account",
            Self::Paymaster => "paymaster",
        })
    }
}

/// The phases of a validation.
#[derive(Debug)]
pub(super) struct Phases {
    /// By frame: whose phase it is part of, if of any.
    owners: Vec<Option<Entity>>,
    /// By frame: whether it is part of the deployment frame.
    deploying: Vec<bool>,
    /// The frames that the EntryPoint itself opens for validation, in order, with their entities.
    pub(super) roots: Vec<(usize, Entity)>,
}

const STRUCT_V06: &str = "(address,uint256,bytes,bytes,uint256,uint256,uint256,uint256,uint256,bytes,bytes)";
const STRUCT: &str = "(address,uint256,bytes,bytes,bytes32,uint256,bytes32,bytes,bytes)";

fn selector(signature: &str) -> [u8; 4] {
    let hash = keccak256(signature);
    [hash[0], hash[1], hash[2], hash[3]]
}

impl Phases {
    pub(super) fn of(version: EntryPointVersion, sender: Address, trace: &Trace) -> Self {
        let tuple = if version.is_packed() { STRUCT } else { STRUCT_V06 };
        let validate = selector(&format!("validateUserOp({tuple},bytes32,uint256)"));
        let sponsor = selector(&format!("validatePaymasterUserOp({tuple},bytes32,uint256)"));
        let create = [selector("createSender(bytes)"), selector("initEip7702Sender(address,bytes)")];

        let mut phases = Self { owners: vec![None], deploying: vec![false], roots: Vec::new() };
        for (index, frame) in trace.frames.iter().enumerate().skip(1) {
            let parent = &trace.frames[frame.parent];
            let asked = |selectors: &[[u8; 4]]| selectors.iter().any(|selector| frame.input.starts_with(selector));
            let called_by_creator = parent.parent == 0
                && frame.parent != 0
                && create.iter().any(|selector| parent.input.starts_with(selector));
            let root = match () {
                () if frame.parent == 0 && asked(&[validate]) => Some(Entity::Account),
                () if frame.parent == 0 && asked(&[sponsor]) => Some(Entity::Paymaster),
                // Only an EIP-7702 account is called here, by its own initialiser.
                () if called_by_creator && frame.to == sender => Some(Entity::Account),
                () if called_by_creator => Some(Entity::Factory),
                () => None,
            };
            let is_creator = frame.parent == 0 && asked(&create);
            if let (0, Some(entity)) = (frame.parent, root) {
                phases.roots.push((index, entity));
            } else if is_creator {
                // With the SenderCreator the EntryPoint meters the deployment, at the account's expense.
                phases.roots.push((index, Entity::Factory));
            }
            phases.owners.push(root.or(phases.owners[frame.parent]));
            phases.deploying.push(called_by_creator || phases.deploying[frame.parent]);
        }
        phases
    }

    /// Whose phase a frame is part of.
    pub(super) fn owner(&self, frame: usize) -> Option<Entity> {
        self.owners[frame]
    }

    /// Whether it is part of the deployment frame.
    pub(super) fn is_deployment(&self, frame: usize) -> bool {
        self.deploying[frame]
    }
}
