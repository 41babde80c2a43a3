//! `preVerificationGas`: what a bundle costs that the EntryPoint does not meter. Estimation and admission share it.

use alloy::primitives::{Address, Bytes};
use erc4337::{EntryPointVersion, UserOperation, pack};

/// Every transaction's base price.
const TRANSACTION: u128 = 21_000;
/// Price of one EIP-7702 authorization tuple.
const AUTHORIZATION: u128 = 25_000;
/// Calldata tokens (EIP-7623): a zero byte is one, any other is four.
const PER_TOKEN: u128 = 4;
/// The floor price of a token, whatever is executed.
const FLOOR_PER_TOKEN: u128 = 10;
/// Gas that every operation is metered for at the very least: its cold account, nonce and deposit.
const LEAST_METERED: u128 = 25_000;

/// Gas of `handleOps` outside of what it meters, for a bundle of one: decoding, events, paying the bundler.
///
/// Measured on SimpleAccounts, up to 300 gas added; the end-to-end tests fail if a bundle costs more than it earns.
const fn unmetered(version: EntryPointVersion) -> u128 {
    match version {
        EntryPointVersion::V0_6 => 19_200,
        EntryPointVersion::V0_7 => 18_800,
        EntryPointVersion::V0_8 => 16_800,
        EntryPointVersion::V0_9 => 16_800,
    }
}

/// Unmetered gas per 32 bytes of calldata: it is copied, and memory grows.
const UNMETERED_PER_WORD: u128 = 6;

/// The least `preVerificationGas` that pays for this operation in a bundle of its own.
///
/// What the client fills in after estimation (gas, fees, signature) counts as if no byte of it were zero, so that
/// an operation which takes the estimate is never found to be under it.
pub fn pre_verification_gas(op: &UserOperation, version: EntryPointVersion) -> u128 {
    let calldata = pack::handle_ops(version, [&filled(op)], Address::repeat_byte(0xff));
    let zeros = calldata.iter().filter(|byte| **byte == 0).count() as u128;
    let tokens = 4 * (calldata.len() as u128 - zeros) + zeros;
    let words = calldata.len().div_ceil(32) as u128;

    let authorization = if op.eip7702_auth.is_some() { AUTHORIZATION } else { 0 };
    let standard = TRANSACTION + PER_TOKEN * tokens + authorization + unmetered(version) + UNMETERED_PER_WORD * words;
    let floor = (TRANSACTION + FLOOR_PER_TOKEN * tokens).saturating_sub(LEAST_METERED);
    standard.max(floor)
}

fn filled(op: &UserOperation) -> UserOperation {
    const GAS: u128 = 0xff_ffff;
    const FEE: u128 = 0xff_ffff_ffff;
    let ones = |bytes: &Bytes| Bytes::from(vec![0xff; bytes.len()]);
    let mut op = op.clone();
    op.call_gas_limit = op.call_gas_limit.max(GAS);
    op.verification_gas_limit = op.verification_gas_limit.max(GAS);
    op.pre_verification_gas = GAS;
    op.max_fee_per_gas = FEE;
    op.max_priority_fee_per_gas = FEE;
    op.signature = ones(&op.signature);
    if let Some(paymaster) = &mut op.paymaster {
        paymaster.verification_gas_limit = paymaster.verification_gas_limit.max(GAS);
        paymaster.post_op_gas_limit = paymaster.post_op_gas_limit.max(GAS);
        paymaster.data = ones(&paymaster.data);
        paymaster.signature = ones(&paymaster.signature);
    }
    op
}

/// Gas that the bundle transaction is given: every limit in full, so that no inner check of the EntryPoint fails.
pub fn bundle_gas_limit<'a>(
    operations: impl IntoIterator<Item = &'a UserOperation>,
    version: EntryPointVersion,
) -> u128 {
    const PER_BUNDLE: u128 = 40_000;
    let limits: u128 = operations
        .into_iter()
        .map(|op| {
            // v0.6 wants room for the verification gas once more before it executes.
            let again = if version == EntryPointVersion::V0_6 { op.verification_gas_limit } else { 0 };
            op.max_gas(version) + again
        })
        .sum();
    // The EntryPoint keeps one 64th back where it calls itself.
    limits + limits / 63 + PER_BUNDLE
}
