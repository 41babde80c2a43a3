//! How rows are written: a key in bytes that sorts, a value in JSON that a person can read.
//!
//! ```text
//!  o operation                       the operation itself, and what validating it again is held against
//!  i operation                       the block it was executed in
//!  d operation                       why it was dropped
//!  a key nonce number                a signed transaction
//!  s key nonce                       the block the nonce was used in
//!  r                                 reputations
//! ```

use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes, U256};
use erc4337::{EntryPointVersion, UserOperationRequest, ValidationData, wire};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    admission::{Admitted, Evidence, Validated},
    rules::{Parties, Party, Standing},
    submitter::{Attempt, Fees},
};

pub(super) const OPERATION: u8 = b'o';
pub(super) const INCLUDED: u8 = b'i';
pub(super) const DROPPED: u8 = b'd';
pub(super) const ATTEMPT: u8 = b'a';
pub(super) const SETTLED: u8 = b's';
pub(super) const REPUTATION: u8 = b'r';

pub(super) fn of_operation(table: u8, hash: B256) -> Vec<u8> {
    [&[table], hash.as_slice()].concat()
}

pub(super) fn of_nonce(table: u8, key: Address, nonce: u64) -> Vec<u8> {
    [&[table], key.as_slice(), &nonce.to_be_bytes()].concat()
}

pub(super) fn of_attempt(key: Address, nonce: u64, number: u64) -> Vec<u8> {
    [of_nonce(ATTEMPT, key, nonce).as_slice(), &number.to_be_bytes()].concat()
}

/// The hash of a key that [`of_operation`] made.
pub(super) fn operation(key: &[u8]) -> Option<B256> {
    B256::try_from(key.get(1..)?).ok()
}

/// The key and the nonce of a key that [`of_nonce`] or [`of_attempt`] made, and what follows.
pub(super) fn nonce(key: &[u8]) -> Option<(Address, u64, &[u8])> {
    let address = Address::try_from(key.get(1..21)?).ok()?;
    Some((address, number(key.get(21..29)?)?, key.get(29..)?))
}

pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().map(u64::from_be_bytes).ok()
}

/// An accepted operation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OperationRow {
    /// Its place among all that were accepted.
    pub(super) arrival: u64,
    /// The height it came at.
    pub(super) block: u64,
    entry_point: Address,
    version: String,
    operation: Value,
    /// COD-010 holds across restarts.
    code_hashes: Vec<(Address, B256)>,
    /// Of its entities those that are staked, whose reputation it counts for.
    staked: Vec<Address>,
}

impl OperationRow {
    pub(super) fn new(admitted: &Admitted, arrival: u64, block: u64) -> Self {
        let Parties { account, factory, paymaster, .. } = admitted.evidence.parties;
        let staked = [Some(account), factory, paymaster].into_iter().flatten().filter(|party| party.is_staked());
        Self {
            arrival,
            block,
            entry_point: admitted.entry_point,
            version: admitted.version.to_string(),
            operation: wire::to_json(&admitted.op, admitted.version),
            code_hashes: admitted.evidence.code_hashes.clone(),
            staked: staked.map(|party| party.address).collect(),
        }
    }

    /// As it was accepted, but for what its validation rests on: that is to be found out again.
    pub(super) fn admitted(self, hash: B256) -> Result<Admitted, String> {
        let version: EntryPointVersion = self.version.parse().map_err(|_| format!("version {}", self.version))?;
        let op = UserOperationRequest::from_json(&self.operation, version)
            .and_then(|request| request.complete(version))
            .map_err(|error| error.to_string())?;
        let party = |address: Address| {
            Party::new(address, if self.staked.contains(&address) { Standing::Staked } else { Standing::Unstaked })
        };
        let parties = Parties {
            entry_point: self.entry_point,
            account: party(op.sender),
            factory: op.factory().map(party),
            paymaster: op.paymaster_address().map(party),
            ..Parties::default()
        };
        Ok(Admitted {
            op: Arc::new(op),
            hash,
            entry_point: self.entry_point,
            version,
            validated: Validated { account: ValidationData::VALID, paymaster: None, gas_used: 0 },
            evidence: Arc::new(Evidence { code_hashes: self.code_hashes, parties, ..Evidence::default() }),
        })
    }
}

/// A signed transaction.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttemptRow {
    transaction: B256,
    raw: Bytes,
    max_fee: U256,
    priority_fee: U256,
    /// What it carries; nothing, if it only fills its nonce.
    pub(super) operations: Vec<B256>,
}

impl AttemptRow {
    pub(super) fn new(attempt: &Attempt, operations: Vec<B256>) -> Self {
        Self {
            transaction: attempt.transaction,
            raw: attempt.raw.clone(),
            max_fee: U256::from(attempt.fees.max_fee),
            priority_fee: U256::from(attempt.fees.priority_fee),
            operations,
        }
    }

    pub(super) fn attempt(&self) -> Attempt {
        let fees = Fees { max_fee: self.max_fee.saturating_to(), priority_fee: self.priority_fee.saturating_to() };
        Attempt { transaction: self.transaction, raw: self.raw.clone(), fees }
    }
}

/// Why an operation was dropped.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DroppedRow {
    /// Its place among all that were dropped.
    pub(super) number: u64,
    pub(super) entry_point: Address,
    pub(super) reason: String,
}
