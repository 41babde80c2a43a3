// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { SafeCastLib } from "solady/utils/SafeCastLib.sol";

/// @title OwnedId
/// @notice Ids that name an account and a number: `account << 96 | number`. They can be computed before they are used,
/// listed without a list, and need no slot to remember the account.
library OwnedId {
    /// @dev The id of an account's `number`-th thing.
    /// @param account The account.
    /// @param number From 1 on, below 2^96.
    function make(address account, uint256 number) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)) << 96 | SafeCastLib.toUint96(number));
    }

    /// @dev The account that an id names.
    function ownerOf(bytes32 id) internal pure returns (address) {
        return address(SafeCastLib.toUint160(uint256(id) >> 96));
    }
}
