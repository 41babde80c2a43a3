//! Signing operation hashes for our SmartAccount.

use alloy::primitives::{B256, Bytes, eip191_hash_message};
use erc4337::EntryPointVersion;

use crate::{KeyError, SecretKey};

/// What an owner of our account signs for an operation with this hash.
///
/// From v0.8 on the hash is an EIP-712 digest already; before, it is wrapped as a personal message (EIP-191).
pub fn digest(user_op_hash: B256, version: EntryPointVersion) -> B256 {
    match version {
        EntryPointVersion::V0_6 | EntryPointVersion::V0_7 => eip191_hash_message(user_op_hash),
        EntryPointVersion::V0_8 | EntryPointVersion::V0_9 => user_op_hash,
    }
}

impl SecretKey {
    /// Signs an operation: 65 bytes, `r ‖ s ‖ v`.
    ///
    /// # Errors
    /// If the key does not sign.
    pub fn sign_operation(&self, user_op_hash: B256, version: EntryPointVersion) -> Result<Bytes, KeyError> {
        Ok(self.sign(digest(user_op_hash, version))?.as_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Signature;

    use super::*;

    #[test]
    fn every_version_recovers_to_the_signer() {
        let key = SecretKey::generate();
        let hash = B256::repeat_byte(7);
        for version in EntryPointVersion::ALL {
            let bytes = key.sign_operation(hash, version).unwrap();
            let signature = Signature::from_raw(&bytes).unwrap();
            assert_eq!(signature.recover_address_from_prehash(&digest(hash, version)).unwrap(), key.address());
        }
    }

    #[test]
    fn v0_7_signs_a_personal_message_and_v0_8_the_hash_itself() {
        let hash = B256::repeat_byte(7);
        assert_eq!(digest(hash, EntryPointVersion::V0_7), eip191_hash_message(hash.as_slice()));
        assert_eq!(digest(hash, EntryPointVersion::V0_8), hash);
    }
}
