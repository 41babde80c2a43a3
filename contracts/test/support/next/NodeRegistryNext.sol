// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { NodeRegistry } from "../../../src/marketplace/NodeRegistry.sol";

/// @notice A later version of the registry, to migrate to and back: it keeps a note for each host, in a namespace of its
/// own.
contract NodeRegistryNext is NodeRegistry {
    /// @custom:storage-location erc7201:fabstir.storage.NodeRegistryNext
    struct NextStorage {
        /// @dev By host.
        mapping(address host => bytes32) notes;
    }

    // keccak256(abi.encode(uint256(keccak256("fabstir.storage.NodeRegistryNext")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant NEXT_STORAGE = 0x4049bfc96db4d31a70e40e2c9b0625407fbbfb43824192921ed82663d615df00;

    /// @notice What a host wrote down.
    function noteOf(address host) external view returns (bytes32) {
        return _next().notes[host];
    }

    /// @notice Writes something down.
    function note(bytes32 text) external {
        _next().notes[msg.sender] = text;
    }

    function _next() private pure returns (NextStorage storage $) {
        assembly ("memory-safe") {
            $.slot := NEXT_STORAGE
        }
    }
}
