//! Random policies, and operations that come close to them.

use alloy::{
    primitives::{Address, B256, Bytes, FixedBytes, U256},
    sol_types::SolCall,
};
use erc4337::{
    Paymaster, UserOperation,
    abi::test_usdc::{approveCall, transferCall, transferFromCall},
    calls::{self, Call},
};
use session_keys::{
    Policy, PublicKey,
    policy::{
        ArgumentRule, CallRule, Condition, SpendLimit,
        judge::{Place, nonce_key},
        rules::word_at,
    },
};

use crate::dice::Dice;

pub(crate) const START: u64 = 1_750_000_000;
const OTHER: FixedBytes<4> = FixedBytes([0xca, 0xfe, 0, 1]);

fn addresses(place: &Place) -> [Address; 6] {
    [1, 2, 3, 4]
        .map(Address::repeat_byte)
        .into_iter()
        .chain([place.account, place.entry_point])
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

fn amount(dice: &mut Dice) -> u128 {
    let edge = [0, 1, 99, 100, 101, 1 << 64, (1 << 104) - 1];
    if dice.chance(30) { dice.pick(&edge) } else { u128::from(dice.throw() % 100) }
}

pub(crate) fn policy(dice: &mut Dice, key: PublicKey, place: &Place) -> Policy {
    let places = addresses(place);
    let tokens = [Address::ZERO, places[0], places[1]];
    let limits: Vec<_> = (0..dice.below(4))
        .map(|_| SpendLimit {
            token: dice.pick(&tokens),
            per_period: amount(dice),
            total: amount(dice) * 3 % (1 << 104),
        })
        .collect();
    let valid_after = dice.pick(&[START, START, START, 0, 1]);
    let mut policy = Policy {
        key: if dice.chance(3) { PublicKey::Address(Address::ZERO) } else { key },
        valid_after,
        valid_until: valid_after + if dice.chance(95) { 86_400 * 3 - 1 } else { dice.pick(&[3_600, 1, 0, 1 << 47]) },
        period: dice.pick(&[0, 86_400, 86_400, 3_600, 1, (1 << 48) - 1]),
        max_uses: dice.pick(&[None, None, None, None, Some(1), Some(3)]),
        epoch: u64::from(dice.chance(3)),
        salt: U256::from(dice.throw()),
        paymaster: dice.pick(&[None, None, Some(places[3])]),
        gas_budget: if dice.chance(80) { u128::MAX } else { dice.pick(&[10_u128.pow(18), 3_000_000, 0]) },
        limits,
        calls: vec![],
        vouchers: vec![],
    };
    let count = dice.below(4);
    policy.calls = (0..=count).map(|_| rule(dice, &policy, &places)).collect();
    policy
}

fn rule(dice: &mut Dice, policy: &Policy, places: &[Address; 6]) -> CallRule {
    let targets = if dice.chance(1) { &places[..] } else { &places[..3] };
    let mut rule = CallRule {
        target: dice.pick(targets),
        selector: OTHER,
        max_length: dice.pick(&[4, 36, 68, 100, 132]),
        value_limit: 0,
        amount_limit: 0,
        amount_word: dice.below(3) as u8,
        arguments: vec![],
    };
    match dice.below(8) {
        0 => (rule.selector, rule.max_length) = (FixedBytes::ZERO, 0),
        1 => (rule.selector, rule.max_length, rule.amount_word) = (transferFromCall::SELECTOR.into(), 100, 2),
        2 => (rule.selector, rule.max_length, rule.amount_word) = (approveCall::SELECTOR.into(), 68, 1),
        3 | 4 => (rule.selector, rule.max_length, rule.amount_word) = (transferCall::SELECTOR.into(), 68, 1),
        5 if dice.chance(10) => rule.selector = dice.pick(&[[0xa2, 0x2c, 0xb4, 0x65], [0x39, 0x50, 0x93, 0x51]]).into(),
        _ => {}
    }
    // Mostly limits that fit; sometimes any number at all.
    let fitting = |want: &dyn Fn(&SpendLimit) -> bool| policy.limits.iter().position(want).map_or(0, |at| at as u8 + 1);
    if !rule.selector.is_zero() && (rule.selector != OTHER || dice.chance(40)) {
        let moves = rule.selector != OTHER;
        rule.amount_limit = fitting(&|limit| if moves { limit.token == rule.target } else { !limit.token.is_zero() });
    }
    if dice.chance(40) {
        rule.value_limit = fitting(&|limit| limit.token.is_zero());
    }
    let moves = !rule.selector.is_zero() && rule.selector != OTHER;
    if moves && rule.amount_limit == 0 && dice.chance(95) {
        rule.selector = OTHER;
    }
    if dice.chance(2) {
        rule.amount_limit = dice.below(5) as u8;
    }
    if dice.chance(2) {
        rule.value_limit = dice.below(5) as u8;
    }
    if rule.selector == approveCall::SELECTOR && dice.chance(90) {
        rule.arguments.push(ArgumentRule { word: 0, must_be: Condition::OneOf(vec![places[2].into_word()]) });
    }
    for _ in 0..dice.weighted(&[60, 30, 10]) {
        let value = B256::from(U256::from(amount(dice)));
        let must_be = match dice.below(4) {
            0 => Condition::OneOf(
                (0..dice.below(3)).map(|n| if n == 0 { value } else { places[n].into_word() }).collect(),
            ),
            1 => Condition::AtMost(value),
            2 => Condition::AtLeast(value),
            _ => Condition::Account,
        };
        rule.arguments.push(ArgumentRule { word: dice.below(3) as u8, must_be });
    }
    rule
}

pub(crate) fn operation(dice: &mut Dice, policy: &Policy, id: B256, place: &Place) -> UserOperation {
    let period = if policy.period == 0 && dice.chance(90) { 0 } else { dice.below(4) as u64 };
    let mut nonce = nonce_key(id, period, dice.below(3) as u16) << 64;
    if dice.chance(3) {
        nonce ^= U256::from(1) << (128 + dice.below(128));
    }
    let paymaster = if dice.chance(5) { dice.pick(&[None, Some(Address::repeat_byte(8))]) } else { policy.paymaster };
    UserOperation {
        sender: place.account,
        nonce,
        call_data: call_data(dice, policy, place),
        call_gas_limit: 200_000,
        verification_gas_limit: dice.pick(&[500_000, 1]),
        pre_verification_gas: 50_000,
        max_fee_per_gas: dice.pick(&[1, 1, 1, 1, 1_000_000_000]),
        max_priority_fee_per_gas: 1,
        paymaster: paymaster.map(|address| Paymaster {
            address,
            verification_gas_limit: 30_000,
            post_op_gas_limit: 7,
            data: Bytes::from(vec![1; dice.below(3)]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn call_data(dice: &mut Dice, policy: &Policy, place: &Place) -> Bytes {
    let count = dice.weighted(&[1, 70, 20, 9]);
    let calls: Vec<_> = (0..count).map(|_| call(dice, policy, place)).collect();
    let mut data = if count == 1 && dice.chance(20) {
        let batch = calls::encode(&[calls[0].clone(), calls[0].clone()]);
        batch.to_vec()
    } else {
        calls::encode(&calls).to_vec()
    };
    if dice.chance(10) {
        match dice.below(4) {
            0 => data.push(0),
            1 => data.truncate(dice.below(data.len() + 1)),
            _ => {
                let at = dice.below(data.len());
                data[at] ^= 1 << dice.below(8);
            }
        }
    }
    data.into()
}

/// A call that one of the rules allows, or nearly.
fn call(dice: &mut Dice, policy: &Policy, place: &Place) -> Call {
    let rule = dice.pick(&policy.calls);
    let words = (rule.max_length.saturating_sub(4) / 32) as usize;
    let mut data = rule.selector.to_vec();
    for _ in 0..words {
        data.extend(B256::from(U256::from(amount(dice) % 120)));
    }
    for argument in &rule.arguments {
        let word = match &argument.must_be {
            Condition::OneOf(values) if !values.is_empty() => dice.pick(values),
            Condition::AtMost(value) | Condition::AtLeast(value) => *value,
            Condition::Account => place.account.into_word(),
            Condition::OneOf(_) => continue,
        };
        if word_at(&data, argument.word).is_some() && dice.chance(95) {
            let start = 4 + usize::from(argument.word) * 32;
            data[start..start + 32].copy_from_slice(word.as_slice());
        }
    }
    if rule.selector.is_zero() {
        data.clear();
    }
    let mut call = Call { target: rule.target, value: U256::ZERO, data: data.into() };
    if rule.value_limit != 0 && dice.chance(60) {
        call.value = U256::from(amount(dice));
    }
    match dice.below(40) {
        0 => call.target = dice.pick(&addresses(place)),
        1 => call.value = dice.pick(&[U256::from(1), U256::MAX]),
        2 => call.data = [call.data.as_ref(), &[0]].concat().into(),
        3 => call.data = call.data[..call.data.len().min(dice.below(8))].to_vec().into(),
        4 if call.data.len() >= 36 => {
            let at = 4 + dice.below(call.data.len() - 4);
            let mut data = call.data.to_vec();
            data[at] = 0xff;
            call.data = data.into();
        }
        _ => {}
    }
    call
}
