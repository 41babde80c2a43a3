//! From waiting operations to a bundle that is known to work, and to pay for itself.
//!
//! [`choose`] is a pure choice; [`prove`] executes the whole bundle in process, on the state that those in flight will
//! leave, and puts out what fails, one operation at a time, because the EntryPoint names the culprit. [`contest`] has
//! the node execute it once more. What calls contracts that the chain's client executes itself goes by itself, and
//! there the node's word decides ([`native`]).

mod choose;
mod condition;
mod contest;
mod native;
mod prove;
mod room;

use alloy::primitives::{Address, B256};
use erc4337::EntryPointVersion;

pub(crate) use choose::{Terms, choose, is_below_market};
pub(crate) use condition::condition;
pub(crate) use contest::{Objection, contest};
pub(crate) use native::decide;
pub(crate) use prove::{Proven, Unproven, prove};
pub(crate) use room::Room;

use crate::{
    admission::Admitted,
    fees::FeeSuggestion,
    gas::Load,
    submitter::Fees,
    transaction::{Envelope, UNKNOWN_NONCE, Unsigned},
};

/// Operations that go into one transaction.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    pub(crate) entry_point: Address,
    pub(crate) version: EntryPointVersion,
    pub(crate) operations: Vec<Admitted>,
    /// Whether only the node can tell what its execution does.
    pub(crate) native: bool,
    /// It offers less than the market asks: anything that offers more may take its place.
    pub(crate) below_market: bool,
    /// What its first bid must be at least.
    pub(crate) least_bid: Fees,
    /// What it is to bring in and to cost, once its proof has shown that.
    pub(crate) expected: Expected,
    /// What is bid for it, if that is decided already.
    pub(crate) bid: Option<Fees>,
}

/// A loss of one in so many parts of a bundle's cost is taken: what an operation is asked for is a formula, and one that
/// pays what it was asked for must not wait for ever because of a few gas.
const LOSS_TAKEN: u128 = 100;

/// What a bundle is to bring in and to cost at its first bid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Gas that the transaction uses.
    pub(crate) gas_used: u64,
    /// Wei that the operations pay.
    pub(crate) revenue: u128,
    /// Wei for execution.
    pub(crate) execution: u128,
    /// Wei for data on L1.
    pub(crate) l1: u128,
    /// Wei for the operator of the chain.
    pub(crate) operator: u128,
}

impl Expected {
    /// Wei for all of it.
    pub(crate) fn cost(&self) -> u128 {
        self.execution.saturating_add(self.l1).saturating_add(self.operator)
    }

    /// Wei that is charged beside the gas if all of its gas limit is used: what the key must have to be taken.
    pub(crate) fn charges_at(&self, gas_limit: u128) -> u128 {
        let operator = self.operator.saturating_mul(gas_limit).div_ceil(u128::from(self.gas_used.max(1)));
        self.l1.saturating_add(operator)
    }

    /// Whether it costs more than it brings in, by more than `preVerificationGas` is exact to.
    pub(crate) fn is_loss(&self) -> bool {
        self.cost().saturating_sub(self.revenue) > self.cost() / LOSS_TAKEN
    }
}

impl Bundle {
    pub(crate) fn new(entry_point: Address, version: EntryPointVersion, operations: Vec<Admitted>) -> Self {
        Self {
            entry_point,
            version,
            operations,
            native: false,
            below_market: false,
            least_bid: Fees::default(),
            expected: Expected::default(),
            bid: None,
        }
    }

    /// The same without what only matters until it is mined.
    pub(crate) fn summary(&self) -> Self {
        Self { operations: self.operations.iter().map(Admitted::summary).collect(), ..*self }
    }

    /// What is bid for it.
    pub(crate) fn bid(&self, suggestion: FeeSuggestion) -> Fees {
        self.bid.unwrap_or_else(|| Fees::first(self, suggestion))
    }

    pub(crate) fn hashes(&self) -> Vec<B256> {
        self.operations.iter().map(|admitted| admitted.hash).collect()
    }

    /// Whether an operation of it is not valid for ever: mined late, the bundle would revert.
    pub(crate) fn may_expire(&self) -> bool {
        self.operations.iter().any(|admitted| admitted.validated.may_expire())
    }

    /// Gas limit of its transaction.
    pub(crate) fn gas_limit(&self) -> u64 {
        self.load().gas_limit()
    }

    /// Gas and bytes of its transaction.
    pub(crate) fn load(&self) -> Load {
        self.operations.iter().map(|admitted| Load::of(&admitted.op, self.version)).sum()
    }

    /// The transaction that carries it, from this key at this bid; its nonce may not be known yet.
    pub(crate) fn transaction(&self, chain_id: u64, nonce: Option<u64>, fees: Fees, bundler: Address) -> Unsigned {
        let envelope = Envelope {
            chain_id,
            nonce: nonce.unwrap_or(UNKNOWN_NONCE),
            gas_limit: self.gas_limit(),
            max_fee: fees.max_fee,
            priority_fee: fees.priority_fee,
            entry_point: self.entry_point,
            version: self.version,
            beneficiary: bundler,
        };
        envelope.around(self.operations.iter().map(|admitted| &*admitted.op))
    }
}
