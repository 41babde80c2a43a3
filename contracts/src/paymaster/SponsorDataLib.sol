// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title SponsorDataLib
/// @notice The sponsoring paymaster's own data: `uint48 validUntil ‖ uint48 validAfter ‖ signature (65 bytes)`.
/// @dev EntryPoint v0.9 lets the paymaster sign in parallel with the account, when the signature is followed by its
/// length and a magic number. Our data then only grows by that suffix: nothing moves.
library SponsorDataLib {
    uint256 internal constant LENGTH = 77;

    /// @dev uint16 length of the signature ‖ the first 8 bytes of keccak256("PaymasterSignature").
    bytes10 private constant PARALLEL_SUFFIX = hex"004122e325a297439656";

    /// @notice Whether these bytes have the one form allowed, or the one of EntryPoint v0.9.
    function isWellFormed(bytes calldata data) internal pure returns (bool) {
        if (data.length == LENGTH) return true;
        return data.length == LENGTH + 10 && bytes10(data[LENGTH:]) == PARALLEL_SUFFIX;
    }

    /// @notice The parts of the data, whose form the caller has checked.
    function read(bytes calldata data)
        internal
        pure
        returns (uint48 validUntil, uint48 validAfter, bytes calldata signature)
    {
        validUntil = uint48(bytes6(data[:6]));
        validAfter = uint48(bytes6(data[6:12]));
        signature = data[12:LENGTH];
    }
}
