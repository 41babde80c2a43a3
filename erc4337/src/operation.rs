//! One operation type for every EntryPoint version.

use alloy::{
    eips::eip7702::SignedAuthorization,
    primitives::{Address, Bytes, U256},
};

use crate::EntryPointVersion;

/// A user operation, unpacked, complete with every field its EntryPoint reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserOperation {
    /// The account that acts.
    pub sender: Address,
    /// 192-bit key and 64-bit sequence.
    pub nonce: U256,
    /// How the account comes to be, if this operation makes it.
    pub initializer: Option<Initializer>,
    /// What the EntryPoint calls on the account after validation.
    pub call_data: Bytes,
    /// Gas for that call.
    pub call_gas_limit: u128,
    /// Gas for account creation and validation (v0.6: the paymaster's too).
    pub verification_gas_limit: u128,
    /// Gas paid to the bundler for what the EntryPoint cannot meter: calldata, overhead, L1 data.
    pub pre_verification_gas: u128,
    /// Wei per gas, at most.
    pub max_fee_per_gas: u128,
    /// Wei per gas above the base fee, at most.
    pub max_priority_fee_per_gas: u128,
    /// Who pays, if not the account.
    pub paymaster: Option<Paymaster>,
    /// What the account validates.
    pub signature: Bytes,
    /// The authorization tuple to include in the bundle transaction (EIP-7702).
    pub eip7702_auth: Option<SignedAuthorization>,
}

/// How an account comes to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Initializer {
    /// A factory contract and its calldata.
    Factory {
        /// The contract called by the EntryPoint's SenderCreator.
        address: Address,
        /// Its calldata.
        data: Bytes,
    },
    /// The sender is an EIP-7702 account (`factory: 0x7702`), v0.8 and later.
    Eip7702 {
        /// Calldata for the account itself, run before validation; usually empty.
        data: Bytes,
    },
}

/// Who pays for an operation, and within which limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paymaster {
    /// The contract with the deposit.
    pub address: Address,
    /// Gas for `validatePaymasterUserOp`; 0 in v0.6, which has no such field.
    pub verification_gas_limit: u128,
    /// Gas for `postOp`; 0 in v0.6, which has no such field.
    pub post_op_gas_limit: u128,
    /// Whatever the paymaster reads.
    pub data: Bytes,
    /// v0.9: appended outside the hash, so that it may be made after the user has signed; else empty.
    pub signature: Bytes,
}

impl UserOperation {
    /// The 192-bit key of the nonce: operations with different keys are independent of one another.
    pub fn nonce_key(&self) -> U256 {
        self.nonce >> 64
    }

    /// The 64-bit sequence number of the nonce: operations with one key go in its order.
    pub fn nonce_sequence(&self) -> u64 {
        self.nonce.wrapping_to()
    }

    /// The factory contract called to make the account, if any.
    pub fn factory(&self) -> Option<Address> {
        match &self.initializer {
            Some(Initializer::Factory { address, .. }) => Some(*address),
            _ => None,
        }
    }

    /// The paymaster's address, if any.
    pub fn paymaster_address(&self) -> Option<Address> {
        self.paymaster.as_ref().map(|paymaster| paymaster.address)
    }

    /// Gas that the EntryPoint charges for in the worst case, `preVerificationGas` included
    /// (`_getRequiredPrefund` of each version). Saturates.
    pub fn max_gas(&self, version: EntryPointVersion) -> u128 {
        let paymaster = self.paymaster.as_ref();
        let verification = match version {
            // v0.6 lends the paymaster the account's limit, once for validation and twice for postOp.
            EntryPointVersion::V0_6 if paymaster.is_some() => self.verification_gas_limit.saturating_mul(3),
            _ => self.verification_gas_limit,
        };
        let own = paymaster.map_or(0, |p| p.verification_gas_limit.saturating_add(p.post_op_gas_limit));
        verification.saturating_add(self.call_gas_limit).saturating_add(self.pre_verification_gas).saturating_add(own)
    }

    /// Wei that must be deposited before the operation runs.
    pub fn required_prefund(&self, version: EntryPointVersion) -> U256 {
        U256::from(self.max_gas(version)) * U256::from(self.max_fee_per_gas)
    }

    /// Wei per gas that the operation pays at this base fee (wei per gas).
    pub fn effective_gas_price(&self, base_fee: u128) -> u128 {
        self.max_fee_per_gas.min(self.max_priority_fee_per_gas.saturating_add(base_fee))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_paymaster() -> UserOperation {
        UserOperation {
            nonce: U256::from(7) << 64 | U256::from(3),
            call_gas_limit: 1,
            verification_gas_limit: 10,
            pre_verification_gas: 100,
            max_fee_per_gas: 2,
            max_priority_fee_per_gas: 1,
            paymaster: Some(Paymaster {
                verification_gas_limit: 1_000,
                post_op_gas_limit: 10_000,
                ..Paymaster::default()
            }),
            ..UserOperation::default()
        }
    }

    #[test]
    fn v0_6_prefund_counts_verification_gas_three_times_with_a_paymaster() {
        let mut op = with_paymaster();
        if let Some(paymaster) = &mut op.paymaster {
            (paymaster.verification_gas_limit, paymaster.post_op_gas_limit) = (0, 0);
        }
        assert_eq!(op.required_prefund(EntryPointVersion::V0_6), U256::from(2 * (1 + 30 + 100)));
        op.paymaster = None;
        assert_eq!(op.required_prefund(EntryPointVersion::V0_6), U256::from(2 * (1 + 10 + 100)));
    }

    #[test]
    fn later_prefunds_add_the_limits_of_the_paymaster() {
        let op = with_paymaster();
        assert_eq!(op.required_prefund(EntryPointVersion::V0_8), U256::from(2 * 11_111));
    }

    #[test]
    fn the_price_never_passes_either_bound() {
        let op = with_paymaster();
        assert_eq!(op.effective_gas_price(0), 1);
        assert_eq!(op.effective_gas_price(5), 2);
    }

    #[test]
    fn the_nonce_key_is_the_high_192_bits() {
        assert_eq!(with_paymaster().nonce_key(), U256::from(7));
    }
}
