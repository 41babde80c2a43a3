use alloy::primitives::{B256, Bytes, keccak256};

use super::*;
use crate::policy::{
    Job, Kind, Names, compile,
    encodings::{
        Asked,
        tests::{SENDER, by, every_encoding},
    },
};

const MARKET: Address = Address::repeat_byte(1);
const ESCROW: Address = Address::repeat_byte(2);
const TOKEN: Address = Address::repeat_byte(3);
const STRANGER: Address = Address::repeat_byte(9);
const GOOD: [u8; 4] = [1, 2, 3, 4];

const RULES: &str = r#"
[account]
existing = "any"
[[call]]
name = "market"
to = ["@market"]
functions = ["0x01020304"]
[[call]]
name = "approval"
to = ["@token"]
functions = ["approve(address,uint256)"]
arguments = [{ word = 0, eq = "@escrow" }, { word = 1, lt = "100" }, { word = 1, gt = "1" }]
bytes = 68
"#;

fn policy(more: &str) -> Policy {
    let names = [("market", MARKET), ("escrow", ESCROW), ("token", TOKEN)];
    let names: Names = names.map(|(name, address)| (name.to_owned(), address)).into();
    compile(&format!("{more}\n{RULES}"), "test", &names).unwrap()
}

fn call(target: Address, data: impl Into<Bytes>) -> Asked {
    Asked { target, value: U256::ZERO, data: data.into(), delegatecall: false }
}

fn approval(spender: Address, amount: u64) -> Asked {
    let words = [spender.into_word(), B256::from(U256::from(amount))].concat();
    call(TOKEN, [&[0x09, 0x5e, 0xa7, 0xb3][..], &words].concat())
}

fn operation(call_data: Bytes) -> UserOperation {
    UserOperation { sender: SENDER, call_data, ..UserOperation::default() }
}

fn of(calls: &[Asked]) -> UserOperation {
    operation(every_encoding(calls)[0].clone())
}

fn judge(policy: &Policy, op: &UserOperation, now: u64, jobs: Jobs) -> Decision {
    let entry_points = BTreeSet::from([Address::repeat_byte(0xee)]);
    let version = EntryPointVersion::V0_8;
    let asker = Asker { chain_id: 1, version, entry_points: &entry_points, key: None, now };
    policy.decide(op, &asker, &Facts { jobs, ..Facts::default() })
}

/// The rule that says no.
fn rule(policy: &Policy, op: &UserOperation) -> Option<&'static str> {
    judge(policy, op, 100, Jobs::new()).verdict.err().map(|denial| denial.rule())
}

#[test]
fn calls_that_a_rule_names_are_sponsored_and_each_other_is_denied_by_what_it_fails() {
    let policy = policy("");
    assert_eq!(rule(&policy, &of(&[call(MARKET, GOOD)])), None);
    assert_eq!(rule(&policy, &of(&[approval(ESCROW, 5), call(MARKET, GOOD)])), None);
    let paying = Asked { value: U256::from(1), ..call(MARKET, GOOD) };
    let mut longer = approval(ESCROW, 5);
    longer.data = [&longer.data[..], &[0]].concat().into();
    for (calls, expected) in [
        (call(STRANGER, GOOD), "call.to"),
        (call(MARKET, [1, 2, 3, 5]), "call.functions"),
        (call(MARKET, [1, 2]), "call.plain"),
        (call(MARKET, []), "call.plain"),
        (paying, "call.value"),
        (approval(STRANGER, 5), "call.arguments"),
        (approval(ESCROW, 100), "call.arguments"),
        (approval(ESCROW, 1), "call.arguments"),
        (longer, "call.bytes"),
        (call(SENDER, GOOD), "calls.to_itself"),
    ] {
        let denied = judge(&policy, &of(&[call(MARKET, GOOD), calls]), 100, Jobs::new()).verdict.unwrap_err();
        assert_eq!((denied.rule(), denied.call()), (expected, Some("1")), "{denied}");
    }
    let packed = [MARKET.as_slice(), &GOOD].concat();
    assert_eq!(rule(&policy, &operation(by(0xff, [0; 4], packed))), Some("call.delegatecall"));
    assert_eq!(rule(&policy, &operation(GOOD.into())), Some("calls.unreadable"));
    assert_eq!(rule(&policy, &operation(Bytes::new())), Some("calls.unreadable"));
}

