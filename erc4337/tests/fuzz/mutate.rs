//! Spoils what is well-formed: bytes, words of calldata, fields of JSON.

use alloy::primitives::{U256, hex};
use erc4337::pack::PAYMASTER_SIGNATURE_MAGIC;
use serde_json::{Value, json};

use crate::dice::Dice;

/// Bytes that mean something to some parser.
const BYTES: &[u8] = b"\x00\x01\x1f\x20\x7f\x80\xff\"\\{}[],:0xe-";

/// Every field that some version knows.
const FIELDS: [&str; 22] = [
    "sender",
    "nonce",
    "callData",
    "callGasLimit",
    "verificationGasLimit",
    "preVerificationGas",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "signature",
    "factory",
    "factoryData",
    "paymaster",
    "paymasterVerificationGasLimit",
    "paymasterPostOpGasLimit",
    "paymasterData",
    "paymasterSignature",
    "initCode",
    "paymasterAndData",
    "eip7702Auth",
    "authorization",
    "yParity",
    "contractAddress",
];

/// Up to four changes; sometimes none.
pub(crate) fn bytes(dice: &mut Dice, data: &mut Vec<u8>) {
    for _ in 0..dice.below(5) {
        let at = dice.below(data.len() + 1);
        let length = dice.below(40).min(data.len() - at);
        match dice.below(8) {
            0 if at < data.len() => data[at] ^= 1 << dice.below(8),
            1 if at < data.len() => data[at] = dice.pick(BYTES),
            2 => data.insert(at, dice.pick(BYTES)),
            3 => drop(data.drain(at..at + length)),
            4 => {
                let again = data[at..at + length].to_vec();
                data.splice(at..at, again);
            }
            5 if dice.chance(20) => data.truncate(at),
            6 => data.extend_from_slice(&PAYMASTER_SIGNATURE_MAGIC),
            _ => word(dice, data),
        }
    }
}

/// Overwrites one word of calldata: lengths and offsets live there.
fn word(dice: &mut Dice, data: &mut [u8]) {
    if data.len() < 36 {
        return;
    }
    let at = 4 + 32 * dice.below((data.len() - 4) / 32);
    let number = number(dice, data.len());
    data[at..at + 32].copy_from_slice(&number.to_be_bytes::<32>());
}

/// A number at one of the edges that parsers have.
pub(crate) fn number(dice: &mut Dice, length: usize) -> U256 {
    match dice.below(8) {
        0 => U256::ZERO,
        1 => U256::from(32 * dice.below(length / 32 + 2)),
        2 => U256::from(length),
        3 => U256::from(dice.throw()),
        4 => U256::MAX >> dice.below(256),
        5 => U256::ONE << dice.below(256),
        6 => U256::MAX - U256::from(dice.below(64)),
        _ => U256::from(dice.below(300)),
    }
}

/// Up to four fields changed, dropped or added; sometimes none.
pub(crate) fn fields(dice: &mut Dice, op: &mut Value) {
    for _ in 0..dice.below(5) {
        let field = dice.pick(&FIELDS);
        let nested = dice.chance(10) && op["eip7702Auth"].is_object();
        let Some(object) = (if nested { &mut op["eip7702Auth"] } else { &mut *op }).as_object_mut() else { return };
        match dice.below(4) {
            0 => drop(object.remove(field)),
            1 => drop(object.insert(field.into(), Value::Null)),
            _ => drop(object.insert(field.into(), value(dice))),
        }
    }
    if dice.chance(1) {
        *op = value(dice);
    }
}

/// A value that a careless or hostile client may send.
fn value(dice: &mut Dice) -> Value {
    match dice.below(14) {
        0 => json!(dice.throw()),
        1 => json!(dice.chance(50)),
        2 => json!([]),
        3 => {
            json!({ "address": hex_of(dice, 20), "chainId": "0x1", "nonce": "0x", "v": "0x1b", "r": "0x1", "s": "0x2" })
        }
        4 => json!(""),
        5 => json!("0x"),
        6 => json!(format!("0x{}", "0".repeat(dice.below(80)))),
        7 => json!("0x7702"),
        8 => json!(format!("{:#x}", number(dice, 200))),
        9 => json!(format!("0x{}", "f".repeat(dice.below(80)))),
        10 => json!("0xé∂"),
        11 => {
            let data = [vec![7; dice.below(70)], paymaster_suffix(dice)].concat();
            json!(hex::encode_prefixed(data))
        }
        12 => hex_of(dice, 20),
        _ => {
            let length = dice.below(100);
            hex_of(dice, length)
        }
    }
}

/// The end of a v0.9 `paymasterAndData`, with a length that need not be right.
pub(crate) fn paymaster_suffix(dice: &mut Dice) -> Vec<u8> {
    let length = u16::try_from(dice.below(80)).unwrap_or(0);
    let length = dice.pick(&[0, length, length, u16::MAX]);
    [length.to_be_bytes().as_slice(), &PAYMASTER_SIGNATURE_MAGIC].concat()
}

/// Random bytes of this length.
pub(crate) fn random(dice: &mut Dice, length: usize) -> Vec<u8> {
    let mut data: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| dice.throw().to_be_bytes()).collect();
    data.truncate(length);
    data
}

/// [`random`] in hex.
pub(crate) fn hex_of(dice: &mut Dice, length: usize) -> Value {
    json!(hex::encode_prefixed(random(dice, length)))
}
