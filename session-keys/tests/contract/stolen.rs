//! A session key in a thief's hand, who is the bundler too: what it tries, and what it gets.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::SolCall,
};
use erc4337::{
    UserOperation,
    abi::{
        smart_account::{self as account, enableSessionCall},
        test_usdc::transferCall,
    },
    calls::{self, Call},
};
use session_keys::{Policy, SecretKey, SessionKey, policy::judge::Counters};

pub(crate) use crate::escalations::{DAY, MERCHANT};
use crate::{
    chain::{CHAIN, Chain},
    escalations::{self, GAS, IN_ALL, PER_DAY, Stolen, THIEF, escalations},
    random::START,
};

/// The merchant may be paid so much a period and in all, for three days, at a wei per gas.
pub(crate) fn merchant_policy(chain: &Chain, key: &SessionKey, period: u64, per_period: u128, total: u128) -> Policy {
    escalations::merchant_policy(chain.token, key, START, period, (per_period, total), 1)
}

fn stolen<'a>(chain: &Chain, key: &'a SessionKey, policy: &'a Policy, granted: &'a [u8]) -> Stolen<'a> {
    Stolen {
        key,
        policy,
        account: chain.place.account,
        owner: chain.owner.address(),
        granted,
        token: chain.token,
        entry_point: chain.place.entry_point,
        chain_id: CHAIN,
        fee: 1,
    }
}

pub(crate) fn pay(chain: &Chain, to: Address, amount: u128) -> Call {
    let data = transferCall { to, value: U256::from(amount) }.abi_encode().into();
    Call { target: chain.token, value: U256::ZERO, data }
}

/// An operation of this session, at a wei per gas.
pub(crate) fn operation(chain: &Chain, id: B256, period: u64, lane: u16, sequence: u64, data: Bytes) -> UserOperation {
    let key = SessionKey::Secp256k1(SecretKey::generate());
    let policy = merchant_policy(chain, &key, DAY, PER_DAY, IN_ALL);
    stolen(chain, &key, &policy, &[]).operation(id, period, lane, sequence, data)
}

#[test]
fn a_stolen_key_takes_at_most_what_its_policy_states() {
    let mut chain = Chain::new(START + 5);
    let key = SessionKey::Secp256k1(SecretKey::generate());
    let policy = merchant_policy(&chain, &key, DAY, PER_DAY, IN_ALL);
    let id = policy.id().unwrap();
    let granted = chain.owner.sign(policy.digest(CHAIN, chain.place.account).unwrap()).unwrap();
    chain.as_owner(enableSessionCall { session: policy.to_session().unwrap() }).unwrap();
    let account = chain.place.account;
    let (tokens, wei) = (chain.tokens(account), chain.balance(account));
    let granted = granted.as_bytes();
    let thief = stolen(&chain, &key, &policy, &granted);
    let (signed, direct) = (escalations(&thief), escalations::direct(&thief));
    let tried = signed.len();

    for (what, op) in &signed {
        assert!(chain.handle_ops(THIEF, std::slice::from_ref(op)).is_err(), "it {what}, and the chain takes it");
        let judged = policy.judge(id, &chain.counters(id, 1), op, false, &chain.place);
        let by_signature = ["signs", "changes", "brings a wider", "brings the owner's", "creates", "claims tomorrow"];
        assert!(judged.is_err() || by_signature.iter().any(|name| what.starts_with(name)), "it {what}, and we sign it");
    }
    // Without the EntryPoint, and for whatever asks ERC-1271.
    let PublicAddress(caller) = PublicAddress::of(&key);
    for data in direct.iter().cloned() {
        assert!(chain.call(caller, account, data).is_err(), "the key acts without the EntryPoint");
    }
    let hash = B256::repeat_byte(5);
    let asked = account::isValidSignatureCall { hash, signature: key.sign(hash).unwrap() }.abi_encode();
    let answer = chain.call(THIEF, account, asked).unwrap();
    assert_ne!(answer[..4], [0x16, 0x26, 0xba, 0x7e], "the key signs for the account");

    assert_eq!((chain.tokens(account), chain.balance(account)), (tokens, wei), "nothing was taken so far");
    assert_eq!(
        chain.counters(id, 1),
        Counters {
            status: session_keys::policy::judge::Status::Enabled,
            spent: vec![Default::default()],
            ..Default::default()
        }
    );

    // All that is left is to spend what the owner agreed to, and to burn the gas.
    let mut replayed = None;
    for day in 0..3 {
        chain.time = START + day * DAY + 1;
        for (sequence, amount) in [PER_DAY, PER_DAY, 50, 1].into_iter().enumerate() {
            let taken = chain.counters(id, 1).spent[0];
            let sequence = if taken.period == day && taken.in_period > 0 { 1 } else { 0 }.min(sequence as u64);
            let op = operation(&chain, id, day, 0, sequence, calls::encode(&[pay(&chain, MERCHANT, amount)]));
            let op = chain.sign(op, &policy, &key, false);
            if chain.handle_ops(THIEF, std::slice::from_ref(&op)).is_ok() {
                replayed = Some(op);
            }
        }
    }
    assert!(chain.handle_ops(THIEF, &[replayed.unwrap()]).is_err(), "an operation is replayed");
    let (taken, gas) = (tokens - chain.tokens(account), wei - chain.balance(account));
    assert_eq!(chain.tokens(MERCHANT), taken);
    assert_eq!((taken, chain.tokens(THIEF)), (U256::from(IN_ALL), U256::ZERO));
    assert!(gas <= U256::from(10 * GAS));
    let direct = direct.len() + 2;
    println!(
        "{} escalations refused; {taken} of {IN_ALL} units taken, all by the merchant; {gas} of {} wei of gas",
        tried + direct,
        10 * GAS
    );
    assert!(tried + direct >= 30);
}

/// The address that a secp256k1 session key acts as by itself.
struct PublicAddress(Address);

impl PublicAddress {
    fn of(key: &SessionKey) -> Self {
        match key.public() {
            session_keys::PublicKey::Address(address) => Self(address),
            other => panic!("{other} is no address"),
        }
    }
}
