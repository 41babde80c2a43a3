//! Contracts that a chain's client executes itself, such as Base's B20 tokens: what they do is in no bytecode.

use alloy::primitives::{Address, Bytes};
use serde::Deserialize;

/// First byte of the code that stands where the client executes: since EIP-3541 nobody can deploy such code.
const STUB: u8 = 0xef;
/// First bytes of an EIP-7702 delegation, which is code of that kind too, and no stub.
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];
/// Bytes of a delegation.
const DELEGATION_LENGTH: usize = 23;

/// Where a chain's client executes, beside the contracts whose code says so.
///
/// A singleton may have no code at all, and the code of a token that a call makes is not there before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NativeContracts {
    /// Singletons.
    #[serde(default)]
    pub addresses: Vec<Address>,
    /// First bytes of addresses that are all of that kind.
    #[serde(default)]
    pub prefixes: Vec<Bytes>,
}

impl NativeContracts {
    /// Whether the client executes calls of this address, whatever its code.
    pub fn contains(&self, address: Address) -> bool {
        self.addresses.contains(&address) || self.prefixes.iter().any(|prefix| address.as_slice().starts_with(prefix))
    }
}

/// Whether this code says that the client executes: it begins with `0xef` and is no EIP-7702 delegation.
pub fn is_stub(code: &[u8]) -> bool {
    let delegation = code.len() == DELEGATION_LENGTH && code.starts_with(&DELEGATION);
    code.first() == Some(&STUB) && !delegation
}

#[cfg(test)]
mod tests {
    use alloy::primitives::address;

    use super::*;
    use crate::ChainPreset;

    #[test]
    fn a_stub_is_told_from_a_delegation_and_from_code() {
        let delegation = [&DELEGATION, Address::repeat_byte(7).as_slice()].concat();
        assert!(is_stub(&[0xef]));
        assert!(is_stub(&delegation[..22]) && is_stub(&[delegation.as_slice(), &[0]].concat()));
        assert!(!is_stub(&delegation));
        assert!(!is_stub(&[]) && !is_stub(&[0x60, 0xef]));
    }

    #[test]
    fn bases_tokens_and_singletons_are_known_by_their_addresses_and_others_are_not() {
        let native = ChainPreset::base().native_contracts;
        for address in [
            address!("0xB20f000000000000000000000000000000000000"),
            address!("0x8453000000000000000000000000000000000001"),
            address!("0x8453000000000000000000000000000000000002"),
            address!("0xb200000000000000000000aabbccddeeff001122"),
            address!("0xb200000000000000000001aabbccddeeff001122"),
        ] {
            assert!(native.contains(address), "{address}");
        }
        for address in [
            address!("0x8453000000000000000000000000000000000003"),
            address!("0xb200000000000000010000aabbccddeeff001122"),
            address!("0x4200000000000000000000000000000000000015"),
            Address::ZERO,
        ] {
            assert!(!native.contains(address), "{address}");
        }
        assert_eq!(ChainPreset::for_chain(10).native_contracts, NativeContracts::default());
    }
}
