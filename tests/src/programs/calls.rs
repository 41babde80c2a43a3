//! Snippets about other addresses: OP-031, OP-041, OP-042, OP-051 to OP-054, OP-061, OP-062.

use alloy::{primitives::keccak256, sol_types::SolCall};
use erc4337::abi::entry_point_v08;

use super::{
    asm::op,
    piece::{CallKind, Gas, Piece, Who, Word},
    scenario::Entity,
    snippet::{Expected, Reading, Setting, Snippet, always, deep, inner, lawful, number},
};

/// What creates and calls: see the module.
pub fn calls() -> Vec<Snippet> {
    let mut all = creation();
    all.extend(without_code());
    all.extend(entry_point_code());
    all.extend(entry_point_deposits());
    all.extend(entry_point_calls());
    all.extend(value());
    all.extend(precompiles());
    all.extend(delegated());
    all
}

/// Accounts that run another's code by EIP-7702, whether that is there or not: AUTH-030.
fn delegated() -> Vec<Snippet> {
    let twins = || uses(Who::Stop).map(|(_, piece)| piece);
    let mut snippets = Vec::new();
    for (what, who) in [("delegated", Who::Delegated), ("delegated_to_nobody", Who::DelegatedToNobody)] {
        for (index, ((name, bad), good)) in uses(who).into_iter().zip(twins()).enumerate() {
            let (bad, good) = (vec![bad], vec![good]);
            let name = format!("auth_030_{name}_of_{what}");
            snippets.push(Snippet::new(name.clone(), bad.clone(), good.clone(), always!("AUTH-030")));
            let name = format!("{name}_at_depth");
            snippets.push(Snippet::new(name, deep(index, bad), deep(index, good), always!("AUTH-030")));
        }
    }
    snippets
}

