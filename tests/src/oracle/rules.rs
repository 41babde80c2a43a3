//! The rules of ERC-7562, one instruction at a time, after its text and `docs/erc-7562.md`.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};

use super::{
    phases::{Frame, Parties, Role},
    trace::Event,
};

const GAS: u8 = 0x5a;
const ISZERO: u8 = 0x15;
const BALANCE: u8 = 0x31;
const SELFBALANCE: u8 = 0x47;
const EXTCODESIZE: u8 = 0x3b;
const CALL: u8 = 0xf1;
const CREATE2: u8 = 0xf5;

/// OP-011: `ORIGIN`, `GASPRICE`, `BLOCKHASH` … `GASLIMIT`, `BASEFEE`, `BLOBHASH`, `BLOBBASEFEE`, `CREATE`, `INVALID`,
/// `SELFDESTRUCT`.
const FORBIDDEN: [u8; 14] = [0x32, 0x3a, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x48, 0x49, 0x4a, 0xf0, 0xfe, 0xff];

/// Instructions of the Osaka hardfork.
const fn defined(op: u8) -> bool {
    matches!(op,
        0x00..=0x0b | 0x10..=0x1e | 0x20 | 0x30..=0x4a | 0x50..=0xa4 | 0xf0..=0xf5 | 0xfa | 0xfd..=0xff)
}

/// Instructions that concern a rule by themselves, for the tracer to write down.
pub(super) fn noted() -> Vec<u8> {
    (0..=u8::MAX)
        .filter(|op| !defined(*op) || FORBIDDEN.contains(op) || matches!(*op, GAS | BALANCE | SELFBALANCE))
        .collect()
}

/// One operation before its judge.
pub(super) struct Case<'a> {
    pub(super) parties: Parties,
    /// The account had code before.
    pub(super) deployed: bool,
    /// Those of the parties that have enough stake.
    pub(super) staked: BTreeSet<Address>,
    pub(super) frames: &'a [Frame],
    pub(super) events: &'a [Event],
    pub(super) mappings: Mappings,
}

/// Where mappings by address begin: the word hashed first, and the hash.
pub(super) struct Mappings(BTreeSet<(B256, U256)>);

impl Mappings {
    /// From all 64-byte preimages that were seen.
    pub(super) fn new(preimages: &[Bytes]) -> Self {
        Self(
            preimages.iter().map(|preimage| (B256::from_slice(&preimage[..32]), number(keccak256(preimage)))).collect(),
        )
    }
}

