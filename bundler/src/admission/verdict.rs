//! What the run of an EntryPoint says about an operation.

use alloy::primitives::{Address, Bytes, U256};
use erc4337::{EntryPointVersion, UserOperation, ValidationData, revert::EntryPointRevert};
use serde::{Deserialize, Serialize};

use crate::{
    Rejection,
    evm::{Ending, Frame, Run},
    rejection::Entity,
};

/// The account's and the paymaster's answers, joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validated {
    /// Of the account.
    pub account: ValidationData,
    /// Of the paymaster, if there is one.
    pub paymaster: Option<ValidationData>,
    /// Gas that validation used, all frames.
    pub gas_used: u64,
}

/// Reads the verdict on a bundle of one.
///
/// # Errors
/// The reason for which the EntryPoint, the account or the paymaster said no.
pub(crate) fn verdict(
    run: &Run,
    op: &UserOperation,
    entry_point: Address,
    version: EntryPointVersion,
) -> Result<Validated, Rejection> {
    let (account, paymaster) = answers(run, op, entry_point, version);
    // An aggregator is not an error of the EntryPoint's but of ours: it would fail as AA24 below.
    if let Some(data) = account.filter(|data| !data.aggregator.is_zero() && !data.is_signature_failure()) {
        return Err(Rejection::Aggregator(data.aggregator));
    }
    match &run.ending {
        Ending::Reverted(data) => {
            let selectors = version.selectors();
            let call = |target: Address, selector: [u8; 4]| {
                let called = |frame: &Frame| {
                    frame.caller == entry_point && frame.target == target && frame.selector == Some(selector)
                };
                run.trace.children(0).map(|(_, frame)| frame).find(|frame| called(frame))
            };
            let validation = call(op.sender, selectors.validate_user_op);
            let of_paymaster = op.paymaster_address().and_then(|it| call(it, selectors.validate_paymaster_user_op));
            let missing = nobody_there(op, validation, of_paymaster);
            Err(missing.unwrap_or_else(|| reject_revert(data, op, account, paymaster)))
        }
        Ending::Halted(reason) => Err(Rejection::EntryPoint { message: format!("validation halted: {reason:?}") }),
        Ending::Completed(_) => {
            let account = account.ok_or(Rejection::Internal("the account's answer was not seen"))?;
            if op.paymaster.is_some() && paymaster.is_none() {
                return Err(Rejection::Internal("the paymaster's answer was not seen"));
            }
            Ok(Validated { account, paymaster, gas_used: run.gas_used })
        }
    }
}

/// Which of the two has no code, if that is why it failed. The EntryPoint does not always say so itself: before v0.8 it
/// calls, and reverts without a word when there is nothing to decode; later ones say of a paymaster that it reverted.
pub(crate) fn nobody_there(
    op: &UserOperation,
    validation: Option<&Frame>,
    paymaster_validation: Option<&Frame>,
) -> Option<Rejection> {
    let has_none = |frame: Option<&Frame>| frame.is_some_and(|frame| !frame.has_code);
    if has_none(validation) {
        return Some(Rejection::EntryPoint { message: "AA20 account not deployed".into() });
    }
    let paymaster = op.paymaster_address().filter(|_| has_none(paymaster_validation))?;
    Some(Rejection::Paymaster { paymaster, message: "AA30 paymaster not deployed".into() })
}

/// What account and paymaster answered, as far as they came to it.
pub(super) fn answers(
    run: &Run,
    op: &UserOperation,
    entry_point: Address,
    version: EntryPointVersion,
) -> (Option<ValidationData>, Option<ValidationData>) {
    let selectors = version.selectors();
    let answer = |target: Address, selector: [u8; 4], word: usize| -> Option<ValidationData> {
        let (_, frame) = run.trace.children(0).find(|(_, frame)| {
            frame.caller == entry_point && frame.target == target && frame.selector == Some(selector) && frame.success
        })?;
        let word = frame.output.get(word * 32..word * 32 + 32).map(U256::from_be_slice)?;
        Some(ValidationData::unpack(word, version))
    };
    let account = answer(op.sender, selectors.validate_user_op, 0);
    let of_paymaster = |paymaster| answer(paymaster, selectors.validate_paymaster_user_op, 1);
    (account, op.paymaster_address().and_then(of_paymaster))
}

/// Puts a revert of `handleOps` under its ERC-7769 code, by the EntryPoint's `AAxx` text.
pub(crate) fn reject_revert(
    data: &Bytes,
    op: &UserOperation,
    account: Option<ValidationData>,
    paymaster_data: Option<ValidationData>,
) -> Rejection {
    let revert = EntryPointRevert::decode(data);
    let message = revert.to_string();
    let reason = match &revert {
        EntryPointRevert::FailedOp { reason, .. } => reason.get(..4).unwrap_or_default(),
        EntryPointRevert::Other(_) => "",
    };
    let window = |entity, data: Option<ValidationData>| Rejection::TimeRange {
        entity,
        message: message.clone(),
        valid_after: data.map(|data| data.valid_after),
        valid_until: data.map(|data| data.valid_until),
        paymaster: op.paymaster_address().filter(|_| entity == Entity::Paymaster),
    };
    match (reason, op.paymaster_address()) {
        ("AA24", _) => Rejection::AccountSignature { message },
        ("AA22" | "AA27", _) => window(Entity::Account, account),
        ("AA32" | "AA37", _) => window(Entity::Paymaster, paymaster_data),
        ("AA31", Some(paymaster)) => Rejection::PaymasterDeposit { paymaster, message },
        ("AA34", Some(paymaster)) => Rejection::PaymasterSignature { paymaster, message },
        (reason, Some(paymaster)) if reason.starts_with("AA3") || reason.starts_with("AA5") => {
            Rejection::Paymaster { paymaster, message }
        }
        _ => Rejection::EntryPoint { message },
    }
}
