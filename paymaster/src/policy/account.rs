//! Whose code reads the calls: what an operation seems to ask for is true of accounts that are known only.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, U256, keccak256};
use erc4337::{Initializer, UserOperation};

use super::denial::Denial;

/// Storage slot in which an ERC-1967 proxy has its implementation.
pub const IMPLEMENTATION_SLOT: U256 =
    alloy::primitives::uint!(0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc_U256);

/// Which accounts are sponsored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountRules {
    /// Factories that may create the account on our gas.
    pub factories: BTreeSet<Address>,
    /// Code that an EOA may delegate to (EIP-7702). Our signature does not cover the authorization: what runs in the end
    /// is not certain, but what it costs is.
    pub delegates: BTreeSet<Address>,
    /// Hashes of the code of accounts that exist.
    pub code_hashes: BTreeSet<B256>,
    /// Implementations behind ERC-1967 proxies.
    pub implementations: BTreeSet<Address>,
    /// Whether accounts that exist already are sponsored whatever their code.
    pub any_existing: bool,
}

/// What the chain has at the sender's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnChain {
    /// Its code.
    pub code: alloy::primitives::Bytes,
    /// What is in [`IMPLEMENTATION_SLOT`].
    pub implementation: Address,
}

/// What an EOA's code begins with that delegates.
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];

impl AccountRules {
    /// Whether the chain must be asked what is at the sender's address.
    pub fn asks(&self, op: &UserOperation) -> bool {
        !self.any_existing && op.initializer.is_none() && op.eip7702_auth.is_none()
    }

    /// Whether the account is known. `found` is what is at its address, if [`Self::asks`].
    ///
    /// # Errors
    /// Why it is not.
    pub fn admit(&self, op: &UserOperation, found: Option<&OnChain>) -> Result<(), Denial> {
        match &op.initializer {
            Some(Initializer::Factory { address, .. }) if !self.factories.contains(address) => {
                return Err(Denial::Factory(*address));
            }
            // What is initialized is known only if it comes along.
            Some(Initializer::Eip7702 { .. }) if op.eip7702_auth.is_none() => return Err(Denial::Delegate),
            _ => {}
        }
        if op.eip7702_auth.as_ref().is_some_and(|auth| !self.delegates.contains(&auth.address)) {
            return Err(Denial::Delegate);
        }
        if !self.asks(op) {
            return Ok(());
        }
        let found = found.cloned().unwrap_or_default();
        if found.code.is_empty() {
            return Err(Denial::NoAccount(op.sender));
        }
        if let Some(delegate) = found.code.strip_prefix(&DELEGATION) {
            let known = delegate.len() == 20 && self.delegates.contains(&Address::from_slice(delegate));
            return if known { Ok(()) } else { Err(Denial::Delegate) };
        }
        let hash = keccak256(&found.code);
        let by_code = self.code_hashes.contains(&hash);
        // A proxy's code proves nothing of what is behind it, nor its slot of what reads it: both must be known.
        let known = if self.implementations.is_empty() || self.code_hashes.is_empty() {
            by_code || self.implementations.contains(&found.implementation)
        } else {
            by_code && self.implementations.contains(&found.implementation)
        };
        if known { Ok(()) } else { Err(Denial::Implementation(hash)) }
    }
}

#[cfg(test)]
mod tests {
    use alloy::{
        eips::eip7702::{Authorization, SignedAuthorization},
        primitives::Bytes,
    };

    use super::*;

    const KNOWN: Address = Address::repeat_byte(4);
    const STRANGER: Address = Address::repeat_byte(9);

    fn rules() -> AccountRules {
        let known = BTreeSet::from([KNOWN]);
        AccountRules { factories: known.clone(), delegates: known, ..AccountRules::default() }
    }

    fn authorization(address: Address) -> SignedAuthorization {
        let authorization = Authorization { chain_id: U256::from(1), address, nonce: 0 };
        SignedAuthorization::new_unchecked(authorization, 0, U256::from(1), U256::from(1))
    }

    #[test]
    fn accounts_of_known_factories_are_sponsored_and_others_are_not() {
        let made_by = |address| UserOperation {
            initializer: Some(Initializer::Factory { address, data: Bytes::new() }),
            ..UserOperation::default()
        };
        assert_eq!(rules().admit(&made_by(KNOWN), None), Ok(()));
        assert_eq!(rules().admit(&made_by(STRANGER), None), Err(Denial::Factory(STRANGER)));
    }

    #[test]
    fn an_eoa_is_sponsored_only_with_a_delegation_to_a_known_account() {
        let mut op = UserOperation {
            initializer: Some(Initializer::Eip7702 { data: Bytes::new() }),
            ..UserOperation::default()
        };
        assert_eq!(rules().admit(&op, None), Err(Denial::Delegate));
        for initializer in [op.initializer.clone(), None] {
            op.initializer = initializer;
            op.eip7702_auth = Some(authorization(KNOWN));
            assert_eq!(rules().admit(&op, None), Ok(()));
            op.eip7702_auth = Some(authorization(STRANGER));
            assert_eq!(rules().admit(&op, None), Err(Denial::Delegate));
        }
    }

    #[test]
    fn an_account_that_exists_is_known_by_its_delegate_code_or_implementation() {
        let op = UserOperation::default();
        let delegating =
            |to: Address| OnChain { code: [&DELEGATION[..], to.as_slice()].concat().into(), ..OnChain::default() };
        assert_eq!(rules().admit(&op, Some(&delegating(KNOWN))), Ok(()));
        assert_eq!(rules().admit(&op, Some(&delegating(STRANGER))), Err(Denial::Delegate));
        assert_eq!(rules().admit(&op, None), Err(Denial::NoAccount(op.sender)));

        let proxy = |implementation| OnChain { code: vec![1, 2, 3].into(), implementation };
        let hash = keccak256([1, 2, 3]);
        assert_eq!(rules().admit(&op, Some(&proxy(KNOWN))), Err(Denial::Implementation(hash)));
        let by_code = AccountRules { code_hashes: BTreeSet::from([hash]), ..rules() };
        assert_eq!(by_code.admit(&op, Some(&proxy(STRANGER))), Ok(()));
        let both = AccountRules { implementations: BTreeSet::from([KNOWN]), ..by_code };
        assert_eq!(both.admit(&op, Some(&proxy(KNOWN))), Ok(()));
        assert_eq!(both.admit(&op, Some(&proxy(STRANGER))), Err(Denial::Implementation(hash)));
        let by_slot = AccountRules { implementations: BTreeSet::from([KNOWN]), ..rules() };
        assert_eq!(by_slot.admit(&op, Some(&proxy(KNOWN))), Ok(()));
        let any = AccountRules { any_existing: true, ..rules() };
        assert_eq!(any.admit(&op, None), Ok(()));
    }
}