impl Case<'_> {
    /// Every rule that was broken, and by whom.
    pub(super) fn judge(&self) -> BTreeSet<(String, String)> {
        let mut broken = BTreeSet::new();
        let mut breaks = |rule: &str, role: Role| {
            broken.insert((rule.to_owned(), role.name().to_owned()));
        };
        for frame in self.frames {
            if let (Some(role), false, true) = (frame.role, frame.exempt, frame.out_of_gas) {
                breaks("OP-020", role);
            }
        }
        let mut created = 0;
        for event in self.events {
            let frame = &self.frames[event.frame];
            let (Some(role), false) = (frame.role, frame.exempt) else { continue };
            match event.op {
                op if !defined(op) => breaks("OP-013", role),
                op if FORBIDDEN.contains(&op) => breaks("OP-011", role),
                GAS if !event.next.is_some_and(is_call) => breaks("OP-012", role),
                BALANCE | SELFBALANCE if !self.is_staked(role) => breaks("OP-080", role),
                // What halts by itself, for want of gas or in a static frame, calls and creates nothing.
                op if (op == CREATE2 || is_call(op)) && event.opens.is_none() => {}
                CREATE2 => {
                    let address = event.opens.map(|opened| self.frames[opened].to);
                    if role != Role::Factory || created > 0 || address != Some(self.parties.sender) {
                        breaks("OP-031", role);
                    }
                    if role == Role::Factory {
                        created += 1;
                    }
                }
                // What halts its frame has read nothing.
                0x3b | 0x3c | 0x3f if event.next.is_none() => {}
                0x3b | 0x3c | 0x3f => self.code_read(event, role).into_iter().for_each(|rule| breaks(rule, role)),
                op if is_call(op) => self.call(event, role).into_iter().for_each(|rule| breaks(rule, role)),
                0x54 | 0x5c => self.storage(event, false, role).into_iter().for_each(|rule| breaks(rule, role)),
                0x55 | 0x5d => self.storage(event, true, role).into_iter().for_each(|rule| breaks(rule, role)),
                _ => {}
            }
        }
        broken
    }

    fn is_staked(&self, role: Role) -> bool {
        self.parties.of(role).is_some_and(|entity| self.staked.contains(&entity))
    }

    /// OP-042: a factory may look at the account it makes.
    fn is_sender_in_deployment(&self, address: Address, role: Role) -> bool {
        role == Role::Factory && address == self.parties.sender
    }

    /// `EXTCODE*`.
    fn code_read(&self, event: &Event, role: Role) -> Option<&'static str> {
        let address = event.target();
        if address == self.parties.entry_point {
            let asks_whether = event.op == EXTCODESIZE && event.next == Some(ISZERO);
            return (!asks_whether).then_some("OP-054");
        }
        let nothing = event.code == 0 || is_precompile(address);
        (nothing && !self.is_sender_in_deployment(address, role)).then_some("OP-041")
    }

    /// The four calls.
    fn call(&self, event: &Event, role: Role) -> Vec<&'static str> {
        let address = event.target();
        if address == self.parties.entry_point {
            let allowed =
                event.op == CALL && self.parties.may_call_entry_point(event.contract, &event.input, event.length);
            return if allowed { vec![] } else { vec!["OP-054"] };
        }
        let mut broken = Vec::new();
        if !event.value.is_zero() {
            broken.push("OP-061");
        }
        if is_precompile(address) {
            if !is_accepted_precompile(address) {
                broken.push("OP-062");
            }
        } else if event.code == 0 && !self.is_sender_in_deployment(address, role) {
            broken.push("OP-041");
        }
        broken
    }

    /// A slot, persistent or transient (OP-070).
    fn storage(&self, event: &Event, writes: bool, role: Role) -> Option<&'static str> {
        let Parties { sender, factory, paymaster, .. } = self.parties;
        let (contract, slot) = (event.contract, event.word);
        let entity = self.parties.of(role)?;
        let staked = self.is_staked(role);
        if contract == sender {
            return None;
        }
        if contract == entity {
            return (!staked).then_some("STO-031");
        }
        if Some(contract) == factory || Some(contract) == paymaster {
            return Some("STO-033");
        }
        let of_sender = self.is_associated(slot, sender);
        let will_stay = self.deployed || factory.is_none_or(|factory| self.staked.contains(&factory));
        if of_sender && will_stay {
            return None;
        }
        let of_entity = self.is_associated(slot, entity);
        match (of_sender, staked) {
            (_, true) if of_entity || !writes => None,
            (true, _) => Some("STO-022"),
            (false, false) if of_entity => Some("STO-032"),
            (false, _) => Some("STO-033"),
        }
    }

    /// Whether the slot is the address itself, or follows a hash of it by less than 128.
    fn is_associated(&self, slot: U256, address: Address) -> bool {
        let word = address.into_word();
        let follows = |hash: U256| slot.wrapping_sub(hash) < U256::from(128);
        slot == number(word) || self.mappings.0.iter().any(|(first, hash)| *first == word && follows(*hash))
    }
}

fn number(word: B256) -> U256 {
    U256::from_be_bytes(word.0)
}

/// `CALL`, `CALLCODE`, `DELEGATECALL`, `STATICCALL`.
const fn is_call(op: u8) -> bool {
    matches!(op, 0xf1 | 0xf2 | 0xf4 | 0xfa)
}

/// Active in Osaka.
fn is_precompile(address: Address) -> bool {
    matches!(number(address.into_word()).try_into(), Ok(0x01u64..=0x11 | 0x100))
}

fn is_accepted_precompile(address: Address) -> bool {
    matches!(number(address.into_word()).try_into(), Ok(0x01u64..=0x09 | 0x100))
}
