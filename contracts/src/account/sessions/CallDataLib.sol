// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { ISessionKeys } from "../interfaces/ISessionKeys.sol";
import { ISmartAccount } from "../interfaces/ISmartAccount.sol";

/// @title CallDataLib
/// @notice Reads the calls in an operation's call data, and accepts only the one encoding an ABI encoder makes.
/// @dev What is checked here must be what `execute` and `executeBatch` later do. A laxer reading would leave room for
/// overlapping offsets and bytes that nobody checked; so every offset and every padding byte must be in its place.
library CallDataLib {
    uint256 private constant SELECTOR = 4;

    /// @dev A call's encoding starts with target, value, the offset of its data (always this) and its length.
    uint256 private constant DATA_OFFSET = 0x60;

    /// @notice Starts reading.
    /// @return count How many calls there are, at least one.
    /// @return cursor Where the first call starts.
    function open(bytes calldata callData) internal pure returns (uint256 count, uint256 cursor) {
        bytes4 selector = bytes4(callData);
        if (selector == ISmartAccount.execute.selector) return (1, SELECTOR);
        if (selector != ISmartAccount.executeBatch.selector) revert ISessionKeys.FunctionNotAllowed(selector);
        if (_word(callData, SELECTOR) != 0x20) revert ISessionKeys.MalformedCallData();
        count = _word(callData, SELECTOR + 0x20);
        if (count == 0) revert ISessionKeys.EmptyBatch();
        // A count beyond the data's length cannot be honest, and bounds the arithmetic below.
        if (count > callData.length) revert ISessionKeys.MalformedCallData();
        cursor = SELECTOR + 0x40 + count * 0x20;
        // The offsets follow the count; each call must start where the last one ended, and the first here.
        if (_word(callData, SELECTOR + 0x40) != count * 0x20) revert ISessionKeys.MalformedCallData();
    }

    /// @notice Reads the call at `cursor`, which is number `index` of `count`.
    /// @return target The contract it calls.
    /// @return value Native currency it sends.
    /// @return data What it sends.
    /// @return next Where the next call starts.
    function read(bytes calldata callData, uint256 index, uint256 count, uint256 cursor)
        internal
        pure
        returns (address target, uint256 value, bytes calldata data, uint256 next)
    {
        uint256 word = _word(callData, cursor);
        if (word > type(uint160).max) revert ISessionKeys.MalformedCallData();
        target = address(uint160(word));
        value = _word(callData, cursor + 0x20);
        if (_word(callData, cursor + 0x40) != DATA_OFFSET) revert ISessionKeys.MalformedCallData();
        uint256 length = _word(callData, cursor + 0x60);
        if (length > callData.length) revert ISessionKeys.MalformedCallData();
        uint256 start = cursor + 0x80;
        next = start + (length + 31) / 32 * 32;
        if (next > callData.length) revert ISessionKeys.MalformedCallData();
        data = callData[start:start + length];
        // What follows the data up to the next word must be zero.
        if (length % 32 != 0 && _word(callData, next - 0x20) << (length % 32 * 8) != 0) {
            revert ISessionKeys.MalformedCallData();
        }
        if (index + 1 == count) {
            if (next != callData.length) revert ISessionKeys.MalformedCallData();
        } else {
            uint256 offsets = SELECTOR + 0x40;
            if (_word(callData, offsets + (index + 1) * 0x20) != next - offsets) {
                revert ISessionKeys.MalformedCallData();
            }
        }
    }

    function _word(bytes calldata callData, uint256 at) private pure returns (uint256) {
        if (at + 0x20 > callData.length) revert ISessionKeys.MalformedCallData();
        return uint256(bytes32(callData[at:at + 0x20]));
    }
}
