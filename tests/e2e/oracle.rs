//! What the oracle says of tiny programs, each beside a lawful twin.

use std::collections::BTreeSet;

use alloy::{
    eips::eip7702::Authorization,
    primitives::{Address, Bytes, Signature, U256, address, hex, keccak256},
    sol_types::SolCall,
};
use erc4337::{EntryPointVersion, Initializer, Paymaster, UserOperation, abi::entry_point_v08};
use serde_json::json;
use tests::{
    Stack,
    oracle::{Opinion, Oracle},
};

const ACCOUNT: Address = address!("0xacc0000000000000000000000000000000000001");
const PAYMASTER: Address = address!("0xbad0000000000000000000000000000000000002");
const FACTORY: Address = address!("0xfac0000000000000000000000000000000000003");
/// Somebody else's contract, which each case fills.
const OTHER: Address = address!("0x0700000000000000000000000000000000000004");
const NOBODY: Address = address!("0x0800000000000000000000000000000000000005");

/// Returns the word 0, as `validateUserOp` does for "valid".
const VALID: &[u8] = &hex!("5f5f5260205ff3");
/// Returns an empty context and 0, as `validatePaymasterUserOp` does.
const SPONSORED: &[u8] = &hex!("60405f525f6020525f60405260605ff3");
/// Reads, or writes, the storage slot that is its calldata.
const READER: &[u8] = &hex!("5f355450");
const WRITER: &[u8] = &hex!("60015f3555");
const TRANSIENT_READER: &[u8] = &hex!("5f355c50");

struct Bench {
    stack: Stack,
    oracle: Oracle,
    version: EntryPointVersion,
    entry_point: Address,
}

impl Bench {
    async fn new(version: EntryPointVersion) -> Self {
        let stack = Stack::start(&[]).await.unwrap();
        let oracle = Oracle::new(&stack.anvil.url, U256::from(100), 86_400).unwrap();
        let entry_point = stack.deployment.entry_points[&version.to_string()];
        let bench = Self { stack, oracle, version, entry_point };
        for rich in [ACCOUNT, PAYMASTER, FACTORY] {
            bench.anvil("anvil_setBalance", json!([rich, U256::from(10).pow(U256::from(18))])).await;
        }
        bench
    }

    async fn anvil(&self, method: &str, params: serde_json::Value) {
        self.stack.anvil.ask(method, params.as_array().unwrap().clone()).await.unwrap();
    }

    async fn set(&self, address: Address, code: &[u8]) {
        self.anvil("anvil_setCode", json!([address, Bytes::copy_from_slice(code)])).await;
    }

    async fn stake(&self, address: Address, wei: u64, seconds: u32) {
        let data = Bytes::from(entry_point_v08::addStakeCall { unstakeDelaySec: seconds }.abi_encode());
        self.anvil("anvil_impersonateAccount", json!([address])).await;
        self.stack.anvil.send(address, Some(self.entry_point), data, U256::from(wei)).await.unwrap();
    }

    fn operation(&self) -> UserOperation {
        UserOperation {
            sender: ACCOUNT,
            call_gas_limit: 100_000,
            verification_gas_limit: 1_000_000,
            pre_verification_gas: 50_000,
            ..UserOperation::default()
        }
    }

    async fn says(&self, op: &UserOperation) -> Opinion {
        self.oracle.judge(self.version, self.entry_point, op).await.unwrap()
    }

    /// The account runs this, then agrees.
    async fn account(&self, program: &[u8]) -> Opinion {
        self.set(ACCOUNT, &[program, VALID].concat()).await;
        self.says(&self.operation()).await
    }

    /// The paymaster runs this, then agrees; the account does nothing else.
    async fn paymaster(&self, program: &[u8]) -> Opinion {
        self.set(ACCOUNT, VALID).await;
        self.set(PAYMASTER, &[program, SPONSORED].concat()).await;
        let mut paymaster = Paymaster { address: PAYMASTER, ..Paymaster::default() };
        if self.version.is_packed() {
            (paymaster.verification_gas_limit, paymaster.post_op_gas_limit) = (1_000_000, 100_000);
        }
        self.says(&UserOperation { paymaster: Some(paymaster), ..self.operation() }).await
    }

