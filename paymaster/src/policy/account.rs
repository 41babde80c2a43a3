//! Whose code reads the calls: what an operation seems to ask for is true of accounts that are known only.
//!
//! Who an account is, is read from the chain's state, whatever the operation says of a factory or an authorization: v0.9
//! ignores init code of an account that exists, and whoever bundles may leave an authorization out.

use std::collections::BTreeSet;

use alloy::{
    eips::eip7702::SignedAuthorization,
    primitives::{Address, B256, U256, keccak256},
};
use erc4337::{EntryPointVersion, Initializer, UserOperation};

use super::{
    denial::Denial,
    wallets::{ERC1967_PROXY, Wallet, implementations, makes_an_account},
};

/// Which accounts are sponsored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountRules {
    /// Factories that may create the account on our gas.
    pub factories: BTreeSet<Address>,
    /// Code that an EOA may delegate to (EIP-7702).
    pub delegates: BTreeSet<Address>,
    /// Hashes of the code of accounts that exist.
    pub code_hashes: BTreeSet<B256>,
    /// Implementations behind ERC-1967 proxies.
    pub implementations: BTreeSet<Address>,
    /// Well-known kinds, with all that belongs to them.
    pub wallets: BTreeSet<Wallet>,
    /// Whether accounts that exist already are sponsored whatever their code.
    pub any_existing: bool,
}

/// What the chain has at the sender's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnChain {
    /// Its code.
    pub code: alloy::primitives::Bytes,
    /// What is in [`IMPLEMENTATION_SLOT`](super::IMPLEMENTATION_SLOT).
    pub implementation: Address,
    /// Its own next nonce, which an authorization names.
    pub nonce: u64,
}

/// What an EOA's code begins with that delegates.
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];

impl AccountRules {
    /// Whether the chain must be asked what is at the sender's address.
    pub fn asks(&self, op: &UserOperation) -> bool {
        !self.any_existing || op.initializer.is_some() || op.eip7702_auth.is_some()
    }

    /// Whether the account is known. `found` is what is at its address, if [`Self::asks`].
    ///
    /// # Errors
    /// Why it is not.
    pub fn admit(
        &self,
        op: &UserOperation,
        version: EntryPointVersion,
        chain_id: u64,
        found: Option<&OnChain>,
    ) -> Result<(), Denial> {
        if !self.asks(op) {
            return Ok(());
        }
        let found = found.cloned().unwrap_or_default();
        if let Some(auth) = &op.eip7702_auth {
            if !self.delegates.contains(&auth.address) {
                return Err(Denial::Delegate);
            }
            takes_effect(auth, op.sender, version, chain_id, &found).map_err(Denial::Authorization)?;
        }
        if !found.code.is_empty() {
            return self.admit_existing(&found);
        }
        match &op.initializer {
            Some(Initializer::Factory { address, data }) => {
                let of_wallet = self.wallets.iter().any(|wallet| wallet.factories().contains(address));
                if !of_wallet && !self.factories.contains(address) {
                    return Err(Denial::Factory(*address));
                }
                if makes_an_account(data) { Ok(()) } else { Err(Denial::InitCode(*address)) }
            }
            // It is an account once it delegates, and that authorization was looked at.
            _ if op.eip7702_auth.is_some() => Ok(()),
            Some(Initializer::Eip7702 { .. }) => Err(Denial::Delegate),
            None => Err(Denial::NoAccount(op.sender)),
        }
    }

    /// Whether what is there is known.
    fn admit_existing(&self, found: &OnChain) -> Result<(), Denial> {
        if self.any_existing {
            return Ok(());
        }
        if let Some(delegate) = found.code.strip_prefix(&DELEGATION) {
            let known = delegate.len() == 20 && self.delegates.contains(&Address::from_slice(delegate));
            return if known { Ok(()) } else { Err(Denial::Delegate) };
        }
        let hash = keccak256(&found.code);
        let listed = self.code_hashes.contains(&hash);
        let behind = self.implementations.contains(&found.implementation)
            || implementations(&self.wallets).any(|known| known == found.implementation);
        // A proxy's code proves nothing of what is behind it, nor its slot of what reads it: both must be known.
        let is_proxy = listed && !self.implementations.is_empty() || hash == ERC1967_PROXY && !listed;
        let known = if is_proxy { behind } else { listed };
        if known { Ok(()) } else { Err(Denial::Implementation(hash)) }
    }
}

