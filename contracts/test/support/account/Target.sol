// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title Target
/// @notice Something to call: it counts, remembers, and fails when asked.
contract Target {
    error Refused(uint256 code);

    uint256 public counter;
    address public lastCaller;

    function increment() external payable {
        ++counter;
        lastCaller = msg.sender;
    }

    function fail(uint256 code) external pure {
        revert Refused(code);
    }
}
