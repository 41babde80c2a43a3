// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Test } from "forge-std/Test.sol";

/// @notice The committed deployment of a local chain, made again through the CREATE2 deployer.
abstract contract DeploymentTest is Test {
    /// @dev The canonical deterministic-deployment proxy.
    address internal constant CREATE2_DEPLOYER = 0x4e59b44847b379578588920cA78FbF26c0B4956C;

    struct Entry {
        string name;
        string artifact;
        address at;
        bytes32 salt;
        bytes arguments;
    }

    string internal file;
    Entry[] internal entries;

    function setUp() public virtual {
        vm.chainId(31_337);
        vm.warp(1_800_000_000);
        vm.etch(
            CREATE2_DEPLOYER,
            hex"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
        );
        file = vm.readFile("../deploy/addresses/local.json");
        for (uint256 i; vm.keyExistsJson(file, key(i, "")); ++i) {
            entries.push(
                Entry({
                    name: vm.parseJsonString(file, key(i, ".name")),
                    artifact: vm.parseJsonString(file, key(i, ".artifact")),
                    at: vm.parseJsonAddress(file, key(i, ".address")),
                    salt: vm.parseJsonBytes32(file, key(i, ".salt")),
                    arguments: vm.parseJsonBytes(file, key(i, ".arguments"))
                })
            );
        }
        require(entries.length > 30, "no contracts in the file");
    }

    function key(uint256 i, string memory field) private pure returns (string memory) {
        return string.concat(".contracts[", vm.toString(i), "]", field);
    }

    function addressOf(string memory field) internal view returns (address) {
        return vm.parseJsonAddress(file, string.concat(".", field));
    }

    function entry(string memory name) internal view returns (Entry memory) {
        for (uint256 i; i < entries.length; ++i) {
            if (keccak256(bytes(entries[i].name)) == keccak256(bytes(name))) return entries[i];
        }
        revert(name);
    }

    /// @dev EntryPoints come compiled, in packages whose names have the version without its dot.
    function initCode(Entry memory e) internal view returns (bytes memory) {
        bytes memory code;
        if (keccak256(bytes(e.artifact)) == keccak256("EntryPoint")) {
            string memory version =
                string.concat("v0", string(abi.encodePacked(bytes(e.name)[bytes(e.name).length - 1])));
            string memory path =
                string.concat("node_modules/account-abstraction-", version, "/artifacts/EntryPoint.json");
            code = vm.parseJsonBytes(vm.readFile(path), ".bytecode");
        } else {
            code = vm.getCode(string.concat(e.artifact, ".sol:", e.artifact));
        }
        return bytes.concat(code, e.arguments);
    }

    /// @dev What the deployer answers: the address, if it made something. A second time it costs all gas that is given.
    function create(Entry memory e) internal returns (address made) {
        (bool success, bytes memory result) =
            CREATE2_DEPLOYER.call{ gas: 16_000_000 }(bytes.concat(e.salt, initCode(e)));
        if (success && result.length == 20) made = address(bytes20(result));
    }

    /// @dev A call of its own, so that the memory that artifacts take is given back.
    function createNumber(uint256 i) external returns (address) {
        return create(entries[i]);
    }

    function createAll() internal {
        for (uint256 i; i < entries.length; ++i) {
            assertEq(this.createNumber(i), entries[i].at, entries[i].name);
        }
    }
}
