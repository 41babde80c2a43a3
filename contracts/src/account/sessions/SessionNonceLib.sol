// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title SessionNonceLib
/// @notice What a session puts into the nonce, where the operation's hash covers it:
/// `first 128 bits of the session id ‖ uint48 period ‖ uint16 lane ‖ uint64 sequence`.
/// @dev The whole id is checked against storage. Its half in the nonce binds the operation to one of the sessions a key
/// may have, and gives each session, period and lane its own sequence, so that they do not wait for each other.
library SessionNonceLib {
    /// @notice Whether the nonce is of this session.
    function isOf(uint256 nonce, bytes32 id) internal pure returns (bool) {
        return nonce >> 128 == uint256(id) >> 128;
    }

    /// @notice The period the nonce claims.
    function periodOf(uint256 nonce) internal pure returns (uint48) {
        return uint48(nonce >> 80);
    }

    /// @notice The 192-bit nonce key of a session's period and lane.
    function keyOf(bytes32 id, uint48 period, uint16 lane) internal pure returns (uint192) {
        return uint192((uint256(id) >> 128) << 64 | uint256(period) << 16 | lane);
    }
}
