//! What code a CREATE2 deployment leaves, found out without sending it.

use alloy::{
    primitives::{Address, B256, Bytes, U256, bytes, keccak256},
    rpc::types::state::{AccountOverride, StateOverride},
};
use anyhow::{Result, ensure};
use bundler::node::NodeClient;

use super::sender::CREATE2_DEPLOYER;

/// In place of the CREATE2 deployer, for one call: takes an address, a salt and init code, creates with the latter two and
/// returns the code that is then at the address.
const CREATE_AND_TELL: Bytes = bytes!("365f5f376020516040360360405ff5505f51803b805f5f843c5ff3");
/// Enough for any contract, and less than one transaction may have.
const GAS: u64 = 16_000_000;

/// The code that this init code leaves at its CREATE2 address on this chain, immutables and all, as if nothing were there
/// yet.
///
/// # Errors
/// If the node does not answer, or nothing is left.
pub(crate) async fn of(node: &NodeClient, salt: B256, init_code: &[u8]) -> Result<Bytes> {
    let address = CREATE2_DEPLOYER.create2(salt, keccak256(init_code));
    let mut pretended = StateOverride::default();
    // What it creates itself is not there either.
    for empty in [address, address.create(1)] {
        let nothing = AccountOverride {
            code: Some(Bytes::new()),
            nonce: Some(0),
            balance: Some(U256::ZERO),
            state: Some(Default::default()),
            ..Default::default()
        };
        pretended.insert(empty, nothing);
    }
    pretended.insert(CREATE2_DEPLOYER, AccountOverride { code: Some(CREATE_AND_TELL), ..Default::default() });
    let head = node.latest().await?.hash;
    let input = [address.into_word().as_slice(), salt.as_slice(), init_code].concat().into();
    let code = node.call_from(Address::ZERO, CREATE2_DEPLOYER, input, GAS, head, &pretended).await?;
    ensure!(!code.is_empty(), "the init code of {address} leaves nothing");
    Ok(code)
}
