//! Why an operation is not sponsored: which rule, and which call.

use alloy::primitives::{Address, B256, U256};

use super::{encodings::UnreadableCalls, job::JobDenial};
use crate::ledger::{Charge, Denied, OverLimit, Unit};

/// Why an operation is not sponsored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The operator has stopped all sponsorship.
    #[error("sponsorship is paused")]
    Paused,
    /// Before its time.
    #[error("the policy starts at {0} (seconds since 1970)")]
    NotYet(u64),
    /// After it.
    #[error("the policy ended at {0} (seconds since 1970)")]
    Over(u64),
    /// Of another chain.
    #[error("operations on chain {0} are not sponsored")]
    Chain(u64),
    /// Of another EntryPoint.
    #[error("operations of EntryPoint {0} are not sponsored")]
    EntryPoint(String),
    /// On the list of those that are not, or not on the list of those that are.
    #[error("operations of {0} are not sponsored")]
    Sender(Address),
    /// The account comes from somewhere else.
    #[error("accounts of factory {0} are not sponsored")]
    Factory(Address),
    /// The account would run code that is not ours, so that its calls tell nothing.
    #[error("EIP-7702 accounts are sponsored only if they delegate to ours")]
    Delegate,
    /// The account runs code that is not known, so that its calls tell nothing.
    #[error("accounts with the code {0} are not sponsored")]
    Implementation(B256),
    /// There is none, and the operation does not make it.
    #[error("there is no account at {0}")]
    NoAccount(Address),
    /// The account would do something we cannot read.
    #[error("{}{error}", at(path))]
    Unreadable {
        /// Where in the batch; empty for the operation's own data.
        path: String,
        /// Why.
        error: UnreadableCalls,
    },
    /// A call is not sponsored.
    #[error("call {path} {why}")]
    Call {
        /// Where in the batch.
        path: String,
        /// The rule that came nearest to allowing it.
        rule: Option<String>,
        /// What is wrong with it.
        why: Box<CallDenial>,
    },
    /// More gas, or dearer, than is sponsored. `preVerificationGas` above all is paid to whoever bundles, used or not: the
    /// way to turn a deposit into cash.
    #[error("{field} {given} is over the {limit} that is sponsored")]
    Gas {
        /// Of the operation.
        field: &'static str,
        /// Of the operation, in gas or wei per gas.
        given: u128,
        /// Of the policy.
        limit: u128,
    },
    /// A gas limit is out of proportion to what the operation needs.
    #[error("{field} {given} is over {limit}, the sponsored multiple of the {simulated} that it needs")]
    Simulated {
        /// Of the operation.
        field: &'static str,
        /// Of the operation.
        given: u128,
        /// What a simulation came to.
        simulated: u128,
        /// The multiple of that.
        limit: u128,
    },
    /// It does not run.
    #[error("the operation fails in simulation: {0}")]
    Fails(String),
    /// It could cost more than one operation may.
    #[error("the operation may cost {cost} {unit}; at most {limit} {unit} are sponsored")]
    TooExpensive {
        /// At its own fee and limits.
        cost: U256,
        /// Of the policy.
        limit: U256,
        /// Wei, or millionths of a dollar.
        unit: &'static str,
    },
    /// Too much has been promised in this period.
    #[error("what {who} may be sponsored {period} is spent: {remaining} of {limit} {} are left", unit_name(*unit))]
    OverBudget {
        /// Whose budget it is.
        who: &'static str,
        /// Of which period.
        period: String,
        /// What is counted.
        unit: Unit,
        /// How much of it in a period.
        limit: U256,
        /// How much of that is left.
        remaining: U256,
        /// Seconds since 1970 at which it is whole again, if it ever is.
        resets_at: Option<u64>,
    },
    /// The ledger has another reason.
    #[error(transparent)]
    Ledger(Denied),
    /// Whoever is asked besides says no.
    #[error("{0}")]
    Webhook(String),
}

/// What is wrong with one call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallDenial {
    /// It goes elsewhere.
    #[error("goes to {0}, which is not sponsored")]
    Target(Address),
    /// The account would call itself.
    #[error("goes to the account itself")]
    Itself,
    /// Code of others would run as the account's own.
    #[error("is a delegatecall to {0}")]
    Delegatecall(Address),
    /// It sends native currency.
    #[error("sends {value} wei; sponsored calls send {}", most(.limit))]
    Value {
        /// How much.
        value: U256,
        /// How much it may.
        limit: U256,
    },
    /// It names no function.
    #[error("to {0} names no function")]
    NoFunction(Address),
    /// It names another function.
    #[error("to {target} names the function 0x{}, which is not sponsored", alloy::hex::encode(.selector))]
    Function {
        /// Where it goes.
        target: Address,
        /// What it calls.
        selector: [u8; 4],
    },
    /// Its data is longer or shorter than the function's.
    #[error("to {target} has {given} bytes of data, not {wanted}")]
    Length {
        /// Where it goes.
        target: Address,
        /// Of its data.
        given: usize,
        /// Of the rule.
        wanted: usize,
    },
    /// An argument is none of those allowed.
    #[error("to {target} has an argument that is not sponsored: word {word} is {}, not {wanted}", value(.given))]
    Argument {
        /// Where it goes.
        target: Address,
        /// Which 32 bytes after the selector.
        word: usize,
        /// What they are, if there are as many.
        given: Option<B256>,
        /// What is allowed.
        wanted: String,
    },
    /// Its job, or session, does not allow it.
    #[error("{0}")]
    Job(#[from] JobDenial),
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("call {path}: ") }
}

