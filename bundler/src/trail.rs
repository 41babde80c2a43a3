//! The last blocks of the chain by their headers: which can have logged anything of ours, and which cannot.
//!
//! A header has a bloom filter over the addresses and topics of its block's logs. It errs one way only: where it does not
//! have an address, that address has logged nothing. So whoever waits for a contract's events, or for a change of state
//! that always comes with one, need not ask the node about most blocks.
//!
//! Not every chain fills the filter in. It is believed from the first one on that is filled in part, which no chain does
//! that does not mean it; until then a block is known to have logged nothing only if it has no transactions.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy::{
    consensus::constants::EMPTY_ROOT_HASH,
    primitives::{Address, B256, Bloom, BloomInput},
    rpc::types::Header,
};

/// Blocks that are remembered: more than three minutes of five a second.
const KEPT: usize = 1_024;

/// Headers of the newest blocks, each the child of the one before.
#[derive(Debug, Default)]
pub struct Trail {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    links: VecDeque<Link>,
    /// Filters have been seen that say something.
    believed: bool,
}

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Seconds since 1970.
    pub timestamp: u64,
}

#[derive(Debug)]
struct Link {
    mark: Mark,
    logged: Logged,
}

/// What a block may have logged.
#[derive(Debug)]
enum Logged {
    Nothing,
    Within(Box<Bloom>),
    Anything,
}

impl Logged {
    fn of(header: &Header, believed: bool) -> Self {
        // A root that is filled in no more than a filter may be is found out by the gas that was used.
        if header.transactions_root == EMPTY_ROOT_HASH {
            return if header.gas_used == 0 { Self::Nothing } else { Self::Anything };
        }
        if believed { Self::Within(Box::new(header.logs_bloom)) } else { Self::Anything }
    }

    fn may_be_of(&self, filters: &[Bloom]) -> bool {
        match self {
            Self::Nothing => false,
            Self::Within(bloom) => filters.iter().any(|filter| bloom.contains(filter)),
            Self::Anything => true,
        }
    }
}

fn filter(address: &Address) -> Bloom {
    Bloom::from(BloomInput::Raw(address.as_slice()))
}

impl Trail {
    /// Begins anew with this block.
    pub(crate) fn begin(&self, header: &Header) {
        let mut inner = self.inner();
        inner.links.clear();
        inner.add(header);
    }

    /// Goes on with the child of the newest block; with any other, begins anew.
    pub(crate) fn extend(&self, header: &Header) {
        let mut inner = self.inner();
        if inner.links.back().is_none_or(|last| last.mark.hash != header.parent_hash) {
            inner.links.clear();
        }
        inner.add(header);
    }

    /// The newest block.
    pub fn tip(&self) -> Option<Mark> {
        self.inner().links.back().map(|link| link.mark)
    }

    /// The newest block, if none of these addresses can have logged anything since the block of this hash.
    pub fn quiet_since(&self, hash: B256, addresses: &[Address]) -> Option<Mark> {
        let filters: Vec<_> = addresses.iter().map(filter).collect();
        let inner = self.inner();
        let newer = inner.links.iter().rev().take_while(|link| link.mark.hash != hash).count();
        // Of what came before the first that is remembered nothing is known.
        let known = newer < inner.links.len();
        let loud = inner.links.iter().rev().take(newer).any(|link| link.logged.may_be_of(&filters));
        inner.links.back().filter(|_| known && !loud).map(|link| link.mark)
    }

