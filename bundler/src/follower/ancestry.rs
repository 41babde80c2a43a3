//! How a block that a node tells of hangs together with those that heads have been told of.

use std::collections::BTreeMap;

use alloy::{eips::BlockNumberOrTag, primitives::B256, rpc::types::Header};

use super::Follower;
use crate::{
    chain_time::TimedHeader,
    evm::BlockPin,
    node::{NodeClient, NodeError},
};

/// Headers asked for at a time, on the way back.
const STRIDE: u64 = 64;

/// Where a new head comes from.
pub(super) enum Ancestry {
    /// From a block that a head has been told of, by these, the newest last.
    Seen(Vec<TimedHeader>),
    /// Not from the newest that a head has been told of.
    Apart,
    /// That is not seen: headers are missing, or there are too many.
    Unseen,
}

/// Whether the node, or the one of several behind its URL, has only fallen back: its newest block is older than
/// `known`, which is still in the chain. To follow it there would drop what rests on the blocks in between.
///
/// # Errors
/// If the node does not tell.
pub(crate) async fn fallen_back(node: &NodeClient, known: &BlockPin, latest: &Header) -> Result<bool, NodeError> {
    Ok(latest.number < known.number && node.has_block(known.number, known.hash).await?)
}

impl Follower {
    /// How the last of these hangs together with what is remembered, whose newest is `known`.
    pub(super) async fn ancestry(&self, known: &BlockPin, headers: Vec<TimedHeader>) -> Result<Ancestry, NodeError> {
        let Some(newest) = headers.last().cloned() else { return Ok(Ancestry::Unseen) };
        let newest_number = newest.header.number;
        let deepest = newest_number.saturating_sub(self.config.reorg_blocks());
        let fell_back = newest_number <= known.number && self.is_remembered(known, newest_number, newest.header.hash);
        // Who is too far behind asks for what was mined in all of it.
        if fell_back || deepest > known.number {
            return Ok(Ancestry::Unseen);
        }
        // The last to be said of each height counts.
        let mut by_height: BTreeMap<u64, TimedHeader> = headers.into_iter().map(|it| (it.header.number, it)).collect();
        let (mut path, mut apart) = (vec![newest], Ancestry::Unseen);
        while let Some(first) = path.last().map(|it| &it.header) {
            let (number, parent) = (first.number.saturating_sub(1), first.parent_hash);
            if self.is_remembered(known, number, parent) {
                path.reverse();
                return Ok(Ancestry::Seen(path));
            }
            if number <= known.number {
                apart = Ancestry::Apart;
            }
            if number <= deepest {
                break;
            }
            if !by_height.contains_key(&number) {
                let from = (number + 1).saturating_sub(STRIDE).max(deepest);
                let from = if number > known.number { from.max(known.number + 1) } else { from };
                let fetched = self.node.headers(from..number + 1).await?;
                by_height.extend(fetched.into_iter().flatten().map(|it| (it.header.number, it)));
            }
            match by_height.remove(&number).filter(|it| it.header.hash == parent) {
                Some(header) => path.push(header),
                None => break,
            }
        }
        Ok(apart)
    }

    fn is_remembered(&self, known: &BlockPin, number: u64, hash: B256) -> bool {
        (number, hash) == (known.number, known.hash) || self.trail.at(number) == Some(hash)
    }

    /// Whether `latest` comes from `known`; `None` if the node only tells of older blocks, none of them another than ours.
    pub(super) async fn comes_from(&self, known: &BlockPin, latest: &Header) -> Result<Option<bool>, NodeError> {
        if latest.number < known.number
            && let Some(ours) = self.trail.at(latest.number)
        {
            return Ok((ours != latest.hash).then_some(false));
        }
        let block = self.node.block(BlockNumberOrTag::Number(known.number)).await?;
        Ok(block.map(|block| block.header.hash == known.hash))
    }
}
