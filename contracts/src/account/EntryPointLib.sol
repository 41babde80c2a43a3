// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title EntryPointLib
/// @notice Tells EntryPoint v0.7 from its successors.
library EntryPointLib {
    /// @dev Present in EntryPoints that hash operations as typed data.
    bytes4 private constant GET_DOMAIN_SEPARATOR = bytes4(keccak256("getDomainSeparatorV4()"));

    /// @notice Whether the EntryPoint is v0.8 or later: it hashes operations as EIP-712 typed data, and charges for
    /// unused gas before it calls postOp.
    function isV08OrLater(address entryPoint) internal view returns (bool) {
        (bool ok, bytes memory separator) = entryPoint.staticcall(abi.encodeWithSelector(GET_DOMAIN_SEPARATOR));
        return ok && separator.length == 32;
    }
}