/// All ways to use an address, by name.
fn uses(who: Who) -> [(&'static str, Piece); 7] {
    let address = || Word::Address(who);
    let copy = vec![address(), number(0), number(0), number(1)];
    [
        ("extcodesize", Piece::Op(op::EXTCODESIZE, vec![address()], None)),
        ("extcodehash", Piece::Op(op::EXTCODEHASH, vec![address()], None)),
        ("extcodecopy", Piece::Op(op::EXTCODECOPY, copy, None)),
        ("call", Piece::call(CallKind::Call, who)),
        ("staticcall", Piece::call(CallKind::StaticCall, who)),
        ("delegatecall", Piece::call(CallKind::DelegateCall, who)),
        ("callcode", Piece::call(CallKind::CallCode, who)),
    ]
}

fn in_the_factory(setting: &Setting, yes: Expected, no: Expected) -> Expected {
    if setting.entity == Entity::Factory { yes } else { no }
}

/// Whether the operation names a factory, and whether that is staked.
fn factory_is(setting: &Setting) -> Option<bool> {
    setting.creating
}

fn unless(lawful: bool, rule: &'static str) -> Expected {
    if lawful { Expected::Lawful } else { Expected::Breaks(rule) }
}

/// `CREATE` by the entity itself: OP-032 and EREP-060.
fn create_itself(setting: &Setting, _: &Snippet) -> Expected {
    let lawful = match setting.entity {
        Entity::Account => factory_is(setting).is_some(),
        Entity::Factory => factory_is(setting) == Some(true),
        Entity::Paymaster => false,
    };
    unless(lawful, "OP-011")
}

/// `CREATE` by what the entity calls: EREP-061.
fn create_by_another(setting: &Setting, _: &Snippet) -> Expected {
    unless(setting.entity == Entity::Factory && factory_is(setting) == Some(true), "OP-011")
}

/// `CREATE2` by the entity itself, of another than the sender: EREP-060.
fn create2_itself(setting: &Setting, _: &Snippet) -> Expected {
    unless(setting.entity != Entity::Paymaster && factory_is(setting) == Some(true), "OP-031")
}

/// The same in a deployment only.
fn create2_by_factory(setting: &Setting, snippet: &Snippet) -> Expected {
    in_the_factory(setting, create2_itself(setting, snippet), Expected::Meaningless)
}

/// Burns what it gets in a static call too, and is of no rule's concern.
const LOG0: u8 = 0xa0;

fn creation() -> Vec<Snippet> {
    let create = || Piece::Op(op::CREATE, vec![number(0), number(0), number(0)], None);
    let addmod = || Piece::Op(op::ADDMOD, vec![number(0), number(0), number(0)], None);
    let revert = || Piece::Raw(vec![op::PUSH0, op::PUSH0, op::REVERT]);
    let other = || Piece::Op(op::CREATE2, vec![number(0), number(0), number(0), number(77)], None);
    let harmless = || Piece::Op(op::EXTCODECOPY, vec![Word::Address(Who::Stop), number(0), number(0), number(7)], None);
    let factory_may: Reading =
        |setting: &Setting, _: &Snippet| in_the_factory(setting, Expected::Lawful, Expected::Meaningless);
    // The address is taken, so it fails and burns its gas; its address counts all the same.
    let again =
        Piece::Inner { kind: CallKind::DelegateCall, gas: Gas::Exactly(90_000), body: vec![Piece::CreateSender] };
    let instead = Piece::Inner { kind: CallKind::DelegateCall, gas: Gas::Exactly(90_000), body: vec![harmless()] };
    let in_static = |piece| Piece::Inner { kind: CallKind::StaticCall, gas: Gas::Exactly(60_000), body: vec![piece] };
    let (call, delegate) = (CallKind::Call, CallKind::DelegateCall);
    let mut snippets = vec![
        Snippet::new("op_032_create", vec![create()], vec![addmod()], create_itself),
        Snippet::new("op_032_create_twice", vec![create(), create()], vec![addmod()], create_itself),
        Snippet::new(
            "op_032_create_by_delegatecall",
            inner(delegate, vec![create()]),
            inner(delegate, vec![addmod()]),
            create_itself,
        ),
        Snippet::new(
            "erep_061_create_at_depth",
            inner(call, vec![create()]),
            inner(call, vec![addmod()]),
            create_by_another,
        ),
        Snippet::new(
            "erep_061_create_reverted",
            inner(call, vec![create(), revert()]),
            inner(call, vec![addmod(), revert()]),
            create_by_another,
        ),
        Snippet::new("op_031_create2_of_another", vec![other()], vec![harmless()], create2_itself),
        Snippet::new(
            "erep_060_create2_of_another_by_delegatecall",
            inner(delegate, vec![other()]),
            inner(delegate, vec![harmless()]),
            create2_itself,
        ),
        // What it calls may make nothing but the sender.
        Snippet::new(
            "op_031_create2_of_another_at_depth",
            inner(call, vec![other()]),
            inner(call, vec![harmless()]),
            always!("OP-031"),
        ),
        Snippet::new(
            "op_031_second_create2",
            vec![Piece::CreateSender, other()],
            vec![Piece::CreateSender, harmless()],
            create2_by_factory,
        ),
        Snippet::new(
            "op_031_create2_of_the_sender_twice",
            vec![Piece::CreateSender, again],
            vec![Piece::CreateSender, instead],
            create2_by_factory,
        ),
        // It may not be run there at all, and burns what it gets; it was run all the same.
        Snippet::new(
            "op_031_create2_in_a_static_call",
            vec![in_static(other())],
            vec![in_static(Piece::Raw(vec![op::PUSH0, op::PUSH0, LOG0]))],
            always!("OP-031"),
        ),
        Snippet::alone(
            "op_031_create2_of_the_sender_by_delegatecall",
            inner(CallKind::DelegateCall, vec![Piece::CreateSender]),
            factory_may,
        ),
    ];
    for snippet in &mut snippets {
        snippet.mind_creation = true;
    }
    snippets
}

fn without_code() -> Vec<Snippet> {
    let mut snippets = Vec::new();
    let twins = || uses(Who::Stop).map(|(_, piece)| piece);
    for (index, ((name, bad), good)) in uses(Who::Nobody).into_iter().zip(twins()).enumerate() {
        let (bad, good) = (vec![bad], vec![good]);
        snippets.push(Snippet::new(format!("op_041_{name}"), bad.clone(), good.clone(), always!("OP-041")));
        let name = format!("op_041_{name}_at_depth");
        snippets.push(Snippet::new(name, deep(index, bad), deep(index, good), always!("OP-041")));
    }
    let iszero = |who| vec![Piece::Op(op::EXTCODESIZE, vec![Word::Address(who)], Some(op::ISZERO))];
    snippets.push(Snippet::new("op_041_extcodesize_iszero", iszero(Who::Nobody), iszero(Who::Stop), always!("OP-041")));
    // Precompiles have no code to read, and there are none at 0x0, 0x12 and 0x101.
    for ((name, bad), good) in uses(Who::Precompile(4)).into_iter().take(3).zip(twins()) {
        snippets.push(Snippet::new(format!("op_041_{name}_of_a_precompile"), vec![bad], vec![good], always!("OP-041")));
    }
    for number in [0, 0x12, 0x101] {
        let call = |to| vec![Piece::call(CallKind::StaticCall, to)];
        let name = format!("op_041_no_precompile_{number:x}");
        snippets.push(Snippet::new(name, call(Who::Precompile(number)), call(Who::Stop), always!("OP-041")));
    }
    // The sender is exempt while it is created, and has code later.
    for (name, piece) in uses(Who::Sender) {
        snippets.push(Snippet::alone(format!("op_042_{name}_of_the_sender"), vec![piece.clone()], lawful));
        let after: Reading =
            |setting: &Setting, _: &Snippet| in_the_factory(setting, Expected::Lawful, Expected::Meaningless);
        let name = format!("op_042_{name}_of_the_sender_just_created");
        snippets.push(Snippet::alone(name, vec![Piece::CreateSender, piece], after));
    }
    snippets
}

fn entry_point_code() -> Vec<Snippet> {
    let read = |opcode, who, then| vec![Piece::Op(opcode, vec![Word::Address(who)], then)];
    let copy = |who| vec![Piece::Op(op::EXTCODECOPY, vec![Word::Address(who), number(0), number(0), number(7)], None)];
    let forbidden = always!("OP-054");
    let (entry_point, stop) = (Who::EntryPoint, Who::Stop);
    let iszero = read(op::EXTCODESIZE, entry_point, Some(op::ISZERO));
    let late = |who| read(op::EXTCODESIZE, who, Some(op::JUMPDEST));
    vec![
        Snippet::alone("op_051_extcodesize_iszero", iszero.clone(), lawful),
        Snippet::alone("op_051_extcodesize_iszero_at_depth", inner(CallKind::Call, iszero.clone()), lawful),
        Snippet::new("op_054_extcodesize", read(op::EXTCODESIZE, entry_point, None), iszero.clone(), forbidden),
        Snippet::new("op_054_extcodesize_jumpdest", late(entry_point), late(stop), forbidden),
        Snippet::new(
            "op_054_extcodesize_at_depth",
            deep(1, read(op::EXTCODESIZE, entry_point, None)),
            deep(1, iszero),
            forbidden,
        ),
        Snippet::new(
            "op_054_extcodehash_iszero",
            read(op::EXTCODEHASH, entry_point, Some(op::ISZERO)),
            read(op::EXTCODEHASH, stop, Some(op::ISZERO)),
            forbidden,
        ),
        Snippet::new("op_054_extcodecopy", copy(entry_point), copy(stop), forbidden),
    ]
}

/// A call to the EntryPoint, of a signature with addresses for arguments.
fn ask(kind: CallKind, signature: &str, arguments: &[Who], value: u64) -> Piece {
    let head = if signature.is_empty() { vec![] } else { keccak256(signature)[..4].to_vec() };
    let words = arguments.iter().map(|who| Word::Address(*who)).collect();
    Piece::Call { kind, to: Who::EntryPoint, value, gas: Gas::All, head, words }
}

/// `depositTo(who)`.
pub fn deposit_to(kind: CallKind, who: Who, value: u64) -> Piece {
    let head = entry_point_v08::depositToCall::SELECTOR.to_vec();
    Piece::Call { kind, to: Who::EntryPoint, value, gas: Gas::All, head, words: vec![Word::Address(who)] }
}

fn entry_point_deposits() -> Vec<Snippet> {
    let deposits: Reading = |setting, _| match setting.entity {
        Entity::Account | Entity::Factory => Expected::Lawful,
        Entity::Paymaster => Expected::Breaks("OP-054"),
    };
    let by_the_sender: Reading = |setting, _| match setting.entity {
        Entity::Account => Expected::Lawful,
        _ => Expected::Breaks("OP-054"),
    };
    let call = CallKind::Call;
    let stop = |value| {
        vec![Piece::Call { kind: CallKind::Call, to: Who::Stop, value, gas: Gas::All, head: vec![1], words: vec![] }]
    };
    let mut snippets = Vec::new();
    for value in [0, 1] {
        snippets.push(Snippet::new(
            format!("op_052_deposit_{value}_to_the_sender"),
            vec![deposit_to(call, Who::Sender, value)],
            stop(0),
            deposits,
        ));
        snippets.push(Snippet::new(
            format!("op_052_deposit_{value}_to_the_sender_by_delegatecall"),
            inner(CallKind::DelegateCall, vec![deposit_to(call, Who::Sender, value)]),
            stop(0),
            deposits,
        ));
        snippets.push(Snippet::new(
            format!("op_053_send_{value}_to_the_entry_point"),
            vec![ask(call, "", &[], value)],
            stop(0),
            by_the_sender,
        ));
        snippets.push(Snippet::new(
            format!("op_054_deposit_{value}_to_itself"),
            vec![deposit_to(call, Who::This, value)],
            stop(0),
            by_the_sender,
        ));
    }
    snippets.push(Snippet::new(
        "op_054_deposit_to_the_sender_by_a_helper",
        inner(call, vec![deposit_to(call, Who::Sender, 0)]),
        inner(call, stop(0)),
        always!("OP-054"),
    ));
    // Of a key that no operation has.
    let increment = |kind| {
        let words = vec![number(5)];
        let head = entry_point_v08::incrementNonceCall::SELECTOR.to_vec();
        vec![Piece::Call { kind, to: Who::EntryPoint, value: 0, gas: Gas::All, head, words }]
    };
    snippets.push(Snippet::new("op_055_increment_nonce", increment(call), stop(0), by_the_sender));
    snippets.push(Snippet::new(
        "op_055_increment_nonce_by_delegatecall",
        inner(CallKind::DelegateCall, increment(call)),
        inner(CallKind::DelegateCall, stop(0)),
        by_the_sender,
    ));
    snippets.push(Snippet::new(
        "op_055_increment_nonce_of_a_helper",
        inner(call, increment(call)),
        inner(call, stop(0)),
        always!("OP-054"),
    ));
    snippets.push(Snippet::new(
        "op_055_increment_nonce_in_a_static_call",
        vec![Piece::Inner { kind: call, gas: Gas::Exactly(60_000), body: increment(CallKind::StaticCall) }],
        inner(call, stop(0)),
        always!("OP-054"),
    ));
    for snippet in &mut snippets {
        snippet.mind_creation = true;
    }
    snippets
}

fn entry_point_calls() -> Vec<Snippet> {
    let forbidden = always!("OP-054");
    let twin = |kind| {
        vec![Piece::Call { kind, to: Who::Stop, value: 0, gas: Gas::All, head: vec![1, 2, 3, 4], words: vec![] }]
    };
    let mut snippets = Vec::new();
    for (index, kind) in CallKind::ALL.into_iter().enumerate() {
        // No such function: it reverts before it touches anything.
        let unknown = vec![ask(kind, "noSuchFunction()", &[], 0)];
        let name = format!("{kind:?}").to_lowercase();
        snippets.push(Snippet::new(format!("op_054_{name}"), unknown.clone(), twin(kind), forbidden));
        let (unknown, twin) = (deep(index + 1, unknown), deep(index + 1, twin(kind)));
        snippets.push(Snippet::new(format!("op_054_{name}_at_depth"), unknown, twin, forbidden));
    }
    for kind in [CallKind::Call, CallKind::StaticCall] {
        let name = format!("op_054_balance_of_the_sender_by_{kind:?}").to_lowercase();
        snippets.push(Snippet::new(
            name,
            vec![ask(kind, "balanceOf(address)", &[Who::Sender], 0)],
            twin(kind),
            forbidden,
        ));
    }
    let selector_alone = ask(CallKind::Call, "depositTo(address)", &[], 0);
    snippets.push(Snippet::new(
        "op_054_deposit_to_nobody_named",
        vec![selector_alone],
        twin(CallKind::Call),
        forbidden,
    ));
    let with_value = ask(CallKind::Call, "noSuchFunction()", &[], 1);
    snippets.push(Snippet::new("op_054_call_with_value", vec![with_value], twin(CallKind::Call), forbidden));
    snippets
}

fn value() -> Vec<Snippet> {
    let call = |kind, to, value| vec![Piece::Call { kind, to, value, gas: Gas::All, head: vec![], words: vec![] }];
    let mut snippets = Vec::new();
    let targets = [("a_contract", Who::Stop), ("itself", Who::This), ("the_sender", Who::Sender)];
    for (name, to) in targets {
        for kind in [CallKind::Call, CallKind::CallCode] {
            // As long as it is not created, the sender takes value as anybody does.
            let (bad, good) = (call(kind, to, 1), call(kind, to, 0));
            let name = format!("op_061_{kind:?}_with_value_to_{name}").to_lowercase();
            snippets.push(Snippet::new(name, bad, good, always!("OP-061")));
        }
    }
    let (bad, good) = (call(CallKind::Call, Who::Stop, 1), call(CallKind::Call, Who::Stop, 0));
    let depth = |body| inner(CallKind::DelegateCall, body);
    snippets.push(Snippet::new("op_061_at_depth", depth(bad.clone()), depth(good.clone()), always!("OP-061")));
    // The helper has nothing to give: that it tries is enough.
    let depth = |body| inner(CallKind::Call, body);
    snippets.push(Snippet::new("op_061_without_funds", depth(bad), depth(good), always!("OP-061")));
    snippets
}

fn precompiles() -> Vec<Snippet> {
    let call = |kind, number| {
        let (to, gas) = (Who::Precompile(number), Gas::Exactly(100_000));
        vec![Piece::Call { kind, to, value: 0, gas, head: vec![], words: vec![] }]
    };
    let mut snippets = Vec::new();
    for number in 1..=0x11_u16 {
        let kind = CallKind::ALL[number as usize % 4];
        let name = format!("op_062_precompile_{number:x}_by_{kind:?}").to_lowercase();
        snippets.push(Snippet::alone(name, call(kind, number), lawful));
    }
    snippets.push(Snippet::alone("op_062_precompile_at_depth", deep(1, call(CallKind::StaticCall, 0xb)), lawful));
    let p256 = call(CallKind::StaticCall, 0x100);
    snippets.push(Snippet::alone("op_062_secp256r1", p256, lawful));
    snippets
}
