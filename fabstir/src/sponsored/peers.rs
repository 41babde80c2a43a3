//! Gas, fees and sponsorship in one call, as clients of other services ask for it: what `fabstir_prepareSponsoredUserOperation`
//! does, in their words.

use erc4337::FieldError;
use jsonrpsee::{Extensions, RpcModule, server::RegisterMethodError, types::Params};
use serde_json::{Map, Value, json};

use super::{Both, Refused, asked};

/// What is answered of an operation: all that the service has filled in.
const FILLED: [&str; 10] = [
    "preVerificationGas",
    "verificationGasLimit",
    "callGasLimit",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "paymaster",
    "paymasterData",
    "paymasterVerificationGasLimit",
    "paymasterPostOpGasLimit",
    "paymasterAndData",
];
const FEES: [&str; 2] = ["maxFeePerGas", "maxPriorityFeePerGas"];

pub(super) fn register(module: &mut RpcModule<Both>) -> Result<(), RegisterMethodError> {
    module.register_async_method("alchemy_requestGasAndPaymasterAndData", |params, both, extensions| async move {
        both.filled(alchemy(&params)?, &extensions).await
    })?;
    module.register_async_method("zd_sponsorUserOperation", |params, both, extensions| async move {
        both.filled(zerodev(&params)?, &extensions).await
    })?;
    Ok(())
}

impl Both {
    async fn filled(&self, params: [Value; 3], extensions: &Extensions) -> Result<Value, Refused> {
        let prepared = self.prepare_asked(asked(&self.paymaster, &params, extensions)?).await?;
        let mut answer = Map::new();
        for field in FILLED {
            if let Some(value) = prepared["userOperation"].get(field) {
                answer.insert(field.to_owned(), value.clone());
            }
        }
        Ok(Value::Object(answer))
    }
}

fn only(params: &Params<'_>) -> Result<Value, FieldError> {
    let expected = "an array of one object";
    let params: Vec<Value> = params.parse().map_err(|_| FieldError::Malformed { field: "params", expected })?;
    let only = params.into_iter().next().filter(Value::is_object);
    only.ok_or(FieldError::Malformed { field: "params", expected })
}

/// `[{policyId, entryPoint, userOperation, dummySignature, overrides?, erc20Context?}]`.
fn alchemy(params: &Params<'_>) -> Result<[Value; 3], FieldError> {
    let asked = only(params)?;
    let mut op = asked["userOperation"].clone();
    if !op.is_object() {
        return Err(FieldError::Missing { field: "userOperation" });
    }
    if asked["dummySignature"].is_string() {
        op["signature"] = asked["dummySignature"].clone();
    }
    for (field, value) in asked["overrides"].as_object().into_iter().flatten() {
        // Gas limits are estimated whatever they are; a factor of ours is no better than its own estimate.
        if FEES.contains(&field.as_str()) {
            let expected = "an amount in hex: factors are not taken";
            op[field] = value.as_str().ok_or(FieldError::Malformed { field: "overrides", expected })?.into();
        }
    }
    let mut context = json!({});
    if asked["policyId"].is_string() {
        context["policyId"] = asked["policyId"].clone();
    }
    if let Some(token) = asked["erc20Context"].get("tokenAddress") {
        context["token"] = token.clone();
    }
    Ok([op, asked["entryPoint"].clone(), context])
}

/// `[{chainId, userOp, entryPointAddress, gasTokenData?, shouldOverrideFee?}]`.
fn zerodev(params: &Params<'_>) -> Result<[Value; 3], FieldError> {
    let asked = only(params)?;
    let mut op = asked["userOp"].clone();
    let Some(fields) = op.as_object_mut() else { return Err(FieldError::Missing { field: "userOp" }) };
    if asked["shouldOverrideFee"] == json!(true) {
        fields.retain(|field, _| !FEES.contains(&field.as_str()));
    }
    let mut context = json!({});
    if let Some(token) = asked["gasTokenData"].get("tokenAddress") {
        context["token"] = token.clone();
    }
    Ok([op, asked["entryPointAddress"].clone(), context])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(value: &Value) -> Params<'static> {
        Params::new(Some(&value.to_string())).into_owned()
    }

    #[test]
    fn what_alchemy_s_clients_send_is_the_same_question() {
        let asked = json!([{
            "policyId": "p", "entryPoint": "0x01", "dummySignature": "0xabcd",
            "userOperation": { "sender": "0x02", "callData": "0x" }, "overrides": { "maxFeePerGas": "0x7", "callGasLimit": { "multiplier": 1.2 } },
        }]);
        let [op, entry_point, context] = alchemy(&params(&asked)).unwrap();
        let expected = json!({ "sender": "0x02", "callData": "0x", "signature": "0xabcd", "maxFeePerGas": "0x7" });
        assert_eq!((op, entry_point, context), (expected, json!("0x01"), json!({ "policyId": "p" })));
        let factor = json!([{ "userOperation": {}, "overrides": { "maxFeePerGas": { "multiplier": 2 } } }]);
        assert!(alchemy(&params(&factor)).unwrap_err().to_string().contains("overrides"));
        for wrong in [json!([]), json!([7]), json!({}), json!([{ "entryPoint": "0x01" }])] {
            assert!(alchemy(&params(&wrong)).is_err() && zerodev(&params(&wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_zerodev_s_clients_send_is_the_same_question() {
        let ask = |over: bool| {
            json!([{
                "chainId": 1, "userOp": { "sender": "0x02", "maxFeePerGas": "0x7", "maxPriorityFeePerGas": "0x7" },
                "entryPointAddress": "0x01", "shouldOverrideFee": over, "gasTokenData": { "tokenAddress": "0x03" },
            }])
        };
        let [op, entry_point, context] = zerodev(&params(&ask(true))).unwrap();
        assert_eq!(
            (op, entry_point, context),
            (json!({ "sender": "0x02" }), json!("0x01"), json!({ "token": "0x03" }))
        );
        assert_eq!(zerodev(&params(&ask(false))).unwrap()[0]["maxFeePerGas"], "0x7");
    }
}
