//! `preVerificationGas`: what a bundle costs that the EntryPoint does not meter. Estimation, admission and building
//! share it.

use std::ops::Add;

use alloy::{
    eips::eip7702::SignedAuthorization,
    primitives::{Address, U256},
};
use erc4337::{EntryPointVersion, UserOperation, pack};

use crate::{
    Head, bounds,
    l1_fee::dearest_next,
    rules::MAX_CONTEXT_SIZE,
    transaction::{Envelope, noise, seed_of},
};

/// Every transaction's base price.
const TRANSACTION: u128 = 21_000;
/// Price of one EIP-7702 authorization tuple.
pub(crate) const AUTHORIZATION: u128 = 25_000;
/// Calldata tokens (EIP-7623): a zero byte is one, any other is four.
const PER_TOKEN: u128 = 4;
/// The floor price of a token, whatever is executed.
const FLOOR_PER_TOKEN: u128 = 10;
/// Gas that every operation is metered for at the very least: its cold account, nonce and deposit.
const LEAST_METERED: u128 = 25_000;

/// Gas of `handleOps` outside of what it meters, for a bundle of one: decoding, events, paying the bundler.
///
/// Measured on SimpleAccounts, up to 300 gas added; the end-to-end tests fail if a bundle costs more than it earns.
pub(crate) const fn unmetered(version: EntryPointVersion) -> u128 {
    match version {
        EntryPointVersion::V0_6 => 19_200,
        EntryPointVersion::V0_7 => 18_800,
        EntryPointVersion::V0_8 => 16_800,
        EntryPointVersion::V0_9 => 16_800,
    }
}

/// Unmetered gas per 32 bytes of calldata: it is copied, and memory grows. With 6 a long operation of a session, alone in
/// its bundle, cost 166 gas more than it paid.
pub(crate) const UNMETERED_PER_WORD: u128 = 8;

/// The same where memory is longest, as it is beside others.
const MOST_PER_WORD: u128 = 20;

/// Per cent by which data on L1 may become dearer, or the gas that it is paid in cheaper, between estimate and sending.
const L1_ROOM: u128 = 25;

/// The least `preVerificationGas` that pays for this operation in a bundle of its own, with what an OP-stack chain
/// charges beside gas.
///
/// What the client fills in after estimation (gas, fees, signature) counts as noise that no compression shortens, so
/// that an operation which takes the estimate is never found to be under it, nor its bundle dearer than was asked.
/// The operator's fee counts for all the gas that the operation may use; data on L1 as it may be in the next block.
pub fn pre_verification_gas(op: &UserOperation, version: EntryPointVersion, head: &Head) -> u128 {
    Alone::new(op, version).pre_verification_gas(op, version, head)
}

/// The same with room for prices on L1 to move.
pub fn estimated_pre_verification_gas(op: &UserOperation, version: EntryPointVersion, head: &Head) -> u128 {
    Alone::new(op, version).with_room(op, version, head, L1_ROOM)
}

/// Bytes that FastLZ may leave more of an operation than of the noise for it, as it finds other matches: 28 were seen.
const SPARE_BYTES: usize = 32;

/// The transaction of an operation in a bundle of its own, as far as it is known before it is built.
#[derive(Debug)]
pub(crate) struct Alone {
    /// As it would be sent, and [`SPARE_BYTES`].
    pub(crate) bytes: Vec<u8>,
    /// Gas for what the EntryPoint does not meter.
    execution: u128,
}

impl Alone {
    pub(crate) fn new(op: &UserOperation, version: EntryPointVersion) -> Self {
        let initializer = op.init_code();
        let seed = seed_of(&[op.sender.as_slice(), &initializer, &op.call_data]);
        let filled = filled(op, seed);
        let transaction = Envelope::unknown(version, seed.wrapping_add(9)).around(std::iter::once(&filled));
        let execution = execution(op, version, transaction.input());
        let mut bytes = transaction.bytes();
        bytes.extend(noise(seed.wrapping_add(10), SPARE_BYTES));
        Self { bytes, execution }
    }

    /// [`pre_verification_gas`].
    pub(crate) fn pre_verification_gas(&self, op: &UserOperation, version: EntryPointVersion, head: &Head) -> u128 {
        self.with_room(op, version, head, 0)
    }

    fn with_room(&self, op: &UserOperation, version: EntryPointVersion, head: &Head, room: u128) -> u128 {
        let Some(prices) = &head.l1 else { return self.execution };
        let l1 = dearest_next(prices.fee(&self.bytes));
        let l1 = l1.saturating_add(l1.saturating_mul(room).div_ceil(100));
        let gas = self.execution.saturating_add(metered_limits(op, version));
        let charged = l1.saturating_add(prices.operator_fee(gas));
        self.execution.saturating_add(charged.div_ceil(op.effective_gas_price(head.fees.base_fee).max(1)))
    }
}

