//! No bundle of operations that were admitted reverts, whatever they do when it is mined, and none is mined at a loss.
//!
//! `make bounds` runs 100,000 transactions of each EntryPoint; FABSTIR_SEED for others than the last time's.

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    rpc::types::state::StateOverride,
};
use erc4337::{EntryPointVersion, Paymaster, UserOperation, revert::EntryPointRevert};
use revm::context::result::ExecutionResult;

use super::{
    super::{Metered, VALIDATION_GAS_SLACK},
    code::{End, When, Worst, account, paymaster},
    world::{BASE_FEE, BUNDLER, HEIGHT, Mined, NOW, World},
};
use crate::{
    Head, Rejection,
    admission::{self, Admitted, Grounds},
    builder::{Bundle, Proven, prove},
    fees::FeeSuggestion,
    submitter::Fees,
};

use EntryPointVersion::{V0_6, V0_7, V0_8, V0_9};

/// Opcodes that tell the block that is mined from the one that was foreseen.
const ENVIRONMENT: [(u8, u64); 6] =
    [(0x42, NOW + 1), (0x43, HEIGHT + 1), (0x41, 0), (0x44, 0), (0x48, BASE_FEE as u64), (0x3a, BASE_FEE as u64 + 1)];

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % end
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn address(&mut self) -> Address {
        Address::from_word(keccak256(self.below(u64::MAX).to_be_bytes()))
    }

    /// What a frame with so much gas does at its worst, or nothing.
    fn worst(&mut self, gas: u64, reverts: bool) -> Worst {
        let when = match self.below(4) {
            0 => When::Always,
            _ => {
                let (opcode, foreseen) = self.pick(&ENVIRONMENT);
                When::Above(opcode, foreseen)
            }
        };
        let length = self.pick(&[0, 1, 31, 32, 68, 2_047, 2_048, 2_049, 5_000, 60_000]);
        let end = match self.below(8) {
            0 => End::Stop,
            1 => End::Return(length),
            2 => End::Invalid,
            _ if reverts => End::Revert(length),
            _ => End::Return(length),
        };
        let words = length.div_ceil(32);
        let grow = if self.below(4) == 0 { self.below(200_000) } else { 0 };
        let words = words.max(grow.div_ceil(32) + 1);
        let left = 3 * words + words * words / 512 + self.pick(&[30, 60, 100, 700, 3_000]);
        let burn = (self.below(4) > 0 && left < gas).then_some(left);
        Worst { when, grow, writes: self.below(3), clears: false, burn, end }
    }

    /// In v0.6 what a paymaster reverts with decides over the bundle, as reverting twice does: short of that, the worst.
    fn post_op_v06(&mut self) -> Worst {
        if self.below(3) == 0 {
            let end = End::Revert(self.pick(&[32, 68, 2_048]));
            return Worst { when: When::First, burn: self.pick(&[None, Some(3_000)]), end, ..Worst::NOTHING };
        }
        // What runs out of gas reverts with nothing.
        let worst = self.worst(u64::MAX, false);
        let end = End::Return(self.pick(&[0, 32, 2_048, 5_000]));
        Worst { grow: worst.grow % 20_000, burn: worst.burn.map(|_| 9_000), end, ..worst }
    }

    fn mined(&mut self, most: u128) -> Mined {
        let base_fee = match self.below(4) {
            0 => BASE_FEE,
            1 => BASE_FEE / 2,
            2 => most,
            _ => BASE_FEE - u128::from(self.below(100_000_000)),
        };
        Mined {
            number: HEIGHT + 1 + self.below(4),
            timestamp: NOW + 1 + self.below(4),
            coinbase: if self.below(2) == 0 { Address::ZERO } else { Address::repeat_byte(0xcb) },
            randao: B256::with_last_byte(self.below(2) as u8),
            base_fee,
        }
    }
}

