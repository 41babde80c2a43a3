//! What the node tells of a chain that there is no preset for.

use std::time::Duration;

use alloy::primitives::{Address, address};
use erc4337::ChainPreset;

use crate::node::{NodeClient, NodeError};

/// Blocks that are looked back on.
const SAMPLE: u64 = 100;
/// The longest that blocks are believed to be apart: on a chain that mines on demand they are as far as nobody asks.
const LONGEST: Duration = Duration::from_secs(60);
/// `GasPriceOracle`, which each chain of the OP stack has.
const GAS_PRICE_ORACLE: Address = address!("0x420000000000000000000000000000000000000F");

/// Corrects what was assumed of an unknown chain: how far its blocks are apart, and whether it is of the OP stack.
///
/// # Errors
/// If the node does not answer.
pub(super) async fn learn(chain: &mut ChainPreset, node: &NodeClient) -> Result<(), NodeError> {
    if !chain.is_assumed() {
        return Ok(());
    }
    chain.op_stack &= !node.code(GAS_PRICE_ORACLE).await?.is_empty();
    let head = node.latest().await?;
    // The first block's time may be any.
    let blocks = head.number.saturating_sub(1).min(SAMPLE);
    if let Some(earlier) = node.block((head.number - blocks).into()).await? {
        chain.block_time =
            block_time(chain.block_time, blocks, head.timestamp.saturating_sub(earlier.header.timestamp));
    }
    tracing::warn!(chain.chain_id, block_time = ?chain.block_time, chain.op_stack, "a chain without a preset");
    Ok(())
}

/// Of so many blocks that took so many seconds; never less than is assumed, as operations would be taken that run out
/// before there is a block. In whole seconds, if it is one at all: a block that failed to come makes none longer.
fn block_time(assumed: Duration, blocks: u64, seconds: u64) -> Duration {
    let millis = seconds.saturating_mul(1_000).checked_div(blocks).unwrap_or(0);
    let millis = if millis < 1_000 { millis } else { millis.saturating_add(500) / 1_000 * 1_000 };
    assumed.max(Duration::from_millis(millis).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_time_is_what_blocks_took_and_never_less_than_was_assumed() {
        let of = |blocks, seconds| block_time(Duration::from_millis(200), blocks, seconds);
        assert_eq!(of(100, 1_200), Duration::from_secs(12));
        assert_eq!(of(100, 1_236), Duration::from_secs(12), "three blocks failed to come");
        assert_eq!(of(100, 25), Duration::from_millis(250));
        assert_eq!(of(0, 0), Duration::from_millis(200), "there is but one block");
        assert_eq!(of(100, 3), Duration::from_millis(200));
        assert_eq!(of(100, 360_000), LONGEST, "it mines on demand");
    }
}
