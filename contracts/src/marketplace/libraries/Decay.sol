// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title Decay
/// @notice Halving over time: exact at whole half-lives, linear in between.
library Decay {
    /// @dev What is left of a value.
    /// @param value Below 2^128.
    /// @param elapsed Seconds.
    /// @param halfLife Seconds, not zero, below 2^32.
    function decayed(uint256 value, uint256 elapsed, uint256 halfLife) internal pure returns (uint256) {
        value >>= elapsed / halfLife;
        return value - value * (elapsed % halfLife) / (2 * halfLife);
    }
}
