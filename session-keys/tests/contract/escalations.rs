//! What a thief with a session key tries: every operation that would take more than the policy states.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::{SolCall, SolValue},
};
use erc4337::{
    EntryPointVersion, HashContext, Initializer, Paymaster, UserOperation,
    abi::{
        entry_point_v08::{depositToCall, withdrawToCall},
        smart_account::{self as account_abi, addOwnerCall, enableSessionCall, executeCall, removeOwnerCall},
        test_usdc::{approveCall, mintCall, transferCall, transferFromCall},
    },
    calls::{self, Call},
};
use session_keys::{
    Policy, SessionKey,
    policy::{ArgumentRule, CallRule, Condition, SpendLimit, judge::nonce_key},
};

/// Who may be paid.
pub const MERCHANT: Address = Address::repeat_byte(0x3e);
/// Who may not.
pub const THIEF: Address = Address::repeat_byte(0x7f);
/// Base units a period.
pub const PER_DAY: u128 = 100;
/// Base units in all.
pub const IN_ALL: u128 = 250;
/// Seconds of a period.
pub const DAY: u64 = 86_400;
/// Gas of one operation, at most.
pub const GAS: u128 = 800_000;

/// The key, and where it is good for something.
pub struct Stolen<'a> {
    /// The key.
    pub key: &'a SessionKey,
    /// What it may do: that of `merchant_policy`.
    pub policy: &'a Policy,
    /// The account.
    pub account: Address,
    /// Its owner.
    pub owner: Address,
    /// The owner's signature of the policy.
    pub granted: &'a [u8],
    /// What is spent.
    pub token: Address,
    /// The account's, of v0.8.
    pub entry_point: Address,
    /// EIP-155.
    pub chain_id: u64,
    /// Wei for a unit of gas.
    pub fee: u128,
}

