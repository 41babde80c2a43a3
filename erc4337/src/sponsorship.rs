//! What our VerifyingPaymaster signs, on each EntryPoint: every field of the operation, and for how long.

use alloy::{
    primitives::{Address, B256, Bytes, U256, aliases::U48},
    sol,
    sol_types::{SolStruct, eip712_domain},
};

use crate::{EntryPointVersion, Paymaster, UserOperation};

sol! {
    /// EIP-712 struct of the paymaster contract; the contract publishes the same string as `SPONSORSHIP_TYPE`.
    struct SponsoredUserOperation {
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
    }

    /// The same of the contract for EntryPoint v0.6, which has no gas limits for paymasters.
    struct SponsoredUserOperationV06 {
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
    }
}

/// Bytes of a signature in `paymasterData`.
pub const SIGNATURE_LENGTH: usize = 65;

/// The window in which a sponsorship holds, in seconds since 1970, as the EntryPoint compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Last second.
    pub until: u64,
    /// The second before the first.
    pub after: u64,
}

impl Validity {
    /// `paymasterData`: `uint48 validUntil ‖ uint48 validAfter ‖ signature`.
    pub fn to_paymaster_data(self, signature: &[u8; SIGNATURE_LENGTH]) -> Bytes {
        let mut data = Vec::with_capacity(12 + SIGNATURE_LENGTH);
        for bound in [self.until, self.after] {
            data.extend_from_slice(&bound.to_be_bytes()[2..]);
        }
        data.extend_from_slice(signature);
        data.into()
    }
}

/// Bytes of the bounds in `paymasterData`.
const BOUNDS_LENGTH: usize = 12;

impl Validity {
    /// The bounds alone, for a signature that comes beside them: `uint48 validUntil ‖ uint48 validAfter`.
    pub fn to_bounds(self) -> Bytes {
        [self.until, self.after].iter().flat_map(|bound| bound.to_be_bytes()[2..].to_vec()).collect()
    }

    /// What [`Self::to_bounds`] made; nothing else.
    pub fn from_paymaster_data(data: &[u8]) -> Option<Self> {
        let bounds: &[u8; BOUNDS_LENGTH] = data.try_into().ok()?;
        let bound = |bytes: &[u8]| bytes.iter().fold(0, |bound, byte| bound << 8 | u64::from(*byte));
        let (until, after) = bounds.split_at(BOUNDS_LENGTH / 2);
        Some(Self { until: bound(until), after: bound(after) })
    }
}

/// The digest that a signer of `paymaster` signs to sponsor `op` (EIP-712, domain of the contract).
///
/// The operation's own paymaster address and data play no part; its paymaster gas limits are those of `limits`, which
/// v0.6 does not have.
pub fn digest(
    op: &UserOperation,
    version: EntryPointVersion,
    limits: &Paymaster,
    validity: Validity,
    entry_point: Address,
    chain_id: u64,
) -> B256 {
    let domain = eip712_domain! {
        name: "Fabstir VerifyingPaymaster",
        version: "1",
        chain_id: chain_id,
        verifying_contract: limits.address,
    };
    let (valid_until, valid_after) = (U48::from(validity.until), U48::from(validity.after));
    if !version.is_packed() {
        return SponsoredUserOperationV06 {
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
        }
        .eip712_signing_hash(&domain);
    }
    SponsoredUserOperation {
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
    }
    .eip712_signing_hash(&domain)
}
