//! The EntryPoints: others have put them there, and what is there is looked at before it is believed.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, b256, keccak256};
use anyhow::{Result, bail};
use bundler::node::NodeClient;
use erc4337::{
    EntryPointVersion,
    abi::{entry_point_v06, entry_point_v07, entry_point_v08, entry_point_v09},
};

use super::{
    code,
    sender::{CREATE2_DEPLOYER, Sender},
};

/// Salt and init code of a version as the packages have it.
pub(crate) fn published(version: EntryPointVersion) -> (B256, &'static Bytes) {
    match version {
        EntryPointVersion::V0_6 => (B256::ZERO, &entry_point_v06::BYTECODE),
        EntryPointVersion::V0_7 => {
            (b256!("0x90d8084deab30c2a37c45e8d47f49f2f7965183cb6990a98943ef94940681de3"), &entry_point_v07::BYTECODE)
        }
        EntryPointVersion::V0_8 => {
            (b256!("0x0a59dbff790c23c976a548690c27297883cc66b4c67024f9117b0238995e35e9"), &entry_point_v08::BYTECODE)
        }
        EntryPointVersion::V0_9 => (B256::ZERO, &entry_point_v09::BYTECODE),
    }
}

/// Where each version is, deployed where it was missing. That of v0.9 is in no package: where it is not at its canonical
/// address, its release candidate stands in wherever CREATE2 puts it.
pub(super) async fn deploy(sender: &mut Sender) -> Result<BTreeMap<EntryPointVersion, Address>> {
    let mut deployed = BTreeMap::new();
    for version in EntryPointVersion::ALL {
        let (salt, bytecode) = published(version);
        let canonical = version.canonical_address();
        let ours = CREATE2_DEPLOYER.create2(salt, keccak256(bytecode));
        let address = if ours != canonical && sender.exists(canonical).await? {
            canonical
        } else {
            if sender.exists(ours).await? {
                check(&sender.node, version, ours).await?;
            }
            sender.create2(&format!("EntryPoint {version}"), "EntryPoint", salt, bytecode, &[]).await?
        };
        deployed.insert(version, address);
    }
    Ok(deployed)
}

/// Whether the code there is what this version's init code leaves on this chain. Of the canonical v0.9 no init code is
/// published in a package: that it has code at all is what can be said.
///
/// # Errors
/// If it is other code, with both hashes.
pub(crate) async fn check(node: &NodeClient, version: EntryPointVersion, address: Address) -> Result<B256> {
    let found = keccak256(node.code(address).await?);
    let (salt, bytecode) = published(version);
    if CREATE2_DEPLOYER.create2(salt, keccak256(bytecode)) != address {
        return Ok(found);
    }
    let expected = keccak256(code::of(node, salt, bytecode).await?);
    if found != expected {
        bail!("EntryPoint {version} at {address} has the code hash {found}; its init code leaves {expected}");
    }
    Ok(found)
}
