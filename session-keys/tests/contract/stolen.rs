//! A session key in a thief's hand, who is the bundler too: what it tries, and what it gets.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::{SolCall, SolValue},
};
use erc4337::{
    Initializer, Paymaster, UserOperation,
    abi::{
        entry_point_v08::{depositToCall, withdrawToCall},
        smart_account::{self as account, addOwnerCall, enableSessionCall, executeCall, removeOwnerCall},
        test_usdc::{approveCall, mintCall, transferCall, transferFromCall},
    },
    calls::{self, Call},
};
use session_keys::{
    Policy, SecretKey, SessionKey,
    policy::{
        ArgumentRule, CallRule, Condition, SpendLimit,
        judge::{Counters, nonce_key},
    },
};

use crate::{chain::Chain, random::START};

pub(crate) const DAY: u64 = 86_400;
pub(crate) const MERCHANT: Address = Address::repeat_byte(0x3e);
const THIEF: Address = Address::repeat_byte(0x7f);
const PER_DAY: u128 = 100;
const IN_ALL: u128 = 250;
/// Wei: ten operations at most.
const GAS_BUDGET: u128 = 10 * GAS;
/// Wei of one operation at a fee of one wei.
const GAS: u128 = 750_000;

/// The merchant may be paid so much a period and in all, for three days.
pub(crate) fn merchant_policy(chain: &Chain, key: &SessionKey, period: u64, per_period: u128, total: u128) -> Policy {
    Policy {
        key: key.public(),
        valid_after: START,
        valid_until: START + 3 * DAY - 1,
        period,
        max_uses: None,
        epoch: 0,
        salt: U256::from(1),
        paymaster: None,
        gas_budget: GAS_BUDGET,
        limits: vec![SpendLimit { token: chain.token, per_period, total }],
        calls: vec![CallRule {
            target: chain.token,
            selector: transferCall::SELECTOR.into(),
            max_length: 68,
            value_limit: 0,
            amount_limit: 1,
            amount_word: 1,
            arguments: vec![ArgumentRule { word: 0, must_be: Condition::OneOf(vec![MERCHANT.into_word()]) }],
        }],
        vouchers: vec![],
    }
}

pub(crate) fn pay(chain: &Chain, to: Address, amount: u128) -> Call {
    let data = transferCall { to, value: U256::from(amount) }.abi_encode().into();
    Call { target: chain.token, value: U256::ZERO, data }
}

/// An operation of this session, at a wei per gas.
pub(crate) fn operation(chain: &Chain, id: B256, period: u64, lane: u16, sequence: u64, data: Bytes) -> UserOperation {
    UserOperation {
        sender: chain.place.account,
        nonce: (nonce_key(id, period, lane) << 64) | U256::from(sequence),
        call_data: data,
        call_gas_limit: 200_000,
        verification_gas_limit: 500_000,
        pre_verification_gas: 50_000,
        max_fee_per_gas: 1,
        max_priority_fee_per_gas: 1,
        ..Default::default()
    }
}

/// The word of an address or number.
fn word(value: impl SolValue) -> Vec<u8> {
    value.abi_encode()
}

