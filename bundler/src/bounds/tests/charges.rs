//! What a chain of the OP stack charges beside gas, for bundles of one to a hundred operations: known before the bundle is
//! signed, and paid for by operations that offer exactly what they are asked for.

use std::sync::Arc;

use alloy::{
    consensus::{Transaction, TxEnvelope},
    eips::{eip2718::Decodable2718, eip7702::Authorization},
    primitives::{Address, Bytes, U256, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use erc4337::{EntryPointVersion, Initializer, Paymaster, UserOperation};
use revm::context::result::ExecutionResult;

use super::{
    code::{When, Worst, account, paymaster},
    property::{admit_at_the_least, proven},
    world::{BASE_FEE, BUNDLER, CHAIN, Mined, NOW, World},
};
use crate::{
    admission::Admitted,
    builder::Bundle,
    fees::FeeSuggestion,
    flow::Place,
    l1_fee::{L1Prices, Upgrade, compressed},
    submitter::Submitter,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Sponsored,
    /// By EIP-7702, with an authorization.
    Delegated,
}

const GWEI: u128 = 1_000_000_000;

/// Pays whoever it was for.
const PAYER: Address = Address::repeat_byte(0x77);
/// What delegated accounts run.
const DELEGATE: Address = Address::repeat_byte(0xde);

fn bytes(seed: u64, length: usize) -> Bytes {
    let words =
        (0..length.div_ceil(32) as u64).flat_map(|word| keccak256([seed.to_be_bytes(), word.to_be_bytes()].concat()).0);
    words.take(length).collect()
}

fn operation(kind: Kind, world: &mut World, index: u64) -> UserOperation {
    let version = world.version;
    let key = PrivateKeySigner::from_bytes(&keccak256(index.to_be_bytes())).unwrap();
    let sender = key.address();
    world.put(sender, if kind == Kind::Delegated { Bytes::new() } else { account(version, Worst::NOTHING) });
    world.deposit(sender, false);
    let signed = (kind == Kind::Delegated).then(|| {
        let auth = Authorization { chain_id: U256::from(CHAIN), address: DELEGATE, nonce: 1 };
        let signature = key.sign_hash_sync(&auth.signature_hash()).unwrap();
        auth.into_signed(signature)
    });
    UserOperation {
        sender,
        initializer: signed.as_ref().map(|_| Initializer::Eip7702 { data: Bytes::new() }),
        call_data: bytes(index, [0, 68, 132, 400][index as usize % 4]),
        call_gas_limit: 20_000,
        verification_gas_limit: 300_000,
        max_fee_per_gas: 2 * BASE_FEE,
        max_priority_fee_per_gas: 10_000_000,
        paymaster: (kind == Kind::Sponsored).then(|| Paymaster {
            address: PAYER,
            verification_gas_limit: if version == EntryPointVersion::V0_6 { 0 } else { 100_000 },
            data: bytes(index + 1_000, 77),
            ..Paymaster::default()
        }),
        signature: bytes(index + 2_000, 65),
        eip7702_auth: signed,
        ..UserOperation::default()
    }
}

fn prices(upgrade: Upgrade, base_fee: u128, blob_base_fee: u128) -> L1Prices {
    L1Prices {
        upgrade,
        base_fee,
        blob_base_fee,
        base_fee_scalar: 2_269,
        blob_base_fee_scalar: 1_055_762,
        operator_fee_scalar: match upgrade {
            Upgrade::Jovian => 7_000,
            _ => 70_000,
        },
        operator_fee_constant: 1_000_000,
        footprint_scalar: 400,
        ..L1Prices::default()
    }
}

/// What a signed transaction is charged beside its gas, by the words of the upgrades' texts.
fn by_the_text(prices: &L1Prices, signed: &[u8], gas_used: u128) -> U256 {
    let size = (i128::from(compressed(signed)) * 836_500 - 42_585_600).max(100_000_000) as u128;
    let weighed = 16 * u128::from(prices.base_fee_scalar) * prices.base_fee
        + u128::from(prices.blob_base_fee_scalar) * prices.blob_base_fee;
    let data = U256::from(size) * U256::from(weighed) / U256::from(10).pow(U256::from(12));
    let (scalar, constant) = (u128::from(prices.operator_fee_scalar), u128::from(prices.operator_fee_constant));
    let operator = match prices.upgrade {
        Upgrade::Isthmus => gas_used * scalar / 1_000_000 + constant,
        Upgrade::Jovian => gas_used * scalar * 100 + constant,
        _ => 0,
    };
    data + U256::from(operator)
}

/// A bundle of so many operations of this kind, each with the least that it is admitted with at these prices; what its proof
/// expects is held against what the signed transaction is charged. The furthest that it was from that, in thousandths.
async fn holds(version: EntryPointVersion, kind: Kind, count: u64, prices: L1Prices) -> u128 {
    let what = format!("{version}, {count} {kind:?}, {prices:?}");
    let fees = FeeSuggestion::flat(BASE_FEE, 5_000_000);
    let mut world = World::new(version);
    world.put(DELEGATE, account(version, Worst::NOTHING));
    world.put(PAYER, paymaster(version, 0, Worst::NOTHING));
    world.deposit(PAYER, true);
    let ops: Vec<_> = (0..count).map(|index| operation(kind, &mut world, index)).collect();
    let head = world.head(fees, Some(prices));
    let mut admitted: Vec<Admitted> = Vec::new();
    for op in ops {
        admitted.push(admit_at_the_least(op, &world, &head).await);
    }
    let proven = proven(Bundle::new(version.canonical_address(), version, admitted), &world, &head).await;
    assert_eq!((proven.bundle.operations.len() as u64, &proven.held[..]), (count, &[][..]), "{what}: {proven:?}");
    let bundle = proven.bundle;
    let key = PrivateKeySigner::from_bytes(&keccak256("bundler")).unwrap();
    let submitter = Submitter::new(vec![key.into()], None, CHAIN);
    assert_eq!(submitter.address(), BUNDLER);
    let bid = bundle.bid(fees);
    let signed = submitter.sign(Place { key: 0, nonce: 1 + count * 7 }, Some(&bundle), bid).await.unwrap().raw;
    let envelope = TxEnvelope::decode_2718(&mut signed.as_ref()).unwrap();
    assert_eq!(
        envelope.authorization_list().map_or(0, <[_]>::len) as u64,
        if kind == Kind::Delegated { count } else { 0 }
    );

    let before = world.balance(BUNDLER);
    let result = world.mine(&bundle, envelope.gas_limit(), bid, Mined::FORESEEN);
    assert!(matches!(result, ExecutionResult::Success { .. }), "{what}: {result:?}");
    let (gas_used, price) = (u128::from(result.tx_gas_used()), BASE_FEE + bid.priority_fee);
    let charged: u128 = by_the_text(&prices, &signed, gas_used).to();
    let reckoned = bundle.expected.l1 + bundle.expected.operator;
    let apart = reckoned.abs_diff(charged);
    assert!(apart <= (charged / 50).max(price), "{what}: {reckoned} reckoned, {charged} charged");
    let after = world.balance(BUNDLER);
    assert!(after >= before + U256::from(charged), "{what}: {charged} charged, and less than that brought in");
    apart * 1_000 / charged.max(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_charged_beside_gas_is_known_before_a_bundle_is_signed_and_paid_for_by_its_operations() {
    use EntryPointVersion::{V0_6, V0_7, V0_8, V0_9};
    let whole = std::env::var("FABSTIR_EXECUTIONS").is_ok();
    let fees = [1, 1_000_000, GWEI, 30 * GWEI, 300 * GWEI];
    let (mut bundles, mut furthest) = (0, 0);
    for (index, upgrade) in [Upgrade::Fjord, Upgrade::Isthmus, Upgrade::Jovian].into_iter().enumerate() {
        for (at, base_fee) in fees.into_iter().enumerate() {
            for blob_base_fee in if whole { fees.to_vec() } else { vec![fees[(at + index) % 5], fees[(at + 3) % 5]] } {
                for (kind, count) in [
                    (Kind::Plain, 1),
                    (Kind::Sponsored, 1),
                    (Kind::Delegated, 1),
                    (Kind::Plain, 3),
                    (Kind::Sponsored, 4),
                    (Kind::Delegated, 10),
                ] {
                    let versions = if kind == Kind::Delegated { &[V0_8, V0_9][..] } else { &[V0_6, V0_7, V0_8, V0_9] };
                    let version = versions[(bundles + at) % versions.len()];
                    furthest =
                        furthest.max(holds(version, kind, count, prices(upgrade, base_fee, blob_base_fee)).await);
                    bundles += 1;
                }
            }
        }
        for (kind, version, count) in
            [(Kind::Plain, V0_7, 100), (Kind::Sponsored, V0_6, 40), (Kind::Delegated, V0_8, 100)]
        {
            let fee = fees[2 + index];
            furthest = furthest.max(holds(version, kind, count, prices(upgrade, fee, fee)).await);
            bundles += 1;
        }
    }
    println!("{bundles} bundles, the furthest {furthest} thousandths from what was charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_offers_a_little_more_than_is_asked_is_taken_and_sent() {
    let prices = prices(Upgrade::Jovian, 30 * GWEI, GWEI);
    for version in EntryPointVersion::ALL {
        for per_mille in [1_000, 1_001, 1_010] {
            let fees = FeeSuggestion::flat(BASE_FEE, 5_000_000);
            let mut world = World::new(version);
            let op = operation(Kind::Plain, &mut world, 7);
            let head = world.head(fees, Some(prices));
            let mut admitted = admit_at_the_least(op, &world, &head).await;
            let op = Arc::make_mut(&mut admitted.op);
            op.pre_verification_gas = op.pre_verification_gas * per_mille / 1_000;
            let proven = proven(Bundle::new(version.canonical_address(), version, vec![admitted]), &world, &head).await;
            assert_eq!(proven.bundle.operations.len(), 1, "{version} {per_mille}: {proven:?}");
        }
    }
}

/// Two operations of this length that offer exactly what they were asked for before data on L1 came to be dearer by so many thousandths, and
/// beside them one that pays well, and whose call does this in the proof and nothing on chain: what the bundle of those that
/// are sent brings in on chain beside its cost, in thousandths of that, and how many they are.
async fn beside_one_that_lies(
    version: EntryPointVersion,
    worst: Worst,
    call_gas: u64,
    dearer: u128,
    length: usize,
) -> (i128, usize) {
    const TIMESTAMP: u8 = 0x42;
    let fees = FeeSuggestion::flat(BASE_FEE, 5_000_000);
    let before = prices(Upgrade::Jovian, 300 * GWEI, 100 * GWEI);
    let mut world = World::new(version);
    let head = world.head(fees, Some(before));
    let mut admitted = Vec::new();
    for index in 0..2 {
        let op = UserOperation { call_data: bytes(index, length), ..operation(Kind::Plain, &mut world, index) };
        admitted.push(admit_at_the_least(op, &world, &world.head(fees, head.l1)).await);
    }
    let scaled = |price: u128| price * dearer / 1_000;
    let now = L1Prices { base_fee: scaled(before.base_fee), blob_base_fee: scaled(before.blob_base_fee), ..before };
    let liar = UserOperation {
        max_fee_per_gas: 8 * BASE_FEE,
        max_priority_fee_per_gas: 6 * BASE_FEE,
        call_gas_limit: call_gas.into(),
        // Without any the EntryPoint makes no call.
        call_data: bytes(8, 4),
        ..operation(Kind::Plain, &mut world, 8)
    };
    world.put(liar.sender, account(version, Worst { when: When::Below(TIMESTAMP, NOW + 5), ..worst }));
    let head = world.head(fees, Some(now));
    admitted.push(admit_at_the_least(liar, &world, &head).await);
    let bundle = proven(Bundle::new(version.canonical_address(), version, admitted), &world, &head).await.bundle;
    let bid = bundle.bid(fees);
    let signed = bundle.transaction(CHAIN, None, bid, BUNDLER).bytes();
    let held = world.balance(BUNDLER);
    let result = world.mine(&bundle, bundle.gas_limit(), bid, Mined { timestamp: NOW + 10, ..Mined::FORESEEN });
    assert!(matches!(result, ExecutionResult::Success { .. }), "{version}: {result:?}");
    let gas_used = u128::from(result.tx_gas_used());
    let charged: i128 = by_the_text(&now, &signed, gas_used).to();
    let net = i128::try_from(world.balance(BUNDLER)).unwrap() - i128::try_from(held).unwrap() - charged;
    let cost = charged + (gas_used * (BASE_FEE + bid.priority_fee)) as i128;
    (net * 1_000 / cost, bundle.operations.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pay_for_its_data_any_more_is_not_paid_for_by_what_a_neighbour_does_in_the_proof_alone() {
    let burns = Worst { burn: Some(5_000), ..Worst::NOTHING };
    let brings_back = Worst { writes: 40, clears: true, ..Worst::NOTHING };
    let (mut alone, mut together) = (0, 0);
    for version in EntryPointVersion::ALL {
        for (what, worst) in [("burns", burns), ("brings back", brings_back)] {
            for dearer in [1_000, 1_150, 1_200, 1_225, 1_240, 1_300] {
                let (net, sent) = beside_one_that_lies(version, worst, 350_000, dearer, 55_000).await;
                println!("{version}, {what}, {dearer}: {sent} sent bring in {net} thousandths");
                assert!(net >= 0, "{version}, {what}, {dearer}: {sent} sent bring in {net} thousandths");
                alone += usize::from(sent == 1);
                together += usize::from(sent == 3);
            }
            // What is short by no more than others make up for goes, whatever its neighbour is proven with.
            let (_, sent) = beside_one_that_lies(version, worst, 3_000_000, 1_010, 400).await;
            assert_eq!(sent, 3, "{version}, {what}");
        }
    }
    assert!(alone > 0 && together > 0, "{alone} {together}");
}
