//! Snippets: a few pieces that break exactly one rule or none, with a twin of the same shape that breaks none.

use alloy::primitives::U256;
use erc4337::EntryPointVersion;

use super::{
    asm::op,
    piece::{CallKind, Gas, Piece, Who, Word},
    scenario::Entity,
};

/// What a rule's verdict may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Of the EntryPoint.
    pub version: EntryPointVersion,
    /// Whose program it is.
    pub entity: Entity,
    /// Whether that entity is staked.
    pub staked: bool,
    /// If the operation names a factory: whether that is staked.
    pub creating: Option<bool>,
}

/// What is to be said of a snippet in a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It breaks this rule, and no other.
    Breaks(&'static str),
    /// It breaks none.
    Lawful,
    /// It is nothing to try there.
    Meaningless,
}

/// What is to be said, by setting.
pub type Reading = fn(&Setting, &Snippet) -> Expected;

/// See the module.
#[derive(Clone, Debug)]
pub struct Snippet {
    /// The rule and how it is tried.
    pub name: String,
    /// What is tried.
    pub pieces: Vec<Piece>,
    /// Of the same shape and lawful wherever the snippet is not; none if that is another snippet.
    pub twin: Option<Vec<Piece>>,
    /// By setting.
    pub expected: Reading,
    /// What the verdict depends on besides, for storage.
    pub storage: Option<super::storage::Reach>,
    /// Whether it matters if the account is being created.
    pub mind_creation: bool,
}

impl Snippet {
    /// Breaks `rule` in every phase.
    pub fn new(name: impl Into<String>, pieces: Vec<Piece>, twin: Vec<Piece>, expected: Reading) -> Self {
        Self { name: name.into(), pieces, twin: Some(twin), expected, storage: None, mind_creation: false }
    }

    /// Has no twin.
    pub fn alone(name: impl Into<String>, pieces: Vec<Piece>, expected: Reading) -> Self {
        Self { name: name.into(), pieces, twin: None, expected, storage: None, mind_creation: false }
    }

    /// What is expected of it there.
    pub fn expect(&self, setting: &Setting) -> Expected {
        (self.expected)(setting, self)
    }
}

/// Never broken.
pub fn lawful(_: &Setting, _: &Snippet) -> Expected {
    Expected::Lawful
}

macro_rules! always {
    ($rule:literal) => {
        (|_, _| $crate::programs::snippet::Expected::Breaks($rule)) as $crate::programs::snippet::Reading
    };
}
pub(super) use always;

/// A number as a word.
pub fn number(value: u64) -> Word {
    Word::Literal(U256::from(value))
}

/// A call to a contract of this body, with all gas.
pub fn inner(kind: CallKind, body: Vec<Piece>) -> Vec<Piece> {
    vec![Piece::Inner { kind, gas: Gas::All, body }]
}

/// The same with little gas, for bodies that burn what they get.
pub fn contained(gas: u32, body: Vec<Piece>) -> Vec<Piece> {
    vec![Piece::Inner { kind: CallKind::Call, gas: Gas::Exactly(gas), body }]
}

/// At some depth; which, goes round with `index`.
pub fn deep(index: usize, body: Vec<Piece>) -> Vec<Piece> {
    match index % 4 {
        0 => inner(CallKind::Call, body),
        1 => inner(CallKind::DelegateCall, body),
        2 => inner(CallKind::StaticCall, body),
        _ => inner(CallKind::Call, inner(CallKind::DelegateCall, body)),
    }
}

/// What opcodes look at or do: OP-011, OP-012, OP-013, OP-020, OP-080.
pub fn opcodes() -> Vec<Snippet> {
    let mut all = environment();
    all.extend(ending());
    all.extend(gas());
    all.extend(undefined());
    all.extend(starving());
    all.extend(balances());
    all
}

fn environment() -> Vec<Snippet> {
    let plain = [
        ("origin", op::ORIGIN, op::ADDRESS),
        ("gasprice", op::GASPRICE, op::CALLER),
        ("coinbase", op::COINBASE, op::CALLVALUE),
        ("timestamp", op::TIMESTAMP, op::CHAINID),
        ("number", op::NUMBER, op::CALLDATASIZE),
        ("prevrandao", op::PREVRANDAO, op::CODESIZE),
        ("gaslimit", op::GASLIMIT, op::RETURNDATASIZE),
        ("basefee", op::BASEFEE, op::PC),
        ("blobbasefee", op::BLOBBASEFEE, op::MSIZE),
    ];
    let with_argument = [("blockhash", op::BLOCKHASH, op::CALLDATALOAD), ("blobhash", op::BLOBHASH, op::CLZ)];
    let plain = plain.map(|(name, bad, good)| (name, Piece::opcode(bad), Piece::opcode(good)));
    let with_argument = with_argument
        .map(|(name, bad, good)| (name, Piece::Op(bad, vec![number(1)], None), Piece::Op(good, vec![number(1)], None)));
    let mut snippets = Vec::new();
    for (index, (name, bad, good)) in plain.into_iter().chain(with_argument).enumerate() {
        let (here, there) = (vec![bad], vec![good]);
        snippets.push(Snippet::new(format!("op_011_{name}"), here.clone(), there.clone(), always!("OP-011")));
        let name = format!("op_011_{name}_at_depth");
        snippets.push(Snippet::new(name, deep(index, here), deep(index, there), always!("OP-011")));
    }
    snippets
}

