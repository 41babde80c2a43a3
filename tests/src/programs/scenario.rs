//! From programs to an operation, and to all that must be on the chain for it.

use std::{collections::BTreeMap, fmt};

use alloy::primitives::{Address, Bytes, U256, keccak256, utils::parse_ether};
use erc4337::{EntryPointVersion, Initializer, Paymaster, UserOperation};

use super::{
    asm::{Asm, op},
    helpers,
    piece::{Access, Piece, Place, Who, Word, emit},
};

/// What a factory is asked: whatever else it is told are orders.
const CREATE_ACCOUNT: [u8; 4] = [0xc4, 0xea, 0x7e, 0xac];
/// Gas for each validation; a call that eats 63 of 64 parts of it leaves enough.
const VERIFICATION_GAS: u128 = 2_000_000;

/// Whose phase of validation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the entities")]
pub enum Entity {
    Account,
    Factory,
    Paymaster,
}

impl Entity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Account, Self::Factory, Self::Paymaster];
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account => "account",
            Self::Factory => "factory",
            Self::Paymaster => "paymaster",
        })
    }
}

/// A stake in the EntryPoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stake {
    /// Wei.
    pub wei: U256,
    /// Seconds.
    pub delay: u32,
    /// Whether it stays: `staked` is cleared by `unlockStake`.
    pub locked: bool,
}

impl Stake {
    /// One ether for a day.
    pub fn enough() -> Self {
        Self { wei: parse_ether("1").unwrap(), delay: 86_400, locked: true }
    }
}

/// An entity's program and stake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// What it does in its phase.
    pub program: Vec<Piece>,
    /// What it has at stake.
    pub stake: Option<Stake>,
}

/// The account is one by EIP-7702 and runs its program's code by delegation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// Orders that the EntryPoint carries to it before validation (v0.8 and later): an access to its storage.
    pub orders: Option<(Access, Word)>,
}

/// An operation, by what its entities do in validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Of the EntryPoint.
    pub version: EntryPointVersion,
    /// The account.
    pub account: Actor,
    /// The factory; the account is there already if there is none.
    pub factory: Option<Actor>,
    /// Whether and how the account is delegated, if it is there already.
    pub delegation: Option<Delegation>,
    /// Who pays, if not the account.
    pub paymaster: Option<Actor>,
    /// Bytes that the paymaster hands on to its `postOp`.
    pub context: usize,
    /// Whether the paymaster runs its program's code by EIP-7702.
    pub delegated_paymaster: bool,
}

/// All that must be on the chain for an operation, and the operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// Of the EntryPoint.
    pub version: EntryPointVersion,
    /// The operation.
    pub op: UserOperation,
    /// Code by address.
    pub contracts: BTreeMap<Address, Bytes>,
    /// Entities with their stakes. Each has a deposit of one ether, and one ether of its own.
    pub entities: BTreeMap<Address, Option<Stake>>,
}

impl Scenario {
    /// The account alone.
    pub fn new(version: EntryPointVersion) -> Self {
        Self {
            version,
            account: Actor::default(),
            factory: None,
            delegation: None,
            paymaster: None,
            context: 0,
            delegated_paymaster: false,
        }
    }

    /// The actor of this entity, made if need be.
    pub fn actor(&mut self, entity: Entity) -> &mut Actor {
        match entity {
            Entity::Account => &mut self.account,
            Entity::Factory => self.factory.get_or_insert_default(),
            Entity::Paymaster => self.paymaster.get_or_insert_default(),
        }
    }

    /// All programs, as far as there are such entities.
    pub fn programs(&self) -> impl Iterator<Item = &[Piece]> {
        let others = [self.factory.as_ref(), self.paymaster.as_ref()];
        std::iter::once(&self.account).chain(others.into_iter().flatten()).map(|actor| actor.program.as_slice())
    }

