//! Accounts that are sponsored unless a policy says otherwise: wallets whose code is public and reads calls as it says.
//!
//! An account is known by the code that the chain has for it, never by what an operation says of itself. A proxy is known by
//! the hash of its own code, which reads its implementation from one slot, and by what is in that slot: an account of other
//! code may write there what it likes.

use std::collections::BTreeSet;

use alloy::{
    primitives::{Address, B256, U256, address, b256},
    sol,
    sol_types::SolCall,
};

sol! {
    function createAccount(bytes[] owners, uint256 nonce);
}

mod simple {
    #![allow(missing_docs, reason = "a signature says it all")]
    alloy::sol! {
        function createAccount(address owner, uint256 salt);
    }
}

/// Hash of the code of Solady's ERC-1967 proxy (`LibClone.ERC1967_CODE_HASH`): of our accounts, and of Coinbase's.
pub(super) const ERC1967_PROXY: B256 = b256!("0xaaa52c8cc8a0e3fd27ce756cc6b4e70c51423e9b597b11f32d3e49f8b1fc890d");

const COINBASE: [Address; 2] =
    [address!("0x000100abaad02f1cfC8Bbe32bD5a564817339E72"), address!("0x00000110dCdEdC9581cb5eCB8467282f2926534d")];
const COINBASE_FACTORIES: [Address; 2] =
    [address!("0x0BA5ED0c6AA8c49038F819E587E2633c4A9F428a"), address!("0xBA5ED110eFDBa3D005bfC882d75358ACBbB85842")];

/// A kind of account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wallet {
    /// Coinbase Smart Wallet, which Base Account is.
    Coinbase,
}

impl Wallet {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Coinbase];

    /// As policy files name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Coinbase => "coinbase",
        }
    }

    /// Behind its proxies; the same on every chain.
    pub const fn implementations(self) -> &'static [Address] {
        match self {
            Self::Coinbase => &COINBASE,
        }
    }

    /// What makes it.
    pub const fn factories(self) -> &'static [Address] {
        match self {
            Self::Coinbase => &COINBASE_FACTORIES,
        }
    }
}

/// Whether a factory is told to make an account for some owners, in the one way in which that is encoded.
pub(super) fn makes_an_account(data: &[u8]) -> bool {
    if let Ok(call) = createAccountCall::abi_decode(data) {
        // An address or a public key each; one at least.
        let owners = !call.owners.is_empty() && call.owners.iter().all(|owner| matches!(owner.len(), 32 | 64));
        return owners && call.abi_encode() == data;
    }
    simple::createAccountCall::abi_decode(data).is_ok_and(|call| call.abi_encode() == data)
}

/// Of all wallets of these kinds.
pub(super) fn implementations(wallets: &BTreeSet<Wallet>) -> impl Iterator<Item = Address> {
    wallets.iter().flat_map(|wallet| wallet.implementations().iter().copied())
}

/// The slot in which an ERC-1967 proxy has its implementation.
pub const IMPLEMENTATION_SLOT: U256 =
    alloy::primitives::uint!(0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc_U256);

#[cfg(test)]
mod tests {
    use alloy::primitives::{Bytes, hex, keccak256};

    use super::*;

    #[test]
    fn the_proxy_is_the_code_that_our_factory_deploys() {
        let code = hex!(
            "363d3d373d3d363d7f360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc545af43d6000803e6038573d6000fd5b3d6000f3"
        );
        assert_eq!(keccak256(code), ERC1967_PROXY);
        let source = include_str!("../../../contracts/src/account/SmartAccountFactory.sol");
        assert!(source.contains("LibClone.createDeterministicERC1967("));
    }

    #[test]
    fn a_factory_is_told_to_make_an_account_in_one_way() {
        let owners = |owners: &[usize]| {
            let owners = owners.iter().map(|length| Bytes::from(vec![7; *length])).collect();
            createAccountCall { owners, nonce: U256::ONE }.abi_encode()
        };
        for good in [owners(&[32]), owners(&[64, 32])] {
            assert!(makes_an_account(&good));
            let mut longer = good.clone();
            longer.extend([0; 32]);
            assert!(!makes_an_account(&longer));
            let mut other = good;
            other[0] ^= 1;
            assert!(!makes_an_account(&other));
        }
        for bad in [owners(&[]), owners(&[31]), owners(&[32, 65]), vec![], vec![1, 2, 3]] {
            assert!(!makes_an_account(&bad));
        }
        let simple = simple::createAccountCall { owner: Address::repeat_byte(7), salt: U256::ZERO }.abi_encode();
        assert!(makes_an_account(&simple));
        let mut dirty = simple;
        dirty[4] = 1;
        assert!(!makes_an_account(&dirty));
    }
}
