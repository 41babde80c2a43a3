//! How many blocks to ask for at once: as many as the node likes, found by asking.

/// Most blocks in one request, whatever the node would take: providers count blocks, however fast those come.
const MOST: u64 = 100_000;

/// The width of the next request. Halved when one is refused, doubled after a few that went well.
#[derive(Debug)]
pub(super) struct Width {
    blocks: u64,
    /// Requests that went well since the last change.
    streak: u32,
    /// The least that was refused: not tried again, so that each halving is paid for once.
    refused: u64,
}

impl Width {
    pub(super) fn new() -> Self {
        Self { blocks: 2_000, streak: 0, refused: MOST + 1 }
    }

    /// Blocks to ask for.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// A request was answered.
    pub(super) fn answered(&mut self) {
        self.streak += 1;
        // Refusals for many results pass with the busy blocks: what was refused is tried again after a while.
        if self.streak >= 64 {
            self.refused = MOST + 1;
        }
        let next = (self.blocks * 2).min(MOST);
        if self.streak >= 2 && next < self.refused {
            self.blocks = next;
            self.streak = 0;
        }
    }

    /// A request for this many blocks was refused; whether asking for fewer can help.
    pub(super) fn refused(&mut self, blocks: u64) -> bool {
        self.streak = 0;
        self.refused = self.refused.min(blocks.max(2));
        self.blocks = (blocks / 2).max(1);
        blocks > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests needed for this many blocks of a node that refuses more than `limit` at once, and how many it refused.
    fn fill(blocks: u64, limit: u64) -> (u64, u64) {
        let (mut width, mut left, mut asked, mut refused) = (Width::new(), blocks, 0, 0);
        while left > 0 {
            let wide = width.blocks().min(left);
            asked += 1;
            if wide > limit {
                refused += 1;
                assert!(width.refused(wide));
            } else {
                left -= wide;
                width.answered();
            }
        }
        (asked, refused)
    }

    #[test]
    fn a_node_that_takes_anything_is_asked_seldom() {
        assert!(fill(1_000_000, u64::MAX).0 < 40, "{:?}", fill(1_000_000, u64::MAX));
    }

    #[test]
    fn a_node_with_a_limit_is_not_asked_in_vain_again_and_again() {
        for limit in [1, 7, 100, 500, 1_024, 10_000] {
            let (asked, refused) = fill(limit * 1_000, limit);
            assert!(asked <= 2_200, "limit {limit}: {asked}");
            assert!(refused * 10 <= asked, "limit {limit}: {refused} of {asked} refused");
        }
    }

    #[test]
    fn one_block_refused_is_no_matter_of_width() {
        assert!(!Width::new().refused(1));
    }
}