    /// At addresses that no other `id` has, and the same every time.
    pub fn place(&self, id: &str, entry_point: Address) -> Placement {
        let address = |role: &str| Address::from_word(keccak256(format!("{role} {id}")));
        let (factory, template) = (address("factory"), address("template"));
        let init_code = init_code(template);
        let sender = match self.factory {
            Some(_) => factory.create2_from_code([0; 32], &init_code),
            None => address("account"),
        };
        let paymaster = address("paymaster");
        let mut place = Place {
            version: self.version,
            entry_point,
            sender,
            factory,
            paymaster,
            init_code,
            contracts: BTreeMap::new(),
        };
        let mut entities = BTreeMap::from([(sender, self.account.stake)]);

        let code = account(&self.account.program, &mut place);
        let delegation = self.delegation.as_ref().filter(|_| self.factory.is_none());
        // Not yet there: its factory copies it from the template. Or delegated, and the template is what it runs.
        let elsewhere = self.factory.is_some() || delegation.is_some();
        place.contracts.insert(if elsewhere { template } else { sender }, code);
        if delegation.is_some() {
            place.contracts.insert(sender, helpers::delegation(template));
        }
        if let Some(actor) = &self.factory {
            let code = factory_code(&actor.program, &mut place);
            place.contracts.insert(factory, code);
            entities.insert(factory, actor.stake);
        }
        if let Some(actor) = &self.paymaster {
            let code = paymaster_code(&actor.program, self.context, &mut place);
            if self.delegated_paymaster {
                let elsewhere = address("paymaster's code");
                place.contracts.insert(elsewhere, code);
                place.contracts.insert(paymaster, helpers::delegation(elsewhere));
            } else {
                place.contracts.insert(paymaster, code);
            }
            entities.insert(paymaster, actor.stake);
        }

        let orders = delegation.and_then(|delegation| delegation.orders.as_ref()).map(|(access, slot)| {
            let data = [&[helpers::order(*access)], slot.value(&place).to_be_bytes::<32>().as_slice()].concat();
            Initializer::Eip7702 { data: data.into() }
        });
        let initializer = match self.factory {
            Some(_) => Some(Initializer::Factory { address: factory, data: CREATE_ACCOUNT.into() }),
            None => orders,
        };
        let limit = if self.version.is_packed() { VERIFICATION_GAS } else { 0 };
        let op = UserOperation {
            sender,
            initializer,
            verification_gas_limit: VERIFICATION_GAS,
            pre_verification_gas: 100_000,
            max_fee_per_gas: 3_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            paymaster: self.paymaster.as_ref().map(|_| Paymaster {
                address: paymaster,
                verification_gas_limit: limit,
                ..Paymaster::default()
            }),
            ..UserOperation::default()
        };
        Placement { version: self.version, op, contracts: place.contracts, entities }
    }
}

/// Copies a template's code: the sender's address must not depend on its program, which may name the sender.
fn init_code(template: Address) -> Bytes {
    let mut asm = Asm::default();
    asm.address(template).op(op::EXTCODESIZE).op(op::DUP1);
    asm.op(op::PUSH0).op(op::PUSH0).address(template).op(op::EXTCODECOPY);
    asm.op(op::PUSH0).op(op::RETURN);
    asm.finish()
}

/// Answers "valid, for ever".
fn account(program: &[Piece], place: &mut Place) -> Bytes {
    let mut asm = Asm::default();
    helpers::unless_asked(&mut asm, place.version.selectors().validate_user_op);
    emit(program, &mut asm, place);
    returning(asm, &[U256::ZERO])
}

/// Answers with a context of so many zeros and "valid, for ever".
fn paymaster_code(program: &[Piece], context: usize, place: &mut Place) -> Bytes {
    let mut asm = Asm::default();
    helpers::unless_asked(&mut asm, place.version.selectors().validate_paymaster_user_op);
    emit(program, &mut asm, place);
    // Behind the length memory may be in use: clean words.
    let zeros = vec![U256::ZERO; context.div_ceil(32)];
    returning(asm, &[&[U256::from(64), U256::ZERO, U256::from(context)], zeros.as_slice()].concat())
}

/// Creates the sender when its program does, or else at the end.
fn factory_code(program: &[Piece], place: &mut Place) -> Bytes {
    let mut asm = Asm::default();
    helpers::unless_asked(&mut asm, CREATE_ACCOUNT);
    emit(program, &mut asm, place);
    if !mentions(program, &|piece| *piece == Piece::CreateSender) {
        emit(&[Piece::CreateSender], &mut asm, place);
    }
    returning(asm, &[U256::from_be_bytes(place.sender.into_word().0)])
}

fn returning(mut asm: Asm, words: &[U256]) -> Bytes {
    for (index, word) in words.iter().enumerate() {
        asm.push(*word).number(32 * index).op(op::MSTORE);
    }
    asm.number(32 * words.len()).op(op::PUSH0).op(op::RETURN);
    asm.finish()
}

/// Whether there is such a piece, at any depth.
pub fn mentions(program: &[Piece], what: &impl Fn(&Piece) -> bool) -> bool {
    program.iter().any(|piece| what(piece) || mentions(piece.body(), what))
}

/// Whether a program names this address.
pub fn names(program: &[Piece], who: Who) -> bool {
    mentions(program, &|piece| match piece {
        Piece::Op(_, words, _) => words.iter().any(|word| word_names(word, who)),
        Piece::Hash(word) | Piece::Own(_, word) => word_names(word, who),
        Piece::Store { slot, at, .. } => *at == who || word_names(slot, who),
        Piece::Call { to, words, .. } => *to == who || words.iter().any(|word| word_names(word, who)),
        Piece::By { who: by, .. } => *by == who,
        Piece::Inner { .. } | Piece::Raw(_) | Piece::CreateSender => false,
    })
}

fn word_names(word: &Word, who: Who) -> bool {
    match word {
        Word::Literal(_) => false,
        Word::Address(named) | Word::Dirty(named) => *named == who,
        Word::Keccak(words, _) | Word::Foreknown(words, _) => words.iter().any(|word| word_names(word, who)),
    }
}
