//! Well-formed inputs, to be spoilt.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::{Panic, Revert, SolCall, SolError},
};
use erc4337::{
    EntryPointVersion,
    abi::{entry_point_v06, entry_point_v08, entry_point_v09},
    calls::{self, Call},
};
use serde_json::{Value, json};

use crate::{
    dice::Dice,
    mutate::{hex_of, number, paymaster_suffix, random},
};

/// An operation in the JSON of its version.
pub(crate) fn operation(dice: &mut Dice, version: EntryPointVersion) -> Value {
    let gas = |dice: &mut Dice| json!(U256::from(dice.throw() >> dice.below(64)));
    let bytes = |dice: &mut Dice| {
        let length = dice.pick(&[0, 4, 31, 32, 33, 65, 100]);
        hex_of(dice, length)
    };
    let mut op = json!({
        "sender": hex_of(dice, 20), "nonce": number(dice, 64), "callData": bytes(dice), "callGasLimit": gas(dice),
        "verificationGasLimit": gas(dice), "preVerificationGas": gas(dice), "maxFeePerGas": gas(dice),
        "maxPriorityFeePerGas": gas(dice), "signature": bytes(dice),
    });
    let (created, paid) = (dice.chance(50), dice.chance(50));
    if version.is_packed() {
        if created {
            op["factory"] = if dice.chance(30) { json!("0x7702") } else { hex_of(dice, 20) };
            op["factoryData"] = bytes(dice);
        }
        if paid {
            op["paymaster"] = hex_of(dice, 20);
            op["paymasterVerificationGasLimit"] = gas(dice);
            op["paymasterPostOpGasLimit"] = gas(dice);
            op["paymasterData"] = bytes(dice);
            if version.supports_paymaster_signature() && dice.chance(50) {
                op["paymasterSignature"] = bytes(dice);
            }
        }
    } else {
        op["initCode"] = if created { hex_of(dice, 40) } else { json!("0x") };
        op["paymasterAndData"] = if paid { hex_of(dice, 50) } else { json!("0x") };
    }
    if dice.chance(20) {
        op["eip7702Auth"] = json!({
            "chainId": "0x1", "address": hex_of(dice, 20), "nonce": gas(dice), "yParity": "0x1",
            "r": number(dice, 64), "s": number(dice, 64),
        });
    }
    op
}

/// Calldata of `handleOps` with fields that no client of ours would have sent.
pub(crate) fn bundle(dice: &mut Dice, version: EntryPointVersion) -> Vec<u8> {
    let count = dice.below(3);
    let beneficiary = Address::repeat_byte(7);
    if version.is_packed() {
        let ops = (0..count).map(|_| packed(dice)).collect();
        entry_point_v08::handleOpsCall { ops, beneficiary }.abi_encode()
    } else {
        let gas = |dice: &mut Dice| if dice.chance(95) { U256::from(dice.throw()) } else { number(dice, 64) };
        let ops = (0..count)
            .map(|_| entry_point_v06::UserOperation {
                sender: Address::from_slice(&random(dice, 20)),
                nonce: number(dice, 64),
                initCode: prefixed(dice),
                callData: some(dice),
                callGasLimit: gas(dice),
                verificationGasLimit: gas(dice),
                preVerificationGas: gas(dice),
                maxFeePerGas: gas(dice),
                maxPriorityFeePerGas: gas(dice),
                paymasterAndData: prefixed(dice),
                signature: some(dice),
            })
            .collect();
        entry_point_v06::handleOpsCall { ops, beneficiary }.abi_encode()
    }
}

fn packed(dice: &mut Dice) -> entry_point_v08::PackedUserOperation {
    let mut paymaster = prefixed(dice).to_vec();
    if dice.chance(40) {
        paymaster.extend(random(dice, 40));
        paymaster.extend(paymaster_suffix(dice));
    }
    entry_point_v08::PackedUserOperation {
        sender: Address::from_slice(&random(dice, 20)),
        nonce: number(dice, 64),
        initCode: prefixed(dice),
        callData: some(dice),
        accountGasLimits: B256::from_slice(&random(dice, 32)),
        preVerificationGas: U256::from(dice.throw()),
        gasFees: B256::from_slice(&random(dice, 32)),
        paymasterAndData: paymaster.into(),
        signature: some(dice),
    }
}

