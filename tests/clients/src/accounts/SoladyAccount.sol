// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {ERC4337} from "solady/accounts/ERC4337.sol";
// Compiled along.
import {ERC4337Factory} from "solady/accounts/ERC4337Factory.sol";

/// @notice Solady's account with the name that every user of it has to give it.
contract SoladyAccount is ERC4337 {
    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Solady", "1");
    }
}
