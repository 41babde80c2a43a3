// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title IReceiveWithAuthorization
/// @notice ERC-3009 in the variant that USDC has since version 2.2: contract accounts can sign too.
interface IReceiveWithAuthorization {
    /// @notice Moves an authorizer's tokens to the caller.
    /// @param from Who pays, and signed.
    /// @param to Who is paid; the caller.
    /// @param value Base units.
    /// @param validAfter Unix seconds, exclusive.
    /// @param validBefore Unix seconds, exclusive.
    /// @param nonce Any value that `from` has not used.
    /// @param signature By `from`.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;
}

/// @title ISignatureTransfer
/// @notice The part of Uniswap's Permit2 that moves tokens once by signature.
interface ISignatureTransfer {
    /// @notice What may be moved.
    struct TokenPermissions {
        /// @dev The token.
        address token;
        /// @dev Most base units.
        uint256 amount;
    }

    /// @notice What the owner signed, together with the spender.
    struct PermitTransferFrom {
        /// @dev What may be moved.
        TokenPermissions permitted;
        /// @dev Any number that the owner has not used.
        uint256 nonce;
        /// @dev Unix seconds, inclusive.
        uint256 deadline;
    }

    /// @notice Where the spender wants it.
    struct SignatureTransferDetails {
        /// @dev Who is paid.
        address to;
        /// @dev Base units.
        uint256 requestedAmount;
    }

    /// @notice Moves tokens of an owner that signed for the caller as spender.
    /// @param permit What the owner signed.
    /// @param transferDetails Where the caller wants it.
    /// @param owner Who pays.
    /// @param signature By the owner.
    function permitTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes calldata signature
    ) external;
}