/// An operation whose account and paymaster are in this world, as yet with ample limits.
fn operation(dice: &mut Dice, world: &mut World) -> UserOperation {
    let version = world.version;
    let (sender, payer) = (dice.address(), dice.address());
    let call_gas_limit: u64 = dice.pick(&[0, 5_000, 30_000, 100_000, 400_000]);
    let post_op_gas_limit: u64 = dice.pick(&[0, 10_000, 60_000, 200_000]);
    world.put(sender, account(version, dice.worst(call_gas_limit, true)));
    let deposit = dice.below(4) > 0;
    let sponsored = dice.below(2) == 0;
    if deposit || !sponsored {
        world.deposit(sender, false);
    }
    if sponsored {
        let context = dice.pick(&[0, 0, 1, 32, 500, 2_048]);
        let post_op = if version == V0_6 { dice.post_op_v06() } else { dice.worst(post_op_gas_limit, true) };
        let post_op = Worst { writes: 0, ..post_op };
        world.put(payer, paymaster(version, context, post_op));
        world.deposit(payer, true);
    }
    let max_fee = BASE_FEE * u128::from(dice.pick(&[101_u32, 101, 105, 120, 150, 300])) / 100;
    UserOperation {
        sender,
        nonce: U256::from(dice.below(2)) << 64,
        call_data: vec![dice.below(256) as u8; dice.pick(&[0, 1, 32, 100, 1_000, 8_000, 30_000])].into(),
        call_gas_limit: call_gas_limit.into(),
        verification_gas_limit: 400_000,
        max_fee_per_gas: max_fee,
        max_priority_fee_per_gas: dice.pick(&[max_fee, max_fee - BASE_FEE, 10_000_000]),
        paymaster: sponsored.then(|| Paymaster {
            address: payer,
            verification_gas_limit: if version == V0_6 { 0 } else { 200_000 },
            post_op_gas_limit: if version == V0_6 { 0 } else { post_op_gas_limit.into() },
            ..Paymaster::default()
        }),
        signature: vec![7; dice.pick(&[0, 65, 600])].into(),
        ..UserOperation::default()
    }
}

fn fees() -> FeeSuggestion {
    FeeSuggestion::flat(BASE_FEE, 5_000_000)
}

/// What its validation uses, and how long its context is.
pub(super) async fn examine(op: &UserOperation, world: &World, head: &Head) -> (Metered, usize) {
    let config = world.config();
    let on = Grounds { config: &config, head, bundler: BUNDLER };
    let (version, entry_point) = (world.version, world.version.canonical_address());
    let examination = admission::examine(Arc::new(op.clone()), entry_point, version, &[], on).await.unwrap();
    assert!(examination.verdict.is_ok() && examination.violations.is_empty(), "{:?}", examination.verdict);
    (Metered::of(&examination.run.trace, [op], version).unwrap()[0], examination.context)
}

/// The operation with the least limits that it is admitted with.
pub(super) async fn admit_at_the_least(mut op: UserOperation, world: &World, head: &Head) -> Admitted {
    let config = world.config();
    let on = Grounds { config: &config, head, bundler: BUNDLER };
    let entry_point = world.version.canonical_address();
    op.pre_verification_gas = 0;
    let (metered, _) = examine(&op, world, head).await;
    op.verification_gas_limit = if world.version == V0_6 { metered.account + 1 } else { metered.account };
    if let Some(paymaster) = op.paymaster.as_mut().filter(|_| world.version != V0_6) {
        paymaster.verification_gas_limit = metered.paymaster;
    }
    for _ in 0..8 {
        let admitted = match admission::screen(&op, entry_point, on).await {
            Ok(hash) => admission::admit(Arc::new(op.clone()), hash, entry_point, &[], on).await,
            Err(rejection) => Err(rejection),
        };
        match admitted {
            Ok(admitted) => return admitted,
            Err(Rejection::TooLow { field: "verificationGasLimit", required, .. }) => {
                op.verification_gas_limit = required;
            }
            Err(Rejection::TooLow { field: "paymasterVerificationGasLimit", required, .. }) => {
                op.paymaster.as_mut().unwrap().verification_gas_limit = required;
            }
            Err(Rejection::TooLow { field: "preVerificationGas", required, .. }) => op.pre_verification_gas = required,
            Err(other) => panic!("{other}: {op:?}"),
        }
    }
    panic!("no limits would do: {op:?}");
}

pub(super) async fn proven(bundle: Bundle, world: &World, head: &Head) -> Proven {
    let (chain, head) = (world.config().chain, head.clone());
    let next = head.block.next(&chain, std::time::Duration::ZERO);
    let work = move || prove(bundle, &head, next, &StateOverride::default(), true, &chain, BUNDLER);
    tokio::task::spawn_blocking(work).await.unwrap().unwrap()
}

/// Mines a bundle with this much gas; why it reverted, if it did, or else what it brought in beside its cost (wei) and cost.
fn mine(bundle: &Bundle, gas: u64, world: &World, mined: Mined) -> Result<(i128, u128), String> {
    let bid = Fees::first(bundle, fees());
    let mut world = world.clone();
    let before: i128 = world.balance(BUNDLER).try_into().unwrap();
    let result = world.mine(bundle, gas, bid, mined);
    let after: i128 = world.balance(BUNDLER).try_into().unwrap();
    match result {
        ExecutionResult::Success { .. } => {
            let price = bid.max_fee.min(mined.base_fee + bid.priority_fee);
            Ok((after - before, u128::from(result.tx_gas_used()) * price))
        }
        ExecutionResult::Revert { output, .. } => Err(EntryPointRevert::decode(&output).to_string()),
        ExecutionResult::Halt { reason, .. } => Err(format!("{reason:?}")),
    }
}