#[test]
fn what_is_denied_unless_said_otherwise_is_sponsored_if_it_is_said() {
    assert_eq!(rule(&policy("[calls]\nnone = \"allow\""), &operation(Bytes::new())), None);
    assert_eq!(rule(&policy("[calls]\nunreadable = \"allow\""), &operation(GOOD.into())), None);
    let plain = policy("[[call]]\nto = [\"@market\"]\nplain = true\nvalue = \"5 wei\"");
    let transfer = |value| of(&[Asked { value: U256::from(value), ..call(MARKET, []) }]);
    assert_eq!(rule(&plain, &transfer(5)), None);
    assert_eq!(rule(&plain, &transfer(6)), Some("call.value"));
    let delegating = policy("[[call]]\nto = [\"@escrow\"]\ndelegatecall = true");
    let packed = |target: Address| operation(by(0xff, [0; 4], [target.as_slice(), &GOOD].concat()));
    assert_eq!(rule(&delegating, &packed(ESCROW)), None);
    assert_eq!(rule(&delegating, &packed(MARKET)), Some("call.delegatecall"));
    assert_eq!(rule(&delegating, &of(&[call(ESCROW, GOOD)])), Some("call.to"), "for delegatecalls alone");
    let itself = policy("[[call]]\nto = [\"@sender\"]\nfunctions = [\"0x05060708\"]");
    assert_eq!(rule(&itself, &of(&[call(SENDER, [5, 6, 7, 8])])), None);
    assert_eq!(rule(&itself, &of(&[call(SENDER, GOOD)])), Some("call.functions"));
    // Any function of its own, but none that makes calls.
    let any = policy("[[call]]\nto = [\"@sender\"]");
    let hidden = every_encoding(&[call(STRANGER, GOOD)])[0].clone();
    assert_eq!(rule(&any, &of(&[call(SENDER, hidden)])), Some("calls.to_itself"));
}

#[test]
fn anywhere_is_neither_the_account_itself_nor_an_entry_point() {
    let policy = policy("[[call]]\nname = \"any\"");
    assert_eq!(rule(&policy, &of(&[call(STRANGER, GOOD)])), None);
    assert_eq!(rule(&policy, &of(&[call(SENDER, GOOD)])), Some("calls.to_itself"));
    assert_eq!(rule(&policy, &of(&[call(Address::repeat_byte(0xee), GOOD)])), Some("call.to"));
}

#[test]
fn time_chain_entry_point_and_sender_are_those_of_the_policy() {
    let good = of(&[call(MARKET, GOOD)]);
    let at = |policy: &Policy, now| judge(policy, &good, now, Jobs::new()).verdict.err().map(|denial| denial.rule());
    let timed = policy("starts = 1970-01-01T00:01:00Z\nends = 1970-01-01T00:02:00Z");
    assert_eq!(
        [at(&timed, 59), at(&timed, 60), at(&timed, 119), at(&timed, 120)],
        [Some("starts"), None, None, Some("ends")]
    );
    assert_eq!(rule(&policy("chains = [1]"), &good), None);
    assert_eq!(rule(&policy("chains = [2]"), &good), Some("chains"));
    assert_eq!(rule(&policy("entry_points = [\"v0.8\"]"), &good), None);
    assert_eq!(rule(&policy("entry_points = [\"v0.6\"]"), &good), Some("entry_points"));
    assert_eq!(rule(&policy(&format!("[senders]\nallow = [\"{SENDER}\"]")), &good), None);
    assert_eq!(rule(&policy(&format!("[senders]\nallow = [\"{STRANGER}\"]")), &good), Some("senders"));
    assert_eq!(rule(&policy(&format!("[senders]\nblock = [\"{SENDER}\"]")), &good), Some("senders"));
}