    /// Whether any of these addresses can have logged something in this block.
    pub(crate) fn may_have_logs(&self, hash: B256, addresses: &[Address]) -> bool {
        let filters: Vec<_> = addresses.iter().map(filter).collect();
        let inner = self.inner();
        let link = inner.links.iter().rev().find(|link| link.mark.hash == hash);
        link.is_none_or(|link| link.logged.may_be_of(&filters))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, header: &Header) {
        let bloom = &header.logs_bloom;
        self.believed |= *bloom != Bloom::ZERO && bloom.iter().any(|byte| *byte != u8::MAX);
        let mark = Mark { number: header.number, hash: header.hash, timestamp: header.timestamp };
        self.links.push_back(Link { mark, logged: Logged::of(header, self.believed) });
        if self.links.len() > KEPT {
            self.links.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Address = Address::repeat_byte(1);
    const OTHER: Address = Address::repeat_byte(2);

    fn header(number: u64, bloom: Bloom, transactions: bool) -> Header {
        let transactions_root = if transactions { B256::repeat_byte(9) } else { EMPTY_ROOT_HASH };
        let hash = |number: u64| B256::with_last_byte(u8::try_from(number).unwrap());
        let inner = alloy::consensus::Header {
            number,
            parent_hash: hash(number.saturating_sub(1)),
            logs_bloom: bloom,
            transactions_root,
            ..Default::default()
        };
        Header { hash: hash(number), inner, ..Header::default() }
    }

    fn trail(blocks: &[(Bloom, bool)]) -> Trail {
        let trail = Trail::default();
        for (number, (bloom, transactions)) in blocks.iter().enumerate() {
            trail.extend(&header(number as u64, *bloom, *transactions));
        }
        trail
    }

    fn quiet_since(trail: &Trail, number: u8) -> Option<u64> {
        trail.quiet_since(B256::with_last_byte(number), &[OURS]).map(|mark| mark.number)
    }

    #[test]
    fn a_filter_without_the_address_means_that_it_logged_nothing() {
        let trail =
            trail(&[(filter(&OTHER), true), (filter(&OTHER), true), (filter(&OURS), true), (filter(&OTHER), true)]);
        assert_eq!(quiet_since(&trail, 0), None);
        assert_eq!(quiet_since(&trail, 1), None, "the block of the hash itself is not meant");
        assert_eq!(quiet_since(&trail, 2), Some(3));
        assert_eq!(quiet_since(&trail, 3), Some(3));
        assert_eq!(quiet_since(&trail, 9), None, "a block that is not known");
        let loud: Vec<_> = (0..4).filter(|it| trail.may_have_logs(B256::with_last_byte(*it), &[OURS])).collect();
        assert_eq!(loud, [2]);
    }

    #[test]
    fn filters_that_no_block_fills_in_say_nothing_but_of_blocks_without_transactions() {
        for unfilled in [Bloom::ZERO, Bloom::repeat_byte(u8::MAX)] {
            let trail = trail(&[(unfilled, true), (unfilled, true), (unfilled, false), (unfilled, false)]);
            assert_eq!(quiet_since(&trail, 0), None);
            assert_eq!(quiet_since(&trail, 1), Some(3));
            assert!(trail.may_have_logs(B256::with_last_byte(1), &[OURS]));
        }
    }

    #[test]
    fn a_block_that_used_gas_had_transactions_whatever_its_root_says() {
        let mut unfilled = header(3, Bloom::ZERO, false);
        unfilled.inner.gas_used = 46_000;
        let trail = trail(&[(Bloom::ZERO, false); 3]);
        trail.extend(&unfilled);
        assert_eq!(quiet_since(&trail, 1), None);
        assert!(
            trail.may_have_logs(B256::with_last_byte(3), &[OURS])
                && !trail.may_have_logs(B256::with_last_byte(2), &[OURS])
        );
    }

    #[test]
    fn an_empty_filter_is_believed_on_a_chain_that_fills_them_in() {
        let trail = trail(&[(filter(&OTHER), true), (Bloom::ZERO, true)]);
        assert_eq!(quiet_since(&trail, 0), Some(1));
    }

    #[test]
    fn after_a_reorganisation_nothing_is_known_of_the_blocks_before_it() {
        let trail = trail(&[(filter(&OTHER), true), (filter(&OTHER), true)]);
        trail.extend(&header(7, filter(&OTHER), true));
        assert_eq!((quiet_since(&trail, 1), quiet_since(&trail, 7)), (None, Some(7)));
        assert!(trail.may_have_logs(B256::with_last_byte(1), &[OURS]));
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let trail = Trail::default();
        for number in 0..3 * KEPT {
            let mut next = header(0, filter(&OTHER), true);
            (next.inner.number, next.hash) = (number as u64, B256::from(alloy::primitives::U256::from(number + 1)));
            next.inner.parent_hash = B256::from(alloy::primitives::U256::from(number));
            trail.extend(&next);
        }
        assert_eq!(trail.inner().links.len(), KEPT);
    }

    #[test]
    fn a_filter_of_ones_alone_is_no_reason_to_believe_the_empty_one_after_it() {
        let trail = trail(&[(Bloom::repeat_byte(u8::MAX), true), (Bloom::ZERO, true)]);
        assert_eq!(quiet_since(&trail, 0), None);
    }
}
