//! Why an operation was not taken, as ERC-7769 wants it said.

use alloy::primitives::{Address, FixedBytes, U256};
use erc4337::{FieldError, error_code};
use serde_json::{Value, json};

use crate::{
    cluster::Refusal,
    evm::SimulationError,
    node::NodeError,
    rules::{Minimum, Violation},
};

/// Who an error is about (ERC-7562's entities).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// The innermost frame that a failure came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailedFrame {
    /// Whose code ran.
    pub contract: Address,
    /// What was called there.
    pub selector: Option<[u8; 4]>,
    /// Whether it ended for want of gas.
    pub out_of_gas: bool,
    /// Whose code ran, from the EntryPoint's callee down to `contract`.
    pub path: Vec<Address>,
}

impl std::fmt::Display for FailedFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, " (in {}", self.contract)?;
        if let Some(selector) = self.selector {
            write!(f, ", function {}", FixedBytes::<4>::from(selector))?;
        }
        if self.out_of_gas {
            f.write_str(", out of gas")?;
        }
        f.write_str(")")
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
    #[error("{field}: alone in its transaction the operation has {given} {unit}, at most {limit} are possible")]
    TooLarge { field: &'static str, given: u128, limit: u128, unit: &'static str },
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
    TimeRange {
        entity: Entity,
        message: String,
        valid_after: Option<u64>,
        valid_until: Option<u64>,
        /// The paymaster, if it is its window.
        paymaster: Option<Address>,
    },
    #[error("account: aggregator {0} is not supported")]
    Aggregator(Address),
    #[error("paymaster: {message}")]
    PaymasterDeposit { paymaster: Address, message: String },
    #[error("callData: execution reverted: {reason}{frame}")]
    ExecutionReverted { reason: String, data: alloy::primitives::Bytes, frame: Box<FailedFrame> },
    #[error(
        "callGasLimit: no limit was found with which this operation works: it does one thing or another by its gas"
    )]
    Unsteady,
    #[error(
        "{field}: an operation with nonce {nonce} is pending; to replace it, raise both fees to at least {required}"
    )]
    ReplacementUnderpriced { field: &'static str, nonce: U256, required: u128 },
    #[error("nonce: an operation with nonce {nonce} is in a bundle already and can no longer be replaced")]
    AlreadyBundled { nonce: U256 },
    #[error("{0}")]
    Rule(Box<Violation>),
    #[error("{entity}: {address} is throttled: {count} of its operations are pending already (GREP-020)")]
    Throttled { entity: Entity, address: Address, count: usize },
    #[error("{entity}: {address} is banned: too few of its operations came to be included (GREP-010)")]
    Banned { entity: Entity, address: Address },
    #[error("{entity}: {address} is on this bundler's block list")]
    Blocked { entity: Entity, address: Address },
    #[error("{entity}: {address} has {count} operations pending and would have to be staked for more ({rule})")]
    TooManyPending { entity: Entity, address: Address, count: usize, rule: &'static str, minimum: Minimum },
    #[error("{entity}: {address} is the sender of another pending operation (STO-040)")]
    EntityIsSender { entity: Entity, address: Address },
    #[error("sender: {address} is the {entity} of another pending operation (STO-040)")]
    SenderIsEntity { entity: Entity, address: Address },
    #[error(
        "eip7702Auth: delegates to {delegate}, where a pending operation of this sender delegates to {pending}; one \
         delegate at a time (AUTH-040)"
    )]
    OtherDelegate { delegate: Address, pending: Address },
    #[error("account: uses storage in {contract}, the sender of another pending operation (STO-041)")]
    StorageOfSender { contract: Address },
    #[error(
        "paymaster: deposit {deposit} does not cover this operation beside those pending, {required} in all (EREP-010)"
    )]
    Overdrawn { paymaster: Address, deposit: U256, required: U256 },
    #[error("mempool: full; to be taken, raise maxPriorityFeePerGas above {required}")]
    Full { required: u128 },
    #[error("no node takes a transaction with this operation: {reason}; not tried again for ten minutes")]
    NotTaken { reason: String },
    #[error("the bundler is busy, try again: {0}")]
    Busy(&'static str),
    #[error("operations cannot be stored at the moment: nothing is taken before they can, try again later")]
    Unwritable,
    #[error(
        "the operator has paused the intake: no new operation is taken for now, what is pending goes on; try again later"
    )]
    IntakePaused,
    #[error("{0}")]
    Order(String),
    #[error("the bundler is shutting down: send to another, or try again later")]
    ShuttingDown,
    #[error("simulation: {0}")]
    Simulation(#[from] SimulationError),
    #[error("state could not be read, try again: {0}")]
    Node(#[from] NodeError),
    #[error("{}", .0.message)]
    Elsewhere(Box<Refusal>),
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
            | Self::TooLarge { .. }
            | Self::Authorization { .. }
            | Self::ReplacementUnderpriced { .. }
            | Self::Order(_)
            | Self::NotTaken { .. }
            | Self::AlreadyBundled { .. } => error_code::INVALID_FIELDS,
            Self::EntryPoint { .. } => error_code::ENTRY_POINT_REJECTED,
            Self::Paymaster { .. } => error_code::PAYMASTER_REJECTED,
            Self::AccountSignature { .. } | Self::PaymasterSignature { .. } => error_code::INVALID_SIGNATURE,
            Self::TimeRange { .. } => error_code::OUT_OF_TIME_RANGE,
            Self::Elsewhere(refusal) => refusal.code,
            Self::Aggregator(_) => error_code::UNSUPPORTED_AGGREGATOR,
            Self::PaymasterDeposit { .. } => error_code::PAYMASTER_DEPOSIT_TOO_LOW,
            Self::ExecutionReverted { .. } | Self::Unsteady => error_code::EXECUTION_REVERTED,
            Self::Rule(violation) => violation.code(),
            Self::EntityIsSender { .. }
            | Self::SenderIsEntity { .. }
            | Self::OtherDelegate { .. }
            | Self::StorageOfSender { .. } => error_code::RULE_VIOLATION,
            Self::Throttled { .. } | Self::Banned { .. } | Self::Blocked { .. } => error_code::THROTTLED_OR_BANNED,
            Self::TooManyPending { .. } => error_code::STAKE_TOO_LOW,
            Self::Overdrawn { .. } => error_code::PAYMASTER_DEPOSIT_TOO_LOW,
            Self::ShuttingDown | Self::IntakePaused | Self::Unwritable | Self::Busy(_) | Self::Full { .. } => {
                error_code::LIMIT_EXCEEDED
            }
            Self::Simulation(
                SimulationError::TooManyReads(_) | SimulationError::TooManySteps(_) | SimulationError::TooManyCalls,
            ) => error_code::RULE_VIOLATION,
            Self::Simulation(SimulationError::MalformedCode(_)) => error_code::INVALID_FIELDS,
            Self::Simulation(_) | Self::Node(_) | Self::Internal(_) => error_code::INTERNAL,
        }
    }

    /// The same, with the frame that it came from in the message.
    pub(crate) fn in_frame(mut self, frame: &FailedFrame) -> Self {
        match &mut self {
            Self::EntryPoint { message }
            | Self::Paymaster { message, .. }
            | Self::AccountSignature { message }
            | Self::PaymasterSignature { message, .. } => message.push_str(&frame.to_string()),
            _ => {}
        }
        self
    }

    /// Whether the reason lies in the chain's state, so that a newer block may have taken it away.
    pub fn depends_on_state(&self) -> bool {
        match self {
            Self::Authorization { .. }
            | Self::EntryPoint { .. }
            | Self::Paymaster { .. }
            | Self::AccountSignature { .. }
            | Self::PaymasterSignature { .. }
            | Self::TimeRange { .. }
            | Self::PaymasterDeposit { .. }
            | Self::Rule(_)
            | Self::Overdrawn { .. }
            | Self::Unsteady
            | Self::ExecutionReverted { .. } => true,
            Self::TooLow { field, .. } => *field == "maxFeePerGas",
            Self::Elsewhere(refusal) => refusal.depends_on_state,
            _ => false,
        }
    }

    /// Whether it says something about the operation, and not about us or the node.
    pub(crate) fn is_verdict(&self) -> bool {
        if let Self::Elsewhere(refusal) = self {
            return refusal.is_verdict;
        }
        !matches!(
            self,
            Self::Node(_)
                | Self::Internal(_)
                | Self::Busy(_)
                | Self::Unwritable
                | Self::ShuttingDown
                | Self::IntakePaused
                | Self::Order(_)
                | Self::Simulation(SimulationError::Node(_) | SimulationError::Evm(_))
        )
    }

    /// Whose validation failed, if it was one of them.
    pub(crate) fn culprit(&self) -> Option<Entity> {
        match self {
            Self::Rule(violation) => Some(violation.entity),
            Self::TimeRange { entity, .. } => Some(*entity),
            Self::AccountSignature { .. } | Self::Authorization { .. } | Self::Aggregator(_) => Some(Entity::Account),
            Self::Paymaster { .. } | Self::PaymasterSignature { .. } | Self::PaymasterDeposit { .. } => {
                Some(Entity::Paymaster)
            }
            Self::EntryPoint { message } if message.starts_with("AA1") => Some(Entity::Factory),
            Self::EntryPoint { message } if message.starts_with("AA2") => Some(Entity::Account),
            _ => None,
        }
    }

    /// The `data` member of the error, if there is something to say.
    pub fn data(&self) -> Option<Value> {
        match self {
            Self::Field(error) => Some(json!({ "field": error.field() })),
            Self::TooLow { field, given, required } => {
                Some(json!({ "field": field, "given": U256::from(*given), "required": U256::from(*required) }))
            }
            Self::TooHigh { field, given, limit } | Self::TooLarge { field, given, limit, .. } => {
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
            Self::TimeRange { valid_after, valid_until, paymaster, .. } => {
                let mut data = json!({ "validAfter": valid_after, "validUntil": valid_until });
                if let Some(paymaster) = paymaster {
                    data["paymaster"] = json!(paymaster);
                }
                Some(data)
            }
            Self::Aggregator(aggregator) => Some(json!({ "aggregator": aggregator })),
            Self::ExecutionReverted { data, frame, .. } => Some(json!({
                "revertData": data,
                "contract": frame.contract,
                "selector": frame.selector.map(FixedBytes::<4>::from),
                "outOfGas": frame.out_of_gas,
                "callPath": frame.path,
            })),
            Self::Rule(violation) => Some(violation.to_json()),
            Self::Throttled { entity, address, .. } => Some(named("GREP-020", *entity, *address)),
            Self::Banned { entity, address } => Some(named("GREP-010", *entity, *address)),
            Self::Blocked { entity, address } => Some(named("block list", *entity, *address)),
            Self::TooManyPending { entity, address, rule, minimum, .. } => {
                let mut data = named(rule, *entity, *address);
                data["minimumStake"] = json!(U256::from(minimum.stake));
                data["minimumUnstakeDelay"] = json!(U256::from(minimum.unstake_delay));
                Some(data)
            }
            Self::EntityIsSender { entity, address } => Some(named("STO-040", *entity, *address)),
            Self::SenderIsEntity { address, .. } => Some(named("STO-040", Entity::Account, *address)),
            Self::OtherDelegate { delegate, pending } => {
                Some(json!({ "rule": "AUTH-040", "delegate": delegate, "pending": pending }))
            }
            Self::StorageOfSender { contract } => Some(json!({ "rule": "STO-041", "contract": contract })),
            Self::Overdrawn { paymaster, deposit, required } => Some(json!({
                "rule": "EREP-010", "paymaster": paymaster, "deposit": deposit, "required": required,
            })),
            Self::Elsewhere(refusal) => refusal.data.clone(),
            Self::Busy(_) => Some(json!({ "retryAfterMs": 500 })),
            Self::IntakePaused => Some(json!({ "paused": "intake", "retryAfterMs": 5_000 })),
            Self::Unwritable | Self::ShuttingDown => Some(json!({ "retryAfterMs": 5_000 })),
            Self::Full { required } => {
                Some(json!({ "field": "maxPriorityFeePerGas", "required": U256::from(*required) }))
            }
            _ => None,
        }
    }
}

fn named(rule: &str, entity: Entity, address: Address) -> Value {
    let mut data = json!({ "rule": rule, "entity": entity.to_string(), "entityAddress": address });
    if entity == Entity::Paymaster {
        data["paymaster"] = json!(address);
    }
    data
}
