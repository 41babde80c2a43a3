//! `preVerificationGas`: what a bundle costs that the EntryPoint does not meter. Estimation and admission share it.

use alloy::primitives::{Address, Bytes, keccak256};
use erc4337::{EntryPointVersion, UserOperation, pack};

use crate::Head;

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

/// Per cent by which data on L1 may become dearer, or the gas that it is paid in cheaper, between estimate and sending.
const L1_ROOM: u128 = 25;
/// Bytes of a bundle's transaction beside its calldata: fees, nonce, address and signature, none of them zero.
const ENVELOPE: [u8; 110] = [0xa5; 110];

/// The least `preVerificationGas` that pays for this operation in a bundle of its own, its data on L1 included.
///
/// What the client fills in after estimation (gas, fees, signature) counts as if no byte of it were zero, so that
/// an operation which takes the estimate is never found to be under it.
pub fn pre_verification_gas(op: &UserOperation, version: EntryPointVersion, head: &Head) -> u128 {
    let calldata = pack::handle_ops(version, [&filled(op)], Address::repeat_byte(0xff));
    execution(op, version, &calldata) + l1_data(op, &calldata, head)
}

/// The same with room for prices to move.
pub fn estimated_pre_verification_gas(op: &UserOperation, version: EntryPointVersion, head: &Head) -> u128 {
    let calldata = pack::handle_ops(version, [&filled(op)], Address::repeat_byte(0xff));
    let l1 = l1_data(op, &calldata, head);
    execution(op, version, &calldata) + l1 + (l1 * L1_ROOM).div_ceil(100)
}

/// What data on L1 costs, in gas at the price that the operation pays now.
fn l1_data(op: &UserOperation, calldata: &[u8], head: &Head) -> u128 {
    l1_fee(calldata, head).div_ceil(op.effective_gas_price(head.fees.base_fee).max(1))
}

/// Wei that a transaction with this calldata is charged for its data on L1; nothing where there is no such charge.
pub(crate) fn l1_fee(calldata: &[u8], head: &Head) -> u128 {
    head.l1.map_or(0, |prices| prices.fee(&[calldata, &ENVELOPE].concat()))
}

fn execution(op: &UserOperation, version: EntryPointVersion, calldata: &[u8]) -> u128 {
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
    let mut op = op.clone();
    op.call_gas_limit = op.call_gas_limit.max(GAS);
    op.verification_gas_limit = op.verification_gas_limit.max(GAS);
    op.pre_verification_gas = GAS;
    op.max_fee_per_gas = FEE;
    op.max_priority_fee_per_gas = FEE;
    op.signature = noise(&op.signature);
    if let Some(paymaster) = &mut op.paymaster {
        paymaster.verification_gas_limit = paymaster.verification_gas_limit.max(GAS);
        paymaster.post_op_gas_limit = paymaster.post_op_gas_limit.max(GAS);
        paymaster.data = noise(&paymaster.data);
        paymaster.signature = noise(&paymaster.signature);
    }
    op
}

/// As many bytes as a signature may have: none zero, and none that compression saves.
fn noise(bytes: &Bytes) -> Bytes {
    let words = (0..bytes.len().div_ceil(32) as u64).flat_map(|word| keccak256(word.to_be_bytes()).0);
    words.map(|byte| byte.max(1)).take(bytes.len()).collect()
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
    // The EVM keeps one 64th back where the EntryPoint calls itself, which then wants the limits to be 63 64ths of what
    // it has (AA95).
    (limits * 64).div_ceil(63) * 64 / 63 + PER_BUNDLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_has_the_gas_that_the_entry_point_wants_before_it_calls_an_account() {
        let op = UserOperation { call_gas_limit: 14_000_000, ..UserOperation::default() };
        for version in EntryPointVersion::ALL {
            let given = bundle_gas_limit([&op], version);
            // Before and after the EntryPoint's call to itself; 10,000 is its INNER_GAS_OVERHEAD.
            let (inside, wanted) = (given - given / 64, op.call_gas_limit + 10_000);
            assert!(inside * 63 / 64 >= wanted, "{version}: {given} gas");
        }
    }
}
