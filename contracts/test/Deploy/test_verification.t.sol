// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { DeploymentTest } from "../support/DeploymentTest.sol";

/// @notice The method of `tools/verify.js`: a contract is what its init code leaves, run again at its own address.
contract VerificationTest is DeploymentTest {
    function setUp() public override {
        super.setUp();
        createAll();
    }

    /// @dev Everything is as before afterwards.
    function verifies(Entry memory e) private returns (bool same) {
        bytes32 found = e.at.codehash;
        uint256 snapshot = vm.snapshotState();
        empty(e.at);
        empty(vm.computeCreateAddress(e.at, 1));
        same = create(e) == e.at && e.at.codehash == found;
        vm.revertToState(snapshot);
    }

    function empty(address account) private {
        vm.etch(account, "");
        vm.resetNonce(account);
    }

    function change(address at, uint256 index) private {
        bytes memory code = at.code;
        code[index] ^= 0x01;
        vm.etch(at, code);
    }

    function test_every_contract_is_what_its_init_code_leaves() public {
        for (uint256 i; i < entries.length; ++i) {
            assertTrue(verifies(entries[i]), entries[i].name);
        }
    }

    /// @dev Wherever it is: at the start, in the middle, at the end.
    function test_one_changed_byte_is_noticed_in_every_contract() public {
        for (uint256 i; i < entries.length; ++i) {
            uint256 length = entries[i].at.code.length;
            uint256[3] memory places = [0, length / 2, length - 1];
            for (uint256 j; j < 3; ++j) {
                uint256 snapshot = vm.snapshotState();
                change(entries[i].at, places[j]);
                assertFalse(verifies(entries[i]), entries[i].name);
                vm.revertToState(snapshot);
            }
        }
    }

    function testFuzz_a_changed_byte_is_noticed_anywhere(uint256 which, uint256 where, uint8 bits) public {
        Entry memory e = entries[bound(which, 0, entries.length - 1)];
        vm.assume(bits != 0);
        bytes memory code = e.at.code;
        where = bound(where, 0, code.length - 1);
        code[where] ^= bytes1(bits);
        vm.etch(e.at, code);
        assertFalse(verifies(e), e.name);
    }

    /// @dev Immutables are part of it: the escrow with another controller is another escrow.
    function test_another_constructor_argument_is_noticed() public {
        Entry memory e = entry("PaymentEscrow");
        bytes memory code = e.at.code;
        bytes20 controller = bytes20(entry("JobMarketplace").at);
        uint256 found;
        for (uint256 i; i + 20 <= code.length; ++i) {
            bytes20 word;
            assembly ("memory-safe") {
                word := and(mload(add(add(code, 32), i)), not(sub(shl(96, 1), 1)))
            }
            if (word == controller) {
                ++found;
                code[i] ^= 0xff;
            }
        }
        assertGt(found, 0);
        vm.etch(e.at, code);
        assertFalse(verifies(e));
    }

    /// @dev Other arguments or another salt lead to another address, so that the address itself vouches for both.
    function test_arguments_and_salt_make_the_address() public {
        Entry memory e = entry("SmartAccountFactory");
        assertTrue(vm.computeCreate2Address(e.salt, keccak256(initCode(e)), CREATE2_DEPLOYER) == e.at);
        assertTrue(vm.computeCreate2Address(bytes32(uint256(1)), keccak256(initCode(e)), CREATE2_DEPLOYER) != e.at);
        e.arguments[31] ^= 0x01;
        assertTrue(vm.computeCreate2Address(e.salt, keccak256(initCode(e)), CREATE2_DEPLOYER) != e.at);
    }
}
