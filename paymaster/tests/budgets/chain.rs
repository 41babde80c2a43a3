//! A chain that executes what it was signed for, and is reorganised.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{B256, U256};
use paymaster::ledger::{Block, Inclusion, Place};

use crate::random::Random;

/// A signature that a client has in hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature {
    pub(crate) cost: u64,
    pub(crate) valid_until: u64,
    /// Period of the bucket that begins anew.
    pub(crate) window: u64,
}

pub(crate) type Signatures = BTreeMap<Place, Vec<Signature>>;

#[derive(Clone, Debug)]
pub(crate) struct Mined {
    pub(crate) block: Block,
    pub(crate) inclusions: Vec<Inclusion>,
}

#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) blocks: Vec<Mined>,
    /// The latest second that any block ever had.
    latest: u64,
    /// Seconds.
    finality: u64,
}

impl Chain {
    pub(crate) fn new(finality: u64) -> Self {
        let block = Block { number: 0, hash: B256::repeat_byte(1), timestamp: 1_000 };
        Self { blocks: vec![Mined { block, inclusions: vec![] }], latest: 1_000, finality }
    }

    pub(crate) fn tip(&self) -> Block {
        self.blocks.last().unwrap().block
    }

    /// The block that no reorganisation reaches below.
    pub(crate) fn ground(&self) -> Block {
        let ground = self.blocks.iter().rev().find(|mined| self.is_final(mined.block));
        ground.map_or(self.blocks[0].block, |mined| mined.block)
    }

    /// Whether no reorganisation takes this block back.
    pub(crate) fn is_final(&self, block: Block) -> bool {
        block.timestamp + self.finality <= self.latest
    }

    pub(crate) fn executed(&self) -> impl Iterator<Item = (u64, &Inclusion)> {
        self.blocks.iter().flat_map(|mined| mined.inclusions.iter().map(|it| (mined.block.number, it)))
    }

    /// Mines a block of some of what may be executed; anybody's operations that pay for themselves among it.
    pub(crate) fn mine(&mut self, random: &mut Random, seconds: u64, signatures: &Signatures) {
        let Block { number, timestamp, .. } = self.tip();
        let timestamp = timestamp + seconds;
        let done: BTreeSet<Place> = self.executed().map(|(_, it)| it.place).collect();
        let mut inclusions = Vec::new();
        for (place, of_place) in signatures.iter().filter(|(place, _)| !done.contains(place)) {
            if !random.one_in(3) {
                continue;
            }
            // Paid by another, it needs none of our signatures, and uses their nonce.
            let ours = !random.one_in(8);
            let usable: Vec<_> =
                of_place.iter().filter(|signature| !ours || signature.valid_until >= timestamp).collect();
            if usable.is_empty() {
                continue;
            }
            let signature = usable[usize::try_from(random.below(usable.len() as u64)).unwrap()];
            let cost = if random.one_in(2) { signature.cost } else { random.between(0, signature.cost) };
            inclusions.push(Inclusion { place: *place, ours, cost: U256::from(cost), success: random.one_in(2) });
        }
        let hash = B256::from(U256::from(random.below(u64::MAX >> 12)));
        self.blocks.push(Mined { block: Block { number: number + 1, hash, timestamp }, inclusions });
        self.latest = self.latest.max(timestamp);
    }

    /// Drops the newest blocks, at most down to the ground; how many.
    pub(crate) fn reorganise(&mut self, random: &mut Random) -> u64 {
        let most = self.tip().number - self.ground().number;
        let drop = if most == 0 { 0 } else { random.between(1, most) };
        self.blocks.truncate(self.blocks.len() - usize::try_from(drop).unwrap());
        drop
    }
}
