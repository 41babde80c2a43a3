//! What is asked of the ledger, and what it answers.

use alloy::primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use super::StoreError;

/// An operation's place: of all signatures for it, at most one can ever be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The EntryPoint.
    pub entry_point: Address,
    /// The account.
    pub sender: Address,
    /// Its nonce, key and sequence.
    pub nonce: U256,
}

/// What a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Wei: the worst case at first, what it cost in the end.
    Wei,
    /// Millionths of a US dollar, at the price when the signature was given.
    MicroUsd,
    /// Operations: one each, given back only if it is never used.
    Count,
    /// Operations that are signed and not yet seen in a block. A reorganisation may bring it over its limit.
    InFlight,
}

impl Unit {
    /// How much of this unit `wei` are, at `price` millionths of a dollar for one ether; rounded up.
    pub(crate) fn amount(self, wei: U256, price: U256) -> U256 {
        match self {
            Self::Wei => wei,
            Self::MicroUsd => wei.saturating_mul(price).div_ceil(U256::from(1_000_000_000_000_000_000_u64)),
            Self::Count | Self::InFlight => U256::ONE,
        }
    }
}

/// One bucket that an operation is charged to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Whose: `policy/marketplace`, `user/0x…`, `job/0x…`; one name, one unit.
    pub bucket: String,
    /// What it counts.
    pub unit: Unit,
    /// How much may be charged in one period, in that unit.
    pub limit: U256,
    /// Seconds after which it begins anew, counted from 1970; 0: never.
    pub period: u64,
}

impl Charge {
    /// The period's number at `now` (seconds since 1970).
    pub(crate) fn window(&self, now: u64) -> u64 {
        now.checked_div(self.period).unwrap_or(0)
    }

    /// When the bucket is whole again, in seconds since 1970, if it ever is.
    pub(crate) fn resets_at(&self, now: u64) -> Option<u64> {
        (self.period > 0).then(|| (self.window(now) + 1).saturating_mul(self.period))
    }
}

/// A signature that is about to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// What it is for.
    pub place: Place,
    /// Wei that the operation can cost at most.
    pub cost: U256,
    /// Last second at which the EntryPoint takes the signature, since 1970.
    pub valid_until: u64,
    /// Every bucket must have room, or none is charged.
    pub charges: Vec<Charge>,
    /// Millionths of a US dollar for one ether; needed for [`Unit::MicroUsd`] only.
    pub price: Option<U256>,
    /// Seconds since 1970: which period is charged.
    pub now: u64,
}

/// How the ledger treats time and those who waste it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Seconds of chain time after which a block is final, however many blocks came in them. A deeper reorganisation is
    /// counted in [`Standing::deep_reorgs`].
    pub finality: u64,
    /// Sponsored operations that may revert before their sender has to wait; 0: any number.
    pub reverts: u32,
    /// Seconds after which reverts are forgotten.
    pub forget: u64,
    /// Seconds that a sender has to wait.
    pub cool_down: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { finality: 20, reverts: 5, forget: 3_600, cool_down: 900 }
    }
}

/// A bucket that has too little room.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bucket}: {remaining} of {limit} are left, {asked} are asked for")]
pub struct OverLimit {
    /// Its name.
    pub bucket: String,
    /// What it counts.
    pub unit: Unit,
    /// How much may be charged in one period.
    pub limit: U256,
    /// How much more would be.
    pub asked: U256,
    /// How much may still be.
    pub remaining: U256,
    /// When it begins anew, in seconds since 1970, if it does.
    pub resets_at: Option<u64>,
}

/// Why nothing was set aside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// A bucket has too little room.
    #[error(transparent)]
    OverLimit(Box<OverLimit>),
    /// Too many of the sender's operations reverted on our gas.
    #[error("too many sponsored operations of {sender} reverted; none is sponsored until {until}")]
    CoolingDown {
        /// The account.
        sender: Address,
        /// Seconds since 1970.
        until: u64,
    },
    /// The nonce was used already.
    #[error("nonce: an operation with this nonce was executed already")]
    Used,
    /// A limit in dollars, and nobody knows what they are.
    #[error("no price: {bucket} is limited in US dollars")]
    NoPrice {
        /// The bucket.
        bucket: String,
    },
    /// The ledger could not be written: nothing is signed then.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Denied {
    /// Whether the same request may be granted a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

/// One bucket in one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Promised, in the bucket's unit, and not settled for good.
    pub reserved: U256,
    /// What executed operations came to.
    pub settled: U256,
}

impl Usage {
    /// Both.
    pub fn total(&self) -> U256 {
        self.reserved.saturating_add(self.settled)
    }
}

/// Where the ledger stands against the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The last block taken in: number, hash, timestamp.
    pub block: Option<(u64, B256, u64)>,
    /// Wei that all operations of our paymasters have cost since the ledger began.
    pub spent: U256,
    /// Wei of these that no reservation stood for: 0, or keys are being used elsewhere. To be alarmed at.
    pub unreserved: U256,
    /// Wei by which deposits are lower than what was spent explains: withdrawals, or a ledger that missed something.
    pub drift: U256,
    /// Reorganisations deeper than [`Rules::finality`]. To be alarmed at.
    pub deep_reorgs: u64,
}