fn most(limit: &U256) -> String {
    if limit.is_zero() { "none".into() } else { format!("at most {limit}") }
}

fn value(given: &Option<B256>) -> String {
    given.map_or("missing".into(), |word| word.to_string())
}

impl CallDenial {
    /// How near the call came to being allowed: of several rules, the one that came nearest tells why.
    pub(super) fn nearness(&self) -> u8 {
        match self {
            Self::Target(_) | Self::Itself => 0,
            Self::Delegatecall(_) => 1,
            Self::Function { .. } | Self::NoFunction(_) => 2,
            Self::Value { .. } => 3,
            Self::Length { .. } | Self::Argument { .. } => 4,
            Self::Job(_) => 5,
        }
    }
}

impl Denial {
    /// The key of the policy file that said no, or `budget`, `cool-down` and the like.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::NotYet(_) => "starts",
            Self::Over(_) => "ends",
            Self::Chain(_) => "chains",
            Self::EntryPoint(_) => "entry_points",
            Self::Sender(_) => "senders",
            Self::Factory(_) => "account.factories",
            Self::Delegate => "account.delegates",
            Self::Implementation(_) | Self::NoAccount(_) => "account.existing",
            Self::Unreadable { .. } => "calls.unreadable",
            Self::Call { why, .. } => match &**why {
                CallDenial::Target(_) => "call.to",
                CallDenial::Itself => "calls.to_itself",
                CallDenial::Delegatecall(_) => "call.delegatecall",
                CallDenial::Value { .. } => "call.value",
                CallDenial::NoFunction(_) => "call.plain",
                CallDenial::Function { .. } => "call.functions",
                CallDenial::Length { .. } => "call.bytes",
                CallDenial::Argument { .. } => "call.arguments",
                CallDenial::Job(_) => "call.job",
            },
            Self::Gas { .. } => "gas",
            Self::Simulated { .. } | Self::Fails(_) => "gas.times_simulated",
            Self::TooExpensive { .. } | Self::OverBudget { .. } => "limit",
            Self::Ledger(Denied::CoolingDown { .. }) => "cool-down",
            Self::Ledger(Denied::NoPrice { .. }) => "price",
            Self::Ledger(_) => "budget",
            Self::Webhook(_) => "webhook",
        }
    }

    /// The call that was refused, by its positions in the batch, if it was one.
    pub fn call(&self) -> Option<&str> {
        match self {
            Self::Call { path, .. } => Some(path),
            Self::Unreadable { path, .. } if !path.is_empty() => Some(path),
            _ => None,
        }
    }

    /// Limit, what is left of it, and when it is whole again (seconds since 1970), if it was a limit.
    pub fn limit(&self) -> (Option<U256>, Option<U256>, Option<u64>) {
        match self {
            Self::TooExpensive { limit, .. } => (Some(*limit), Some(*limit), None),
            Self::OverBudget { limit, remaining, resets_at, .. } => (Some(*limit), Some(*remaining), *resets_at),
            _ => (None, None, None),
        }
    }

    /// What the ledger said about these charges.
    pub(crate) fn of(denied: Denied, charges: &[Charge]) -> Self {
        let Denied::OverLimit(over) = denied else { return Self::Ledger(denied) };
        let OverLimit { bucket, unit, limit, remaining, resets_at, .. } = *over;
        let period = charges.iter().find(|charge| charge.bucket == bucket).map_or(0, |charge| charge.period);
        let who = owner(&bucket);
        Self::OverBudget { who, period: period_name(period), unit, limit, remaining, resets_at }
    }
}

/// Whose a bucket is, from its name.
pub(crate) fn owner(bucket: &str) -> &'static str {
    match bucket.split('/').next() {
        Some("sender" | "user") => "this account",
        Some("key") => "this key",
        Some("policy") => "this policy",
        Some("job") => "this job",
        Some("session") => "this session",
        _ => "all",
    }
}

/// As in a policy file.
pub(crate) fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Wei => "wei",
        Unit::MicroUsd => "millionths of a dollar",
        Unit::Count => "operations",
        Unit::InFlight => "operations in flight",
    }
}

/// `in a day`, `in 3600 seconds`, `at all`.
fn period_name(seconds: u64) -> String {
    match seconds {
        0 => "at all".into(),
        3_600 => "in an hour".into(),
        86_400 => "in a day".into(),
        _ if seconds.is_multiple_of(86_400) => format!("in {} days", seconds / 86_400),
        _ => format!("in {seconds} seconds"),
    }
}
