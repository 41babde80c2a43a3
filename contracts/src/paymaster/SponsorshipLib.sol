// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { UserOperation } from "account-abstraction-v06/interfaces/UserOperation.sol";
import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";
import { EfficientHashLib } from "solady/utils/EfficientHashLib.sol";

/// @title SponsorshipLib
/// @notice What a paymaster's signer signs: every field of an operation, for a time, at one EntryPoint. The EIP-712
/// domain adds the chain and the paymaster. Shared by all paymasters, of EntryPoint v0.6 and of v0.7 and later.
library SponsorshipLib {
    using EfficientHashLib for bytes32[];

    /// @notice The EIP-712 type for EntryPoint v0.7 and later. Fields that the packed operation joins are signed apart,
    /// so that a wallet can show them.
    string internal constant TYPE =
        "SponsoredUserOperation(address sender,uint256 nonce,bytes initCode,bytes callData,uint128 verificationGasLimit,uint128 callGasLimit,uint256 preVerificationGas,uint128 maxPriorityFeePerGas,uint128 maxFeePerGas,uint128 paymasterVerificationGasLimit,uint128 paymasterPostOpGasLimit,uint48 validUntil,uint48 validAfter,address entryPoint)";

    /// @notice The same, with the price of gas in a token.
    string internal constant TOKEN_TYPE =
        "TokenPaidUserOperation(address sender,uint256 nonce,bytes initCode,bytes callData,uint128 verificationGasLimit,uint128 callGasLimit,uint256 preVerificationGas,uint128 maxPriorityFeePerGas,uint128 maxFeePerGas,uint128 paymasterVerificationGasLimit,uint128 paymasterPostOpGasLimit,uint48 validUntil,uint48 validAfter,address entryPoint,address token,uint128 tokensPerEth)";

    /// @notice The EIP-712 type for EntryPoint v0.6.
    string internal constant TYPE_V06 =
        "SponsoredUserOperationV06(address sender,uint256 nonce,bytes initCode,bytes callData,uint256 callGasLimit,uint256 verificationGasLimit,uint256 preVerificationGas,uint256 maxFeePerGas,uint256 maxPriorityFeePerGas,uint48 validUntil,uint48 validAfter,address entryPoint)";

    /// @notice The same, with the price of gas in a token.
    string internal constant TOKEN_TYPE_V06 =
        "TokenPaidUserOperationV06(address sender,uint256 nonce,bytes initCode,bytes callData,uint256 callGasLimit,uint256 verificationGasLimit,uint256 preVerificationGas,uint256 maxFeePerGas,uint256 maxPriorityFeePerGas,uint48 validUntil,uint48 validAfter,address entryPoint,address token,uint128 tokensPerEth)";

    bytes32 internal constant TYPEHASH = keccak256(bytes(TYPE));
    bytes32 internal constant TOKEN_TYPEHASH = keccak256(bytes(TOKEN_TYPE));
    bytes32 internal constant TYPEHASH_V06 = keccak256(bytes(TYPE_V06));
    bytes32 internal constant TOKEN_TYPEHASH_V06 = keccak256(bytes(TOKEN_TYPE_V06));

    /// @notice Where the paymaster's own data starts in `paymasterAndData`, from EntryPoint v0.7 on: behind the address
    /// and two gas limits.
    uint256 internal constant DATA_OFFSET = 52;

    /// @notice The same for EntryPoint v0.6: behind the address.
    uint256 internal constant DATA_OFFSET_V06 = 20;

    /// @notice For how long, and for which price, a signer's promise holds.
    /// @param validUntil Last second the operation may be included, or 0 for no end.
    /// @param validAfter The operation may be included after this second.
    /// @param entryPoint The EntryPoint the operation is for.
    /// @param token The token gas is paid in, or zero.
    /// @param tokensPerEth Price of 1 ETH in the token's base units, or zero.
    struct Terms {
        uint48 validUntil;
        uint48 validAfter;
        address entryPoint;
        address token;
        uint128 tokensPerEth;
    }

    /// @notice The EIP-712 struct hash of the promise, for EntryPoint v0.7 and later.
    function hash(PackedUserOperation calldata userOp, Terms memory terms) internal pure returns (bytes32) {
        bytes32[] memory words = EfficientHashLib.malloc(terms.token == address(0) ? 15 : 17);
        words.set(0, terms.token == address(0) ? TYPEHASH : TOKEN_TYPEHASH);
        words.set(1, uint160(userOp.sender));
        words.set(2, userOp.nonce);
        words.set(3, EfficientHashLib.hashCalldata(userOp.initCode));
        words.set(4, EfficientHashLib.hashCalldata(userOp.callData));
        _setHalves(words, 5, userOp.accountGasLimits);
        words.set(7, userOp.preVerificationGas);
        _setHalves(words, 8, userOp.gasFees);
        _setHalves(words, 10, bytes32(userOp.paymasterAndData[20:DATA_OFFSET]));
        return _finish(words, 12, terms);
    }

    /// @notice The EIP-712 struct hash of the promise, for EntryPoint v0.6.
    function hash(UserOperation calldata userOp, Terms memory terms) internal pure returns (bytes32) {
        bytes32[] memory words = EfficientHashLib.malloc(terms.token == address(0) ? 13 : 15);
        words.set(0, terms.token == address(0) ? TYPEHASH_V06 : TOKEN_TYPEHASH_V06);
        words.set(1, uint160(userOp.sender));
        words.set(2, userOp.nonce);
        words.set(3, EfficientHashLib.hashCalldata(userOp.initCode));
        words.set(4, EfficientHashLib.hashCalldata(userOp.callData));
        words.set(5, userOp.callGasLimit);
        words.set(6, userOp.verificationGasLimit);
        words.set(7, userOp.preVerificationGas);
        words.set(8, userOp.maxFeePerGas);
        words.set(9, userOp.maxPriorityFeePerGas);
        return _finish(words, 10, terms);
    }

    /// @notice Validation data as ERC-4337 packs it. There is no aggregator: that word is only ever 0 or 1.
    function packValidationData(bool failed, uint48 validUntil, uint48 validAfter) internal pure returns (uint256) {
        return (failed ? 1 : 0) | uint256(validUntil) << 160 | uint256(validAfter) << 208;
    }

    function _setHalves(bytes32[] memory words, uint256 at, bytes32 packed) private pure {
        words.set(at, uint256(packed) >> 128);
        words.set(at + 1, uint128(uint256(packed)));
    }

    function _finish(bytes32[] memory words, uint256 at, Terms memory terms) private pure returns (bytes32) {
        words.set(at, terms.validUntil);
        words.set(at + 1, terms.validAfter);
        words.set(at + 2, uint160(terms.entryPoint));
        if (terms.token != address(0)) {
            words.set(at + 3, uint160(terms.token));
            words.set(at + 4, terms.tokensPerEth);
        }
        return words.hash();
    }
}
