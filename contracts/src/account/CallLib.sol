// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title CallLib
/// @notice Makes a call straight from calldata, and passes on what it returned.
/// @dev Nothing of the return data is copied unless the call failed.
library CallLib {
    /// @notice Calls `target`, sending `value` and `data`.
    /// @return ok Whether the call succeeded.
    function tryCall(address target, uint256 value, bytes calldata data) internal returns (bool ok) {
        assembly ("memory-safe") {
            let m := mload(0x40)
            calldatacopy(m, data.offset, data.length)
            ok := call(gas(), target, value, m, data.length, 0x00, 0x00)
        }
    }

    /// @notice The return data of the last call.
    function returnData() internal pure returns (bytes memory data) {
        assembly ("memory-safe") {
            data := mload(0x40)
            mstore(data, returndatasize())
            returndatacopy(add(data, 0x20), 0x00, returndatasize())
            mstore(0x40, add(data, and(add(returndatasize(), 0x3f), not(0x1f))))
        }
    }

    /// @notice Reverts with the return data of the last call.
    function bubbleRevert() internal pure {
        assembly ("memory-safe") {
            let m := mload(0x40)
            returndatacopy(m, 0x00, returndatasize())
            revert(m, returndatasize())
        }
    }
}
