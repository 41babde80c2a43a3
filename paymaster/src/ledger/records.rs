//! What is stored, and under which name. JSON, so that a ledger can be read with the store's own tools.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use serde::{Deserialize, Serialize};

use super::{Block, Charge, Inclusion, Place, Unit};

/// Seconds of expiry that are looked through together.
pub(super) const SLOT: u64 = 10;
/// Places in one record of a slot.
pub(super) const PAGE: usize = 16;
/// Name of the [`Chain`].
pub(super) const CHAIN: &str = "chain";

pub(super) fn operation(place: &Place) -> String {
    format!("op/{}/{}/{:x}", place.entry_point, place.sender, place.nonce)
}

pub(super) fn bucket(name: &str, window: u64) -> String {
    format!("bucket/{window}/{name}")
}

pub(super) fn conduct(sender: Address) -> String {
    format!("conduct/{sender}")
}

/// How many places a slot has.
pub(super) fn slot(slot: u64) -> String {
    format!("due/{slot}")
}

pub(super) fn page(slot: u64, index: usize) -> String {
    format!("due/{slot}/{}", index / PAGE)
}

pub(super) fn mark(number: u64) -> String {
    format!("mark/{number}")
}

/// A place for which signatures were given that may yet be used, or whose use may yet be undone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Operation {
    pub(super) charged: Vec<Charged>,
    /// Of the signature that lasts longest.
    pub(super) valid_until: u64,
    /// Millionths of a dollar for one ether, of the first signature.
    pub(super) price: U256,
    /// Of the dearest signature.
    pub(super) cost: U256,
    pub(super) used: Option<Inclusion>,
}

/// What one operation holds of one bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Charged {
    /// Of its bucket's record.
    pub(super) key: String,
    pub(super) unit: Unit,
    pub(super) amount: U256,
}

impl Charged {
    pub(super) fn new(charge: &Charge, now: u64) -> Self {
        Self { key: bucket(&charge.bucket, charge.window(now)), unit: charge.unit, amount: U256::ZERO }
    }

    /// Name and period of its bucket.
    fn name_and_window(&self) -> Option<(&str, u64)> {
        let (window, name) = self.key.strip_prefix("bucket/")?.split_once('/')?;
        Some((name, window.parse().ok()?))
    }
}

impl Operation {
    /// Whether this bucket bears what the operation came to: of one name's periods in which it was signed for, the last
    /// does, which has the most set aside. What was spent once is spent in one period.
    pub(super) fn is_borne_by(&self, charged: &Charged) -> bool {
        let Some((name, window)) = charged.name_and_window() else { return true };
        let later = |other: &Charged| other.name_and_window().is_some_and(|(its, at)| its == name && at > window);
        !self.charged.iter().any(later)
    }
}

/// How a sender's sponsored operations went.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Conduct {
    pub(super) reverts: u32,
    /// Of the first of them, by its block.
    pub(super) since: u64,
    /// None is sponsored before.
    pub(super) until: u64,
}

/// How far the chain was taken in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Chain {
    /// Ends of the ranges taken in, oldest first; all but the first can still be undone.
    pub(super) marks: Vec<Block>,
    /// Slots before this one were looked through.
    pub(super) slot: u64,
    /// Wei spent, by EntryPoint.
    pub(super) spent: BTreeMap<Address, U256>,
    pub(super) unreserved: U256,
    /// By EntryPoint: deposit and what had been spent, when they were first seen together, added up.
    pub(super) funded: BTreeMap<Address, U256>,
    /// By EntryPoint, wei missing from the deposit.
    pub(super) missing: BTreeMap<Address, U256>,
    pub(super) deep_reorgs: u64,
}

/// What a range of blocks did, to undo it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Of operations that we know.
    pub(super) settled: Vec<Inclusion>,
    /// Of ours that no reservation stood for, and what was above one.
    pub(super) unreserved: U256,
    /// Wei spent in it, by EntryPoint.
    pub(super) spent: BTreeMap<Address, U256>,
}
