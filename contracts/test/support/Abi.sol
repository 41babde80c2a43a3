// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Vm } from "forge-std/Vm.sol";

/// @notice Reads compiled ABIs. A contract of its own, so that what it reads is not left in its caller's memory.
contract AbiReader {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function signatures(string calldata contract_) external view returns (string[] memory) {
        return VM.parseJsonKeys(_artifact(contract_), ".methodIdentifiers");
    }

    /// @notice Whether a function changes nothing. No for overloaded ones, which the cheatcode does not tell apart.
    function isView(string calldata contract_, string calldata name) external view returns (bool) {
        bytes32 mutability = keccak256(bytes(_mutability(contract_, name)));
        return mutability == keccak256("view") || mutability == keccak256("pure");
    }

    /// @notice Whether a function changes something and takes no ETH. No for overloaded ones, likewise.
    function isNonPayable(string calldata contract_, string calldata name) external view returns (bool) {
        return keccak256(bytes(_mutability(contract_, name))) == keccak256("nonpayable");
    }

    /// @dev Empty for overloaded functions.
    function _mutability(string calldata contract_, string calldata name) private view returns (string memory) {
        string memory path = string.concat("$.abi[?(@.name == '", name, "')].stateMutability");
        bytes memory question = abi.encodeCall(VM.parseJsonString, (_artifact(contract_), path));
        (bool one, bytes memory result) = address(VM).staticcall(question);
        return one ? abi.decode(result, (string)) : "";
    }

    function _artifact(string calldata contract_) private view returns (string memory) {
        return VM.readFile(string.concat("out/", contract_, ".sol/", contract_, ".json"));
    }
}

/// @notice What a contract's compiled ABI says, so that tests of "every function" need no list of their own.
library Abi {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @notice Signatures of all functions.
    function functions(string memory contract_) internal view returns (string[] memory) {
        string memory artifact = VM.readFile(string.concat("out/", contract_, ".sol/", contract_, ".json"));
        return VM.parseJsonKeys(artifact, ".methodIdentifiers");
    }

    /// @notice Signatures of the functions that are neither view nor pure.
    function mutating(string memory contract_) internal returns (string[] memory signatures) {
        AbiReader reader = new AbiReader();
        signatures = reader.signatures(contract_);
        uint256 count;
        for (uint256 i; i < signatures.length; ++i) {
            if (!reader.isView(contract_, VM.split(signatures[i], "(")[0])) signatures[count++] = signatures[i];
        }
        assembly {
            mstore(signatures, count)
        }
    }

    /// @notice Signatures of the functions that change something and take no ETH.
    function withoutValue(string memory contract_) internal returns (string[] memory signatures) {
        AbiReader reader = new AbiReader();
        signatures = reader.signatures(contract_);
        uint256 count;
        for (uint256 i; i < signatures.length; ++i) {
            if (reader.isNonPayable(contract_, VM.split(signatures[i], "(")[0])) signatures[count++] = signatures[i];
        }
        assembly {
            mstore(signatures, count)
        }
    }

    /// @notice A call with nothing but zeros.
    function zeros(string memory signature) internal pure returns (bytes memory) {
        return abi.encodePacked(bytes4(keccak256(bytes(signature))), new bytes(32 * 24));
    }

    /// @notice Whether a list has a signature.
    function has(string[] memory list, string memory signature) internal pure returns (bool) {
        for (uint256 i; i < list.length; ++i) {
            if (keccak256(bytes(list[i])) == keccak256(bytes(signature))) return true;
        }
        return false;
    }
}
