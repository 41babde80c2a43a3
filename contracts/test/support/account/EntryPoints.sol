// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { CommonBase } from "forge-std/Base.sol";

/// @notice Which EntryPoint a test runs on.
enum Version {
    V06,
    V07,
    V08,
    V09
}

/// @title EntryPoints
/// @notice Deploys the real EntryPoints, from their published bytecode.
abstract contract EntryPoints is CommonBase {
    address internal constant DEPLOYER = 0x4e59b44847b379578588920cA78FbF26c0B4956C;
    address internal constant CANONICAL_V06 = 0x5FF137D4b0FDCD49DcA30c7CF57E578a026d2789;
    address internal constant CANONICAL_V07 = 0x0000000071727De22E5E9d8BAf0edAc6f37da032;
    address internal constant CANONICAL_V08 = 0x4337084D9E255Ff0702461CF8895CE9E3b5Ff108;

    bytes private constant DEPLOYER_CODE =
        hex"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3";

    /// @dev v0.6 to v0.8 land on their canonical addresses. v0.9 is a release candidate, so its address is its own.
    function deployEntryPoint(Version version) internal returns (address entryPoint) {
        if (version == Version.V06) {
            entryPoint = _deploy("06", 0);
            require(entryPoint == CANONICAL_V06, "v0.6 is not canonical");
        } else if (version == Version.V07) {
            entryPoint = _deploy("07", 0x90d8084deab30c2a37c45e8d47f49f2f7965183cb6990a98943ef94940681de3);
            require(entryPoint == CANONICAL_V07, "v0.7 is not canonical");
        } else if (version == Version.V08) {
            entryPoint = _deploy("08", 0x0a59dbff790c23c976a548690c27297883cc66b4c67024f9117b0238995e35e9);
            require(entryPoint == CANONICAL_V08, "v0.8 is not canonical");
        } else {
            entryPoint = _deploy("09", 0);
        }
    }

    function _deploy(string memory suffix, bytes32 salt) private returns (address) {
        string memory path = string.concat("node_modules/account-abstraction-v", suffix, "/artifacts/EntryPoint.json");
        return create2(salt, vm.parseJsonBytes(vm.readFile(path), ".bytecode"));
    }

    /// @dev Deploys through the CREATE2 deployer every chain has, as the deploy script does.
    function create2(bytes32 salt, bytes memory initCode) internal returns (address deployed) {
        if (DEPLOYER.code.length == 0) vm.etch(DEPLOYER, DEPLOYER_CODE);
        deployed = vm.computeCreate2Address(salt, keccak256(initCode), DEPLOYER);
        if (deployed.code.length != 0) return deployed;
        (bool ok, bytes memory result) = DEPLOYER.call(bytes.concat(salt, initCode));
        require(ok && result.length == 20 && deployed.code.length != 0, "create2 failed");
    }
}