/// Gas that the EntryPoint meters of an operation at most.
fn metered_limits(op: &UserOperation, version: EntryPointVersion) -> u128 {
    op.max_gas(version).saturating_sub(op.pre_verification_gas)
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

/// The operation with noise for what is not known of it before it is complete, of the length that it will have.
fn filled(op: &UserOperation, seed: u64) -> UserOperation {
    let mut op = op.clone();
    let noise = |stream: u64, length: usize| noise(seed.wrapping_add(stream), length);
    // None of these has a byte of zero, nor three that are in another.
    op.call_gas_limit = op.call_gas_limit.max(0xf1_d6_a3);
    op.verification_gas_limit = op.verification_gas_limit.max(0xf7_b2_9d);
    op.pre_verification_gas = op.pre_verification_gas.max(0xfa_e5_8c);
    op.max_fee_per_gas = op.max_fee_per_gas.max(0xf3_9a_d7_61_c5);
    op.max_priority_fee_per_gas = op.max_priority_fee_per_gas.max(0xf5_c3_8e_1b_79);
    op.signature = noise(1, op.signature.len()).into();
    if let Some(paymaster) = &mut op.paymaster {
        paymaster.verification_gas_limit = paymaster.verification_gas_limit.max(0xf9_c4_7b);
        paymaster.post_op_gas_limit = paymaster.post_op_gas_limit.max(0xfd_3a_6e);
        paymaster.data = noise(2, paymaster.data.len()).into();
        paymaster.signature = noise(3, paymaster.signature.len()).into();
    }
    if let Some(auth) = &mut op.eip7702_auth {
        let word = |stream| U256::from_be_slice(&noise(stream, 32));
        *auth = SignedAuthorization::new_unchecked(auth.inner().clone(), 1, word(4), word(5));
    }
    op
}

/// Bytes of the operation as the EntryPoint of this version takes it, ABI-encoded: its offset, its fields, and the bytes
/// that these point to.
pub(crate) fn encoded_size(op: &UserOperation, version: EntryPointVersion) -> usize {
    let fields = if version.is_packed() { 9 } else { 11 };
    let paymaster = op.paymaster.as_ref().map_or(0, |_| op.paymaster_and_data(version).len());
    let initializer = op.initializer.as_ref().map_or(0, |_| op.init_code().len());
    let padded = |length: usize| 32 + length.next_multiple_of(32);
    32 + 32 * fields
        + [initializer, op.call_data.len(), paymaster, op.signature.len()].map(padded).iter().sum::<usize>()
}

/// Gas of the calldata that the operation is, with noise for what is not known before it is complete: four for a byte of
/// zero, 16 for any other.
pub(crate) fn serialized(op: &UserOperation, version: EntryPointVersion) -> u128 {
    let call = pack::handle_ops(version, [&filled(op, 0)], Address::ZERO);
    // The selector, and where the operations and the first of them begin: what goes with each bundle once.
    let own = call.get(call.len().saturating_sub(encoded_size(op, version))..).unwrap_or_default();
    let zeros = own.iter().filter(|byte| **byte == 0).count() as u128;
    PER_TOKEN * (4 * (own.len() as u128 - zeros) + zeros)
}

/// What operations add to the transaction that carries them. Sums are those of a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Gas limits, with what the EntryPoint wants to have left beside.
    limits: u128,
    /// Gas for what it does not meter, and for what execution may take beside the limits.
    unmetered: u128,
    /// Of calldata, and of authorizations.
    bytes: usize,
}

/// Bytes of a transaction beside those of its operations: `handleOps`' own arguments, fees, nonce, address, signature.
const ENVELOPE_BYTES: usize = 288;
/// Bytes of an authorization in a transaction.
const AUTHORIZATION_BYTES: usize = 112;

impl Load {
    /// Of one operation. Its `preVerificationGas` is no part of it: that pays for more than gas.
    pub fn of(op: &UserOperation, version: EntryPointVersion) -> Self {
        // v0.6 wants room for the verification gas once more before it executes.
        let again = if version == EntryPointVersion::V0_6 { op.verification_gas_limit } else { 0 };
        let calldata = encoded_size(op, version);
        let words = (calldata / 32) as u128;
        let (authorization, authorization_bytes) =
            if op.eip7702_auth.is_some() { (AUTHORIZATION, AUTHORIZATION_BYTES) } else { (0, 0) };
        // As if no byte of it were zero.
        let tokens = 4 * calldata as u128;
        // In v0.6 the limits have room for it, or nothing of the operation is taken.
        let beside = match (version, &op.paymaster) {
            (EntryPointVersion::V0_6, _) => 0,
            (_, Some(paymaster)) if paymaster.post_op_gas_limit > 0 => bounds::beside(op, version, MAX_CONTEXT_SIZE),
            _ => bounds::beside(op, version, 0),
        };
        Self {
            limits: metered_limits(op, version).saturating_add(again),
            unmetered: PER_TOKEN * tokens + authorization + unmetered(version) + MOST_PER_WORD * words + beside,
            bytes: calldata + authorization_bytes,
        }
    }