#[test]
fn a_stolen_key_takes_at_most_what_its_policy_states() {
    let mut chain = Chain::new(START + 5);
    let key = SessionKey::Secp256k1(SecretKey::generate());
    let policy = merchant_policy(&chain, &key, DAY, PER_DAY, IN_ALL);
    let id = policy.id().unwrap();
    let granted = chain.owner.sign(policy.digest(crate::chain::CHAIN, chain.place.account).unwrap()).unwrap();
    chain.as_owner(enableSessionCall { session: policy.to_session().unwrap() }).unwrap();
    let (account, token, entry_point) = (chain.place.account, chain.token, chain.place.entry_point);
    let (tokens, wei) = (chain.tokens(account), chain.balance(account));

    let op = |data: Bytes| operation(&chain, id, 0, 0, 0, data);
    let one = |call: Call| op(calls::encode(&[call]));
    let to = |target: Address, data: Vec<u8>| Call { target, value: U256::ZERO, data: data.into() };
    let ours = account;
    let mine = Bytes::from(word(THIEF));
    let fine = pay(&chain, MERCHANT, 1);
    let signature = |text: &str, arguments: Vec<u8>| [&keccak256(text)[..4], &arguments].concat();
    let both = [word(THIEF), word(U256::from(1))].concat();
    let paid = calls::encode(std::slice::from_ref(&fine));
    let wider = Policy {
        limits: vec![SpendLimit { per_period: 1 << 100, total: 1 << 100, ..policy.limits[0].clone() }],
        ..policy.clone()
    };
    let again = Policy { salt: U256::from(2), ..policy.clone() };
    let of = |policy: &Policy| operation(&chain, policy.id().unwrap(), 0, 0, 0, paid.clone());
    let owner_call = |call: Vec<u8>| one(to(ours, call));
    let enable_wider = enableSessionCall { session: wider.to_session().unwrap() }.abi_encode();
    let mut offsets = calls::encode(&[fine.clone(), fine.clone()]).to_vec();
    offsets[4 + 0x40 + 0x3f] = offsets[4 + 0x40 + 0x1f];
    let bare = |nonce: U256| UserOperation { nonce, ..op(paid.clone()) };

    // Signed by the stolen key, for the session it has.
    let attempts: Vec<(&str, UserOperation)> = vec![
        ("pays itself", one(pay(&chain, THIEF, 1))),
        ("pays more than a day's", one(pay(&chain, MERCHANT, PER_DAY + 1))),
        (
            "pays a day's twice in a batch",
            op(calls::encode(&[pay(&chain, MERCHANT, PER_DAY), pay(&chain, MERCHANT, PER_DAY)])),
        ),
        ("pays the largest number", one(to(token, transferCall { to: MERCHANT, value: U256::MAX }.abi_encode()))),
        (
            "overflows the sum",
            op(calls::encode(&[
                to(token, transferCall { to: MERCHANT, value: U256::MAX }.abi_encode()),
                pay(&chain, MERCHANT, 2),
            ])),
        ),
        ("hides a transfer behind an allowed one", op(calls::encode(&[fine.clone(), pay(&chain, THIEF, 1)]))),
        ("approves itself", one(to(token, approveCall { spender: THIEF, value: U256::MAX }.abi_encode()))),
        ("raises an allowance", one(to(token, signature("increaseAllowance(address,uint256)", both.clone())))),
        ("becomes an operator", one(to(token, signature("setApprovalForAll(address,bool)", both.clone())))),
        (
            "permits itself",
            one(to(
                token,
                signature("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)", [0; 224].to_vec()),
            )),
        ),
        (
            "takes by transferFrom",
            one(to(token, transferFromCall { from: ours, to: THIEF, value: U256::from(1) }.abi_encode())),
        ),
        (
            "calls another function of the token",
            one(to(token, mintCall { to: THIEF, amount: U256::from(1) }.abi_encode())),
        ),
        ("calls another contract", one(to(MERCHANT, vec![1, 2, 3, 4]))),
        ("sends native currency", one(Call { target: THIEF, value: U256::from(1), data: Bytes::new() })),
        ("sends native currency along", one(Call { value: U256::from(1), ..fine.clone() })),
        ("adds itself as an owner", owner_call(addOwnerCall { owner: mine.clone() }.abi_encode())),
        ("removes the owner", owner_call(removeOwnerCall { owner: word(chain.owner.address()).into() }.abi_encode())),
        (
            "upgrades the account",
            owner_call(account::upgradeToAndCallCall { newImplementation: THIEF, data: Bytes::new() }.abi_encode()),
        ),
        ("enables a wider session", owner_call(enable_wider.clone())),
        (
            "has the account call itself",
            owner_call(executeCall { target: ours, value: U256::ZERO, data: enable_wider.clone().into() }.abi_encode()),
        ),
        (
            "withdraws the deposit",
            one(to(entry_point, withdrawToCall { withdrawAddress: THIEF, withdrawAmount: U256::from(1) }.abi_encode())),
        ),
        ("moves the deposit", one(to(entry_point, depositToCall { account: THIEF }.abi_encode()))),
        ("calls no execute at all", op(addOwnerCall { owner: mine.clone() }.abi_encode().into())),
        ("sends nothing", op(Bytes::new())),
        ("sends an empty batch", op(calls::encode(&[]))),
        ("adds bytes behind the call", op([paid.as_ref(), &[0; 32]].concat().into())),
        ("lets two calls share their bytes", op(offsets.into())),
        ("cuts the selector", one(to(token, transferCall::SELECTOR[..3].to_vec()))),
        ("adds bytes behind the arguments", one(to(token, [fine.data.as_ref(), &[1]].concat()))),
        (
            "dirties the address",
            one(to(token, {
                let mut data = fine.data.to_vec();
                data[4] = 1;
                data
            })),
        ),
        ("uses another session's nonces", bare(U256::from(1) << 200)),
        ("uses the account's own nonces", bare(U256::ZERO)),
        ("claims tomorrow", operation(&chain, id, 1, 0, 0, paid.clone())),
        ("claims a day after the last", operation(&chain, id, 3, 0, 0, paid.clone())),
        ("claims the largest period", operation(&chain, id, (1 << 48) - 1, 0, 0, paid.clone())),
        (
            "brings a paymaster of its own",
            UserOperation { paymaster: Some(Paymaster { address: THIEF, ..Default::default() }), ..op(paid.clone()) },
        ),
        (
            "burns more gas than budgeted",
            UserOperation { max_fee_per_gas: 11, max_priority_fee_per_gas: 11, ..op(paid.clone()) },
        ),
        (
            "creates the account again",
            UserOperation {
                initializer: Some(Initializer::Factory { address: THIEF, data: Bytes::new() }),
                ..op(paid.clone())
            },
        ),
    ];
    let mut signed: Vec<(&str, UserOperation)> =
        attempts.into_iter().map(|(what, op)| (what, chain.sign(op, &policy, &key, false))).collect();

    // Signed otherwise.
    let by_key = |op: &UserOperation| key.sign(chain.hash(op)).unwrap();
    let with = |op: UserOperation, signature: Bytes| UserOperation { signature, ..op };
    let forged = |policy: &Policy, owner: &[u8]| {
        let op = of(policy);
        let key_signature = by_key(&op);
        with(op, policy.operation_signature(owner, &key_signature).unwrap())
    };
    let as_owner = key.sign(wider.digest(crate::chain::CHAIN, account).unwrap()).unwrap();
    signed.push(("brings a wider session that nobody signed", forged(&wider, &[])));
    signed.push(("signs a wider session itself", forged(&wider, &as_owner)));
    signed.push(("brings the owner's signature for a wider session", forged(&wider, &granted.as_bytes())));
    signed.push(("brings the owner's signature for a second session", forged(&again, &granted.as_bytes())));
    signed.push(("signs as an owner", with(op(paid.clone()), by_key(&op(paid.clone())))));
    let changed = chain.sign(op(paid.clone()), &policy, &key, false);
    signed.push(("changes what was signed", with(one(pay(&chain, MERCHANT, 2)), changed.signature)));
    let tried = signed.len();

    for (what, op) in &signed {
        assert!(chain.handle_ops(THIEF, std::slice::from_ref(op)).is_err(), "it {what}, and the chain takes it");
        let judged = policy.judge(id, &chain.counters(id, 1), op, false, &chain.place);
        let by_signature = ["signs", "changes", "brings a wider", "brings the owner's", "creates", "claims tomorrow"];
        assert!(judged.is_err() || by_signature.iter().any(|name| what.starts_with(name)), "it {what}, and we sign it");
    }
    // Without the EntryPoint, and for whatever asks ERC-1271.
    let PublicAddress(caller) = PublicAddress::of(&key);
    let execute = executeCall { target: token, value: U256::ZERO, data: pay(&chain, THIEF, 1).data }.abi_encode();
    let direct = [
        execute,
        enable_wider,
        addOwnerCall { owner: mine }.abi_encode(),
        account::revokeAllSessionsCall {}.abi_encode(),
    ];
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
    assert!(gas <= U256::from(GAS_BUDGET));
    let direct = direct.len() + 2;
    println!(
        "{} escalations refused; {taken} of {IN_ALL} units taken, all by the merchant; {gas} of {GAS_BUDGET} wei of gas",
        tried + direct
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
