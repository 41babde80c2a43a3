//! What a bundle may hold: what the chain and the key allow, and what a block is likely to have left for it.

use alloy::primitives::U256;
use erc4337::ChainPreset;

use crate::{
    Head,
    gas::Load,
    l1_fee::{L1Prices, most_compressed},
    rules::RuleConfig,
    transaction::MAX_BYTES,
};

/// However full blocks were, a bundle of a block's gas over so many is tried: it will find a gap.
const LEAST_SHARE: u64 = 16;

/// Bounds of one bundle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Gas limit that its transaction may have.
    gas: u64,
    /// Gas, and gas that its data counts for, that a block has left; a single operation may need more.
    left: u64,
    /// Data's half of a block.
    footprint: u64,
    /// Wei that the key can pay.
    wei: U256,
    /// Wei per gas that is reckoned with.
    price: u128,
    charges: Option<L1Prices>,
    /// Bytes of the call, and of contexts.
    call: usize,
    context: usize,
}

impl Room {
    /// In a block after this head, from a key that has this much to spend (wei).
    ///
    /// A bundle has the gas that blocks of late had left after those who tip more than we do, and never more than half
    /// of a block: others may fill the rest between its proof and its block. What does not fit goes in another bundle,
    /// with the key's next nonce, in the same block or the one after.
    pub(crate) fn new(head: &Head, chain: &ChainPreset, wei: U256) -> Self {
        let block = head.block.gas_limit;
        let half = block / 2;
        let left = u64::try_from(u128::from(block) * u128::from(head.fees.left_per_mille) / 1_000).unwrap_or(block);
        Self {
            gas: chain.max_transaction_gas.min(block),
            left: left.clamp(block / LEAST_SHARE, half),
            footprint: half,
            wei,
            price: head.fees.base_fee.saturating_mul(2).saturating_add(head.fees.priority_fee).max(1),
            charges: head.l1,
            call: MAX_BYTES,
            context: usize::MAX,
        }
    }

    /// The same within ERC-7562's limits of a bundle (LIM-040, LIM-050).
    pub(crate) fn within(self, rules: &RuleConfig) -> Self {
        Self { call: rules.max_bundle_size.min(MAX_BYTES), context: rules.max_bundle_context_size, ..self }
    }

    /// Whether contexts of so many bytes together may be in it.
    pub(crate) fn holds_context(&self, bytes: usize) -> bool {
        bytes <= self.context
    }

    /// Whether there is room for operations of this load, of one or of several.
    pub(crate) fn holds(&self, load: Load, several: bool) -> bool {
        let (gas, bytes) = (load.gas_limit(), load.bytes());
        let fits = || gas <= self.left && self.footprint_of(bytes) <= self.footprint;
        gas <= self.gas && bytes <= self.call && self.cost(gas, bytes) <= self.wei && (!several || fits())
    }

    /// Wei that a transaction costs at most.
    fn cost(&self, gas: u64, bytes: usize) -> U256 {
        let charged = self.charges.map_or(0, |it| it.most(bytes).saturating_add(it.operator_fee(gas.into())));
        U256::from(gas) * U256::from(self.price) + U256::from(charged)
    }

    fn footprint_of(&self, bytes: usize) -> u64 {
        self.charges.map_or(0, |prices| prices.footprint(most_compressed(bytes)))
    }
}

#[cfg(test)]
impl Room {
    /// Bounded by gas alone.
    pub(crate) fn of_gas(gas: u64) -> Self {
        Self {
            gas,
            left: gas,
            footprint: u64::MAX,
            wei: U256::MAX,
            price: 1,
            charges: None,
            call: MAX_BYTES,
            context: usize::MAX,
        }
    }