/// The merchant may be paid so much a period and in all, for three days; gas for ten operations.
pub fn merchant_policy(
    token: Address,
    key: &SessionKey,
    start: u64,
    period: u64,
    limits: (u128, u128),
    fee: u128,
) -> Policy {
    Policy {
        key: key.public(),
        valid_after: start,
        valid_until: start + 3 * DAY - 1,
        period,
        max_uses: None,
        epoch: 0,
        salt: U256::from(1),
        paymaster: None,
        gas_budget: 10 * GAS * fee,
        limits: vec![SpendLimit { token, per_period: limits.0, total: limits.1 }],
        calls: vec![CallRule {
            target: token,
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

impl Stolen<'_> {
    /// A transfer.
    pub fn pay(&self, to: Address, amount: u128) -> Call {
        let data = transferCall { to, value: U256::from(amount) }.abi_encode().into();
        Call { target: self.token, value: U256::ZERO, data }
    }

    /// An unsigned operation of a session.
    pub fn operation(&self, id: B256, period: u64, lane: u16, sequence: u64, data: Bytes) -> UserOperation {
        UserOperation {
            sender: self.account,
            nonce: (nonce_key(id, period, lane) << 64) | U256::from(sequence),
            call_data: data,
            call_gas_limit: 200_000,
            verification_gas_limit: 500_000,
            pre_verification_gas: 100_000,
            max_fee_per_gas: self.fee,
            max_priority_fee_per_gas: self.fee,
            ..Default::default()
        }
    }

    /// Its hash.
    pub fn hash(&self, op: &UserOperation) -> B256 {
        let context =
            HashContext { version: EntryPointVersion::V0_8, entry_point: self.entry_point, chain_id: self.chain_id };
        op.hash(&context, None).unwrap()
    }

    /// Signed for the enabled session.
    pub fn sign(&self, mut op: UserOperation) -> UserOperation {
        let signature = self.key.sign(self.hash(&op)).unwrap();
        op.signature = self.policy.operation_signature(&[], &signature).unwrap();
        op
    }
}

/// The word of an address or number.
fn word(value: impl SolValue) -> Vec<u8> {
    value.abi_encode()
}

/// Signed operations, each with what it would do.
pub fn escalations(stolen: &Stolen<'_>) -> Vec<(&'static str, UserOperation)> {
    let Stolen { key, policy, account, owner, granted, token, entry_point, chain_id, fee } = *stolen;
    let id = policy.id().unwrap();
    let op = |data: Bytes| stolen.operation(id, 0, 0, 0, data);
    let one = |call: Call| op(calls::encode(&[call]));
    let to = |target: Address, data: Vec<u8>| Call { target, value: U256::ZERO, data: data.into() };
    let ours = account;
    let mine = Bytes::from(word(THIEF));
    let fine = stolen.pay(MERCHANT, 1);
    let signature = |text: &str, arguments: Vec<u8>| [&keccak256(text)[..4], &arguments].concat();
    let both = [word(THIEF), word(U256::from(1))].concat();
    let paid = calls::encode(std::slice::from_ref(&fine));
    let wider = wider(policy);
    let again = Policy { salt: U256::from(2), ..policy.clone() };
    let of = |policy: &Policy| stolen.operation(policy.id().unwrap(), 0, 0, 0, paid.clone());
    let owner_call = |call: Vec<u8>| one(to(ours, call));
    let enable_wider = enableSessionCall { session: wider.to_session().unwrap() }.abi_encode();
    let mut offsets = calls::encode(&[fine.clone(), fine.clone()]).to_vec();
    offsets[4 + 0x40 + 0x3f] = offsets[4 + 0x40 + 0x1f];
    let bare = |nonce: U256| UserOperation { nonce, ..op(paid.clone()) };

    // Signed by the stolen key, for the session it has.
    let attempts: Vec<(&str, UserOperation)> = vec![
        ("pays itself", one(stolen.pay(THIEF, 1))),
        ("pays more than a day's", one(stolen.pay(MERCHANT, PER_DAY + 1))),
        (
            "pays a day's twice in a batch",
            op(calls::encode(&[stolen.pay(MERCHANT, PER_DAY), stolen.pay(MERCHANT, PER_DAY)])),
        ),
        ("pays the largest number", one(to(token, transferCall { to: MERCHANT, value: U256::MAX }.abi_encode()))),
        (
            "overflows the sum",
            op(calls::encode(&[
                to(token, transferCall { to: MERCHANT, value: U256::MAX }.abi_encode()),
                stolen.pay(MERCHANT, 2),
            ])),
        ),
        ("hides a transfer behind an allowed one", op(calls::encode(&[fine.clone(), stolen.pay(THIEF, 1)]))),
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
        ("removes the owner", owner_call(removeOwnerCall { owner: word(owner).into() }.abi_encode())),
        (
            "upgrades the account",
            owner_call(account_abi::upgradeToAndCallCall { newImplementation: THIEF, data: Bytes::new() }.abi_encode()),
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
        ("claims tomorrow", stolen.operation(id, 1, 0, 0, paid.clone())),
        ("claims a day after the last", stolen.operation(id, 3, 0, 0, paid.clone())),
        ("claims the largest period", stolen.operation(id, (1 << 48) - 1, 0, 0, paid.clone())),
        (
            "brings a paymaster of its own",
            UserOperation { paymaster: Some(Paymaster { address: THIEF, ..Default::default() }), ..op(paid.clone()) },
        ),
        (
            "burns more gas than budgeted",
            UserOperation { max_fee_per_gas: 11 * fee, max_priority_fee_per_gas: 11 * fee, ..op(paid.clone()) },
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
        attempts.into_iter().map(|(what, op)| (what, stolen.sign(op))).collect();

    // Signed otherwise.
    let by_key = |op: &UserOperation| key.sign(stolen.hash(op)).unwrap();
    let with = |op: UserOperation, signature: Bytes| UserOperation { signature, ..op };
    let forged = |policy: &Policy, owner: &[u8]| {
        let op = of(policy);
        let key_signature = by_key(&op);
        with(op, policy.operation_signature(owner, &key_signature).unwrap())
    };
    let as_owner = key.sign(wider.digest(chain_id, account).unwrap()).unwrap();
    signed.push(("brings a wider session that nobody signed", forged(&wider, &[])));
    signed.push(("signs a wider session itself", forged(&wider, &as_owner)));
    signed.push(("brings the owner's signature for a wider session", forged(&wider, granted)));
    signed.push(("brings the owner's signature for a second session", forged(&again, granted)));
    signed.push(("signs as an owner", with(op(paid.clone()), by_key(&op(paid.clone())))));
    let changed = stolen.sign(op(paid.clone()));
    signed.push(("changes what was signed", with(one(stolen.pay(MERCHANT, 2)), changed.signature)));
    signed
}

/// Calls that the key makes to the account itself, without the EntryPoint.
pub fn direct(stolen: &Stolen<'_>) -> [Vec<u8>; 4] {
    let wider = wider(stolen.policy);
    let pay = stolen.pay(THIEF, 1);
    [
        executeCall { target: pay.target, value: U256::ZERO, data: pay.data }.abi_encode(),
        enableSessionCall { session: wider.to_session().unwrap() }.abi_encode(),
        addOwnerCall { owner: word(THIEF).into() }.abi_encode(),
        account_abi::revokeAllSessionsCall {}.abi_encode(),
    ]
}

/// The policy as the thief would like it.
fn wider(policy: &Policy) -> Policy {
    let limit = SpendLimit { per_period: 1 << 100, total: 1 << 100, ..policy.limits[0].clone() };
    Policy { limits: vec![limit], ..policy.clone() }
}
