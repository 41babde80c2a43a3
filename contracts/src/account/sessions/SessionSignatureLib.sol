// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { Session } from "./SessionTypes.sol";

/// @title SessionSignatureLib
/// @notice Reads `type byte ‖ abi.encode(Session, bytes, bytes)` in place, without copying it to memory.
/// @dev The session may be encoded in any way: it is known by the hash of what is read from it, and every read is
/// checked by the compiler against the end of calldata.
library SessionSignatureLib {
    /// @notice The session and the two byte strings that follow it.
    function decode(bytes calldata signature)
        internal
        pure
        returns (Session calldata session, bytes calldata first, bytes calldata second)
    {
        bytes calldata body = signature[1:];
        uint256 offset = _word(body, 0);
        // The slice only checks that the session starts inside the signature.
        bytes calldata head = body[offset:];
        assembly ("memory-safe") {
            session := head.offset
        }
        first = _bytes(body, 0x20);
        second = _bytes(body, 0x40);
    }

    function _bytes(bytes calldata body, uint256 at) private pure returns (bytes calldata) {
        bytes calldata tail = body[_word(body, at):];
        uint256 length = _word(tail, 0);
        return tail[0x20:][:length];
    }

    function _word(bytes calldata body, uint256 at) private pure returns (uint256) {
        return uint256(bytes32(body[at:at + 0x20]));
    }
}