/// Whether the protocol will act on the authorization, or has already.
fn takes_effect(
    auth: &SignedAuthorization,
    sender: Address,
    version: EntryPointVersion,
    chain_id: u64,
    found: &OnChain,
) -> Result<(), String> {
    if !version.supports_eip7702() {
        return Err(format!("EntryPoint {version} has no EIP-7702"));
    }
    if !auth.chain_id.is_zero() && auth.chain_id != U256::from(chain_id) {
        return Err(format!("chainId {} is neither 0 nor {chain_id}", auth.chain_id));
    }
    match auth.recover_authority() {
        Ok(authority) if authority == sender => {}
        Ok(authority) => return Err(format!("signed by {authority}, not by the sender {sender}")),
        Err(_) => return Err("its signature does not recover".into()),
    }
    if auth.nonce == found.nonce {
        return Ok(());
    }
    // Its price would be paid to whoever bundles without it.
    if auth.nonce < found.nonce && found.code.strip_prefix(&DELEGATION) == Some(auth.address.as_slice()) {
        return Err("the account delegates so already: leave it out".into());
    }
    Err(format!("nonce {} is not the sender's next, {}", auth.nonce, found.nonce))
}

#[cfg(test)]
mod tests {
    use alloy::{
        eips::eip7702::Authorization,
        primitives::Bytes,
        signers::{SignerSync, local::PrivateKeySigner},
        sol_types::SolCall,
    };

    use super::*;
    use crate::policy::wallets::createAccountCall;

    const KNOWN: Address = Address::repeat_byte(4);
    const STRANGER: Address = Address::repeat_byte(9);
    const PROXY: &[u8] = &alloy::hex!(
        "363d3d373d3d363d7f360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc545af43d6000803e6038573d6000fd5b3d6000f3"
    );

    fn rules() -> AccountRules {
        let known = BTreeSet::from([KNOWN]);
        let wallets = Wallet::ALL.into();
        AccountRules {
            factories: known.clone(),
            delegates: known.clone(),
            implementations: known,
            wallets,
            ..AccountRules::default()
        }
    }

    fn admit(op: &UserOperation, found: OnChain) -> Result<(), Denial> {
        rules().admit(op, EntryPointVersion::V0_8, 1, Some(&found))
    }

    fn made_by(address: Address) -> UserOperation {
        let data = createAccountCall { owners: vec![vec![7; 32].into()], nonce: U256::ZERO }.abi_encode().into();
        UserOperation { initializer: Some(Initializer::Factory { address, data }), ..UserOperation::default() }
    }

    fn delegating(to: Address) -> OnChain {
        OnChain { code: [&DELEGATION[..], to.as_slice()].concat().into(), nonce: 1, ..OnChain::default() }
    }

    fn proxy(code: &[u8], implementation: Address) -> OnChain {
        OnChain { code: code.to_vec().into(), implementation, nonce: 1 }
    }

    /// Of `key`, naming `address`.
    fn authorized(key: &PrivateKeySigner, address: Address, chain_id: u64, nonce: u64) -> UserOperation {
        let inner = Authorization { chain_id: U256::from(chain_id), address, nonce };
        let signature = key.sign_hash_sync(&inner.signature_hash()).unwrap();
        let auth = Some(inner.into_signed(signature));
        let initializer = Some(Initializer::Eip7702 { data: Bytes::new() });
        UserOperation { sender: key.address(), initializer, eip7702_auth: auth, ..UserOperation::default() }
    }

    #[test]
    fn accounts_of_known_factories_are_sponsored_if_these_are_told_to_make_one_and_others_are_not() {
        assert_eq!(admit(&made_by(KNOWN), OnChain::default()), Ok(()));
        assert_eq!(admit(&made_by(STRANGER), OnChain::default()), Err(Denial::Factory(STRANGER)));
        for factory in Wallet::Coinbase.factories() {
            assert_eq!(admit(&made_by(*factory), OnChain::default()), Ok(()));
        }
        let mut other = made_by(KNOWN);
        other.initializer = Some(Initializer::Factory { address: KNOWN, data: vec![1, 2, 3, 4].into() });
        assert_eq!(admit(&other, OnChain::default()), Err(Denial::InitCode(KNOWN)));
        let none = AccountRules { wallets: BTreeSet::new(), ..rules() };
        let coinbase = made_by(Wallet::Coinbase.factories()[0]);
        assert!(none.admit(&coinbase, EntryPointVersion::V0_6, 1, None).is_err());
    }

    #[test]
    fn init_code_says_nothing_of_an_account_that_exists() {
        // v0.9 ignores it.
        let hostile = proxy(&[1, 2, 3], KNOWN);
        let hash = keccak256([1, 2, 3]);
        assert_eq!(admit(&made_by(KNOWN), hostile), Err(Denial::Implementation(hash)));
        assert_eq!(admit(&made_by(STRANGER), proxy(PROXY, KNOWN)), Ok(()));
    }

