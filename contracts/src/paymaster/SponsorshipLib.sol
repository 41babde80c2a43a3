// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

/// @title SponsorshipLib
/// @notice What a signer promises when it sponsors an operation of EntryPoint v0.7 or later: every field of it, for a
/// time, at one EntryPoint. The EIP-712 domain adds the chain and the paymaster.
library SponsorshipLib {
    /// @notice The EIP-712 type. Fields that the packed operation joins are signed apart, so that a wallet can show them.
    string internal constant TYPE =
        "SponsoredUserOperation(address sender,uint256 nonce,bytes initCode,bytes callData,uint128 verificationGasLimit,uint128 callGasLimit,uint256 preVerificationGas,uint128 maxPriorityFeePerGas,uint128 maxFeePerGas,uint128 paymasterVerificationGasLimit,uint128 paymasterPostOpGasLimit,uint48 validUntil,uint48 validAfter,address entryPoint)";

    /// @notice The hash of `TYPE`.
    bytes32 internal constant TYPEHASH = keccak256(bytes(TYPE));

    /// @notice Where the EntryPoint's own prefix of `paymasterAndData` ends: address and two gas limits.
    uint256 internal constant VALIDITY_OFFSET = 52;

    /// @notice Where the signature starts: two times of 6 bytes follow the prefix.
    uint256 internal constant SIGNATURE_OFFSET = 64;

    /// @notice The whole length of `paymasterAndData`.
    uint256 internal constant LENGTH = 129;

    /// @notice The EIP-712 struct hash of the promise.
    /// @dev `userOp.paymasterAndData` must hold the 52 bytes of the prefix; a shorter one reads zeros or reverts.
    function hash(PackedUserOperation calldata userOp, uint48 validUntil, uint48 validAfter, address entryPoint)
        internal
        pure
        returns (bytes32)
    {
        bytes32 accountGasLimits = userOp.accountGasLimits;
        bytes32 gasFees = userOp.gasFees;
        bytes32 paymasterGasLimits = bytes32(userOp.paymasterAndData[20:VALIDITY_OFFSET]);
        // Two halves, joined: one call with fifteen words is more than the stack holds.
        return keccak256(
            bytes.concat(
                abi.encode(
                    TYPEHASH,
                    userOp.sender,
                    userOp.nonce,
                    keccak256(userOp.initCode),
                    keccak256(userOp.callData),
                    uint256(accountGasLimits) >> 128,
                    uint128(uint256(accountGasLimits))
                ),
                abi.encode(
                    userOp.preVerificationGas,
                    uint256(gasFees) >> 128,
                    uint128(uint256(gasFees)),
                    uint256(paymasterGasLimits) >> 128,
                    uint128(uint256(paymasterGasLimits)),
                    validUntil,
                    validAfter,
                    entryPoint
                )
            )
        );
    }

    /// @notice The two times in `paymasterAndData`, whose length the caller has checked.
    function validity(bytes calldata data) internal pure returns (uint48 validUntil, uint48 validAfter) {
        validUntil = uint48(bytes6(data[VALIDITY_OFFSET:VALIDITY_OFFSET + 6]));
        validAfter = uint48(bytes6(data[VALIDITY_OFFSET + 6:SIGNATURE_OFFSET]));
    }

    /// @notice Validation data as ERC-4337 packs it. There is no aggregator: that word is only ever 0 or 1.
    function packValidationData(bool failed, uint48 validUntil, uint48 validAfter) internal pure returns (uint256) {
        return (failed ? 1 : 0) | uint256(validUntil) << 160 | uint256(validAfter) << 208;
    }
}