#[test]
fn a_job_is_asked_for_judged_and_counted_once() {
    let rules = "[[call]]\nname = \"steps\"\nto = [\"@escrow\"]\n[call.job]\nkind = \"job\"\nstates = [\"open\"]\n\
                 parties = [\"client\"]\noperations = 2";
    let policy = policy(rules);
    let id = B256::repeat_byte(5);
    let step = call(ESCROW, [&GOOD[..], id.as_slice()].concat());
    let op = of(&[step.clone(), step]);
    let entry_points = BTreeSet::new();
    let version = EntryPointVersion::V0_8;
    let asker = Asker { chain_id: 1, version, entry_points: &entry_points, key: None, now: 1 };
    let key = JobKey { market: ESCROW, kind: Kind::Job, id };
    assert_eq!(policy.questions(&op, &asker), [Question::Job(key)]);
    let with = |payer, state| judge(&policy, &op, 1, Jobs::from([(key, Some(Job { payer, host: STRANGER, state }))]));
    let granted = with(SENDER, 1);
    assert_eq!(granted.verdict, Ok(()));
    let counted = granted.charges.iter().filter(|charge| charge.bucket.starts_with("job/test/steps/")).count();
    assert_eq!(counted, 1);
    for denied in [with(STRANGER, 1), with(SENDER, 2), judge(&policy, &op, 1, Jobs::from([(key, None)]))] {
        assert_eq!(denied.verdict.unwrap_err().rule(), "call.job");
    }
}

