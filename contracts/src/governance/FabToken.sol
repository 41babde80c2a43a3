// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import { ERC20Votes } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import { Nonces } from "@openzeppelin/contracts/utils/Nonces.sol";

/// @title FabToken
/// @notice The token that votes: a fixed supply, delegated votes, checkpoints by timestamp, approvals by signature.
/// @dev Nobody can mint. Votes count from the moment a proposal's delay ends, so that what is borrowed for one
/// transaction counts for nothing.
contract FabToken is ERC20, ERC20Permit, ERC20Votes {
    /// @param holder Gets the whole supply.
    /// @param supply Base units, 18 decimals.
    constructor(address holder, uint256 supply) ERC20("Fabstir", "FAB") ERC20Permit("Fabstir") {
        _mint(holder, supply);
    }

    /// @notice The clock of all checkpoints: unix seconds (ERC-6372).
    function clock() public view override returns (uint48) {
        // Fits for the next eight million years.
        return uint48(block.timestamp);
    }

    /// @notice Says what `clock` counts (ERC-6372).
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    /// @notice Nonce of the next permit or delegation by signature.
    /// @param owner Whose.
    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }

    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Votes) {
        super._update(from, to, value);
    }
}
