//! What an operation does to what its sender has: ether by its balance, tokens by the events that their standards ask for.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, Log, U256, b256},
    rpc::types::state::StateOverride,
    sol_types::SolValue,
};
use erc4337::UserOperation;

use super::estimator::Estimator;
use crate::{
    Rejection,
    evm::{Ending, Run, StopAt},
};

/// `Transfer(address,address,uint256)` of ERC-20, whose value is data, and of ERC-721, whose token is a topic.
const TRANSFER: B256 = b256!("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// `TransferSingle(address,address,address,uint256,uint256)` of ERC-1155.
const TRANSFER_SINGLE: B256 = b256!("0xc3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62");
/// `TransferBatch(address,address,address,uint256[],uint256[])` of ERC-1155.
const TRANSFER_BATCH: B256 = b256!("0x4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb");

/// Something that an account may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asset {
    /// Wei. What pays for the operation itself is not counted.
    Ether,
    /// An ERC-20 token, in its smallest unit.
    Erc20(Address),
    /// One ERC-721 token.
    Erc721(Address, U256),
    /// Tokens of one kind of an ERC-1155 contract.
    Erc1155(Address, U256),
}

/// What the sender has of it more or less, after the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssetChange {
    /// Of what.
    pub asset: Asset,
    /// What came; of ether, what there is afterwards.
    pub received: U256,
    /// What went; of ether, what there was before.
    pub sent: U256,
}

impl Estimator {
    /// Runs the operation with the limits that it is found to need.
    ///
    /// # Errors
    /// As [`super::estimate`]; and where only the chain's client can run its call, as what that does is not known.
    pub(super) fn asset_changes(&self, op: UserOperation) -> Result<Vec<AssetChange>, Rejection> {
        let op = self.run(op)?.op;
        let (run, after) = self.run_until(&op, StopAt::End)?;
        if self.is_native(&run) {
            return Err(Rejection::EntryPoint {
                message: "what its call does is known to the chain's client alone: it calls a native contract".into(),
            });
        }
        let balance = |state: &StateOverride| state.get(&op.sender).and_then(|account| account.balance);
        // What is paid for the operation has been paid by then, and what is given back is given to the deposit.
        let before = balance(&self.after_validation(&op)?);
        let mut changes = changes(&run, op.sender);
        if let (Some(sent), Some(received)) = (before, balance(&after))
            && sent != received
        {
            changes.insert(0, AssetChange { asset: Asset::Ether, received, sent });
        }
        Ok(changes)
    }
}

/// Tokens of which `account` has more or less.
fn changes(run: &Run, account: Address) -> Vec<AssetChange> {
    let Ending::Completed(logs) = &run.ending else { return Vec::new() };
    let mut moved: BTreeMap<Asset, (U256, U256)> = BTreeMap::new();
    for (asset, from, to, amount) in logs.iter().flat_map(transfers) {
        let (received, sent) = moved.entry(asset).or_default();
        if to == account {
            *received = received.saturating_add(amount);
        }
        if from == account {
            *sent = sent.saturating_add(amount);
        }
    }
    let changes = moved.into_iter().map(|(asset, (received, sent))| AssetChange { asset, received, sent });
    changes.filter(|change| change.received != change.sent).collect()
}

/// What an event says was moved: of what, from whom, to whom, and how much.
fn transfers(log: &Log) -> Vec<(Asset, Address, Address, U256)> {
    let token = log.address;
    let address = |word: &B256| Address::from_word(*word);
    match log.topics() {
        [event, from, to] if *event == TRANSFER => {
            let amount = U256::abi_decode(&log.data.data).ok();
            amount.map(|amount| (Asset::Erc20(token), address(from), address(to), amount)).into_iter().collect()
        }
        [event, from, to, id] if *event == TRANSFER => {
            vec![(Asset::Erc721(token, (*id).into()), address(from), address(to), U256::ONE)]
        }
        [event, _, from, to] if *event == TRANSFER_SINGLE => {
            let read = <(U256, U256)>::abi_decode_params(&log.data.data).ok();
            let one = |(id, amount)| (Asset::Erc1155(token, id), address(from), address(to), amount);
            read.map(one).into_iter().collect()
        }
        [event, _, from, to] if *event == TRANSFER_BATCH => {
            let (ids, amounts) = <(Vec<U256>, Vec<U256>)>::abi_decode_params(&log.data.data).unwrap_or_default();
            let one = |(id, amount)| (Asset::Erc1155(token, id), address(from), address(to), amount);
            ids.into_iter().zip(amounts).map(one).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::LogData;

    use super::*;

    #[test]
    fn every_standards_events_are_read() {
        let [token, from, to] = [1, 2, 3].map(Address::repeat_byte);
        let log = |topics: Vec<B256>, data: Vec<u8>| Log {
            address: token,
            data: LogData::new_unchecked(topics, data.into()),
        };
        let parties = [from.into_word(), to.into_word()];
        let of_20 = log([&[TRANSFER][..], &parties].concat(), U256::from(5).abi_encode());
        assert_eq!(transfers(&of_20), [(Asset::Erc20(token), from, to, U256::from(5))]);
        let of_721 = log([&[TRANSFER][..], &parties, &[B256::with_last_byte(9)]].concat(), vec![]);
        assert_eq!(transfers(&of_721), [(Asset::Erc721(token, U256::from(9)), from, to, U256::ONE)]);
        let of_1155 = |event, data| log([&[event, token.into_word()][..], &parties].concat(), data);
        let number = |number: u64| U256::from(number);
        let single = of_1155(TRANSFER_SINGLE, (number(7), number(4)).abi_encode_params());
        assert_eq!(transfers(&single), [(Asset::Erc1155(token, number(7)), from, to, number(4))]);
        let (ids, amounts) = (vec![number(1), number(2)], vec![number(3), number(4)]);
        let batch = of_1155(TRANSFER_BATCH, (ids, amounts).abi_encode_params());
        let each = [(1, 3), (2, 4)].map(|(id, amount)| (Asset::Erc1155(token, number(id)), from, to, number(amount)));
        assert_eq!(transfers(&batch), each);
        let names = [
            ("Transfer(address,address,uint256)", TRANSFER),
            ("TransferSingle(address,address,address,uint256,uint256)", TRANSFER_SINGLE),
            ("TransferBatch(address,address,address,uint256[],uint256[])", TRANSFER_BATCH),
        ];
        assert!(names.into_iter().all(|(name, hash)| alloy::primitives::keccak256(name) == hash));
        assert_eq!(transfers(&log(vec![TRANSFER], vec![])), [], "somebody else's event");
    }
}