/// Opcodes that end a frame, in calls whose failure is caught.
fn ending() -> Vec<Snippet> {
    let trial = |name: &str, bad: Vec<Piece>, good: Vec<Piece>| {
        Snippet::new(format!("op_011_{name}"), contained(60_000, bad), contained(60_000, good), always!("OP-011"))
    };
    vec![
        trial("invalid", vec![Piece::Raw(vec![op::INVALID])], vec![Piece::Raw(vec![op::STOP])]),
        trial(
            "selfdestruct",
            vec![Piece::Raw(vec![op::ADDRESS, op::SELFDESTRUCT])],
            vec![Piece::Raw(vec![op::ADDRESS, op::POP])],
        ),
    ]
}

fn gas() -> Vec<Snippet> {
    let call = |gas| Piece::Call { kind: CallKind::Call, to: Who::Stop, value: 0, gas, head: vec![], words: vec![] };
    let mut snippets = vec![
        Snippet::new("op_012_gas_dropped", vec![Piece::opcode(op::GAS)], vec![call(Gas::All)], always!("OP-012")),
        Snippet::new(
            "op_012_gas_looked_at",
            vec![Piece::Op(op::GAS, vec![], Some(op::ISZERO))],
            vec![Piece::Op(op::ADDRESS, vec![], Some(op::ISZERO))],
            always!("OP-012"),
        ),
        Snippet::new(
            "op_012_gas_not_quite_before_a_call",
            vec![call(Gas::Late)],
            vec![call(Gas::Exactly(30_000))],
            always!("OP-012"),
        ),
        Snippet::new(
            "op_012_gas_last_in_its_frame",
            inner(CallKind::Call, vec![Piece::Raw(vec![op::GAS])]),
            inner(CallKind::Call, vec![Piece::Raw(vec![op::ADDRESS])]),
            always!("OP-012"),
        ),
    ];
    for kind in CallKind::ALL {
        let name = format!("op_012_gas_right_before_{kind:?}").to_lowercase();
        snippets.push(Snippet::alone(name, vec![Piece::call(kind, Who::Stop)], lawful));
    }
    snippets
}

fn undefined() -> Vec<Snippet> {
    let kinds = [CallKind::Call, CallKind::DelegateCall, CallKind::StaticCall, CallKind::CallCode];
    // SLOTNUM (0x4b) is none yet on this chain.
    [0x0c, 0x1f, 0x21, 0x4b, 0x4f, 0xa5, 0xb0, 0xe0, 0xef, 0xfc]
        .into_iter()
        .enumerate()
        .map(|(index, opcode)| {
            let body = |opcode| {
                let body = vec![Piece::Raw(vec![opcode])];
                vec![Piece::Inner { kind: kinds[index % 4], gas: Gas::Exactly(5_000), body }]
            };
            Snippet::new(format!("op_013_{opcode:02x}"), body(opcode), body(op::STOP), always!("OP-013"))
        })
        .collect()
}

fn starving() -> Vec<Snippet> {
    let forever = vec![Piece::Raw(vec![op::JUMPDEST, op::PUSH0, op::JUMP])];
    let precompile = |number, gas| {
        let gas = Gas::Exactly(gas);
        let to = Who::Precompile(number);
        vec![Piece::Call { kind: CallKind::StaticCall, to, value: 0, gas, head: vec![], words: vec![] }]
    };
    let far = |opcode| vec![Piece::Raw(vec![0x60 + 7, 255, 255, 255, 255, 255, 255, 255, 255, opcode])];
    let starved = always!("OP-020");
    vec![
        Snippet::new("op_020_endless", contained(500, forever.clone()), contained(500, vec![]), starved),
        Snippet::new(
            "op_020_at_depth",
            inner(CallKind::DelegateCall, contained(500, forever.clone())),
            inner(CallKind::DelegateCall, contained(500, vec![])),
            starved,
        ),
        Snippet::new(
            "op_020_no_gas_at_all",
            contained(0, vec![Piece::opcode(op::ADDRESS)]),
            contained(4, vec![Piece::opcode(op::ADDRESS)]),
            starved,
        ),
        Snippet::new(
            "op_020_memory_out_of_reach",
            contained(9_000, far(op::MLOAD)),
            contained(9_000, far(op::POP)),
            starved,
        ),
        Snippet::new("op_020_precompile", precompile(1, 2_999), precompile(1, 3_000), starved),
        Snippet::new("op_020_identity", precompile(4, 14), precompile(4, 15), starved),
    ]
}

fn balances() -> Vec<Snippet> {
    let unless_staked: Reading = |setting: &Setting, _: &Snippet| match setting.staked {
        true => Expected::Lawful,
        false => Expected::Breaks("OP-080"),
    };
    let of = |opcode, who| vec![Piece::Op(opcode, vec![Word::Address(who)], None)];
    let trial = |name: &str, bad: Vec<Piece>, good: Vec<Piece>| {
        Snippet::new(format!("op_080_{name}"), bad, good, unless_staked)
    };
    vec![
        trial("balance", of(op::BALANCE, Who::Nobody), of(op::ISZERO, Who::Nobody)),
        trial("balance_of_itself", of(op::BALANCE, Who::This), of(op::ISZERO, Who::This)),
        trial("selfbalance", vec![Piece::opcode(op::SELFBALANCE)], vec![Piece::opcode(op::CALLVALUE)]),
        trial(
            "balance_at_depth",
            inner(CallKind::StaticCall, of(op::BALANCE, Who::Nobody)),
            inner(CallKind::StaticCall, of(op::ISZERO, Who::Nobody)),
        ),
        trial(
            "selfbalance_at_depth",
            inner(CallKind::DelegateCall, vec![Piece::opcode(op::SELFBALANCE)]),
            inner(CallKind::DelegateCall, vec![Piece::opcode(op::CALLVALUE)]),
        ),
    ]
}
