//! What an owner's wallet shows and signs (`eth_signTypedData_v4`): the whole session, field by field.

use alloy::{primitives::Address, sol_types::SolStruct};
use erc4337::abi::smart_account as abi;
use serde_json::{Map, Value, json};

use crate::{Policy, policy::encode::EncodingError};

/// The EIP-712 message whose hash is [`Policy::digest`]. Numbers are decimal text, as wallets take them.
///
/// # Errors
/// If a number does not fit its field.
pub fn typed_data(policy: &Policy, chain_id: u64, account: Address) -> Result<Value, EncodingError> {
    let session = policy.to_session()?;
    Ok(json!({
        "domain": {
            "name": "Fabstir SmartAccount", "version": "1", "chainId": chain_id, "verifyingContract": account,
        },
        "types": types(),
        "primaryType": "Session",
        "message": message(&session),
    }))
}

/// From the type's own text, so that it cannot be another.
fn types() -> Value {
    let mut types = Map::new();
    let field = |(kind, name): (&str, &str)| json!({ "name": name, "type": kind });
    let domain = [("string", "name"), ("string", "version"), ("uint256", "chainId"), ("address", "verifyingContract")];
    types.insert("EIP712Domain".into(), domain.map(field).to_vec().into());
    let text = abi::Session::eip712_encode_type();
    for definition in text.split_terminator(')') {
        let Some((name, fields)) = definition.split_once('(') else { continue };
        let fields = fields.split(',').filter_map(|text| text.split_once(' ')).map(field).collect::<Vec<_>>();
        types.insert(name.into(), fields.into());
    }
    types.into()
}

fn message(session: &abi::Session) -> Value {
    let limits = session.limits.iter().map(|limit| {
        json!({
            "token": limit.token, "perPeriod": limit.perPeriod.to_string(), "total": limit.total.to_string(),
        })
    });
    let calls = session.calls.iter().map(|rule| {
        let arguments = rule.arguments.iter().map(
            |argument| json!({ "word": argument.word, "condition": argument.condition, "values": argument.values }),
        );
        json!({
            "target": rule.target, "selector": rule.selector, "maxLength": rule.maxLength,
            "valueLimit": rule.valueLimit, "amountLimit": rule.amountLimit, "amountWord": rule.amountWord,
            "arguments": arguments.collect::<Vec<_>>(),
        })
    });
    let vouchers = session.vouchers.iter().map(|right| {
        json!({
            "domainSeparator": right.domainSeparator, "typeHash": right.typeHash, "amountField": right.amountField,
            "maxAmount": right.maxAmount.to_string(),
        })
    });
    json!({
        "key": session.key,
        "validAfter": session.validAfter.to_string(),
        "validUntil": session.validUntil.to_string(),
        "period": session.period.to_string(),
        "maxUses": session.maxUses,
        "epoch": session.epoch.to_string(),
        "salt": session.salt.to_string(),
        "paymaster": session.paymaster,
        "gasBudget": session.gasBudget.to_string(),
        "limits": limits.collect::<Vec<_>>(),
        "calls": calls.collect::<Vec<_>>(),
        "vouchers": vouchers.collect::<Vec<_>>(),
    })
}
