//! Whether a signature is of an owner of an account, deployed or not.

use alloy::{
    primitives::{Address, B256, Bytes, Signature, U256},
    sol_types::{SolCall, SolValue},
};
use erc4337::abi::{smart_account, smart_account_factory};

use super::{Backend, RpcError};
use crate::permission::Dependency;

/// First byte of a passkey's signature: `0x01 ‖ x ‖ y ‖ assertion`.
const PASSKEY: u8 = 1;

/// The owners that a factory call gives the account, if it makes this account.
pub(super) async fn owners_of<B: Backend>(
    backend: &B,
    factory: Address,
    account: Address,
    dependencies: &[Dependency],
) -> Result<Vec<Bytes>, RpcError> {
    let [dependency] = dependencies else {
        return Err(RpcError::Dependency("the account is not deployed: expected the one call that creates it"));
    };
    if dependency.factory != factory {
        return Err(RpcError::Dependency("factory: accounts of another factory are not served"));
    }
    let create = smart_account_factory::createAccountCall::abi_decode(&dependency.factory_data)
        .ok()
        .filter(|call| call.abi_encode() == dependency.factory_data[..])
        .ok_or(RpcError::Dependency("factoryData: expected createAccount(owners, nonce)"))?;
    let (owners, nonce): (Vec<Bytes>, U256) = (create.owners, create.nonce);
    let address = smart_account_factory::getAddressCall { owners: owners.clone(), nonce };
    let answer = backend.call(factory, address.abi_encode().into()).await?;
    match Address::abi_decode(&answer) {
        Ok(made) if made == account => Ok(owners),
        Ok(_) => Err(RpcError::Dependency("factoryData: it creates another account")),
        Err(_) => Err(RpcError::Answer("getAddress")),
    }
}

/// Who the signature says it is of, as the account stores owners. A passkey's assertion is checked by the account, with
/// the first operation.
fn signer(digest: B256, signature: &[u8]) -> Option<(Bytes, Option<Address>)> {
    if signature.len() == 65 {
        let address = Signature::from_raw(signature).ok()?.recover_address_from_prehash(&digest).ok()?;
        return Some((address.abi_encode().into(), Some(address)));
    }
    let is_passkey = signature.len() > 65 && signature[0] == PASSKEY;
    is_passkey.then(|| (Bytes::copy_from_slice(&signature[1..65]), None))
}

/// Checks that an owner signed; `created` are the owners of an account that is not deployed.
pub(super) async fn check<B: Backend>(
    backend: &B,
    account: Address,
    created: Option<&[Bytes]>,
    digest: B256,
    signature: &[u8],
) -> Result<(), RpcError> {
    let (owner, address) = signer(digest, signature).ok_or(RpcError::NotAnOwner(account))?;
    let is_owner = match created {
        Some(owners) => owners.contains(&owner),
        // A delegated EOA's own key is an owner of it.
        None if address == Some(account) => true,
        None => {
            let asked = smart_account::isOwnerCall { owner }.abi_encode();
            bool::abi_decode(&backend.call(account, asked.into()).await?).unwrap_or_default()
        }
    };
    if is_owner { Ok(()) } else { Err(RpcError::NotAnOwner(account)) }
}
