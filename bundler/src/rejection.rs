//! Why an operation was not taken, as ERC-7769 wants it said.

use alloy::primitives::{Address, U256};
use erc4337::{FieldError, error_code, validation_data::InvalidWindow};
use serde_json::{Value, json};

use crate::{evm::SimulationError, node::NodeError};

/// Who an error is about (ERC-7562's entities).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    /// The sender.
    Account,
    /// Who makes it.
    Factory,
    /// Who pays.
    Paymaster,
}

impl std::fmt::Display for Entity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Account => "account",
            Self::Factory => "factory",
            Self::Paymaster => "paymaster",
        })
    }
}

/// One reason per variant; the text names the field or the entity.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's text says it, and its fields are named in the text")]
pub enum Rejection {
    #[error("entryPoint: {given} is not served here; supported: {supported:?}")]
    UnknownEntryPoint { given: String, supported: Vec<Address> },
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error("{field}: {given} is too low, {required} is needed")]
    TooLow { field: &'static str, given: u128, required: u128 },
    #[error("{field}: {given} is too high, at most {limit} is allowed")]
    TooHigh { field: &'static str, given: u128, limit: u128 },
    #[error("eip7702Auth: {reason}")]
    Authorization { reason: String },
    #[error("{message}")]
    EntryPoint { message: String },
    #[error("{message}")]
    Paymaster { paymaster: Address, message: String },
    #[error("signature: {message}")]
    AccountSignature { message: String },
    #[error("paymasterData: {message}")]
    PaymasterSignature { paymaster: Address, message: String },
    #[error("{entity}: {message}")]
    TimeRange { entity: Entity, message: String, valid_after: Option<u64>, valid_until: Option<u64> },
    #[error("{entity}: {window}")]
    Window { entity: Entity, window: InvalidWindow },
    #[error("account: aggregator {0} is not supported")]
    Aggregator(Address),
    #[error("paymaster: {message}")]
    PaymasterDeposit { paymaster: Address, message: String },
    #[error("callData: execution reverted: {reason}")]
    ExecutionReverted { reason: String, data: alloy::primitives::Bytes },
    #[error(
        "{field}: an operation with nonce {nonce} is pending; to replace it, raise both fees to at least {required}"
    )]
    ReplacementUnderpriced { field: &'static str, nonce: U256, required: u128 },
    #[error("nonce: an operation with nonce {nonce} is in a bundle already and can no longer be replaced")]
    AlreadyBundled { nonce: U256 },
    #[error("the bundler is shutting down: send to another, or try again later")]
    ShuttingDown,
    #[error("state could not be read, try again: {0}")]
    Simulation(#[from] SimulationError),
    #[error("state could not be read, try again: {0}")]
    Node(#[from] NodeError),
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl Rejection {
    /// The JSON-RPC code (ERC-7769).
    pub fn code(&self) -> i32 {
        match self {
            Self::UnknownEntryPoint { .. }
            | Self::Field(_)
            | Self::TooLow { .. }
            | Self::TooHigh { .. }
            | Self::Authorization { .. }
            | Self::ReplacementUnderpriced { .. }
            | Self::AlreadyBundled { .. } => error_code::INVALID_FIELDS,
            Self::EntryPoint { .. } => error_code::ENTRY_POINT_REJECTED,
            Self::Paymaster { .. } => error_code::PAYMASTER_REJECTED,
            Self::AccountSignature { .. } | Self::PaymasterSignature { .. } => error_code::INVALID_SIGNATURE,
            Self::TimeRange { .. } | Self::Window { .. } => error_code::OUT_OF_TIME_RANGE,
            Self::Aggregator(_) => error_code::UNSUPPORTED_AGGREGATOR,
            Self::PaymasterDeposit { .. } => error_code::PAYMASTER_DEPOSIT_TOO_LOW,
            Self::ExecutionReverted { .. } => error_code::EXECUTION_REVERTED,
            Self::ShuttingDown => error_code::LIMIT_EXCEEDED,
            Self::Simulation(_) | Self::Node(_) | Self::Internal(_) => error_code::INTERNAL,
        }
    }

    /// Whether the reason lies in the chain's state, so that a newer block may have taken it away.
    pub(crate) fn depends_on_state(&self) -> bool {
        match self {
            Self::Authorization { .. }
            | Self::EntryPoint { .. }
            | Self::Paymaster { .. }
            | Self::AccountSignature { .. }
            | Self::PaymasterSignature { .. }
            | Self::TimeRange { .. }
            | Self::PaymasterDeposit { .. }
            | Self::ExecutionReverted { .. } => true,
            Self::TooLow { field, .. } => *field == "maxFeePerGas",
            _ => false,
        }
    }

    /// The `data` member of the error, if there is something to say.
    pub fn data(&self) -> Option<Value> {
        match self {
            Self::Field(error) => Some(json!({ "field": error.field() })),
            Self::TooLow { field, given, required } => {
                Some(json!({ "field": field, "given": U256::from(*given), "required": U256::from(*required) }))
            }
            Self::TooHigh { field, given, limit } => {
                Some(json!({ "field": field, "given": U256::from(*given), "limit": U256::from(*limit) }))
            }
            Self::ReplacementUnderpriced { field, required, .. } => {
                Some(json!({ "field": field, "required": U256::from(*required) }))
            }
            Self::UnknownEntryPoint { supported, .. } => {
                Some(json!({ "field": "entryPoint", "supportedEntryPoints": supported }))
            }
            Self::Paymaster { paymaster, .. }
            | Self::PaymasterSignature { paymaster, .. }
            | Self::PaymasterDeposit { paymaster, .. } => Some(json!({ "paymaster": paymaster })),
            Self::TimeRange { valid_after, valid_until, .. } => {
                Some(json!({ "validAfter": valid_after, "validUntil": valid_until }))
            }
            Self::Aggregator(aggregator) => Some(json!({ "aggregator": aggregator })),
            Self::ExecutionReverted { data, .. } => Some(json!(data)),
            _ => None,
        }
    }
}