fn set(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |number| number.parse().unwrap())
}

async fn no_bundle_reverts(version: EntryPointVersion) {
    let (wanted, seed) = (set("FABSTIR_EXECUTIONS", 240), set("FABSTIR_SEED", 20));
    let (mut executions, mut operations, mut put_out, mut worst, mut case) = (0, 0, 0, 0_i128, 0);
    while executions < wanted {
        case += 1;
        let mut dice = Dice(seed ^ (case << 20) ^ (version as u64) << 60);
        let mut world = World::new(version);
        let count = dice.pick(&[1, 1, 2, 3, 5, 12]);
        let ops: Vec<_> = (0..count).map(|_| operation(&mut dice, &mut world)).collect();
        let head = world.head(fees(), None);
        let mut bundles = vec![Vec::new()];
        for op in ops {
            let admitted = admit_at_the_least(op, &world, &head).await;
            match admitted.uncontained() {
                None => bundles[0].push(admitted),
                Some(_) => bundles.push(vec![admitted]),
            }
        }
        for bundle in bundles.into_iter().filter(|bundle| !bundle.is_empty()) {
            let count = bundle.len();
            let bundle = Bundle::new(version.canonical_address(), version, bundle);
            let bundle = proven(bundle, &world, &head).await.bundle;
            put_out += count - bundle.operations.len();
            if bundle.operations.is_empty() {
                continue;
            }
            for _ in 0..3 {
                let mined = dice.mined(Fees::first(&bundle, fees()).max_fee);
                let (net, cost) = match mine(&bundle, bundle.gas_limit(), &world, mined) {
                    Ok(outcome) => outcome,
                    Err(why) => panic!("seed {seed}, {version}, case {case}: {why} in {mined:?} of {bundle:?}"),
                };
                executions += 1;
                operations += bundle.operations.len();
                // What base fees add until it is mined is everybody's risk.
                if mined.base_fee <= BASE_FEE {
                    let per_mille = net * 1_000 / cost as i128;
                    worst = worst.min(per_mille);
                    assert!(
                        per_mille >= -10,
                        "seed {seed}, {version}, case {case}: {net} of {cost} wei in {mined:?} of {bundle:?}"
                    );
                }
            }
        }
    }
    println!(
        "{version}: {executions} transactions with {operations} operations, none reverted; {put_out} operations were put \
         out of a bundle; the worst brought in {worst} thousandths of its cost"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_v0_6_bundle_reverts_whatever_its_operations_do() {
    no_bundle_reverts(V0_6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_v0_7_bundle_reverts_whatever_its_operations_do() {
    no_bundle_reverts(V0_7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_v0_8_bundle_reverts_whatever_its_operations_do() {
    no_bundle_reverts(V0_8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_v0_9_bundle_reverts_whatever_its_operations_do() {
    no_bundle_reverts(V0_9).await;
}

/// An account that burns all its gas and reverts with as much as is copied, in a later second than was foreseen; its call
/// gas, and what the paymaster is given and does.
fn later(world: &mut World, index: u8, context: Option<u64>, end: End) -> UserOperation {
    let (sender, payer) = (Address::repeat_byte(index), Address::repeat_byte(0x7f + index));
    let worst = Worst { when: When::Above(0x42, NOW + 1), burn: Some(280), end, ..Worst::NOTHING };
    world.put(sender, account(world.version, worst));
    world.deposit(sender, false);
    if let Some(context) = context {
        world.put(payer, paymaster(world.version, context, worst));
        world.deposit(payer, true);
    }
    UserOperation {
        sender,
        call_data: vec![1; 32].into(),
        call_gas_limit: 60_000,
        verification_gas_limit: 400_000,
        max_fee_per_gas: BASE_FEE * 101 / 100,
        max_priority_fee_per_gas: BASE_FEE * 101 / 100,
        paymaster: context.map(|_| Paymaster {
            address: payer,
            verification_gas_limit: 200_000,
            post_op_gas_limit: 60_000,
            ..Paymaster::default()
        }),
        ..UserOperation::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_room_v0_6_reverts_and_its_bundle_costs_what_nobody_pays() {
    let mut world = World::new(V0_6);
    let op = later(&mut world, 1, None, End::Revert(2_048));
    let head = world.head(fees(), None);
    let admitted = admit_at_the_least(op, &world, &head).await;
    let (metered, _) = examine(&admitted.op, &world, &head).await;
    let with = |room: u128| {
        let mut admitted = admitted.clone();
        Arc::make_mut(&mut admitted.op).verification_gas_limit = metered.charged + room;
        Bundle::new(admitted.entry_point, admitted.version, vec![admitted])
    };
    let later = Mined { timestamp: NOW + 2, ..Mined::FORESEEN };
    let mined = |room: u128, mined| mine(&with(room), with(room).gas_limit(), &world, mined).map(|_| ());
    let room = super::super::beside(&admitted.op, V0_6, 0);
    let asked = metered.charged + room + VALIDATION_GAS_SLACK;
    assert_eq!(admitted.op.verification_gas_limit, asked, "no more than the room is asked for");
    assert_eq!(mined(1_000, Mined::FORESEEN), Ok(()), "as it was proven");
    assert!(mined(1_000, later).unwrap_err().contains("AA51"), "a second later");
    assert_eq!(mined(room, later), Ok(()));
    // Nor is the room much larger than what is needed.
    assert!(mined(room - 400, later).unwrap_err().contains("AA51"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_room_a_bundle_runs_out_of_gas_in_every_later_version() {
    for version in [V0_7, V0_8, V0_9] {
        let mined = Mined { timestamp: NOW + 2, ..Mined::FORESEEN };
        let mut bundles = Vec::new();
        for end in [End::Invalid, End::Revert(2_048)] {
            let mut world = World::new(version);
            let ops: Vec<_> = (1..=40).map(|index| later(&mut world, index, Some(2_048), end)).collect();
            let head = world.head(fees(), None);
            let mut admitted = Vec::new();
            for op in ops {
                admitted.push(admit_at_the_least(op, &world, &head).await);
            }
            bundles.push((Bundle::new(version.canonical_address(), version, admitted), world));
        }
        let [(burning, quiet), (bursting, loud)] = bundles.try_into().unwrap();
        assert!(mine(&bursting, bursting.gas_limit(), &loud, mined).is_ok(), "{version}");
        // All that the limits allow, and nothing that the EntryPoint would have to do about it.
        let tight = least_gas(&burning, &quiet, mined);
        assert!(mine(&bursting, tight, &loud, Mined::FORESEEN).is_ok(), "{version}: as it was proven");
        assert!(mine(&bursting, tight, &loud, mined).is_err(), "{version}: a second later");
    }
}

/// The least gas, to a thousand, that a bundle does not revert with.
fn least_gas(bundle: &Bundle, world: &World, mined: Mined) -> u64 {
    let (mut low, mut high) = (21_000, bundle.gas_limit());
    while high - low > 1_000 {
        let middle = low.midpoint(high);
        if mine(bundle, middle, world, mined).is_ok() { high = middle } else { low = middle }
    }
    high
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_is_for_staked_paymasters_and_of_2048_bytes_at_most() {
    for version in EntryPointVersion::ALL {
        for (context, staked, rule) in [
            (0, false, None),
            (32, false, Some("EREP-050")),
            (32, true, None),
            (2_048, true, None),
            (2_049, true, Some("LIM-020")),
            (20_000, true, Some("LIM-020")),
        ] {
            let mut world = World::new(version);
            let mut op = later(&mut world, 1, Some(context), End::Stop);
            let payer = op.paymaster_address().unwrap();
            world.deposit(payer, staked);
            (op.pre_verification_gas, op.max_fee_per_gas) = (200_000, 3 * BASE_FEE);
            if version == V0_6 {
                let paymaster = op.paymaster.as_mut().unwrap();
                (paymaster.verification_gas_limit, paymaster.post_op_gas_limit) = (0, 0);
            }
            let head = world.head(fees(), None);
            let config = world.config();
            let on = Grounds { config: &config, head: &head, bundler: BUNDLER };
            let entry_point = version.canonical_address();
            let hash = admission::screen(&op, entry_point, on).await.unwrap();
            let admitted = admission::admit(Arc::new(op), hash, entry_point, &[], on).await;
            match (admitted, rule) {
                (Ok(admitted), None) => {
                    assert_eq!(admitted.uncontained().is_some(), version == V0_6 && context > 0, "{version} {context}");
                }
                (Err(Rejection::Rule(violation)), Some(rule)) => {
                    assert_eq!(violation.rule.id(), rule, "{version} {context}");
                    assert!(violation.to_string().contains(&payer.to_string()));
                }
                (other, _) => panic!("{version} {context} {staked}: {other:?}"),
            }
        }
    }
}