    /// The factory runs what this makes of the account's address, and then makes the account, which runs that.
    async fn factory(&self, program: impl Fn(Address) -> Vec<u8>, account: &[u8]) -> Opinion {
        let length = u8::try_from(account.len() + VALID.len()).unwrap();
        let init = [&[0x60, length], &hex!("8060095f395ff3")[..], account, VALID].concat();
        let sender = FACTORY.create2_from_code(U256::ZERO.to_be_bytes(), &init);
        let program = program(sender);
        let create = |at: usize| {
            let at = u8::try_from(at).unwrap();
            let init_length = u8::try_from(init.len()).unwrap();
            [
                &[0x60, init_length, 0x61, 1, at][..],
                &hex!("5f39"),
                &[0x5f, 0x60, init_length],
                &hex!("5f5ff55f5260205ff3"),
            ]
            .concat()
        };
        // The init code lies at 0x100 + at.
        let length = program.len() + create(0).len();
        let at = length.saturating_sub(0x100);
        let mut code = [program, create(at)].concat();
        code.resize(0x100 + at, 0);
        self.set(FACTORY, &[code, init].concat()).await;
        let initializer = Some(Initializer::Factory { address: FACTORY, data: Bytes::new() });
        self.says(&UserOperation { sender, initializer, ..self.operation() }).await
    }
}

fn word(value: impl Into<U256>) -> Vec<u8> {
    [&[0x7f][..], &value.into().to_be_bytes::<32>()].concat()
}

fn number(address: Address) -> U256 {
    address.into_word().into()
}

/// One of the four calls, with the first `length` bytes of memory, all gas left, and its result dropped.
fn call(op: u8, to: Address, value: u64, length: u64) -> Vec<u8> {
    with_gas(&[0x5a], op, to, value, length)
}

fn with_gas(gas: &[u8], op: u8, to: Address, value: u64, length: u64) -> Vec<u8> {
    let value = if matches!(op, 0xf1 | 0xf2) { word(U256::from(value)) } else { vec![] };
    [&[0x5f, 0x5f], &word(U256::from(length))[..], &[0x5f], &value, &word(number(to)), gas, &[op, 0x50]].concat()
}

/// Puts this into memory, at 0.
fn store(data: &[u8]) -> Vec<u8> {
    let mut code = vec![];
    for (i, chunk) in data.chunks(32).enumerate() {
        let mut padded = [0; 32];
        padded[..chunk.len()].copy_from_slice(chunk);
        code.extend(word(U256::from_be_bytes(padded)));
        code.extend([0x60, u8::try_from(32 * i).unwrap(), 0x52]);
    }
    code
}

fn call_with(op: u8, to: Address, value: u64, data: &[u8]) -> Vec<u8> {
    [store(data), call(op, to, value, data.len() as u64)].concat()
}

/// `EXTCODESIZE` and its like, then these.
fn code_of(op: u8, address: Address, then: &[u8]) -> Vec<u8> {
    [&word(number(address))[..], &[op], then].concat()
}

/// Asks `OTHER` for slot `keccak(of ‖ 3) + n`, hashed here.
fn mapped(of: Address, n: u64) -> Vec<u8> {
    let preimage = [of.into_word().0, U256::from(3).to_be_bytes()].concat();
    [
        store(&preimage),
        hex!("60405f20").to_vec(),
        word(U256::from(n)),
        hex!("015f52").to_vec(),
        call(0xf1, OTHER, 0, 32),
    ]
    .concat()
}

/// Asks `OTHER` for this slot.
fn slot(slot: U256) -> Vec<u8> {
    call_with(0xf1, OTHER, 0, &slot.to_be_bytes::<32>())
}

