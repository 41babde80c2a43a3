//! Which blocks the index knows whole: disjoint ranges, so that an interrupted back-fill goes on where it was.

use std::ops::RangeInclusive;

/// Ranges of blocks, ascending, neither touching nor overlapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Coverage(Vec<(u64, u64)>);

impl Coverage {
    /// Adds a range.
    pub(super) fn add(&mut self, blocks: RangeInclusive<u64>) {
        let (mut from, mut to) = blocks.into_inner();
        self.0.retain(|&(a, b)| {
            let apart = b.saturating_add(1) < from || to.saturating_add(1) < a;
            if !apart {
                (from, to) = (from.min(a), to.max(b));
            }
            apart
        });
        let at = self.0.partition_point(|&(a, _)| a < from);
        self.0.insert(at, (from, to));
    }

    /// Forgets all blocks from this one on.
    pub(super) fn cut(&mut self, from: u64) {
        self.0.retain(|&(a, _)| a < from);
        if let Some((_, b)) = self.0.last_mut() {
            *b = (*b).min(from.saturating_sub(1));
        }
    }

    /// Forgets all blocks before this one.
    pub(super) fn forget_before(&mut self, first: u64) {
        self.0.retain(|&(_, b)| b >= first);
        if let Some((a, _)) = self.0.first_mut() {
            *a = (*a).max(first);
        }
    }

    /// The newest range within `blocks` that is not covered: what was mined last is asked for most.
    pub(super) fn newest_gap(&self, blocks: RangeInclusive<u64>) -> Option<(u64, u64)> {
        let (first, mut to) = blocks.into_inner();
        for &(a, b) in self.0.iter().rev() {
            if b < to {
                break;
            }
            if a <= to {
                to = a.checked_sub(1)?;
            }
        }
        let below = self.0.iter().rev().find(|&&(_, b)| b < to).map_or(0, |&(_, b)| b + 1);
        (to >= first).then(|| (below.max(first), to))
    }

    /// The newest block covered.
    pub(super) fn top(&self) -> Option<u64> {
        self.0.last().map(|&(_, b)| b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(ranges: &[(u64, u64)]) -> Coverage {
        let mut coverage = Coverage::default();
        ranges.iter().for_each(|&(a, b)| coverage.add(a..=b));
        coverage
    }

    #[test]
    fn ranges_that_touch_become_one() {
        assert_eq!(coverage(&[(5, 9), (20, 30), (10, 19)]), coverage(&[(5, 30)]));
        assert_eq!(coverage(&[(5, 9), (11, 12)]).0, [(5, 9), (11, 12)]);
        assert_eq!(coverage(&[(11, 12), (0, 3), (2, 11)]).0, [(0, 12)]);
    }

    #[test]
    fn the_newest_gap_comes_first_and_in_the_end_there_is_none() {
        let mut known = coverage(&[(90, 100), (40, 50)]);
        let mut filled = Vec::new();
        while let Some((a, b)) = known.newest_gap(10..=100) {
            filled.push((a, b));
            known.add(a..=b);
        }
        assert_eq!(filled, [(51, 89), (10, 39)]);
        assert_eq!(coverage(&[(0, 7)]).newest_gap(0..=7), None);
        assert_eq!(Coverage::default().newest_gap(3..=7), Some((3, 7)));
        assert_eq!(coverage(&[(0, 7)]).newest_gap(0..=9), Some((8, 9)));
    }

    #[test]
    fn against_a_set_of_blocks_it_says_the_same() {
        use std::collections::BTreeSet;
        let seed: u64 = 7;
        let mut state = seed;
        let mut dice = move |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let (mut known, mut set) = (Coverage::default(), BTreeSet::new());
        for step in 0..2_000 {
            let (a, length) = (dice(100), dice(12));
            match dice(8) {
                0 => {
                    known.cut(a);
                    set.retain(|&block| block < a);
                }
                1 if dice(4) == 0 => {
                    known.forget_before(a);
                    set.retain(|&block| block >= a);
                }
                _ => {
                    known.add(a..=a + length);
                    set.extend(a..=a + length);
                }
            }
            let gap = known.newest_gap(5..=105);
            let newest = (5..=105).rev().find(|block| !set.contains(block));
            assert_eq!(gap.map(|(_, to)| to), newest, "seed {seed}, step {step}: {known:?}");
            if let Some((from, to)) = gap {
                assert!((from..=to).all(|block| !set.contains(&block)) && (from == 5 || set.contains(&(from - 1))));
            }
            assert_eq!(known.top(), set.last().copied());
        }
    }
}
