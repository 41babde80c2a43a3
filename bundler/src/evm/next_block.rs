//! When the next block is, before it is there.
//!
//! Blocks say whole seconds. Where several share one, the next block has its parent's second or the one after it: a
//! set, of which one second is known only if the chain tells milliseconds. What is to be mined has to be valid in each.
//!
//! | chain | the next block's second |
//! |---|---|
//! | blocks of less than a second | the head's time and a block time on; of a head without milliseconds, each that this can be |
//! | blocks of a second and more | one after the head's, at the earliest |
//! | no OP stack, where blocks may fail to come | as above, but a block time before the clock at the earliest |
//!
//! An OP stack's clock is its blocks: each is exactly a block time after its parent, and a chain that has stood still
//! goes on where it stopped, whatever our clock says.

use std::time::Duration;

use erc4337::ChainPreset;

use super::BlockPin;

/// A block that operations run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Its height.
    pub number: u64,
    /// Its time, in seconds since 1970.
    pub timestamp: u64,
}

/// The block that comes next, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextBlock {
    /// Its height.
    pub number: u64,
    /// The first second that it may have.
    pub earliest: u64,
    /// The last second that it may have, if it comes in time.
    pub latest: u64,
    /// Time between blocks.
    pub block_time: Duration,
}

impl NextBlock {
    /// It, as early as it may be.
    pub fn first(&self) -> Moment {
        Moment { number: self.number, timestamp: self.earliest }
    }

    /// It, as late as it may be.
    pub(crate) fn last(&self) -> Moment {
        Moment { number: self.number, timestamp: self.latest }
    }

    /// Itself, or the first block that is not before this moment. Height and time go on together: whoever waits for one
    /// waits for what comes with it of the other.
    pub(crate) fn not_before(self, moment: Moment) -> Self {
        let block_time = self.block_time.as_millis().max(1);
        let narrow = |wide: u128| u64::try_from(wide).unwrap_or(u64::MAX);
        let (blocks, seconds) =
            (moment.number.saturating_sub(self.number), moment.timestamp.saturating_sub(self.earliest));
        // In the last second that it may have, the next block is as near to the moment as can be.
        let least = u128::from(moment.timestamp.saturating_sub(self.latest)) * 1_000 / block_time;
        let passed = narrow(u128::from(blocks) * block_time / 1_000);
        let earliest = self.earliest.saturating_add(passed.max(seconds));
        Self {
            number: self.number.saturating_add(blocks.max(narrow(least))),
            earliest,
            latest: self.latest.saturating_add(passed).max(earliest),
            ..self
        }
    }

    /// How many blocks come within this time: all that begin in it.
    pub(crate) fn blocks_in(&self, time: Duration) -> u64 {
        let blocks = time.as_millis().div_ceil(self.block_time.as_millis().max(1));
        u64::try_from(blocks).unwrap_or(u64::MAX)
    }
}

