//! The EntryPoint versions and their canonical addresses.

use alloy::primitives::{Address, address};
use std::{fmt, str::FromStr};

/// A released version of the ERC-4337 EntryPoint contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryPointVersion {
    /// Unpacked operations, string errors, `postOp` called again on revert.
    V0_6,
    /// Packed operations, paymaster gas limits of their own.
    V0_7,
    /// EIP-712 `userOpHash`, EIP-7702 senders.
    V0_8,
    /// Paymaster signature outside the hash, block-number validity, typed errors.
    V0_9,
}

impl EntryPointVersion {
    /// All versions, oldest first.
    pub const ALL: [Self; 4] = [Self::V0_6, Self::V0_7, Self::V0_8, Self::V0_9];

    /// The address of the canonical deployment, the same on every chain.
    pub const fn canonical_address(self) -> Address {
        match self {
            Self::V0_6 => address!("0x5FF137D4b0FDCD49DcA30c7CF57E578a026d2789"),
            Self::V0_7 => address!("0x0000000071727De22E5E9d8BAf0edAc6f37da032"),
            Self::V0_8 => address!("0x4337084D9E255Ff0702461CF8895CE9E3b5Ff108"),
            Self::V0_9 => address!("0x433709009B8330FDa32311DF1C2AFA402eD8D009"),
        }
    }

    /// Whether operations are passed as `PackedUserOperation`, with gas limits of the paymaster's own.
    pub const fn is_packed(self) -> bool {
        !matches!(self, Self::V0_6)
    }

    /// Whether `factory: 0x7702` senders are part of the protocol.
    pub const fn supports_eip7702(self) -> bool {
        matches!(self, Self::V0_8 | Self::V0_9)
    }

    /// Whether a `paymasterSignature` may follow the paymaster data outside the hash.
    pub const fn supports_paymaster_signature(self) -> bool {
        matches!(self, Self::V0_9)
    }

    /// Whether an operation is not valid yet at `validAfter` itself, but only after it (`<=` in the contract, not `<`).
    pub const fn excludes_valid_after(self) -> bool {
        matches!(self, Self::V0_8 | Self::V0_9)
    }

    /// Whether init code of an account that exists is ignored, rather than refused.
    pub const fn ignores_init_code_of_existing_accounts(self) -> bool {
        matches!(self, Self::V0_9)
    }

    /// Whether validity bounds may be block numbers (top bit set on both).
    pub const fn supports_block_validity(self) -> bool {
        matches!(self, Self::V0_9)
    }
}

impl fmt::Display for EntryPointVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V0_6 => "v0.6",
            Self::V0_7 => "v0.7",
            Self::V0_8 => "v0.8",
            Self::V0_9 => "v0.9",
        })
    }
}

/// The text is not one of `v0.6`, `v0.7`, `v0.8`, `v0.9`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown EntryPoint version `{0}`: expected v0.6, v0.7, v0.8 or v0.9")]
pub struct UnknownVersion(String);

impl FromStr for EntryPointVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('v').unwrap_or(text);
        Self::ALL
            .into_iter()
            .find(|version| version.to_string()[1..] == *digits)
            .ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_parses_from_its_own_name() {
        for version in EntryPointVersion::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        assert!("v0.5".parse::<EntryPointVersion>().is_err());
    }
}
