// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title SessionTimeLib
/// @notice The time in which an operation of a session is valid: the session's time and the period's, intersected.
library SessionTimeLib {
    /// @notice The first time that is out of range: EntryPoint v0.9 reads larger ones as block numbers.
    uint256 internal constant TIME_END = 1 << 47;

    /// @notice The window of `period`.
    /// @dev EntryPoint v0.8 and later take an operation only after `validAfter`, v0.7 also at it. Using the first
    /// second of the period gives up that second on v0.8, and lets no two periods overlap on either.
    /// @return ok Whether the period lies within the session.
    /// @return validAfter First bound for the EntryPoint.
    /// @return validUntil Second bound for the EntryPoint, inclusive.
    function window(uint48 sessionAfter, uint48 sessionUntil, uint48 length, uint48 period)
        internal
        pure
        returns (bool ok, uint48 validAfter, uint48 validUntil)
    {
        if (length == 0) return (period == 0, sessionAfter, sessionUntil);
        // 48 bits times 48 bits, plus 48 bits: this cannot overflow.
        uint256 start = sessionAfter + uint256(period) * length;
        if (start > sessionUntil) return (false, 0, 0);
        uint256 end = start + length - 1;
        return (true, uint48(start), end < sessionUntil ? uint48(end) : sessionUntil);
    }

    /// @notice Validation data as ERC-4337 packs it. There is no aggregator: that word is only ever 0 or 1.
    function packValidationData(bool failed, uint48 validAfter, uint48 validUntil) internal pure returns (uint256) {
        return (failed ? 1 : 0) | uint256(validUntil) << 160 | uint256(validAfter) << 208;
    }
}
