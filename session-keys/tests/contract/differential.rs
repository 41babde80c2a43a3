//! Our verdict is the contract's: validation data, revert data and counters, on random policies and operations.

use std::collections::BTreeMap;

use alloy::{primitives::U256, sol_types::SolCall};
use erc4337::abi::smart_account::{Session, getSessionDigestCall, getSessionIdCall};
use session_keys::{
    Policy, SessionKey,
    policy::judge::{Counters, Status},
    session_key::Curve,
};

use crate::{
    chain::{CHAIN, Chain},
    dice::Dice,
    random,
};

/// Pairs in `make test`; `make sessions` sets FABSTIR_PAIRS.
const PAIRS: u64 = 3_000;
/// Operations that each policy judges, one after the other.
const OPERATIONS: u64 = 8;

/// One policy and its operations; how many allowed, and refused by which error.
fn campaign(
    chain: &mut Chain,
    keys: &[SessionKey],
    seed: u64,
    tally: &mut BTreeMap<String, u64>,
) -> Result<(), String> {
    let dice = &mut Dice::new(seed);
    let key = if dice.chance(90) { &keys[0] } else { &keys[1] };
    let policy = random::policy(dice, key.public(), &chain.place);
    let id = policy.id().unwrap();
    let place = chain.place;
    let mut counters = Counters { spent: vec![Default::default(); policy.limits.len()], ..Counters::default() };
    for step in 0..OPERATIONS {
        let op = random::operation(dice, &policy, id, &place);
        let enabling = dice.chance(if counters.status == Status::None { 90 } else { 10 });
        // Somebody else's key, now and then.
        let signer = if dice.chance(4) { &keys[2] } else { key };
        let signed = signer.public() == policy.key;
        let op = chain.sign(op, &policy, signer, enabling);
        let ours = policy.judge(id, &counters, &op, enabling, &place);
        let theirs = chain.validate(&op);
        let expected = ours.clone().map_err(|violation| violation.revert_data()).map(|allowed| {
            let window = U256::from(allowed.valid_until) << 160 | U256::from(allowed.valid_after) << 208;
            window | U256::from(u8::from(!signed))
        });
        let name = match &ours {
            Ok(_) => "allowed".to_owned(),
            Err(violation) => format!("{violation:?}").split(['(', ' ']).next().unwrap().to_owned(),
        };
        *tally.entry(name).or_default() += 1;
        if expected != theirs {
            return Err(format!("step {step}: ours {ours:?}, theirs {theirs:?}, {policy:#?} {op:#?}"));
        }
        if let Ok(allowed) = ours {
            counters = allowed.next;
        }
        let kept = chain.counters(id, policy.limits.len());
        if kept != counters {
            return Err(format!("step {step}: we count {counters:?}, the account {kept:?}"));
        }
    }
    Ok(())
}

/// Seeds about which we and the contract once disagreed; run first.
const DISAGREEMENTS: &str = include_str!("disagreements.txt");

#[test]
fn our_verdict_is_the_contracts() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seed = number("FABSTIR_SEED").unwrap_or(9);
    let pairs = number("FABSTIR_PAIRS").unwrap_or(PAIRS);
    let mut chain = Chain::new(random::START + 5);
    let keys = [Curve::Secp256k1, Curve::P256, Curve::Secp256k1].map(|curve| SessionKey::generate(curve).unwrap());
    let mut tally = BTreeMap::new();
    let kept = DISAGREEMENTS.lines().filter(|line| !line.starts_with('#')).map(|line| line.parse().unwrap());
    let fresh = (0..pairs.div_ceil(OPERATIONS)).map(|n| Dice::new(seed ^ n.rotate_left(32)).throw());
    for seed in kept.chain(fresh) {
        if let Err(difference) = campaign(&mut chain, &keys, seed, &mut tally) {
            panic!("keep seed {seed} in disagreements.txt: {difference}");
        }
    }
    let all: u64 = tally.values().sum();
    println!("{all} pairs, seed {seed}: no disagreement; {tally:?}");
    assert!(tally["allowed"] * 10 > all, "one in ten must be allowed, or little was compared: {tally:?}");
    assert!(tally.len() > 14, "not every verdict was reached: {tally:?}");
}

#[test]
fn ids_and_digests_are_the_contracts_and_sessions_read_back_as_the_policies_they_were() {
    let mut chain = Chain::new(random::START);
    let key = SessionKey::generate(Curve::P256).unwrap();
    for seed in 0..200 {
        let mut policy = random::policy(&mut Dice::new(seed), key.public(), &chain.place);
        policy.vouchers.push(session_keys::policy::VoucherRight {
            domain_separator: alloy::primitives::B256::repeat_byte(3),
            type_hash: alloy::primitives::B256::repeat_byte(4),
            amount_field: 1,
            max_amount: U256::from(seed),
        });
        let session: Session = policy.to_session().unwrap();
        assert_eq!(Policy::from_session(&session).unwrap(), policy);
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy, "{json}");
        let account = chain.place.account;
        let mut ask = |data: Vec<u8>| chain.call(account, account, data).unwrap();
        let id = ask(getSessionIdCall { session: session.clone() }.abi_encode());
        assert_eq!(id[..], policy.id().unwrap()[..]);
        let digest = ask(getSessionDigestCall { session }.abi_encode());
        assert_eq!(digest[..], policy.digest(CHAIN, account).unwrap()[..]);
    }
}
