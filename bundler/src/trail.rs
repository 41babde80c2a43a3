//! The last blocks of the chain by their headers: which can have logged anything of ours, and which cannot.
//!
//! A header has a bloom filter over the addresses and topics of its block's logs. It errs one way only: where it does not
//! have an address, that address has logged nothing. So whoever waits for a contract's events, or for a change of state
//! that always comes with one, need not ask the node about most blocks.
//!
//! Not every chain fills the filter in, and a node may leave it out. Filters are believed from the first one on that is
//! filled in part, which no chain does that does not mean it, and each only if it is the one that the block's hash was
//! made of. Otherwise a block is known to have logged nothing only if it has no transactions.

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
        // Chains whose headers hash to something else are asked about each block.
        if believed && header.inner.hash_slow() == header.hash {
            Self::Within(Box::new(header.logs_bloom))
        } else {
            Self::Anything
        }
    }

    fn may_be_of(&self, filters: &[Bloom]) -> bool {
        match self {
            Self::Nothing => false,
            Self::Within(bloom) => filters.iter().any(|filter| bloom.contains(filter)),
            Self::Anything => true,
        }
    }
}

/// Whether a filter is filled in, in part.
fn says_something(bloom: &Bloom) -> bool {
    *bloom != Bloom::ZERO && bloom.iter().any(|byte| *byte != u8::MAX)
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

    /// Goes on with the child of a block that is remembered, in the place of those after that; with any other, begins anew.
    pub(crate) fn extend(&self, header: &Header) {
        let mut inner = self.inner();
        while inner.links.back().is_some_and(|last| last.mark.number >= header.number) {
            inner.links.pop_back();
        }
        if inner.links.back().is_none_or(|last| last.mark.hash != header.parent_hash) {
            inner.links.clear();
        }
        inner.add(header);
    }

    /// The block of this height, if it is remembered.
    pub(crate) fn at(&self, number: u64) -> Option<B256> {
        self.inner().links.iter().rev().find(|link| link.mark.number == number).map(|link| link.mark.hash)
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
    pub(crate) fn may_have_logs(&self, header: &Header, addresses: &[Address]) -> bool {
        let filters: Vec<_> = addresses.iter().map(filter).collect();
        let believed = self.inner().believed || says_something(&header.logs_bloom);
        Logged::of(header, believed).may_be_of(&filters)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, header: &Header) {
        self.believed |= says_something(&header.logs_bloom);
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

    fn header(parent: &Header, bloom: Bloom, transactions: bool) -> Header {
        let transactions_root = if transactions { B256::repeat_byte(9) } else { EMPTY_ROOT_HASH };
        sealed(alloy::consensus::Header {
            number: parent.number + 1,
            parent_hash: parent.hash,
            logs_bloom: bloom,
            transactions_root,
            ..Default::default()
        })
    }

    fn sealed(inner: alloy::consensus::Header) -> Header {
        Header::new(inner)
    }

    /// A trail and its blocks.
    struct Walked(Trail, Vec<Header>);

    impl Walked {
        fn on(&mut self, header: Header) {
            self.0.extend(&header);
            self.1.push(header);
        }

        fn child(&self, bloom: Bloom, transactions: bool) -> Header {
            header(self.1.last().unwrap_or(&sealed(alloy::consensus::Header::default())), bloom, transactions)
        }

        /// How many blocks after the one of this index the newest is, if all of them are quiet.
        fn quiet_since(&self, index: usize) -> Option<u64> {
            let mark = self.0.quiet_since(self.1[index].hash, &[OURS])?;
            Some(mark.number - self.1[index].number)
        }

        fn loud(&self) -> Vec<usize> {
            (0..self.1.len()).filter(|index| self.0.may_have_logs(&self.1[*index], &[OURS])).collect()
        }
    }

    fn walked(blocks: &[(Bloom, bool)]) -> Walked {
        let mut walked = Walked(Trail::default(), Vec::new());
        for (bloom, transactions) in blocks {
            walked.on(walked.child(*bloom, *transactions));
        }
        walked
    }

    #[test]
    fn a_filter_without_the_address_means_that_it_logged_nothing() {
        let mut trail =
            walked(&[(filter(&OTHER), true), (filter(&OTHER), true), (filter(&OURS), true), (filter(&OTHER), true)]);
        assert_eq!([0, 1, 2, 3].map(|index| trail.quiet_since(index)), [None, None, Some(1), Some(0)]);
        assert_eq!(trail.0.quiet_since(B256::ZERO, &[OURS]), None, "a block that is not known");
        assert_eq!(trail.loud(), [2]);
        trail.on(trail.child(Bloom::ZERO, true));
        assert_eq!(trail.quiet_since(2), Some(2), "an empty one is believed on a chain that fills them in");
    }

    #[test]
    fn filters_that_no_block_fills_in_say_nothing_but_of_blocks_without_transactions() {
        for unfilled in [Bloom::ZERO, Bloom::repeat_byte(u8::MAX)] {
            let trail = walked(&[(unfilled, true), (unfilled, true), (unfilled, false), (unfilled, false)]);
            assert_eq!((trail.quiet_since(0), trail.quiet_since(1)), (None, Some(2)));
            assert_eq!(trail.loud(), [0, 1]);
        }
    }

    #[test]
    fn a_filter_that_the_block_s_hash_was_not_made_of_says_nothing() {
        for wrong in [Bloom::ZERO, filter(&OTHER)] {
            let mut trail = walked(&[(filter(&OTHER), true), (filter(&OTHER), true)]);
            let mut left_out = trail.child(filter(&OURS), true);
            left_out.inner.logs_bloom = wrong;
            trail.on(left_out);
            trail.on(trail.child(filter(&OTHER), true));
            assert_eq!((trail.quiet_since(1), trail.quiet_since(2)), (None, Some(1)));
            assert_eq!(trail.loud(), [2]);
        }
    }

    #[test]
    fn a_block_that_used_gas_had_transactions_whatever_its_root_says() {
        let mut trail = walked(&[(Bloom::ZERO, false); 3]);
        let mut unfilled = trail.child(Bloom::ZERO, false).inner;
        unfilled.gas_used = 46_000;
        trail.on(sealed(unfilled));
        assert_eq!(trail.quiet_since(1), None);
        assert_eq!(trail.loud(), [3]);
    }

    #[test]
    fn after_a_reorganisation_nothing_is_known_of_the_blocks_before_it() {
        let mut trail = walked(&[(filter(&OTHER), true), (filter(&OTHER), true)]);
        let branch =
            header(&sealed(alloy::consensus::Header { number: 6, ..Default::default() }), filter(&OTHER), true);
        trail.on(branch);
        assert_eq!((trail.quiet_since(1), trail.quiet_since(2)), (None, Some(0)));
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let trail = walked(&[(filter(&OTHER), true); 3 * KEPT]);
        assert_eq!(trail.0.inner().links.len(), KEPT);
    }

    #[test]
    fn a_filter_of_ones_alone_is_no_reason_to_believe_the_empty_one_after_it() {
        let trail = walked(&[(Bloom::repeat_byte(u8::MAX), true), (Bloom::ZERO, true)]);
        assert_eq!(trail.quiet_since(0), None);
    }
}
