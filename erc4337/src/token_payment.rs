//! What our TokenPaymaster reads, and what its signer signs: every field of the operation, and the price.

use alloy::{
    primitives::{Address, B256, Bytes, U256, aliases::U48},
    sol,
    sol_types::{SolStruct, eip712_domain},
};

use crate::{
    EntryPointVersion, Paymaster, UserOperation,
    sponsorship::{SIGNATURE_LENGTH, Validity},
};

sol! {
    /// EIP-712 struct of the paymaster contract; the contract publishes the same string as `TOKEN_PAYMENT_TYPE`.
    struct TokenPaidUserOperation {
        address sender;
        uint256 nonce;
        bytes initCode;
        bytes callData;
        uint128 verificationGasLimit;
        uint128 callGasLimit;
        uint256 preVerificationGas;
        uint128 maxPriorityFeePerGas;
        uint128 maxFeePerGas;
        uint128 paymasterVerificationGasLimit;
        uint128 paymasterPostOpGasLimit;
        uint48 validUntil;
        uint48 validAfter;
        address entryPoint;
        address token;
        uint128 tokensPerEth;
    }

    /// The same of the contract for EntryPoint v0.6.
    struct TokenPaidUserOperationV06 {
        address sender;
        uint256 nonce;
        bytes initCode;
        bytes callData;
        uint256 callGasLimit;
        uint256 verificationGasLimit;
        uint256 preVerificationGas;
        uint256 maxFeePerGas;
        uint256 maxPriorityFeePerGas;
        uint48 validUntil;
        uint48 validAfter;
        address entryPoint;
        address token;
        uint128 tokensPerEth;
    }
}

/// Says that a signer promised the price; 1 would be the contract's own oracle.
const SIGNED_PRICE: u8 = 0;
/// Wei of an ether.
const ETHER: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);

/// How an operation pays for its gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenPayment {
    /// The token.
    pub token: Address,
    /// Base units that its sender allows at most; the sender signs this, not we.
    pub max_tokens: u128,
    /// Base units for 1 ETH.
    pub tokens_per_eth: u128,
    /// When the price holds.
    pub validity: Validity,
}

impl TokenPayment {
    /// `0x00 ‖ token ‖ maxTokens ‖ tokensPerEth ‖ validUntil ‖ validAfter ‖ signature ‖ permit`; the permit, `uint256
    /// value ‖ signature` of the account, may be empty.
    pub fn to_paymaster_data(&self, signature: &[u8; SIGNATURE_LENGTH], permit: &[u8]) -> Bytes {
        let mut data = vec![SIGNED_PRICE];
        data.extend_from_slice(self.token.as_slice());
        data.extend_from_slice(&self.max_tokens.to_be_bytes());
        data.extend_from_slice(&self.tokens_per_eth.to_be_bytes());
        data.extend_from_slice(&self.validity.to_bounds());
        data.extend_from_slice(signature);
        data.extend_from_slice(permit);
        data.into()
    }
}

/// Base units that so much wei are at this price, rounded up as the contract does.
pub fn tokens_for(wei: U256, tokens_per_eth: u128) -> U256 {
    wei.saturating_mul(U256::from(tokens_per_eth)).div_ceil(ETHER)
}

/// The digest that a signer of `limits.address` signs to promise `op` this price (EIP-712, domain of the contract).
///
/// The operation's own paymaster address and data play no part; its paymaster gas limits are those of `limits`, which
/// v0.6 does not have.
pub fn digest(
    op: &UserOperation,
    version: EntryPointVersion,
    limits: &Paymaster,
    payment: &TokenPayment,
    entry_point: Address,
    chain_id: u64,
) -> B256 {
    let domain = eip712_domain! {
        name: "Fabstir TokenPaymaster",
        version: "1",
        chain_id: chain_id,
        verifying_contract: limits.address,
    };
    let (valid_until, valid_after) = (U48::from(payment.validity.until), U48::from(payment.validity.after));
    if !version.is_packed() {
        return TokenPaidUserOperationV06 {
            sender: op.sender,
            nonce: op.nonce,
            initCode: op.init_code(),
            callData: op.call_data.clone(),
            callGasLimit: U256::from(op.call_gas_limit),
            verificationGasLimit: U256::from(op.verification_gas_limit),
            preVerificationGas: U256::from(op.pre_verification_gas),
            maxFeePerGas: U256::from(op.max_fee_per_gas),
            maxPriorityFeePerGas: U256::from(op.max_priority_fee_per_gas),
            validUntil: valid_until,
            validAfter: valid_after,
            entryPoint: entry_point,
            token: payment.token,
            tokensPerEth: payment.tokens_per_eth,
        }
        .eip712_signing_hash(&domain);
    }
    TokenPaidUserOperation {
        sender: op.sender,
        nonce: op.nonce,
        initCode: op.init_code(),
        callData: op.call_data.clone(),
        verificationGasLimit: op.verification_gas_limit,
        callGasLimit: op.call_gas_limit,
        preVerificationGas: U256::from(op.pre_verification_gas),
        maxPriorityFeePerGas: op.max_priority_fee_per_gas,
        maxFeePerGas: op.max_fee_per_gas,
        paymasterVerificationGasLimit: limits.verification_gas_limit,
        paymasterPostOpGasLimit: limits.post_op_gas_limit,
        validUntil: valid_until,
        validAfter: valid_after,
        entryPoint: entry_point,
        token: payment.token,
        tokensPerEth: payment.tokens_per_eth,
    }
    .eip712_signing_hash(&domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_a_base_unit_is_one() {
        assert_eq!(tokens_for(U256::ONE, 3_000_000_000), U256::ONE);
        assert_eq!(tokens_for(ETHER, 3_000_000_000), U256::from(3_000_000_000_u64));
        assert_eq!(tokens_for(ETHER + U256::ONE, 3_000_000_000), U256::from(3_000_000_001_u64));
    }
}
