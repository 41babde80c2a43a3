//! From an operation back to the JSON that `eth_getUserOperationByHash` answers.

use alloy::primitives::U256;
use serde_json::{Map, Value, json};

use crate::{EntryPointVersion, Initializer, UserOperation};

/// The operation in the JSON form of its EntryPoint: minimal hex, unset fields left out.
pub fn to_json(op: &UserOperation, version: EntryPointVersion) -> Value {
    let mut fields = Map::new();
    let mut put = |field: &str, value: Value| {
        fields.insert(field.to_owned(), value);
    };
    let quantity = |value: u128| json!(U256::from(value));

    put("sender", json!(op.sender));
    put("nonce", json!(op.nonce));
    put("callData", json!(op.call_data));
    put("callGasLimit", quantity(op.call_gas_limit));
    put("verificationGasLimit", quantity(op.verification_gas_limit));
    put("preVerificationGas", quantity(op.pre_verification_gas));
    put("maxFeePerGas", quantity(op.max_fee_per_gas));
    put("maxPriorityFeePerGas", quantity(op.max_priority_fee_per_gas));
    put("signature", json!(op.signature));

    if version.is_packed() {
        match &op.initializer {
            Some(Initializer::Factory { address, data }) => {
                put("factory", json!(address));
                put("factoryData", json!(data));
            }
            Some(Initializer::Eip7702 { data }) => {
                put("factory", json!("0x7702"));
                if !data.is_empty() {
                    put("factoryData", json!(data));
                }
            }
            None => {}
        }
        if let Some(paymaster) = &op.paymaster {
            put("paymaster", json!(paymaster.address));
            put("paymasterVerificationGasLimit", quantity(paymaster.verification_gas_limit));
            put("paymasterPostOpGasLimit", quantity(paymaster.post_op_gas_limit));
            put("paymasterData", json!(paymaster.data));
            if !paymaster.signature.is_empty() {
                put("paymasterSignature", json!(paymaster.signature));
            }
        }
    } else {
        put("initCode", json!(op.init_code()));
        put("paymasterAndData", json!(op.paymaster_and_data(version)));
    }
    if let Some(auth) = &op.eip7702_auth {
        put("eip7702Auth", json!(auth));
    }
    Value::Object(fields)
}