impl BlockPin {
    /// The block that follows this one; `now` is our clock, as time since 1970.
    pub(crate) fn next(&self, chain: &ChainPreset, now: Duration) -> NextBlock {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let block_time = millis(chain.block_time).max(1);
        // The head's own time is at least and at most this.
        let start = self.timestamp.saturating_mul(1_000);
        let (least, most) = match self.millis {
            Some(millis) => (start.saturating_add(millis.into()), start.saturating_add(millis.into())),
            None if block_time.is_multiple_of(1_000) => (start, start),
            None => (start, start.saturating_add(999)),
        };
        let after = |time: u64| time.saturating_add(block_time) / 1_000;
        let mut latest = after(most);
        let mut earliest = if block_time < 1_000 { after(least) } else { self.timestamp.saturating_add(1) };
        if !chain.op_stack {
            // Its clock goes on from the head, or is ours: whichever is later.
            let clock = millis(now).max(start.saturating_add(millis(now.saturating_sub(self.seen))));
            earliest = earliest.max(clock.saturating_sub(block_time) / 1_000);
            latest = latest.max(clock / 1_000);
        }
        NextBlock {
            number: self.number.saturating_add(1),
            earliest,
            latest: latest.max(earliest),
            block_time: chain.block_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_800_000_000;

    fn chain(op_stack: bool, block_time: u64) -> ChainPreset {
        ChainPreset { op_stack, block_time: Duration::from_millis(block_time), ..ChainPreset::local() }
    }

    fn head(millis: Option<u16>) -> BlockPin {
        BlockPin { timestamp: T, millis, seen: Duration::from_secs(T), ..crate::mempool::tests::block(7) }
    }

    /// Of a clock this many milliseconds after the head's second.
    fn seconds(head: BlockPin, chain: &ChainPreset, later: u64) -> (u64, u64) {
        let next = head.next(chain, Duration::from_millis(T * 1_000 + later));
        assert_eq!(next.number, 8);
        (next.earliest - T, next.latest - T)
    }

    #[test]
    fn blocks_of_200_ms_have_the_heads_second_or_the_next_whatever_our_clock_says() {
        for later in [0, 900, 5_000, 3_600_000] {
            assert_eq!(seconds(head(None), &chain(true, 200), later), (0, 1));
        }
    }

    #[test]
    fn milliseconds_tell_which_of_the_two_it_is() {
        let at = |millis| seconds(head(Some(millis)), &chain(true, 200), 0);
        assert_eq!([0, 200, 400, 600].map(at), [(0, 0); 4]);
        assert_eq!([800, 999].map(at), [(1, 1); 2]);
    }

    #[test]
    fn blocks_of_whole_seconds_are_after_the_head() {
        assert_eq!(seconds(head(None), &chain(true, 2_000), 60_000), (1, 2));
        assert_eq!(seconds(head(None), &chain(true, 1_000), 0), (1, 1));
    }

    #[test]
    fn where_blocks_may_fail_to_come_the_clock_counts_but_for_a_block_time() {
        assert_eq!(seconds(head(None), &chain(false, 12_000), 3_000), (1, 12));
        assert_eq!(seconds(head(None), &chain(false, 12_000), 600_000), (588, 600));
        assert_eq!(seconds(head(None), &chain(false, 200), 600_100), (599, 600));
    }

    #[test]
    fn a_chain_that_is_ahead_of_our_clock_goes_on_from_its_head() {
        let day = 86_400;
        let ahead = BlockPin { seen: Duration::from_secs(T - day), ..head(None) };
        let next = ahead.next(&chain(false, 200), Duration::from_secs(T - day + 60));
        assert_eq!((next.earliest - T, next.latest - T), (59, 60));
    }

    #[test]
    fn a_head_of_any_second_has_a_next() {
        for (op_stack, block_time) in [(true, 200), (true, 2_000), (false, 200), (false, 12_000)] {
            for (timestamp, millis) in [(u64::MAX, None), (u64::MAX / 1_000, Some(999)), (0, None)] {
                let head = BlockPin { timestamp, millis, number: u64::MAX, ..head(None) };
                let next = head.next(&chain(op_stack, block_time), Duration::from_secs(T));
                assert!(next.earliest <= next.latest, "{next:?}");
            }
        }
    }

    #[test]
    fn a_moment_in_blocks_is_one_in_time_and_the_other_way_round() {
        let next = NextBlock { number: 50, earliest: 1_000, latest: 1_001, block_time: Duration::from_millis(200) };
        let later = next.not_before(Moment { number: 200, timestamp: 1_000 });
        assert_eq!((later.number, later.earliest, later.latest), (200, 1_030, 1_031));
        let later = next.not_before(Moment { number: 50, timestamp: 1_030 });
        assert!((195..=200).contains(&later.number), "{later:?}");
        assert_eq!((later.earliest, later.latest), (1_030, 1_030));
        assert_eq!(next.not_before(next.first()), next);
    }

    #[test]
    fn time_is_counted_in_blocks_by_how_long_they_take() {
        let next = |block_time| head(None).next(&chain(true, block_time), Duration::ZERO);
        let ten = Duration::from_secs(10);
        assert_eq!([200, 2_000, 12_000].map(|it| next(it).blocks_in(ten)), [50, 5, 1]);
    }
}