fn broken(rules: &[&str], by: &str) -> Opinion {
    Opinion::Judged(rules.iter().map(|rule| ((*rule).to_owned(), by.to_owned())).collect())
}

fn lawful() -> Opinion {
    Opinion::Judged(BTreeSet::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oracle_knows_lawful_instructions_from_others_in_every_version() {
    for version in EntryPointVersion::ALL {
        let bench = Bench::new(version).await;
        let deposit = |account| entry_point_v08::depositToCall { account }.abi_encode();
        let ep = bench.entry_point;
        let own_call = |data: Vec<u8>| call_with(0xf1, ep, 0, &data);
        bench.set(OTHER, &hex!("5b5f56")).await;
        let precompile = |n: u16| Address::from_word(U256::from(n).into());
        let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
            ("TIMESTAMP", hex!("4250").into(), &["OP-011"]),
            ("BLOBHASH", hex!("5f4950").into(), &["OP-011"]),
            ("CHAINID", hex!("4650").into(), &[]),
            ("GAS for itself", hex!("5a50").into(), &["OP-012"]),
            ("CLZ", hex!("5f1e50").into(), &[]),
            ("out of gas, caught", with_gas(&hex!("6103e8"), 0xf1, OTHER, 0, 0), &["OP-020"]),
            ("precompile out of gas", with_gas(&hex!("6001"), 0xf1, precompile(2), 0, 0), &["OP-020"]),
            ("CREATE2", hex!("5f5f5f5ff550").into(), &["OP-031"]),
            (
                "CREATE2 with more than it has",
                [&hex!("5f5f5f")[..], &word(U256::MAX), &hex!("f550")].concat(),
                &["OP-031"],
            ),
            ("CREATE", hex!("5f5f5ff050").into(), &["OP-011"]),
            ("no code", code_of(0x3b, NOBODY, &[0x50]), &["OP-041"]),
            ("hash of code", code_of(0x3f, OTHER, &[0x50]), &[]),
            ("code of a precompile", code_of(0x3b, precompile(2), &[0x50]), &["OP-041"]),
            ("call of no code", call(0xfa, NOBODY, 0, 0), &["OP-041"]),
            ("size of the EntryPoint, ISZERO", code_of(0x3b, ep, &hex!("1550")), &[]),
            ("size of the EntryPoint", code_of(0x3b, ep, &[0x50]), &["OP-054"]),
            ("hash of the EntryPoint, ISZERO", code_of(0x3f, ep, &hex!("1550")), &["OP-054"]),
            ("depositTo itself", call_with(0xf1, ep, 7, &deposit(ACCOUNT)), &[]),
            ("depositTo another", call_with(0xf1, ep, 7, &deposit(NOBODY)), &["OP-054"]),
            ("receive", call(0xf1, ep, 7, 0), &[]),
            ("receive as STATICCALL", with_gas(&hex!("61c350"), 0xfa, ep, 0, 0), &["OP-054"]),
            ("DELEGATECALL", call(0xf4, ep, 0, 4), &["OP-054"]),
            ("balanceOf", own_call(entry_point_v08::balanceOfCall { account: ACCOUNT }.abi_encode()), &["OP-054"]),
            ("value to itself", call(0xf1, precompile(4), 1, 0), &["OP-061"]),
            ("more than it has", call(0xf1, precompile(4), u64::MAX, 0), &["OP-061"]),
            ("identity", call(0xf1, precompile(4), 0, 0), &[]),
            ("secp256r1", call(0xf1, precompile(0x100), 0, 0), &[]),
            ("KZG", with_gas(&hex!("61c350"), 0xfa, precompile(0xa), 0, 0), &["OP-062"]),
            ("BLS", with_gas(&hex!("61c350"), 0xfa, precompile(0x11), 0, 0), &["OP-062"]),
            ("no precompile", call(0xfa, precompile(0x12), 0, 0), &["OP-041"]),
            ("SELFBALANCE", hex!("4750").into(), &["OP-080"]),
            ("own storage", hex!("600154600155").into(), &[]),
            ("own transient storage", hex!("60015c60015d").into(), &[]),
        ];
        for (name, program, rules) in cases {
            assert_eq!(bench.account(&program).await, broken(rules, "account"), "{version}: {name}");
        }

        // Inside a call whose failure is caught.
        for (name, code, rules) in [
            ("INVALID", &hex!("fe")[..], &["OP-011"][..]),
            ("SELFDESTRUCT", &hex!("33ff"), &["OP-011"]),
            ("undefined", &hex!("0c"), &["OP-013"]),
            ("of another fork", &hex!("4b"), &["OP-013"]),
            ("REVERT", &hex!("5f5ffd"), &[]),
            ("GAS at its end", &hex!("5a"), &["OP-012"]),
            ("CREATE2, twice the same", &hex!("5f5f5f5ff5505f5f5f5ff550"), &["OP-031"]),
            // CREATE, of which the code that RETURN gives is too long for the gas.
            ("no gas to store code", &hex!("646110005ff35f526005601b5ff050"), &["OP-011", "OP-020"]),
        ] {
            bench.set(OTHER, code).await;
            let program = with_gas(&hex!("620186a0"), 0xf1, OTHER, 0, 0);
            assert_eq!(bench.account(&program).await, broken(rules, "account"), "{version}: {name}");
        }
        bench.stake(ACCOUNT, 100, 86_400).await;
        assert_eq!(bench.account(&hex!("4750")).await, lawful(), "{version}: staked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oracle_knows_whose_storage_is_whose() {
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    bench.set(OTHER, READER).await;
    for (name, program, rules) in [
        ("a slot that is the account", slot(number(ACCOUNT)), &[][..]),
        ("a mapping of the account", mapped(ACCOUNT, 0), &[]),
        ("its last word", mapped(ACCOUNT, 127), &[]),
        ("beyond it", mapped(ACCOUNT, 128), &["STO-033"]),
        ("a mapping of another", mapped(NOBODY, 0), &["STO-033"]),
        ("any slot", slot(U256::from(5)), &["STO-033"]),
    ] {
        assert_eq!(bench.account(&program).await, broken(rules, "account"), "{name}");
    }
    // Hashed by somebody else: the EntryPoint keeps its deposits so.
    let deposit = keccak256([ACCOUNT.into_word().0, [0; 32]].concat());
    assert_eq!(bench.account(&slot(deposit.into())).await, lawful());

    bench.set(OTHER, TRANSIENT_READER).await;
    assert_eq!(bench.account(&slot(number(ACCOUNT))).await, lawful());
    assert_eq!(bench.account(&slot(U256::from(5))).await, broken(&["STO-033"], "account"));

    let own = hex!("5f5450");
    for staked in [false, true] {
        let unless_staked = |rule| if staked { lawful() } else { broken(&[rule], "paymaster") };
        if staked {
            // Too little, or for too short, is no stake.
            bench.stake(PAYMASTER, 99, 86_399).await;
            assert_eq!(bench.paymaster(&own).await, broken(&["STO-031"], "paymaster"));
            bench.stake(PAYMASTER, 1, 86_399).await;
            assert_eq!(bench.paymaster(&own).await, broken(&["STO-031"], "paymaster"));
            bench.stake(PAYMASTER, 1, 86_400).await;
        }
        bench.set(OTHER, READER).await;
        assert_eq!(bench.paymaster(&own).await, unless_staked("STO-031"));
        assert_eq!(bench.paymaster(&mapped(PAYMASTER, 0)).await, unless_staked("STO-032"));
        assert_eq!(bench.paymaster(&slot(U256::from(5))).await, unless_staked("STO-033"));
        assert_eq!(bench.paymaster(&slot(number(ACCOUNT))).await, lawful());
        bench.set(OTHER, WRITER).await;
        assert_eq!(bench.paymaster(&mapped(PAYMASTER, 0)).await, unless_staked("STO-032"));
        assert_eq!(bench.paymaster(&slot(U256::from(5))).await, broken(&["STO-033"], "paymaster"));
    }
    let deposit = entry_point_v08::depositToCall { account: ACCOUNT }.abi_encode();
    assert_eq!(
        bench.paymaster(&call_with(0xf1, bench.entry_point, 7, &deposit)).await,
        broken(&["OP-054"], "paymaster"),
        "only the sender and its factory may deposit"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oracle_judges_factories_in_every_version() {
    for version in EntryPointVersion::ALL {
        let bench = Bench::new(version).await;
        bench.set(OTHER, READER).await;
        assert_eq!(bench.factory(|_| vec![], &[]).await, lawful(), "{version}");
        assert_eq!(bench.factory(|sender| code_of(0x3b, sender, &[0x50]), &[]).await, lawful(), "{version}: OP-042");
        let deposit = |account| entry_point_v08::depositToCall { account }.abi_encode();
        // EXTCODESIZE of itself: it has code since the factory ran. BALANCE is the account's fault.
        assert_eq!(bench.factory(|_| vec![], &hex!("303b50")).await, lawful(), "{version}: OP-041");
        assert_eq!(bench.factory(|_| vec![], &hex!("303150")).await, broken(&["OP-080"], "account"), "{version}");
        assert_eq!(
            bench.factory(|sender| call_with(0xf1, bench.entry_point, 7, &deposit(sender)), &[]).await,
            lawful(),
            "{version}: OP-052"
        );
        for (name, program, rules) in [
            ("another account first", hex!("5f5f5f5ff550").to_vec(), &["OP-031"][..]),
            ("no code", code_of(0x3b, NOBODY, &[0x50]), &["OP-041"]),
            ("own storage", hex!("5f5450").to_vec(), &["STO-031"]),
        ] {
            assert_eq!(bench.factory(|_| program.clone(), &[]).await, broken(rules, "factory"), "{version}: {name}");
        }
        assert_eq!(
            bench.factory(|sender| slot(number(sender)), &[]).await,
            broken(&["STO-022"], "factory"),
            "{version}"
        );
        bench.stake(FACTORY, 100, 86_400).await;
        assert_eq!(bench.factory(|sender| slot(number(sender)), &[]).await, lawful(), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_entry_point_refuses_is_not_judged() {
    for version in EntryPointVersion::ALL {
        let bench = Bench::new(version).await;
        for (program, says) in [("fe", "AA23 reverted"), ("60015f5260205ff3", "AA24 signature error")] {
            bench.set(ACCOUNT, &hex::decode(program).unwrap()).await;
            let Opinion::Failed(data) = bench.says(&bench.operation()).await else { panic!("{version}: {program}") };
            assert!(data.contains(&hex::encode(says)), "{version}: {data}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eip7702_sender_is_judged_with_the_code_it_will_have() {
    for version in EntryPointVersion::ALL.into_iter().filter(|version| version.supports_eip7702()) {
        let bench = Bench::new(version).await;
        let signature = Signature::new(U256::from(1), U256::from(1), false);
        let auth = Authorization { chain_id: U256::from(31337), address: OTHER, nonce: 0 }.into_signed(signature);
        for (init, code, opinion) in [
            ("", "600154600155", lawful()),
            ("", "4250", broken(&["OP-011"], "account")),
            // TIMESTAMP only when called with three bytes.
            ("", "3660031415600a5742505b", lawful()),
            ("00ffff", "3660031415600a5742505b", broken(&["OP-011"], "account")),
        ] {
            bench.set(OTHER, &[&hex::decode(code).unwrap()[..], VALID].concat()).await;
            let data = Bytes::from(hex::decode(init).unwrap());
            let op = UserOperation {
                sender: NOBODY,
                initializer: Some(Initializer::Eip7702 { data }),
                eip7702_auth: Some(auth.clone()),
                ..bench.operation()
            };
            assert_eq!(bench.says(&op).await, opinion, "{version}: {init} {code}");
        }
    }
}
