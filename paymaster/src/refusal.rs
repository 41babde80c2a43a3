//! Why a request is not granted, and how that is told over JSON-RPC.

use alloy::primitives::{Address, U256};
use erc4337::{FieldError, error_code};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};

use crate::{
    chain::Unanswered, ledger::Denied, policies::Unchosen, policy::Denial, rehearsal::Unrehearsed, sign::NotSigned,
    token::PriceError,
};

/// A request that was not granted.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's text says it")]
pub enum Refusal {
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error("entryPoint: {0} has no paymaster here")]
    EntryPoint(Address),
    #[error("chainId: {given} is not {served}")]
    Chain { given: U256, served: u64 },
    #[error("not sponsored: {0}")]
    Policy(#[from] Unchosen),
    #[error("not sponsored: {denial}")]
    Denied { denial: Box<Denial>, policy: String },
    #[error("not sponsored now, ask again: {0}")]
    Ledger(Denied),
    #[error("not sponsored now, ask again: {0}")]
    Unanswered(#[from] Unanswered),
    #[error("the operation fails in simulation: {0}")]
    Fails(String),
    #[error("gas cannot be paid in {token} here")]
    Token { token: Address, accepted: Value },
    #[error("no price to pay gas at: {0}")]
    Price(PriceError),
    #[error("not sponsored: {reason}")]
    Reverts { reason: Unrehearsed, policy: String },
    #[error("not sponsored now, ask again: {0}")]
    Unrehearsed(Unrehearsed),
    #[error(transparent)]
    Signing(#[from] NotSigned),
}

impl From<Refusal> for ErrorObjectOwned {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let (code, data) = match refusal {
            Refusal::Field(error) => (error_code::INVALID_FIELDS, Some(json!({ "field": error.field() }))),
            Refusal::EntryPoint(_) => (error_code::INVALID_FIELDS, Some(json!({ "field": "entryPoint" }))),
            Refusal::Chain { .. } => (error_code::INVALID_FIELDS, Some(json!({ "field": "chainId" }))),
            // Not one of the codes that clients retry: the answer will be the same.
            Refusal::Policy(unchosen) => {
                (error_code::POLICY_DENIED, Some(json!({ "reason": unchosen.to_string(), "rule": "policy" })))
            }
            Refusal::Denied { denial, policy } => {
                let (limit, remaining, resets_at) = denial.limit();
                let data = json!({
                    "reason": denial.to_string(), "policyId": policy, "rule": denial.rule(), "call": denial.call(),
                    "limit": limit, "remaining": remaining, "resetsAt": resets_at,
                });
                (error_code::POLICY_DENIED, Some(data))
            }
            Refusal::Reverts { reason, policy } => {
                let data = json!({ "reason": reason.to_string(), "policyId": policy, "rule": "rehearsal" });
                (error_code::POLICY_DENIED, Some(data))
            }
            Refusal::Token { accepted, .. } => {
                (error_code::TOKEN_NOT_ACCEPTED, Some(json!({ "acceptedTokens": accepted })))
            }
            // What its source does not vouch for now it will not vouch for a moment later either.
            Refusal::Price(error) if !error.is_transient() => {
                (error_code::POLICY_DENIED, Some(json!({ "reason": error.to_string() })))
            }
            Refusal::Signing(NotSigned::NoSigner(_)) => (error_code::POLICY_DENIED, Some(json!({ "reason": message }))),
            // Nothing is signed that cannot be written down or run; what may pass by itself is worth another try, and the
            // keeper of a key may answer in a moment.
            Refusal::Signing(_)
            | Refusal::Price(_)
            | Refusal::Ledger(_)
            | Refusal::Unanswered(_)
            | Refusal::Unrehearsed(_) => (error_code::LIMIT_EXCEEDED, None),
            Refusal::Fails(_) => (error_code::EXECUTION_REVERTED, None),
        };
        Self::owned(code, message, data)
    }
}
