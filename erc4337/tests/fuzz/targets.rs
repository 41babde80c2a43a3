//! What must hold of any input. Each execution makes its input from the dice and says how long that was.

use alloy::{
    primitives::{Address, Bytes, U256, address},
    rpc::types::state::StateOverride,
    sol_types::{SolCall, SolValue},
};
use erc4337::{
    EntryPointVersion, HashContext, UserOperation, UserOperationRequest, ValidationData, abi::entry_point_v08, calls,
    pack, revert::EntryPointRevert, unpack, wire,
};
use serde_json::Value;

use crate::{
    dice::Dice,
    mutate::{self, number, random},
    seeds,
};

/// The length of the input, or what does not hold of it.
pub(crate) type Outcome = Result<usize, String>;

/// A parser under test.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Dice) -> Outcome,
}

/// All of them.
pub(crate) const ALL: [Target; 8] = [
    Target { name: "operation, fields spoilt", run: operation_fields },
    Target { name: "parameters, text spoilt", run: operation_text },
    Target { name: "bundle calldata, whole", run: bundle_whole },
    Target { name: "bundle calldata, spoilt", run: bundle_spoilt },
    Target { name: "account calls", run: account_calls },
    Target { name: "state overrides", run: overrides },
    Target { name: "reverts", run: reverts },
    Target { name: "validation data", run: validation_data },
];

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn a_version(dice: &mut Dice) -> EntryPointVersion {
    dice.pick(&EntryPointVersion::ALL)
}

/// Any JSON to any version.
fn operation_fields(dice: &mut Dice) -> Outcome {
    let version = a_version(dice);
    let mut op = seeds::operation(dice, version);
    mutate::fields(dice, &mut op);
    for version in EntryPointVersion::ALL {
        read_operation(&op, version)?;
    }
    Ok(op.to_string().len())
}

/// The parameters' text, as it comes from the network.
fn operation_text(dice: &mut Dice) -> Outcome {
    let version = a_version(dice);
    let params = serde_json::json!([seeds::operation(dice, version), version.canonical_address(), {}]);
    let mut text = params.to_string().into_bytes();
    mutate::bytes(dice, &mut text);
    if let Ok(params) = serde_json::from_slice::<Vec<Value>>(&text)
        && let Some(op) = params.first()
    {
        read_operation(op, version)?;
    }
    Ok(text.len())
}

fn read_operation(json: &Value, version: EntryPointVersion) -> Result<(), String> {
    let read = UserOperationRequest::from_json(json, version).and_then(|request| {
        request.with_open_fields_zero();
        request.complete(version)
    });
    let op = match read {
        Ok(op) => op,
        Err(error) => {
            let named = !error.field().is_empty() && error.to_string().starts_with(error.field());
            return ensure(named, || format!("{version}: `{error}` does not begin with its field"));
        }
    };
    let again = UserOperationRequest::from_json(&wire::to_json(&op, version), version)
        .and_then(|request| request.complete(version));
    ensure(again.as_ref() == Ok(&op), || format!("{version}: rendered and read again: {again:?} is not {op:?}"))?;
    the_hash_follows_the_struct(&op, version)?;

    let calldata = pack::handle_ops(version, [&op], Address::ZERO);
    let bare = UserOperation { eip7702_auth: None, ..op };
    let unpacked = unpack::handle_ops(version, &calldata);
    ensure(unpacked.as_deref() == Some(std::slice::from_ref(&bare)), || {
        format!("{version}: unpacked {unpacked:?} is not {bare:?}")
    })
}

/// An operation that differs in what it executes has another hash.
fn the_hash_follows_the_struct(op: &UserOperation, version: EntryPointVersion) -> Result<(), String> {
    let entry_point = version.canonical_address();
    let context = HashContext { version, entry_point, chain_id: 1 };
    let delegate = Some(address!("0x7702770277027702770277027702770277027702"));
    let hash = |op: &UserOperation| op.hash(&context, delegate).map_err(|error| error.to_string());
    let other = UserOperation { nonce: op.nonce.wrapping_add(U256::ONE), ..op.clone() };
    let resigned = UserOperation { signature: Bytes::from_static(&[1]), ..op.clone() };
    let (ours, other, resigned) = (hash(op)?, hash(&other)?, hash(&resigned)?);
    ensure(ours != other && ours == resigned, || format!("{version}: the hash of {op:?}"))
}

