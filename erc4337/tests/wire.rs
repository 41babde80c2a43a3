//! What clients really send, one trap a test.

use alloy::primitives::{Address, Bytes, U256};
use erc4337::{EntryPointVersion, FieldError, Initializer, UserOperationRequest, wire};
use serde_json::{Value, json};

const V0_6: EntryPointVersion = EntryPointVersion::V0_6;
const V0_8: EntryPointVersion = EntryPointVersion::V0_8;
const V0_9: EntryPointVersion = EntryPointVersion::V0_9;

fn operation() -> Value {
    json!({
        "sender": Address::repeat_byte(1), "nonce": "0x1", "callData": "0x1234", "callGasLimit": "0x10",
        "verificationGasLimit": "0x20", "preVerificationGas": "0x30", "maxFeePerGas": "0x40",
        "maxPriorityFeePerGas": "0x5", "signature": "0xff",
    })
}

fn with(fields: &[(&str, Value)]) -> Value {
    let mut op = operation();
    for (field, value) in fields {
        op[*field] = value.clone();
    }
    op
}

fn parse(op: &Value, version: EntryPointVersion) -> Result<UserOperationRequest, FieldError> {
    UserOperationRequest::from_json(op, version)
}

#[test]
fn explicit_nulls_are_unset_fields() {
    let nulls = [
        "factory",
        "factoryData",
        "paymaster",
        "paymasterVerificationGasLimit",
        "paymasterPostOpGasLimit",
        "paymasterData",
        "paymasterSignature",
        "eip7702Auth",
        "authorization",
    ];
    let op = with(&nulls.map(|field| (field, Value::Null)));
    assert_eq!(parse(&op, V0_8), parse(&operation(), V0_8));
}

#[test]
fn empty_hex_is_zero_in_a_number_and_leading_zeros_do_not_count() {
    let request = parse(
        &with(&[
            ("nonce", json!("0x")),
            ("maxFeePerGas", json!("0x0000000000000000000000000000000000000000000000000000000000000000000040")),
        ]),
        V0_8,
    )
    .unwrap();
    assert_eq!(request.nonce, U256::ZERO);
    assert_eq!(request.max_fee_per_gas, Some(0x40));
}

#[test]
fn numbers_that_are_no_hex_strings_are_refused_by_name() {
    for wrong in [json!(16), json!("16"), json!("0xzz"), json!(true), json!("-0x1"), json!("0x-1")] {
        let refused = parse(&with(&[("callGasLimit", wrong)]), V0_8).unwrap_err();
        assert_eq!(refused.field(), "callGasLimit");
        assert_eq!(refused.to_string(), "callGasLimit: expected a 0x-prefixed hex number");
    }
}

#[test]
fn gas_and_fees_of_2_pow_120_or_more_are_refused_as_the_contracts_would() {
    let largest = (U256::ONE << 120) - U256::ONE;
    assert!(parse(&with(&[("maxFeePerGas", json!(largest))]), V0_8).is_ok());
    let refused = parse(&with(&[("maxFeePerGas", json!(largest + U256::ONE))]), V0_8).unwrap_err();
    assert_eq!(refused, FieldError::TooLarge { field: "maxFeePerGas", max: "2^120 - 1" });
    let refused = parse(&with(&[("nonce", json!(format!("0x1{}", "0".repeat(64))))]), V0_8).unwrap_err();
    assert_eq!(refused, FieldError::TooLarge { field: "nonce", max: "2^256 - 1" });
}

#[test]
fn eip7702_senders_need_v0_8_or_later() {
    let op = with(&[("factory", json!("0x7702"))]);
    let expected = Some(Initializer::Eip7702 { data: Bytes::new() });
    assert_eq!(parse(&op, V0_8).unwrap().initializer, expected);
    assert_eq!(parse(&op, EntryPointVersion::V0_7).unwrap_err().field(), "factory");
}

#[test]
fn the_authorization_is_read_under_both_names() {
    let auth = json!({ "chainId": "0x1", "address": Address::repeat_byte(7), "nonce": "0x2", "yParity": "0x1", "r": "0x3", "s": "0x4" });
    let one = parse(&with(&[("eip7702Auth", auth.clone())]), V0_8).unwrap();
    let other = parse(&with(&[("authorization", auth)]), V0_8).unwrap();
    assert!(one.eip7702_auth.is_some());
    assert_eq!(one, other);
    let refused = parse(&with(&[("eip7702Auth", json!({ "chainId": "0x1" }))]), V0_8).unwrap_err();
    assert_eq!(refused.field(), "eip7702Auth");
}

