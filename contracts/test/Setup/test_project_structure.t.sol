// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Test } from "forge-std/Test.sol";

/// @notice What can be deployed at all: every contract has room to grow within EIP-170 and EIP-3860.
contract ProjectStructureTest is Test {
    uint256 private constant MAX_RUNTIME = 24_576;
    uint256 private constant MAX_INITCODE = 49_152;
    uint256 private constant ROOM = 2_000;

    function assertFits(string memory name) private view {
        string memory artifact = string.concat(name, ".sol:", name);
        assertLe(vm.getDeployedCode(artifact).length, MAX_RUNTIME - ROOM, name);
        assertLe(vm.getCode(artifact).length, MAX_INITCODE - ROOM, name);
        assertGt(vm.getDeployedCode(artifact).length, 0, name);
    }

    function test_every_contract_has_room_of_2000_bytes() public view {
        assertFits("NodeRegistry");
        assertFits("JobMarketplace");
        assertFits("SessionMarketplace");
        assertFits("PaymentEscrow");
        assertFits("ReputationSystem");
        assertFits("SignatureVerifier");
        assertFits("ProofSystem");
    }
}