    /// The same with so much gas for several operations together.
    pub(crate) fn leaving(self, left: u64) -> Self {
        Self { left, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use erc4337::{EntryPointVersion, UserOperation};

    use super::*;
    use crate::{
        evm::{Shared, StateView},
        fees::FeeSuggestion,
        l1_fee::Upgrade,
        mempool::tests::block,
        node::NodeClient,
    };

    /// Base, at its least base fee, with so much of its blocks left.
    fn room(left_per_mille: u16, wei: u64) -> Room {
        room_of(40_000_000, left_per_mille, wei, 0)
    }

    /// The same, of blocks of this gas, with this scalar of the operator's fee.
    fn room_of(gas_limit: u64, left_per_mille: u16, wei: u64, operator_fee_scalar: u32) -> Room {
        let node = NodeClient::new("http://127.0.0.1:1").unwrap();
        let block = crate::evm::BlockPin { gas_limit, ..block(1) };
        let view = Arc::new(StateView::new(node, block.hash, 0, Arc::<Shared>::default()));
        let fees = FeeSuggestion { left_per_mille, ..FeeSuggestion::flat(5_000_000, 1_000_000) };
        let l1 = Some(L1Prices { upgrade: Upgrade::Jovian, operator_fee_scalar, ..L1Prices::default() });
        Room::new(&Head { block, time: 0, view, fees, l1 }, &ChainPreset::base(), U256::from(wei))
    }

    fn load(call_gas_limit: u128, data: usize) -> Load {
        let op = UserOperation { call_gas_limit, call_data: vec![1; data].into(), ..UserOperation::default() };
        Load::of(&op, EntryPointVersion::V0_8)
    }

    #[tokio::test]
    async fn several_operations_fit_beside_others_and_one_goes_as_it_is() {
        // Blocks of which three quarters go to others: 10M gas are left.
        let room = room(250, u64::MAX);
        assert!(room.holds(load(9_000_000, 0), true));
        assert!(!room.holds(load(11_000_000, 0), true) && room.holds(load(11_000_000, 0), false));
        assert!(!room.holds(load(17_000_000, 0), false), "more than a transaction may have");
    }

    #[tokio::test]
    async fn a_full_bundle_leaves_half_of_a_block_to_others_and_full_blocks_leave_a_little() {
        let chain_allows = |room: Room, gas| room.holds(load(gas, 0), true);
        assert!(chain_allows(room(1_000, u64::MAX), 15_500_000));
        assert!(chain_allows(room(0, u64::MAX), 2_000_000) && !chain_allows(room(0, u64::MAX), 3_000_000));
    }

    #[tokio::test]
    async fn neither_bytes_nor_their_footprint_pass_what_is_taken() {
        let room = room(1_000, u64::MAX);
        // 400 gas for each of about 0.86 × 56,000 bytes: 20M, half of a block.
        assert!(room.holds(load(100_000, 55_000), true) && !room.holds(load(100_000, 60_000), true));
        assert!(room.holds(load(100_000, 130_000), false) && !room.holds(load(100_000, 131_000), false));
    }

    #[tokio::test]
    async fn a_key_is_not_given_what_it_cannot_pay_for() {
        // At 11,000,000 wei for each gas.
        assert!(room(1_000, 11_000_000_000_000).holds(load(850_000, 0), true));
        assert!(!room(1_000, 11_000_000_000_000).holds(load(1_000_000, 0), true));
    }

    #[tokio::test]
    async fn of_a_block_that_nobody_else_uses_a_bundle_still_takes_no_more_than_half() {
        let room = room_of(20_000_000, 1_000, u64::MAX, 0);
        assert!(room.holds(load(9_000_000, 0), true));
        assert!(!room.holds(load(11_000_000, 0), true) && room.holds(load(11_000_000, 0), false));
    }

    #[tokio::test]
    async fn a_key_must_be_able_to_pay_the_operator_too() {
        let holds = |operator_fee_scalar| {
            room_of(40_000_000, 1_000, 11_000_000_000_000, operator_fee_scalar).holds(load(850_000, 0), true)
        };
        assert!(holds(0) && !holds(100_000), "ten million wei for each gas beside eleven");
    }
}