    #[test]
    fn an_authorization_counts_only_if_the_protocol_acts_on_it() {
        let key = PrivateKeySigner::random();
        let good = authorized(&key, KNOWN, 1, 0);
        assert_eq!(admit(&good, OnChain::default()), Ok(()));
        assert_eq!(admit(&authorized(&key, KNOWN, 0, 0), OnChain::default()), Ok(()));
        let refused = |op: &UserOperation, found: OnChain| matches!(admit(op, found), Err(Denial::Authorization(_)));
        assert!(refused(&authorized(&key, KNOWN, 2, 0), OnChain::default()), "of another chain");
        assert!(refused(&authorized(&key, KNOWN, 1, 1), OnChain::default()), "not the next nonce");
        assert!(refused(&good, OnChain { nonce: 1, ..OnChain::default() }), "spent");
        let foreign = UserOperation { sender: STRANGER, ..good.clone() };
        assert!(refused(&foreign, OnChain::default()), "of somebody else");
        assert!(refused(&good, delegating(KNOWN)), "done already");
        let made_up = SignedAuthorization::new_unchecked(
            good.eip7702_auth.as_ref().unwrap().inner().clone(),
            0,
            U256::from(1),
            U256::from(1),
        );
        assert!(refused(&UserOperation { eip7702_auth: Some(made_up), ..good.clone() }, OnChain::default()));
        for version in [EntryPointVersion::V0_6, EntryPointVersion::V0_7] {
            let denied = rules().admit(&good, version, 1, Some(&OnChain::default()));
            assert!(matches!(denied, Err(Denial::Authorization(_))), "{version}");
        }
        assert_eq!(admit(&authorized(&key, STRANGER, 1, 0), OnChain::default()), Err(Denial::Delegate));
    }

    #[test]
    fn a_delegate_that_is_not_known_is_refused_in_every_operation() {
        let key = PrivateKeySigner::random();
        // Whoever bundles may leave the authorization out: then what is there runs.
        assert_eq!(admit(&authorized(&key, KNOWN, 1, 1), delegating(STRANGER)), Err(Denial::Delegate));
        let later = UserOperation { sender: key.address(), ..UserOperation::default() };
        let marked = UserOperation { initializer: Some(Initializer::Eip7702 { data: Bytes::new() }), ..later.clone() };
        for op in [&later, &marked] {
            assert_eq!(admit(op, delegating(STRANGER)), Err(Denial::Delegate));
            assert_eq!(admit(op, delegating(KNOWN)), Ok(()));
        }
        assert_eq!(admit(&marked, OnChain::default()), Err(Denial::Delegate));
        assert_eq!(admit(&later, OnChain::default()), Err(Denial::NoAccount(key.address())));
    }

    #[test]
    fn a_proxy_is_known_by_its_code_and_by_what_is_behind_it() {
        let op = UserOperation::default();
        let hash = keccak256([1, 2, 3]);
        assert_eq!(admit(&op, proxy(PROXY, KNOWN)), Ok(()));
        assert!(admit(&op, proxy(PROXY, STRANGER)).is_err());
        assert_eq!(admit(&op, proxy(PROXY, Wallet::Coinbase.implementations()[1])), Ok(()));
        // It wrote the slot itself.
        assert_eq!(admit(&op, proxy(&[1, 2, 3], KNOWN)), Err(Denial::Implementation(hash)));

        let judge = |rules: &AccountRules, found: OnChain| rules.admit(&op, EntryPointVersion::V0_8, 1, Some(&found));
        let both = AccountRules { code_hashes: BTreeSet::from([hash]), ..rules() };
        assert_eq!(judge(&both, proxy(&[1, 2, 3], KNOWN)), Ok(()));
        assert_eq!(judge(&both, proxy(&[1, 2, 3], STRANGER)), Err(Denial::Implementation(hash)));
        assert_eq!(judge(&both, proxy(PROXY, KNOWN)), Ok(()));
        let by_code = AccountRules { implementations: BTreeSet::new(), ..both };
        assert_eq!(judge(&by_code, proxy(&[1, 2, 3], STRANGER)), Ok(()), "no proxy, then");
        let any = AccountRules { any_existing: true, ..rules() };
        assert_eq!(judge(&any, proxy(&[1, 2, 3], STRANGER)), Ok(()));
        let made = made_by(STRANGER);
        assert!(any.admit(&made, EntryPointVersion::V0_8, 1, None).is_err(), "it does not exist");
    }
}