    /// Gas that the transaction is given: every limit in full, so that no inner check of the EntryPoint fails.
    pub fn gas_limit(self) -> u64 {
        const PER_BUNDLE: u128 = 40_000;
        let all = self.limits.saturating_add(self.unmetered).saturating_add(TRANSACTION);
        // The EVM keeps one 64th back where the EntryPoint calls itself, which then wants the limits to be 63 64ths of
        // what it has (AA95).
        let standard = (all.saturating_mul(64).div_ceil(63).saturating_mul(64) / 63).saturating_add(PER_BUNDLE);
        let floor = TRANSACTION + 4 * FLOOR_PER_TOKEN * self.bytes() as u128;
        u64::try_from(standard.max(floor)).unwrap_or(u64::MAX)
    }

    /// Bytes of the transaction, a few too many.
    pub fn bytes(self) -> usize {
        self.bytes + ENVELOPE_BYTES
    }
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            limits: self.limits.saturating_add(other.limits),
            unmetered: self.unmetered.saturating_add(other.unmetered),
            bytes: self.bytes + other.bytes,
        }
    }
}

impl std::iter::Sum for Load {
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), Add::add)
    }
}

/// Gas that the transaction of these operations is given.
pub fn bundle_gas_limit<'a>(
    operations: impl IntoIterator<Item = &'a UserOperation>,
    version: EntryPointVersion,
) -> u128 {
    operations.into_iter().map(|op| Load::of(op, version)).sum::<Load>().gas_limit().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy::eips::eip7702::Authorization;
    use erc4337::{Initializer, Paymaster};

    use super::*;
    use crate::{
        evm::{Shared, StateView},
        fees::FeeSuggestion,
        l1_fee::{L1Prices, Upgrade, compressed},
        mempool::tests::block,
        node::NodeClient,
    };

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

    #[test]
    fn what_pays_for_data_on_l1_is_not_gas_of_the_transaction() {
        let op = UserOperation { pre_verification_gas: 16_000_000, ..UserOperation::default() };
        for version in EntryPointVersion::ALL {
            assert!(bundle_gas_limit([&op], version) < 200_000);
        }
    }

    /// Bytes of a wallet: some noise, some words with many zeros, some repetition.
    fn bytes(seed: u64, length: usize) -> Vec<u8> {
        let noise = noise(seed, length);
        let parts = noise.chunks(64).enumerate();
        parts
            .flat_map(|(index, part)| match (seed as usize + index) % 3 {
                0 => part.to_vec(),
                1 => part.iter().enumerate().map(|(at, byte)| if at % 32 < 28 { 0 } else { *byte }).collect(),
                _ => vec![part[0]; part.len()],
            })
            .collect()
    }

    /// Any of plain, with a factory, with a paymaster, with an authorization.
    fn operation(seed: u64) -> UserOperation {
        let number = |index: u64, below: u64| {
            u64::from_be_bytes(noise(seed, 8 * (index as usize + 1))[8 * index as usize..].try_into().unwrap()) % below
        };
        let data = |index: u64, below: u64| bytes(seed + index, number(index, below) as usize).into();
        let authorization = Authorization { chain_id: U256::from(8453), address: Address::repeat_byte(9), nonce: 3 };
        let [r, s] = [seed + 20, seed + 21].map(|seed| U256::from_be_slice(&noise(seed, 32)));
        UserOperation {
            sender: Address::from_slice(&noise(seed + 10, 20)),
            nonce: U256::from_be_slice(&noise(seed + 11, 24)) << 64,
            initializer: seed.is_multiple_of(3).then(|| Initializer::Factory {
                address: Address::from_slice(&noise(seed + 12, 20)),
                data: data(0, 300),
            }),
            call_data: data(1, 3_000),
            call_gas_limit: number(2, 2_000_000).into(),
            verification_gas_limit: number(3, 1_000_000).into(),
            pre_verification_gas: number(4, 1_000_000).into(),
            max_fee_per_gas: (6_000_000 + number(5, 10_000_000_000)).into(),
            max_priority_fee_per_gas: number(6, 2_000_000_000).into(),
            paymaster: (seed % 5 < 2).then(|| Paymaster {
                address: Address::from_slice(&noise(seed + 13, 20)),
                verification_gas_limit: number(7, 100_000).into(),
                post_op_gas_limit: number(8, 100_000).into(),
                data: data(9, 200),
                signature: Default::default(),
            }),
            signature: data(10, 700),
            eip7702_auth: (seed % 4 == 1).then(|| SignedAuthorization::new_unchecked(authorization, 1, r, s)),
        }
    }

    fn on(prices: L1Prices) -> Head {
        let node = NodeClient::new("http://127.0.0.1:1").unwrap();
        let block = block(1);
        let view = Arc::new(StateView::new(node, block.hash, 0, Arc::<Shared>::default()));
        Head { block, time: 0, view, fees: FeeSuggestion::flat(5_000_000, 1_000_000), l1: Some(prices) }
    }

    const PRICES: L1Prices = L1Prices {
        upgrade: Upgrade::Jovian,
        base_fee: 30_000_000_000,
        blob_base_fee: 10_000_000_000,
        base_fee_scalar: 2_269,
        blob_base_fee_scalar: 1_055_762,
        bedrock: (U256::ZERO, U256::ZERO),
        operator_fee_scalar: 70,
        operator_fee_constant: 1_000_000_000,
        footprint_scalar: 400,
    };

    #[tokio::test]
    async fn an_operation_that_takes_the_estimate_is_never_under_it() {
        let head = on(PRICES);
        for seed in 0..2_000 {
            let version = EntryPointVersion::ALL[seed as usize % 4];
            let op = operation(seed);
            // A client estimates with a signature of the final length, and we reckon with the limits that we answer.
            let signature = vec![0xff; op.signature.len()].into();
            let stub = UserOperation { pre_verification_gas: 0, signature, ..op.clone() };
            let estimated = estimated_pre_verification_gas(&stub, version, &head);
            let asked = pre_verification_gas(&op, version, &head);
            assert!(estimated >= asked, "{seed}: {estimated} estimated, {asked} asked");
        }
    }

    #[test]
    fn a_bundle_is_never_dearer_on_l1_than_its_operations_are_asked_for() {
        let mut most = 0;
        for seed in 0..2_000 {
            let version = EntryPointVersion::ALL[seed as usize % 4];
            let operations: Vec<_> = (0..1 + seed % 7).map(|index| operation(1_000 * seed + index)).collect();
            let known = Envelope { nonce: seed, chain_id: 8453, ..Envelope::unknown(version, seed) };
            let sent = compressed(&known.around(operations.iter()).bytes());
            let asked: u32 = operations.iter().map(|op| compressed(&Alone::new(op, version).bytes)).sum();
            most = most.max(sent.saturating_sub(asked));
        }
        assert!(most == 0, "{most} bytes short");
    }

    #[test]
    fn an_operation_that_repeats_the_noise_of_another_saves_nothing() {
        let plain = UserOperation { call_data: vec![1; 200].into(), signature: vec![1; 600].into(), ..operation(7) };
        let version = EntryPointVersion::V0_8;
        let asked = |op: &UserOperation| compressed(&Alone::new(op, version).bytes);
        // All that was reckoned with, as its own call data.
        let copy = UserOperation { call_data: Alone::new(&plain, version).bytes.into(), ..plain.clone() };
        assert!(asked(&copy) > 2 * asked(&plain) - 200, "{} and {}", asked(&copy), asked(&plain));
    }

    #[test]
    fn a_load_has_no_fewer_bytes_than_the_transaction_and_few_more() {
        for seed in 0..500 {
            let version = EntryPointVersion::ALL[seed as usize % 4];
            let operations: Vec<_> = (0..1 + seed % 7).map(|index| operation(1_000 * seed + index)).collect();
            let sent = Envelope::unknown(version, seed).around(operations.iter()).bytes().len();
            let load: Load = operations.iter().map(|op| Load::of(op, version)).sum();
            assert!((sent..sent + 200).contains(&load.bytes()), "{seed}: {sent} bytes, {} reckoned", load.bytes());
        }
    }

    #[tokio::test]
    async fn the_operators_fee_is_asked_for_all_the_gas_that_an_operation_may_use() {
        let op = UserOperation {
            call_gas_limit: 1_000_000,
            max_fee_per_gas: 1_000,
            max_priority_fee_per_gas: 1_000,
            ..UserOperation::default()
        };
        let asked = |l1| {
            let node = NodeClient::new("http://127.0.0.1:1").unwrap();
            let view = Arc::new(StateView::new(node, block(1).hash, 0, Arc::<Shared>::default()));
            let head = Head { block: block(1), time: 0, view, fees: FeeSuggestion::flat(1, 1), l1 };
            pre_verification_gas(&op, EntryPointVersion::V0_8, &head)
        };
        let execution = asked(None);
        // A hundred wei for each gas, of which an operation pays a thousand.
        let charged = asked(Some(L1Prices { upgrade: Upgrade::Jovian, operator_fee_scalar: 1, ..L1Prices::default() }));
        assert_eq!(charged - execution, ((execution + 1_000_000) * 100).div_ceil(1_000));
    }
}
