//! What rpc nodes and builders say to each other.

use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};
use erc4337::{UserOperation, UserOperationRequest, wire};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Rejection,
    admission::{Admitted, Evidence, Validated},
    engine::{InclusionRecord, Record, Status},
    index::Event,
};

/// A question of an rpc node's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The asker's number of it.
    pub(super) id: u64,
    /// The list that the answer goes to.
    pub(super) answers: String,
    /// When it was asked first, in milliseconds by the clock of Redis; none if that is when it was written.
    #[serde(default)]
    pub(super) asked: Option<u64>,
    pub(super) ask: Ask,
}

/// What can be asked of a builder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Ask {
    /// Take this operation.
    Add(Box<Handover>),
    /// Is there a reason not even to validate it?
    Screen { operation: Written, hash: B256, entry_point: Address },
    /// What is pending under this nonce's key?
    Lane { entry_point: Address, sender: Address, nonce: U256 },
    /// What is known of it?
    Look(B256),
    /// What is in the mempool?
    Dump,
}

/// The answer to it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) id: u64,
    pub(super) result: Result<Value, Refusal>,
}

/// A [`Rejection`] of another process, as it is told to the wallet.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// The JSON-RPC code (ERC-7769).
    pub code: i32,
    /// Its text.
    pub message: String,
    /// What goes with it.
    pub data: Option<Value>,
    /// See [`Rejection::depends_on_state`].
    pub depends_on_state: bool,
    pub(crate) is_verdict: bool,
}

impl From<&Rejection> for Refusal {
    fn from(rejection: &Rejection) -> Self {
        Self {
            code: rejection.code(),
            message: rejection.to_string(),
            data: rejection.data(),
            depends_on_state: rejection.depends_on_state(),
            is_verdict: rejection.is_verdict(),
        }
    }
}

/// An operation as wallets write it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written {
    version: String,
    operation: Value,
}

impl Written {
    pub(super) fn new(op: &UserOperation, version: erc4337::EntryPointVersion) -> Self {
        Self { version: version.to_string(), operation: wire::to_json(op, version) }
    }

    pub(super) fn read(&self) -> Result<(UserOperation, erc4337::EntryPointVersion), String> {
        let version = self.version.parse().map_err(|_| format!("version {}", self.version))?;
        let op = UserOperationRequest::from_json(&self.operation, version)
            .and_then(|request| request.complete(version))
            .map_err(|error| error.to_string())?;
        Ok((op, version))
    }
}

/// A validated operation, with what its validation rests on: a builder at the same block need not validate it again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Handover {
    operation: Written,
    hash: B256,
    entry_point: Address,
    validated: Validated,
    evidence: Evidence,
}

impl Handover {
    pub(super) fn new(admitted: &Admitted) -> Self {
        Self {
            operation: Written::new(&admitted.op, admitted.version),
            hash: admitted.hash,
            entry_point: admitted.entry_point,
            validated: admitted.validated,
            evidence: Evidence::clone(&admitted.evidence),
        }
    }

    pub(super) fn admitted(self) -> Result<Admitted, String> {
        let (op, version) = self.operation.read()?;
        Ok(Admitted {
            op: Arc::new(op),
            hash: self.hash,
            entry_point: self.entry_point,
            version,
            validated: self.validated,
            evidence: Arc::new(self.evidence),
        })
    }
}

/// A [`Record`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seen {
    operation: Option<Written>,
    entry_point: Address,
    stands: Stands,
    #[serde(default)]
    waits_for: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Stands {
    Pending,
    Submitted(B256),
    Preconfirmed(B256),
    Included(Event),
    Dropped(String),
}

impl From<Record> for Seen {
    fn from(record: Record) -> Self {
        let operation = record.op.zip(record.version).map(|(op, version)| Written::new(&op, version));
        let stands = match record.status {
            Status::Pending => Stands::Pending,
            Status::Submitted { transaction } => Stands::Submitted(transaction),
            Status::Preconfirmed { transaction } => Stands::Preconfirmed(transaction),
            Status::Included(InclusionRecord(event)) => Stands::Included(event),
            Status::Dropped { reason } => Stands::Dropped(reason),
        };
        Self { operation, entry_point: record.entry_point, stands, waits_for: record.waits_for }
    }
}

impl Seen {
    /// Whether nothing is known of it but that it was mined.
    pub(super) fn is_only_seen_mined(&self) -> bool {
        self.operation.is_none() && matches!(self.stands, Stands::Included(_))
    }

    pub(super) fn record(self) -> Result<Record, String> {
        let read = self.operation.map(|written| written.read()).transpose()?;
        let status = match self.stands {
            Stands::Pending => Status::Pending,
            Stands::Submitted(transaction) => Status::Submitted { transaction },
            Stands::Preconfirmed(transaction) => Status::Preconfirmed { transaction },
            Stands::Included(event) => Status::Included(InclusionRecord(event)),
            Stands::Dropped(reason) => Status::Dropped { reason },
        };
        let (op, version) = read.map(|(op, version)| (Arc::new(op), version)).unzip();
        Ok(Record { op, entry_point: self.entry_point, version, status, waits_for: self.waits_for })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_is_told_the_same_wherever_the_builder_is() {
        let here = [
            Rejection::TooLow { field: "maxFeePerGas", given: 1, required: 2 },
            Rejection::Full { required: 7 },
            Rejection::Unwritable,
        ];
        for rejection in here {
            let text = serde_json::to_vec(&Refusal::from(&rejection)).unwrap();
            let there = Rejection::Elsewhere(serde_json::from_slice(&text).unwrap());
            let told = |it: &Rejection| (it.code(), it.to_string(), it.data(), it.depends_on_state(), it.is_verdict());
            assert_eq!(told(&there), told(&rejection));
            assert!(there.data().is_some());
        }
    }
}
