//! The operations in a transaction's calldata, wherever in it the call of `handleOps` stands.

use alloy::{primitives::Bytes, sol_types::SolCall};
use erc4337::{
    EntryPointVersion, UserOperation,
    abi::{entry_point_v06, entry_point_v08},
    unpack,
};

/// Places in one transaction's calldata that are tried; each costs a decoding. An honest one has one or two.
const TRIED: usize = 64;

/// Operations of every `handleOps` call that can be read out of this calldata, outermost first.
///
/// A bundle may be sent through another contract, whose own ABI nobody knows: the selector is searched for byte by
/// byte. What is found may be nonsense, so the caller verifies the hash.
pub(super) fn operations(version: EntryPointVersion, calldata: &Bytes) -> Vec<UserOperation> {
    let selector = if version.is_packed() {
        entry_point_v08::handleOpsCall::SELECTOR
    } else {
        entry_point_v06::handleOpsCall::SELECTOR
    };
    let places = calldata.windows(4).enumerate().filter(|(_, window)| *window == selector).map(|(at, _)| at);
    // What follows the call is no part of it, and the decoder minds none of it.
    places.take(TRIED).filter_map(|at| unpack::handle_ops(version, &calldata.slice(at..))).flatten().collect()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, U256};
    use erc4337::pack;

    use super::*;

    #[test]
    fn operations_are_read_at_any_depth_of_a_call() {
        for version in EntryPointVersion::ALL {
            let op = UserOperation {
                sender: Address::repeat_byte(1),
                nonce: U256::from(3),
                call_data: vec![4; 40].into(),
                signature: vec![7; 65].into(),
                ..UserOperation::default()
            };
            let bundle = pack::handle_ops(version, [&op], Address::ZERO);
            assert_eq!(operations(version, &bundle), std::slice::from_ref(&op));
            // In another call's bytes, at an odd place, with something behind, and twice.
            let other = pack::handle_ops(version, [&UserOperation { nonce: U256::from(4), ..op.clone() }], op.sender);
            let nested: Bytes = [&[9; 71][..], &bundle, &[0; 31], &other, &[5; 13]].concat().into();
            let found = operations(version, &nested);
            assert_eq!(found.iter().map(|op| op.nonce).collect::<Vec<_>>(), [3, 4].map(U256::from), "{version}");
        }
    }

    #[test]
    fn a_selector_with_nonsense_behind_it_is_no_operation() {
        let selector = entry_point_v08::handleOpsCall::SELECTOR;
        assert!(operations(EntryPointVersion::V0_8, &selector.repeat(1_000).into()).is_empty());
    }
}
