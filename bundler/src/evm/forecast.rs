//! What an operation will read, told from what others of its shape have read.
//!
//! Operations of one kind of account read the same places but for the sender in them: its own storage, its entry in
//! a token's mapping. Those places are kept with the sender left open, and filled in for the next sender, so that a
//! stranger's operation costs one round trip. A wrong forecast costs a fetch, never a wrong answer.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use alloy::primitives::{Address, U256, keccak256};
use erc4337::{EntryPointVersion, UserOperation};

use super::{Trace, Wanted};

/// Places remembered of all shapes together, about four megabytes; past this, all are forgotten and learned anew.
const ALL_PLACES: usize = 32_768;
/// Places remembered of one shape.
const PLACES: usize = 256;
/// Fields after a mapping's entry that are told from its hash.
const FIELDS: usize = 8;
/// Mappings within mappings.
const NESTING: usize = 4;

/// What makes two operations likely to read the same places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    version: EntryPointVersion,
    factory: Option<Address>,
    paymaster: Option<Address>,
    signature_length: usize,
}

impl Shape {
    fn of(op: &UserOperation, version: EntryPointVersion) -> Self {
        let (factory, paymaster) = (op.factory(), op.paymaster_address());
        Self { version, factory, paymaster, signature_length: op.signature.len() }
    }
}

/// A word with the sender left open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Word {
    Literal(U256),
    Sender,
    /// `keccak256(first ‖ second) + offset`.
    Hash(Box<[Word; 2]>, usize),
}

impl Word {
    fn with_sender_open(word: U256, sender: U256, trace: &Trace, nesting: usize) -> Self {
        if word == sender {
            return Self::Sender;
        }
        let hashed = (nesting > 0)
            .then(|| {
                (0..FIELDS)
                    .find_map(|offset| Some((trace.preimages.get(&word.checked_sub(U256::from(offset))?)?, offset)))
            })
            .flatten();
        let Some((words, offset)) = hashed else { return Self::Literal(word) };
        let words = words.map(|word| Self::with_sender_open(word, sender, trace, nesting - 1));
        // Without the sender in it, it is the same for everyone.
        if words.iter().all(|word| matches!(word, Self::Literal(_))) {
            return Self::Literal(word);
        }
        Self::Hash(Box::new(words), offset)
    }

    fn fill_in(&self, sender: U256) -> U256 {
        match self {
            Self::Literal(word) => *word,
            Self::Sender => sender,
            Self::Hash(words, offset) => {
                let bytes: [[u8; 32]; 2] = std::array::from_fn(|index| words[index].fill_in(sender).to_be_bytes());
                U256::from_be_bytes(keccak256(bytes.concat()).0).wrapping_add(U256::from(*offset))
            }
        }
    }
}

/// Where something was read: an account, or a slot of it.
type Place = (Word, Option<Word>);

/// Places by shape.
#[derive(Debug, Default)]
pub struct Forecast {
    shapes: Mutex<Shapes>,
}

#[derive(Debug, Default)]
struct Shapes {
    places: HashMap<Shape, Vec<Place>>,
    /// How many places that is, and how many shapes.
    count: usize,
}

impl Forecast {
    /// Remembers what validation of `op` read.
    pub fn learn(&self, op: &UserOperation, version: EntryPointVersion, reads: &Wanted, trace: &Trace) {
        let sender = U256::from_be_bytes(op.sender.into_word().0);
        let open = |word: U256| Word::with_sender_open(word, sender, trace, NESTING);
        let account = |address: &Address| open(U256::from_be_bytes(address.into_word().0));
        let (accounts, slots) = reads.in_order();
        let accounts = accounts.iter().map(|address| (account(address), None));
        let slots = slots.iter().map(|(address, slot)| (account(address), Some(open(*slot))));
        let places: Vec<_> = accounts.chain(slots).take(PLACES).collect();
        let mut shapes = self.lock();
        if shapes.count + places.len() >= ALL_PLACES {
            *shapes = Shapes::default();
        }
        shapes.count += places.len() + 1;
        if let Some(before) = shapes.places.insert(Shape::of(op, version), places) {
            shapes.count -= before.len() + 1;
        }
    }

    /// What `op` will read, if an operation of its shape was seen.
    pub fn of(&self, op: &UserOperation, version: EntryPointVersion) -> Wanted {
        let sender = U256::from_be_bytes(op.sender.into_word().0);
        let mut wanted = Wanted::default();
        for (account, slot) in self.lock().places.get(&Shape::of(op, version)).into_iter().flatten() {
            let account = Address::from_word(account.fill_in(sender).into());
            match slot {
                None => drop(wanted.accounts.insert(account)),
                Some(slot) => drop(wanted.slots.insert((account, slot.fill_in(sender)))),
            }
        }
        wanted
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shapes> {
        self.shapes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(sender: u8) -> UserOperation {
        UserOperation { sender: Address::repeat_byte(sender), ..UserOperation::default() }
    }

    fn hash(words: [U256; 2]) -> U256 {
        U256::from_be_bytes(keccak256(words.map(|word| word.to_be_bytes::<32>()).concat()).0)
    }

    /// `allowance[sender][spender]` two fields on, the sender's own slot 0, and a literal place.
    fn reads(sender: u8) -> (Wanted, Trace) {
        let (token, spender) = (Address::repeat_byte(0xcc), U256::from(77));
        let account = Address::repeat_byte(sender);
        let inner = [U256::from_be_bytes(account.into_word().0), U256::from(3)];
        let outer = [spender, hash(inner)];
        let mut wanted = Wanted::default();
        wanted.accounts.extend([account, token]);
        wanted.slots.extend([(token, hash(outer) + U256::from(2)), (account, U256::ZERO), (token, U256::from(1))]);
        let preimages = [(hash(inner), inner), (hash(outer), outer)].into_iter().collect();
        (wanted, Trace { preimages, ..Trace::default() })
    }

    #[test]
    fn what_one_sender_read_tells_what_the_next_will() {
        let forecast = Forecast::default();
        let version = EntryPointVersion::V0_8;
        assert!(forecast.of(&op(2), version).is_empty());
        let (wanted, trace) = reads(1);
        forecast.learn(&op(1), version, &wanted, &trace);
        assert_eq!(forecast.of(&op(2), version), reads(2).0);
        assert!(forecast.of(&op(2), EntryPointVersion::V0_7).is_empty(), "another shape");
    }
}