/// Nothing, or an address and more; rarely too short for that.
fn prefixed(dice: &mut Dice) -> Bytes {
    let length = dice.pick(&[0, 0, 20, 52, 60, 120]);
    let length = if dice.chance(2) { dice.below(20) } else { length };
    let mut bytes = random(dice, length);
    if dice.chance(10) && length >= 20 {
        bytes[..20].copy_from_slice(&erc4337::pack::EIP7702_INIT_CODE_PREFIX);
    }
    bytes.into()
}

fn some(dice: &mut Dice) -> Bytes {
    let length = dice.below(100);
    random(dice, length).into()
}

/// What an account is asked to do, as it is encoded.
pub(crate) fn account_calls(dice: &mut Dice) -> Vec<u8> {
    let call = |dice: &mut Dice| Call {
        target: Address::from_slice(&random(dice, 20)),
        value: number(dice, 64),
        data: some(dice),
    };
    let calls: Vec<_> = (0..dice.below(5)).map(|_| call(dice)).collect();
    calls::encode(&calls).to_vec()
}

/// A batch whose entries all are the same bytes: calldata that unfolds to many times its size.
pub(crate) fn folded_batch(dice: &mut Dice) -> Vec<u8> {
    let (entries, length) = (dice.below(60), 32 * dice.below(60));
    let word = |number: usize| U256::from(number).to_be_bytes::<32>();
    let mut data = erc4337::abi::smart_account::executeBatchCall::SELECTOR.to_vec();
    data.extend([word(32), word(entries)].concat());
    (0..entries).for_each(|_| data.extend(word(32 * entries)));
    data.extend([word(9), word(0), word(96), word(length)].concat());
    data.extend(vec![0xaa; length]);
    data
}

/// A bundle whose operations all are the same bytes, and whose fields are too.
pub(crate) fn folded_bundle(dice: &mut Dice, version: EntryPointVersion) -> Vec<u8> {
    let (entries, length) = (dice.below(60), 32 * dice.below(60));
    let word = |number: usize| U256::from(number).to_be_bytes::<32>();
    let (selector, fields, dynamic) = if version.is_packed() {
        (entry_point_v08::handleOpsCall::SELECTOR, 9, [2, 3, 7, 8])
    } else {
        (entry_point_v06::handleOpsCall::SELECTOR, 11, [2, 3, 9, 10])
    };
    let mut data = selector.to_vec();
    data.extend([word(64), word(7), word(entries)].concat());
    (0..entries).for_each(|_| data.extend(word(32 * entries)));
    (0..fields).for_each(|field| data.extend(word(if dynamic.contains(&field) { 32 * fields } else { 1 })));
    data.extend(word(length));
    data.extend(vec![0xaa; length]);
    data
}

/// What a bundle may revert with.
pub(crate) fn revert(dice: &mut Dice) -> Vec<u8> {
    let reason = dice.pick(&["AA23 reverted", "AA24 signature error", "", "é"]).to_owned();
    let inner = match dice.below(3) {
        0 => Revert::from("not today").abi_encode(),
        1 => Panic { code: number(dice, 64) }.abi_encode(),
        _ => some(dice).to_vec(),
    };
    match dice.below(5) {
        0 => entry_point_v08::FailedOp { opIndex: number(dice, 64), reason }.abi_encode(),
        1 => entry_point_v09::InvalidPaymasterData { paymasterAndDataLength: number(dice, 64) }.abi_encode(),
        2 => inner,
        _ => {
            entry_point_v08::FailedOpWithRevert { opIndex: number(dice, 64), reason, inner: inner.into() }.abi_encode()
        }
    }
}

/// `eth_estimateUserOperationGas`'s third parameter.
pub(crate) fn overrides(dice: &mut Dice) -> Value {
    let mut accounts = serde_json::Map::new();
    for _ in 0..dice.below(4) {
        let mut account = json!({});
        for field in ["balance", "nonce", "code", "state", "stateDiff", "movePrecompileToAddress"] {
            if dice.chance(40) {
                account[field] = match field {
                    "state" | "stateDiff" => {
                        let slot = B256::from(number(dice, 64));
                        json!({ slot.to_string(): B256::from(number(dice, 64)) })
                    }
                    "code" => hex_of(dice, 30),
                    "nonce" => json!(format!("{:#x}", dice.throw())),
                    "balance" => json!(number(dice, 64)),
                    _ => hex_of(dice, 20),
                };
            }
        }
        accounts.insert(Address::from_slice(&random(dice, 20)).to_string(), account);
    }
    Value::Object(accounts)
}