/// What is read of a bundle is all there is in it.
fn bundle_whole(dice: &mut Dice) -> Outcome {
    let version = a_version(dice);
    let calldata: Bytes = seeds::bundle(dice, version).into();
    if let Some(ops) = unpack::handle_ops(version, &calldata) {
        let packed = pack::handle_ops(version, &ops, Address::repeat_byte(7));
        ensure(packed == calldata, || format!("{version}: packed again, {packed} is not {calldata}"))?;
    }
    Ok(calldata.len())
}

fn bundle_spoilt(dice: &mut Dice) -> Outcome {
    let version = a_version(dice);
    let folded = dice.chance(10);
    let mut calldata = if folded { seeds::folded_bundle(dice, version) } else { seeds::bundle(dice, version) };
    if !folded || dice.chance(50) {
        mutate::bytes(dice, &mut calldata);
    }
    let calldata = Bytes::from(calldata);
    if let Some(ops) = unpack::handle_ops(version, &calldata) {
        let again = unpack::handle_ops(version, &pack::handle_ops(version, &ops, Address::ZERO));
        ensure(again.as_ref() == Some(&ops), || format!("{version}: {again:?} is not {ops:?}"))?;
    }
    Ok(calldata.len())
}

/// Whoever decides about calls decides about all of `callData`.
fn account_calls(dice: &mut Dice) -> Outcome {
    let folded = dice.chance(10);
    let mut data = if folded { seeds::folded_batch(dice) } else { seeds::account_calls(dice) };
    if !folded || dice.chance(50) {
        mutate::bytes(dice, &mut data);
    }
    let data = Bytes::from(data);
    if let Ok(read) = calls::decode(&data) {
        let again = calls::decode(&calls::encode(&read));
        ensure(again.as_ref() == Ok(&read), || format!("{again:?} is not {read:?}"))?;
        let shortest = data.len() >= read.iter().map(|call| call.data.len()).sum::<usize>() + 68 * read.len().min(1);
        ensure(shortest, || format!("{data} holds less than {read:?}"))?;
    }
    Ok(data.len())
}

fn overrides(dice: &mut Dice) -> Outcome {
    let value = seeds::overrides(dice);
    let mut text = value.to_string().into_bytes();
    mutate::bytes(dice, &mut text);
    if let Ok(value) = serde_json::from_slice::<Value>(&text)
        && let Ok(read) = serde_json::from_value::<StateOverride>(value)
    {
        let again = serde_json::to_value(&read).and_then(serde_json::from_value::<StateOverride>);
        ensure(again.as_ref().is_ok_and(|again| *again == read), || format!("{again:?} is not {read:?}"))?;
    }
    Ok(text.len())
}

fn reverts(dice: &mut Dice) -> Outcome {
    let mut data = seeds::revert(dice);
    mutate::bytes(dice, &mut data);
    let data = Bytes::from(data);
    let words = EntryPointRevert::decode(&data).to_string();
    // Hex digits of a message within a message, in words around them.
    ensure(words.len() <= 4 * data.len() + 200, || format!("{} characters of {data}", words.len()))?;
    Ok(data.len())
}

fn validation_data(dice: &mut Dice) -> Outcome {
    let version = a_version(dice);
    let word = if dice.chance(50) { number(dice, 64) } else { U256::from_be_slice(&random(dice, 32)) };
    let bound = |shift: usize| ((word >> shift) & U256::from((1_u64 << 48) - 1)).to::<u64>();
    let (until, after) = (bound(160), bound(208));
    let last = if until == 0 { (1 << 48) - 1 } else { until };
    let data = ValidationData::unpack(word, version);
    let by_block = version == EntryPointVersion::V0_9 && last > 1 << 47 && after > 1 << 47;
    ensure(data.by_block == by_block, || format!("{version} {word:#x}: {data:?}"))?;
    let of_bound = if by_block { (1 << 47) - 1 } else { (1 << 48) - 1 };
    ensure(data.valid_after == after & of_bound, || format!("{word:#x}: {data:?}"))?;
    let no_end = until == 0 && !by_block;
    ensure(no_end == (data.valid_until == u64::MAX), || format!("{word:#x}: {data:?}"))?;
    ensure(no_end || data.valid_until == last & of_bound, || format!("{word:#x}: {data:?}"))?;
    // The same word where it comes from: a paymaster's `(context, validationData)`.
    let answer = (Bytes::new(), word).abi_encode_params();
    let decoded = entry_point_v08::getNonceCall::abi_decode_returns(&answer[32..]).ok();
    ensure(decoded == Some(word), || format!("{word:#x}"))?;
    Ok(answer.len())
}