#[test]
fn factory_and_its_data_come_together() {
    let factory = json!(Address::repeat_byte(2));
    let refused = parse(&with(&[("factory", factory)]), V0_8).unwrap_err();
    assert_eq!(refused, FieldError::Incomplete { field: "factory", needs: "factoryData" });
    let refused = parse(&with(&[("factoryData", json!("0x01"))]), V0_8).unwrap_err();
    assert_eq!(refused, FieldError::Incomplete { field: "factoryData", needs: "factory" });
}

#[test]
fn paymaster_fields_need_a_paymaster_and_a_complete_operation_needs_its_limits() {
    let refused = parse(&with(&[("paymasterData", json!("0x01"))]), V0_8).unwrap_err();
    assert_eq!(refused, FieldError::Incomplete { field: "paymasterData", needs: "paymaster" });
    let op = with(&[("paymaster", json!(Address::repeat_byte(3))), ("paymasterVerificationGasLimit", json!("0x1"))]);
    let refused = parse(&op, V0_8).unwrap().complete(V0_8).unwrap_err();
    assert_eq!(refused, FieldError::Missing { field: "paymasterPostOpGasLimit" });
}

#[test]
fn the_paymaster_signature_is_a_field_of_v0_9_only() {
    let op = with(&[
        ("paymaster", json!(Address::repeat_byte(3))),
        ("paymasterVerificationGasLimit", json!("0x1")),
        ("paymasterPostOpGasLimit", json!("0x0")),
        ("paymasterSignature", json!("0xaabb")),
    ]);
    let packed = parse(&op, V0_9).unwrap().complete(V0_9).unwrap().paymaster_and_data(V0_9);
    assert!(packed.ends_with(&[0xaa, 0xbb, 0, 2, 0x22, 0xe3, 0x25, 0xa2, 0x97, 0x43, 0x96, 0x56]));
    // Already at the end of the data, it is the same operation.
    let mut inline = op.clone();
    inline["paymasterSignature"] = Value::Null;
    inline["paymasterData"] = json!("0xaabb000222e325a297439656");
    assert_eq!(parse(&inline, V0_9), parse(&op, V0_9));
    assert_eq!(parse(&op, V0_8).unwrap_err().field(), "paymasterSignature");
}

#[test]
fn fields_of_the_other_form_are_refused_with_what_to_use() {
    let refused = parse(&with(&[("initCode", json!("0x01"))]), V0_8).unwrap_err();
    assert_eq!(refused.to_string(), "initCode: not a field of EntryPoint v0.8; use `factory` and `factoryData`");
    let refused = parse(&with(&[("paymaster", json!(Address::repeat_byte(3)))]), V0_6).unwrap_err();
    assert_eq!(refused.to_string(), "paymaster: not a field of EntryPoint v0.6; use `paymasterAndData`");
    // Set to nothing, they say nothing.
    assert!(parse(&with(&[("initCode", json!("0x"))]), V0_8).is_ok());
}

#[test]
fn v0_6_fields_too_short_for_an_address_are_refused() {
    for field in ["initCode", "paymasterAndData"] {
        let refused = parse(&with(&[(field, json!("0x0102"))]), V0_6).unwrap_err();
        assert_eq!(refused.field(), field);
    }
}

#[test]
fn what_is_rendered_reads_back_the_same() {
    for version in EntryPointVersion::ALL {
        let op = parse(&operation(), version).unwrap().complete(version).unwrap();
        assert_eq!(parse(&wire::to_json(&op, version), version).unwrap().complete(version).unwrap(), op);
    }
}

#[test]
fn auth_010_one_authorization_is_read_under_either_name_or_both() {
    let tuple = json!({ "chainId": "0x1", "address": Address::repeat_byte(7), "nonce": "0x2", "yParity": "0x0", "r": "0x1", "s": "0x1" });
    for names in [&["eip7702Auth"][..], &["authorization"], &["eip7702Auth", "authorization"]] {
        let fields: Vec<_> = names.iter().map(|name| (*name, tuple.clone())).collect();
        let read = parse(&with(&fields), V0_8).unwrap().eip7702_auth.unwrap();
        assert_eq!((read.address, read.nonce), (Address::repeat_byte(7), 2));
    }
    let mut other = tuple.clone();
    other["nonce"] = json!("0x3");
    let refused = parse(&with(&[("eip7702Auth", tuple), ("authorization", other)]), V0_8).unwrap_err();
    assert_eq!(refused.field(), "authorization");
}

#[test]
fn auth_010_a_list_of_authorizations_is_refused() {
    // There is one at most.
    let refused = parse(&with(&[("eip7702Auth", json!([]))]), V0_8).unwrap_err();
    assert_eq!(refused.field(), "eip7702Auth");
}