/// The example of `docs/policies.md`, which has every key.
#[test]
fn the_example_of_the_documentation_is_a_policy_and_does_what_it_says() {
    let text = include_str!("../../../../docs/policies.md");
    let example = text.split_once("```toml\n").and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    let names = [
        ("smart_account", STRANGER),
        ("smart_account_factory", STRANGER),
        ("session_marketplace", STRANGER),
        ("job_marketplace", MARKET),
        ("payment_escrow", ESCROW),
        ("token", TOKEN),
    ];
    let names: Names = names.map(|(name, address)| (name.to_owned(), address)).into();
    let policy = compile(example, "file", &names).unwrap();
    assert_eq!((policy.id.as_str(), policy.limits.len(), policy.calls.len()), ("example", 4, 5));

    let entry_points = BTreeSet::new();
    let asker = |version| Asker {
        chain_id: 31_337,
        version,
        entry_points: &entry_points,
        key: Some("app"),
        now: 1_800_000_000,
    };
    let decide = |calls: &[Asked], facts: &Facts, version| policy.decide(&of(calls), &asker(version), facts);
    let (v08, nothing) = (EntryPointVersion::V0_8, Facts::default());
    let granted = decide(&[approval(ESCROW, 5)], &nothing, v08);
    assert_eq!(granted.verdict, Ok(()));
    let limited = granted.charges.iter().filter(|charge| charge.limit < U256::MAX).count();
    assert_eq!(limited, 3, "all but the limit of each operation: {:?}", granted.charges);
    let rule = |decision: Decision| decision.verdict.err().map(|denial| denial.rule());
    assert_eq!(rule(decide(&[approval(STRANGER, 5)], &nothing, v08)), Some("call.arguments"));
    assert_eq!(rule(decide(&[approval(ESCROW, 5)], &nothing, EntryPointVersion::V0_6)), Some("entry_points"));
    let gift = |wei: u64| {
        let to = Address::with_last_byte(0xbb);
        [Asked { value: U256::from(wei), ..call(to, []) }]
    };
    assert_eq!(rule(decide(&gift(10_000_000_000_000_000), &nothing, v08)), None);
    assert_eq!(rule(decide(&gift(10_000_000_000_000_001), &nothing, v08)), Some("call.value"));

    let id = B256::repeat_byte(5);
    let key = JobKey { market: MARKET, kind: Kind::Job, id };
    let selector = alloy::json_abi::Function::parse("cancelJob(bytes32)").unwrap().selector();
    let cancel = [call(MARKET, [selector.as_slice(), id.as_slice()].concat())];
    let with = |payer, state| {
        let jobs = Jobs::from([(key, Some(Job { payer, host: STRANGER, state }))]);
        decide(&cancel, &Facts { jobs, ..Facts::default() }, v08)
    };
    let step = with(SENDER, 1);
    let count = step.charges.iter().find(|charge| charge.bucket.starts_with("job/example/steps/")).unwrap();
    assert_eq!((count.limit, count.period), (U256::from(2), 0));
    assert_eq!([rule(step), rule(with(ESCROW, 1)), rule(with(SENDER, 2))], [None, Some("call.job"), Some("call.job")]);
}

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = U256::from_be_bytes(keccak256(self.0.to_be_bytes()).0).wrapping_to();
        self.0 % bound
    }

    /// Some call that no rule sponsors.
    fn forbidden(&mut self) -> Asked {
        match self.below(6) {
            0 => call(STRANGER, GOOD),
            1 => call(MARKET, [1, 2, 3, 5]),
            2 => Asked { value: U256::from(1 + self.below(9)), ..call(MARKET, GOOD) },
            3 => approval(STRANGER, 5),
            4 => call(SENDER, [0x0b, 0xad, 0xca, 0x11]),
            _ => call(TOKEN, [0xa9, 0x05, 0x9c, 0xbb]),
        }
    }

    fn lawful(&mut self) -> Asked {
        if self.below(2) == 0 { call(MARKET, GOOD) } else { approval(ESCROW, 2 + self.below(98)) }
    }

    /// Lawful calls with `hidden` among them, if there is one, in some encoding.
    fn batch(&mut self, hidden: Option<Asked>) -> Bytes {
        let mut calls: Vec<_> = (0..self.below(4)).map(|_| self.lawful()).collect();
        match hidden {
            Some(hidden) => calls.insert(self.below(calls.len() as u64 + 1) as usize, hidden),
            None if calls.is_empty() => calls.push(self.lawful()),
            None => {}
        }
        let encodings = every_encoding(&calls);
        encodings[self.below(encodings.len() as u64) as usize].clone()
    }

    /// Batches within batches.
    fn nested(&mut self, mut hidden: Option<Asked>) -> Bytes {
        let depth = self.below(6);
        for _ in 0..depth {
            hidden = Some(call(SENDER, self.batch(hidden)));
        }
        self.batch(hidden)
    }
}

/// `FABSTIR_BATCHES` of them, from `FABSTIR_SEED` on.
#[test]
fn a_forbidden_call_passes_at_no_depth_and_in_no_encoding() {
    let number = |name: &str, default| std::env::var(name).ok().map_or(default, |text| text.parse().unwrap());
    let (batches, seed) = (number("FABSTIR_BATCHES", 4_000_u64), number("FABSTIR_SEED", 7_u64));
    println!("FABSTIR_SEED={seed} FABSTIR_BATCHES={batches}");
    let (read, unread) = (policy("[calls]\nto_itself = \"read\""), policy(""));
    for index in 0..batches {
        let mut dice = Dice(seed.wrapping_mul(1_000_003).wrapping_add(index));
        let forbidden = dice.forbidden();
        let op = operation(dice.nested(Some(forbidden.clone())));
        for policy in [&read, &unread] {
            let verdict = judge(policy, &op, 1, Jobs::new()).verdict;
            assert!(verdict.is_err(), "seed {seed}, batch {index}: {forbidden:?} in {}", op.call_data);
        }
        // Its lawful twin passes, or the test shows nothing.
        let twin = operation(dice.nested(None));
        let verdict = judge(&read, &twin, 1, Jobs::new()).verdict;
        assert_eq!(verdict, Ok(()), "seed {seed}, batch {index}: {}", twin.call_data);
    }
}
